package graph

import (
	"context"

	"google.golang.org/grpc"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/graph/model"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// resolver holds what the resolvers call.
type resolver struct {
	jobs       carillonv1.JobServiceClient
	executions carillonv1.ExecutionServiceClient
	instances  carillonv1.InstanceServiceClient
	tasks      carillonv1.TaskServiceClient
	configs    carillonv1.ConfigServiceClient
	keys       carillonv1.KeyServiceClient
	audit      carillonv1.AuditServiceClient
	notices    carillonv1.NoticeServiceClient
}

func newResolver(conn grpc.ClientConnInterface) *resolver {
	return &resolver{
		jobs:       carillonv1.NewJobServiceClient(conn),
		executions: carillonv1.NewExecutionServiceClient(conn),
		instances:  carillonv1.NewInstanceServiceClient(conn),
		tasks:      carillonv1.NewTaskServiceClient(conn),
		configs:    carillonv1.NewConfigServiceClient(conn),
		keys:       carillonv1.NewKeyServiceClient(conn),
		audit:      carillonv1.NewAuditServiceClient(conn),
		notices:    carillonv1.NewNoticeServiceClient(conn),
	}
}

// done is the answer of what has nothing else to say.
func done(err error) (*model.SuccessResponse, error) {
	if err != nil {
		return nil, err
	}
	return &model.SuccessResponse{Success: true}, nil
}

// answered drops what was wrapped around the answer of a call that failed.
func answered[T any](answer *T, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// one wraps a job that is answered by itself.
func one(job *carillonv1.Job, err error) (*model.ScheduledJob, error) {
	if err != nil {
		return nil, err
	}
	return wrapJobs([]*carillonv1.Job{job})[0], nil
}

// wrapJobs wraps jobs of one answer, so that their histories are read at once.
func wrapJobs(jobs []*carillonv1.Job) []*model.ScheduledJob {
	latest := &model.Histories{Jobs: jobs}
	wrapped := make([]*model.ScheduledJob, len(jobs))
	for i, job := range jobs {
		wrapped[i] = &model.ScheduledJob{Job: job, Latest: latest}
	}
	return wrapped
}

// historyLength is how many executions the field history holds at most.
const historyLength = 10

// historyCount is how many executions of a job are asked for; as with pages, 0
// is the default and too many are lowered.
func historyCount(first *int32) (int32, error) {
	count := deref(first)
	if count < 0 {
		return 0, door.Invalid(door.Violation{Field: "first", Reason: "OUT_OF_RANGE", Description: "must not be negative"})
	}
	if count == 0 || count > historyLength {
		count = historyLength
	}
	return count, nil
}

// maxIDs is how many jobs one call takes.
const maxIDs = 1000

// latest reads the histories of jobs of one instance, count executions of each
// at most.
func (r *resolver) latest(ctx context.Context, jobs []*carillonv1.Job, count int32) (map[string][]*model.ScheduledJobHistory, error) {
	histories := map[string][]*model.ScheduledJobHistory{}
	for len(jobs) > 0 {
		part := jobs[:min(maxIDs, len(jobs))]
		jobs = jobs[len(part):]
		ask := &carillonv1.ListLatestExecutionsRequest{InstanceId: part[0].GetInstanceId(), Count: count}
		for _, job := range part {
			ask.JobIds = append(ask.JobIds, job.GetId())
		}
		answer, err := r.executions.ListLatestExecutions(ctx, ask)
		if err != nil {
			return nil, err
		}
		for _, execution := range answer.GetExecutions() {
			id := execution.GetJobId()
			histories[id] = append(histories[id], &model.ScheduledJobHistory{Execution: execution})
		}
	}
	return histories, nil
}

// pageOf is a page as the service takes it.
func pageOf(page *model.Page) (size int32, token string) {
	if page == nil {
		return 0, ""
	}
	return deref(page.First), deref(page.After)
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// next is a page's cursor: null when there is none.
func next(token string) (cursor *string, hasNextPage bool) {
	if token == "" {
		return nil, false
	}
	return &token, true
}
