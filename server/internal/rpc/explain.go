package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
)

func (s *jobServer) ExplainJob(ctx context.Context, in *carillonv1.ExplainJobRequest) (*carillonv1.ExplainJobResponse, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	e, err := s.jobs.Explain(ctx, id, given(in.GetFrom()), given(in.GetTo()))
	if err != nil {
		return nil, err
	}
	return &carillonv1.ExplainJobResponse{Summary: e.Summary, Explanations: mapAll(e.Events, eventMessage)}, nil
}

func eventMessage(e jobs.Event) *carillonv1.Explanation {
	return &carillonv1.Explanation{ScheduledFor: stamp(e.ScheduledFor), Text: e.Text, ExecutionId: textOf(job.KindExecution, e.ExecutionID)}
}
