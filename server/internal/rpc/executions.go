package rpc

import (
	"bufio"
	"cmp"
	"context"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ carillonv1.ExecutionServiceServer = (*executionServer)(nil)

type executionServer struct {
	carillonv1.UnsafeExecutionServiceServer
	executions *executions.Service
}

func (s *executionServer) ListExecutions(ctx context.Context, in *carillonv1.ListExecutionsRequest) (*carillonv1.ListExecutionsResponse, error) {
	// The interceptor has seen to it that one of the two is given.
	kind, text, read := job.KindInstance, in.GetInstanceId(), s.executions.OfInstance
	if in.GetJobId() != "" {
		kind, text, read = job.KindJob, in.GetJobId(), s.executions.OfJob
	}
	id, err := idOf(kind, text)
	if err != nil {
		return nil, err
	}
	q := query{carillonv1.ExecutionService_ListExecutions_FullMethodName, kind.Format(id)}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Execution, *carillonv1.Execution]{
		read:    func(page store.Page) ([]job.Execution, error) { return read(ctx, id, page) },
		id:      func(e job.Execution) int64 { return e.ID },
		message: func(e job.Execution) (*carillonv1.Execution, error) { return executionMessage(ctx, s.executions, e) },
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListExecutionsResponse{Executions: page, NextPageToken: next}, nil
}

// defaultLatest is how many executions of each job are answered unless the
// request says.
const defaultLatest = 10

func (s *executionServer) ListLatestExecutions(ctx context.Context, in *carillonv1.ListLatestExecutionsRequest) (*carillonv1.ListLatestExecutionsResponse, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	var jobs []int64
	for _, text := range in.GetJobIds() {
		if id, ok := job.KindJob.Parse(text); ok && !slices.Contains(jobs, id) {
			jobs = append(jobs, id)
		}
	}
	latest, err := s.executions.LatestOfJobs(ctx, instance, jobs, cmp.Or(int(in.GetCount()), defaultLatest))
	if err != nil {
		return nil, err
	}
	out := &carillonv1.ListLatestExecutionsResponse{}
	for _, id := range jobs {
		for _, e := range latest[id] {
			one, err := executionMessage(ctx, s.executions, e)
			if err != nil {
				return nil, err
			}
			out.Executions = append(out.Executions, one)
		}
	}
	return out, nil
}

func (s *executionServer) GetExecution(ctx context.Context, in *carillonv1.GetExecutionRequest) (*carillonv1.Execution, error) {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return nil, err
	}
	e, err := s.executions.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.message(ctx, e)
}

func (s *executionServer) CancelExecution(ctx context.Context, in *carillonv1.CancelExecutionRequest) (*carillonv1.Execution, error) {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return nil, err
	}
	e, err := s.executions.Cancel(ctx, id)
	if err != nil {
		return nil, err
	}
	return executionMessage(ctx, s.executions, e)
}

func (s *executionServer) TailLog(in *carillonv1.TailLogRequest, stream grpc.ServerStreamingServer[carillonv1.TailLogResponse]) error {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return err
	}
	lines, err := s.executions.Tail(stream.Context(), id, executionlog.Tail{
		Cursor: in.GetCursor(), Before: in.GetBefore(), Last: int(in.GetLast()),
		Filter: executionlog.Filter{Level: in.GetLevel(), Search: in.GetSearch()},
	}, in.GetFollow())
	if err != nil {
		return err
	}
	// A follower of a log without lines learns at once that it may follow.
	if err := stream.SendHeader(metadata.MD{}); err != nil {
		return err
	}
	for line, err := range lines {
		if err != nil {
			return err
		}
		message, err := lineMessage(line)
		if err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

func (s *executionServer) DownloadLog(in *carillonv1.DownloadLogRequest, stream grpc.ServerStreamingServer[carillonv1.DownloadLogResponse]) error {
	id, err := idOf(job.KindExecution, in.GetExecutionId())
	if err != nil {
		return err
	}
	link := auth.Link{ExecutionID: id, Expires: in.GetExpires(), KeyID: in.GetKeyId(), Signature: in.GetSignature()}
	const chunk = 64 << 10
	out := bufio.NewWriterSize(chunks{stream}, chunk)
	if err := s.executions.Download(stream.Context(), link, out); err != nil {
		return err
	}
	return out.Flush()
}

// chunks writes to a stream; what it is given at once is bounded by the buffer
// in front of it and by the length of a log's line.
type chunks struct {
	to grpc.ServerStreamingServer[carillonv1.DownloadLogResponse]
}

func (c chunks) Write(data []byte) (int, error) {
	if err := c.to.Send(&carillonv1.DownloadLogResponse{Data: data}); err != nil {
		return 0, err
	}
	return len(data), nil
}

func lineMessage(line executionlog.Line) (*carillonv1.TailLogResponse, error) {
	out := &carillonv1.TailLogResponse{Time: stamp(line.Time), Level: line.Level, Task: line.Task, Message: line.Message, Cursor: line.Cursor}
	if len(line.Attributes) > 0 {
		var err error
		if out.Attributes, err = structpb.NewStruct(line.Attributes); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func executionMessage(ctx context.Context, links *executions.Service, e job.Execution) (*carillonv1.Execution, error) {
	link, err := links.SignedLogURL(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	out := &carillonv1.Execution{
		Id:           textOf(job.KindExecution, e.ID),
		JobId:        textOf(job.KindJob, e.JobID),
		InstanceId:   textOf(job.KindInstance, e.InstanceID),
		Trigger:      carillonv1.Execution_Trigger(carillonv1.Execution_Trigger_value[string(e.Trigger)]),
		ScheduledFor: stamp(e.ScheduledFor),
		StartedAt:    stamp(e.StartedAt),
		FinishedAt:   stamp(e.FinishedAt),
		State:        carillonv1.Execution_State(carillonv1.Execution_State_value[string(e.State)]),
		Error:        failureMessage(e.Error),
		Attempt:      int32(e.Attempt),
		LogPath:      executions.LogPath(e),
		SignedLogUrl: link,
		Tasks:        mapAll(e.Tasks, taskMessage),
		CreatedAt:    stamp(e.CreatedAt),
	}
	if e.State == job.StateAwaitingApproval {
		a, err := links.ApprovalOf(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		out.Approval = approvalMessage(a)
	}
	switch {
	case e.State != job.StateQueued:
	case links.WantsPlace(e):
		out.WaitingFor = &carillonv1.Execution_WaitingFor{Reason: job.WaitNoPlace}
	case e.WaitingFor != 0:
		out.WaitingFor = &carillonv1.Execution_WaitingFor{Reason: job.SkipRemoteBusy, ExecutionId: textOf(job.KindExecution, max(e.WaitingFor, 0))}
	}
	if e.Trigger == job.TriggerBackfill {
		out.TriggerId = e.TriggerID
	}
	if e.State.Ended() {
		out.Success = wrapperspb.Bool(e.State == job.StateSucceeded)
	}
	return out, nil
}

func taskMessage(t job.TaskRecord) *carillonv1.Execution_Task {
	out := &carillonv1.Execution_Task{
		Name:          t.Name,
		Type:          t.Type,
		State:         taskState(t.State),
		StartedAt:     stamp(t.StartedAt),
		FinishedAt:    stamp(t.FinishedAt),
		Error:         failureMessage(t.Error),
		Attempt:       int32(t.Attempt),
		NextAttemptAt: stamp(t.NextAttemptAt),
	}
	reportFields(out, t.Report)
	return out
}

func failureMessage(f *job.Failure) *carillonv1.Execution_Error {
	if f == nil {
		return nil
	}
	return &carillonv1.Execution_Error{Code: f.Code, Reason: f.Reason, Message: f.Message}
}
