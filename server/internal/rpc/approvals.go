package rpc

import (
	"context"
	"math"

	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func (s *executionServer) ApproveExecution(ctx context.Context, in *carillonv1.ApproveExecutionRequest) (*carillonv1.Execution, error) {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return nil, err
	}
	e, err := s.executions.Approve(ctx, id, in.GetDigest())
	if err != nil {
		return nil, err
	}
	return s.message(ctx, e)
}

func (s *executionServer) RejectExecution(ctx context.Context, in *carillonv1.RejectExecutionRequest) (*carillonv1.Execution, error) {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return nil, err
	}
	e, err := s.executions.Reject(ctx, id, in.GetReason())
	if err != nil {
		return nil, err
	}
	return s.message(ctx, e)
}

// filePosition continues a list of files.
type filePosition struct {
	After int64 `json:"a"`
}

func (s *executionServer) ListExecutionFiles(ctx context.Context, in *carillonv1.ListExecutionFilesRequest) (*carillonv1.ListExecutionFilesResponse, error) {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return nil, err
	}
	wanted := store.FileQuery{ExecutionID: id, Prefix: in.GetPathPrefix(), Limit: pageSize(in.GetPageSize())}
	if in.GetAction() != 0 {
		wanted.Action = job.FileAction(in.GetAction().String())
	}
	if in.GetState() != 0 {
		wanted.State = job.FileState(in.GetState().String())
	}
	q := query{
		carillonv1.ExecutionService_ListExecutionFiles_FullMethodName, job.KindExecution.Format(id),
		string(wanted.Action), string(wanted.State), wanted.Prefix,
	}
	if in.GetPageToken() != "" {
		var at filePosition
		if err := q.parse(in.GetPageToken(), &at); err != nil {
			return nil, err
		}
		wanted.After = at.After
	}
	records, more, err := s.executions.Files(ctx, wanted)
	if err != nil {
		return nil, err
	}
	out := &carillonv1.ListExecutionFilesResponse{}
	bytes := 0
	for i, r := range records {
		message := fileMessage(r)
		if bytes += proto.Size(message); bytes > maxAnswer && i > 0 {
			more = records[i-1].ID
			break
		}
		out.Files = append(out.Files, message)
	}
	if more != 0 {
		out.NextPageToken, err = q.token(filePosition{more})
	}
	return out, err
}

func fileMessage(r job.FileRecord) *carillonv1.ExecutionFile {
	return &carillonv1.ExecutionFile{
		Action:  carillonv1.ExecutionFile_Action(carillonv1.ExecutionFile_Action_value[string(r.Action)]),
		State:   carillonv1.ExecutionFile_State(carillonv1.ExecutionFile_State_value[string(r.State)]),
		Path:    r.Path,
		Size:    r.Size,
		Task:    r.Task,
		Remote:  r.Remote,
		Reason:  r.Reason,
		Message: r.Message,
		Attempt: int32(r.Attempt),
		Time:    stamp(r.At),
	}
}

// message is an execution with all that is known of it.
func (s *executionServer) message(ctx context.Context, e job.Execution) (*carillonv1.Execution, error) {
	out, err := executionMessage(ctx, s.executions, e)
	if err != nil || out.GetApproval() != nil { // one that still waits has it
		return out, err
	}
	a, err := s.executions.ApprovalOf(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	out.Approval = approvalMessage(a)
	return out, nil
}

func approvalMessage(a *job.Approval) *carillonv1.Approval {
	if a == nil {
		return nil
	}
	return &carillonv1.Approval{
		State:       carillonv1.Approval_State(carillonv1.Approval_State_value[string(a.State)]),
		Digest:      a.Digest,
		Plans:       mapAll(a.Plans, planMessage),
		RequestedAt: stamp(a.RequestedAt),
		ExpiresAt:   stamp(a.ExpiresAt),
		DecidedBy:   a.DecidedBy,
		DecidedAt:   stamp(a.DecidedAt),
	}
}

func planMessage(p job.Plan) *carillonv1.Plan {
	return &carillonv1.Plan{
		Task: p.Task, Remote: p.Remote, Digest: p.Digest,
		Copy: partMessage(p.Copy), Update: partMessage(p.Update), Delete: partMessage(p.Delete), Conflicts: partMessage(p.Conflicts),
		Found: count(p.Found), Unchanged: count(p.Unchanged),
		Guard: failureMessage(p.Guard), Incomplete: p.Incomplete, Error: failureMessage(p.Error),
	}
}

func partMessage(p job.PlanPart) *carillonv1.Plan_Part {
	return &carillonv1.Plan_Part{Files: count(p.Files), Bytes: p.Bytes, Samples: p.Samples}
}

// count is a number of files: of more than 2^31-1 this is told.
func count(n int64) int32 { return int32(min(n, math.MaxInt32)) }

func countersMessage(c job.Counters) *carillonv1.Execution_Counters {
	return &carillonv1.Execution_Counters{
		Found: count(c.Found), Copied: count(c.Copied), Updated: count(c.Updated), Deleted: count(c.Deleted),
		Skipped: count(c.Skipped), Failed: count(c.Failed), Conflicts: count(c.Conflicts),
		Bytes: c.Bytes, TotalFiles: count(c.TotalFiles), TotalBytes: c.TotalBytes,
	}
}

// reportFields adds what a task tells of files.
func reportFields(out *carillonv1.Execution_Task, r *job.TaskReport) {
	if r == nil {
		return
	}
	out.Counters = countersMessage(r.Counters)
	out.Remotes = mapAll(r.Remotes, func(r job.RemoteReport) *carillonv1.Execution_RemoteReport {
		return &carillonv1.Execution_RemoteReport{
			Remote: r.Remote, State: taskState(r.State), Counters: countersMessage(r.Counters), Error: failureMessage(r.Error),
		}
	})
	out.FileErrors = mapAll(r.FileErrors, func(f job.FileErrors) *carillonv1.Execution_FileErrors {
		return &carillonv1.Execution_FileErrors{Reason: f.Reason, Count: count(f.Count), Message: f.Message, Samples: f.Samples}
	})
}

func taskState(s job.TaskState) carillonv1.Execution_Task_State {
	return carillonv1.Execution_Task_State(carillonv1.Execution_Task_State_value[string(s)])
}

func (s *jobServer) PlanJob(ctx context.Context, in *carillonv1.PlanJobRequest) (*carillonv1.PlanJobResponse, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	planned, err := s.jobs.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	return &carillonv1.PlanJobResponse{Plans: mapAll(planned.Plans, planMessage), UnplannedTasks: planned.Unplanned}, nil
}

// validateRun is RunJob without running.
func (s *jobServer) validateRun(ctx context.Context, id int64) (*carillonv1.Execution, error) {
	j, err := s.jobs.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	planned, err := s.jobs.Plan(ctx, id)
	if err != nil {
		return nil, err
	}
	return &carillonv1.Execution{
		JobId:        textOf(job.KindJob, j.ID),
		InstanceId:   textOf(job.KindInstance, j.InstanceID),
		Trigger:      carillonv1.Execution_MANUAL,
		ScheduledFor: stamp(planned.At),
		CreatedAt:    stamp(planned.At),
		State:        carillonv1.Execution_QUEUED,
		Plans:        mapAll(planned.Plans, planMessage),
	}, nil
}
