package rpc

import (
	"context"
	"time"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
)

func (s *jobServer) SkipOccurrence(ctx context.Context, in *carillonv1.SkipOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return changeOccurrence(ctx, in.GetJobId(), given(in.GetScheduledFor()), s.jobs.SkipOccurrence)
}

func (s *jobServer) MoveOccurrence(ctx context.Context, in *carillonv1.MoveOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return changeOccurrence(ctx, in.GetJobId(), given(in.GetScheduledFor()), func(ctx context.Context, id int64, slot time.Time) (jobs.Occurrence, error) {
		return s.jobs.MoveOccurrence(ctx, id, slot, given(in.GetMoveTo()))
	})
}

func (s *jobServer) RestoreOccurrence(ctx context.Context, in *carillonv1.RestoreOccurrenceRequest) (*carillonv1.Occurrence, error) {
	return changeOccurrence(ctx, in.GetJobId(), given(in.GetScheduledFor()), s.jobs.RestoreOccurrence)
}

func changeOccurrence(ctx context.Context, jobID string, slot time.Time, change func(context.Context, int64, time.Time) (jobs.Occurrence, error)) (*carillonv1.Occurrence, error) {
	id, err := idOf(job.KindJob, jobID)
	if err != nil {
		return nil, err
	}
	o, err := change(ctx, id, slot)
	if err != nil {
		return nil, err
	}
	return occurrenceMessage(o), nil
}
