package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
)

func (s *jobServer) BackfillJob(ctx context.Context, in *carillonv1.BackfillJobRequest) (*carillonv1.Backfill, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	request, err := requestOf(ctx, carillonv1.JobService_BackfillJob_FullMethodName, job.KindJob.Format(id), in)
	if err != nil {
		return nil, err
	}
	return backfillMessage(s.jobs.Backfill(ctx, jobs.Backfill{
		JobID: id, From: given(in.GetFrom()), To: given(in.GetTo()), Concurrency: int(in.GetConcurrency()),
		Overlap: overlapOf(in.GetOverlapPolicy()), ValidateOnly: in.GetValidateOnly(), Request: request,
	}))
}

func (s *jobServer) GetBackfill(ctx context.Context, in *carillonv1.GetBackfillRequest) (*carillonv1.Backfill, error) {
	id, err := idOf(job.KindBackfill, in.GetBackfillId())
	if err != nil {
		return nil, err
	}
	return backfillMessage(s.jobs.GetBackfill(ctx, id))
}

func (s *jobServer) CancelBackfill(ctx context.Context, in *carillonv1.CancelBackfillRequest) (*carillonv1.Backfill, error) {
	id, err := idOf(job.KindBackfill, in.GetBackfillId())
	if err != nil {
		return nil, err
	}
	return backfillMessage(s.jobs.CancelBackfill(ctx, id))
}

func backfillMessage(b job.Backfill, err error) (*carillonv1.Backfill, error) {
	if err != nil {
		return nil, err
	}
	return &carillonv1.Backfill{
		Id: textOf(job.KindBackfill, b.ID), JobId: textOf(job.KindJob, b.JobID), InstanceId: textOf(job.KindInstance, b.InstanceID),
		From: stamp(b.From), To: stamp(b.To), Concurrency: int32(b.Concurrency),
		OverlapPolicy: carillonv1.Job_OverlapPolicy(carillonv1.Job_OverlapPolicy_value[string(b.Overlap)]),
		State:         carillonv1.Backfill_State(carillonv1.Backfill_State_value[string(b.State)]),
		Total:         int32(b.Total), Started: int32(b.Started), CreatedAt: stamp(b.CreatedAt), FinishedAt: stamp(b.FinishedAt),
	}, nil
}
