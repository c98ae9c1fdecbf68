package door

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Access asks the service what a caller may read.
type Access struct {
	jobs       carillonv1.JobServiceClient
	executions carillonv1.ExecutionServiceClient
	instances  carillonv1.InstanceServiceClient
}

// NewAccess asks over conn.
func NewAccess(conn grpc.ClientConnInterface) *Access {
	return &Access{
		jobs:       carillonv1.NewJobServiceClient(conn),
		executions: carillonv1.NewExecutionServiceClient(conn),
		instances:  carillonv1.NewInstanceServiceClient(conn),
	}
}

// Verdict is what the service says of a caller before it looks at any input:
// that it is unknown, or must not know of an object; nil when it may read the
// object. An id of "" asks for the caller only.
func (a *Access) Verdict(ctx context.Context, kind carillonv1.AccessObject_Kind, id string) error {
	err := a.read(ctx, kind, id)
	switch status.Code(err) {
	case codes.Unauthenticated, codes.NotFound, codes.PermissionDenied:
		return err
	}
	return nil
}

func (a *Access) read(ctx context.Context, kind carillonv1.AccessObject_Kind, id string) error {
	var err error
	switch {
	case id != "" && kind == carillonv1.AccessObject_INSTANCE:
		_, err = a.instances.GetInstance(ctx, &carillonv1.GetInstanceRequest{InstanceId: id})
	case id != "" && kind == carillonv1.AccessObject_RESOURCE:
		_, err = a.instances.GetResource(ctx, &carillonv1.GetResourceRequest{ResourceId: id})
	case id != "" && kind == carillonv1.AccessObject_JOB:
		_, err = a.jobs.GetJob(ctx, &carillonv1.GetJobRequest{JobId: id})
	case id != "" && kind == carillonv1.AccessObject_EXECUTION:
		_, err = a.executions.GetExecution(ctx, &carillonv1.GetExecutionRequest{ExecutionId: id})
	case id != "" && kind == carillonv1.AccessObject_BACKFILL:
		_, err = a.jobs.GetBackfill(ctx, &carillonv1.GetBackfillRequest{BackfillId: id})
	default:
		// Needs a valid token and touches nothing.
		_, err = a.jobs.PreviewSchedule(ctx, &carillonv1.PreviewScheduleRequest{FrequencyType: carillonv1.Job_MANUAL})
	}
	return err
}
