package rpc

import (
	"cmp"
	"context"
	"crypto/rand"
	"math"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ carillonv1.JobServiceServer = (*jobServer)(nil)

type jobServer struct {
	carillonv1.UnsafeJobServiceServer
	jobs       *jobs.Service
	executions *executions.Service
}

func (s *jobServer) CreateJob(ctx context.Context, in *carillonv1.CreateJobRequest) (*carillonv1.Job, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	request, err := requestOf(ctx, carillonv1.JobService_CreateJob_FullMethodName, job.KindInstance.Format(instance), in)
	if err != nil {
		return nil, err
	}
	j, err := s.jobs.Create(ctx, jobs.Create{
		InstanceID: instance, Fields: fieldsOf(in.GetJob(), nil), ValidateOnly: in.GetValidateOnly(), Request: request,
	})
	return s.answer(j, err)
}

func (s *jobServer) GetJob(ctx context.Context, in *carillonv1.GetJobRequest) (*carillonv1.Job, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	j, err := s.jobs.Get(ctx, id)
	return s.answer(j, err)
}

func (s *jobServer) ListJobs(ctx context.Context, in *carillonv1.ListJobsRequest) (*carillonv1.ListJobsResponse, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	q := query{carillonv1.JobService_ListJobs_FullMethodName, job.KindInstance.Format(instance)}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Job, *carillonv1.Job]{
		read:    func(page store.Page) ([]job.Job, error) { return s.jobs.List(ctx, instance, page) },
		id:      func(j job.Job) int64 { return j.ID },
		message: func(j job.Job) (*carillonv1.Job, error) { return jobMessage(j, s.jobs.Warnings(j)) },
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListJobsResponse{Jobs: page, NextPageToken: next}, nil
}

func (s *jobServer) UpdateJob(ctx context.Context, in *carillonv1.UpdateJobRequest) (*carillonv1.Job, error) {
	id, err := idOf(job.KindJob, in.GetJob().GetId())
	if err != nil {
		return nil, err
	}
	m, err := newMask(in.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	j, err := s.jobs.Update(ctx, jobs.Update{
		ID: id, ETag: in.GetJob().GetEtag(), Fields: fieldsOf(in.GetJob(), m), ValidateOnly: in.GetValidateOnly(),
	})
	return s.answer(j, err)
}

func (s *jobServer) DeleteJob(ctx context.Context, in *carillonv1.DeleteJobRequest) (*carillonv1.DeleteJobResponse, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	if err := s.jobs.Delete(ctx, id, in.GetEtag()); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteJobResponse{}, nil
}

func (s *jobServer) PauseJob(ctx context.Context, in *carillonv1.PauseJobRequest) (*carillonv1.Job, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	j, err := s.jobs.Pause(ctx, jobs.Pause{ID: id, ETag: in.GetEtag(), Reason: in.GetReason(), Until: given(in.GetUntil())})
	return s.answer(j, err)
}

func (s *jobServer) ResumeJob(ctx context.Context, in *carillonv1.ResumeJobRequest) (*carillonv1.Job, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	j, err := s.jobs.Resume(ctx, id, in.GetEtag())
	return s.answer(j, err)
}

func (s *jobServer) RunJob(ctx context.Context, in *carillonv1.RunJobRequest) (*carillonv1.Execution, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	if in.GetValidateOnly() {
		return s.validateRun(ctx, id)
	}
	request, err := requestOf(ctx, carillonv1.JobService_RunJob_FullMethodName, job.KindJob.Format(id), in)
	if err != nil {
		return nil, err
	}
	e, err := s.jobs.Run(ctx, jobs.Run{
		JobID: id, Overlap: overlapOf(in.GetOverlapPolicy()), TriggerID: cmp.Or(in.GetRequestId(), rand.Text()), Request: request,
	})
	if err != nil {
		return nil, err
	}
	return executionMessage(ctx, s.executions, e)
}

func (s *jobServer) PreviewSchedule(ctx context.Context, in *carillonv1.PreviewScheduleRequest) (*carillonv1.PreviewScheduleResponse, error) {
	p := jobs.Preview{Count: int(in.GetCount()), Lasts: in.GetAssumedDuration().AsDuration()}
	scheduleFields(&p.Fields, nil, in)
	overlapField(&p.Fields, nil, in.GetOverlapPolicy())
	if in.GetAfter() != nil {
		p.After = new(in.GetAfter().AsTime())
	}
	told, err := s.jobs.Preview(ctx, p)
	if err != nil {
		return nil, err
	}
	return &carillonv1.PreviewScheduleResponse{
		Times: mapAll(told.Times, timestamppb.New), Warnings: mapAll(told.Warnings, warningMessage), Occurrences: mapAll(told.Outcomes, previewMessage),
	}, nil
}

func (s *jobServer) ListOccurrences(ctx context.Context, in *carillonv1.ListOccurrencesRequest) (*carillonv1.ListOccurrencesResponse, error) {
	id, err := idOf(job.KindJob, in.GetJobId())
	if err != nil {
		return nil, err
	}
	w := jobs.Window{From: given(in.GetFrom()), To: given(in.GetTo())}
	q := query{carillonv1.JobService_ListOccurrences_FullMethodName, job.KindJob.Format(id), w.From.Format(time.RFC3339Nano), w.To.Format(time.RFC3339Nano)}
	if in.GetPageToken() != "" {
		if err := q.parse(in.GetPageToken(), &w); err != nil {
			return nil, err
		}
	}
	rows, more, err := s.jobs.Occurrences(ctx, id, w, pageSize(in.GetPageSize()))
	if err != nil {
		return nil, err
	}
	out := &carillonv1.ListOccurrencesResponse{Occurrences: mapAll(rows, occurrenceMessage)}
	if more != nil {
		out.NextPageToken, err = q.token(more)
	}
	return out, err
}

func (s *jobServer) answer(j job.Job, err error) (*carillonv1.Job, error) {
	if err != nil {
		return nil, err
	}
	return jobMessage(j, s.jobs.Warnings(j))
}

func jobMessage(j job.Job, warnings []schedule.Warning) (*carillonv1.Job, error) {
	workflow, err := document(j.Workflow)
	if err != nil {
		return nil, err
	}
	out := &carillonv1.Job{
		Id:            textOf(job.KindJob, j.ID),
		InstanceId:    textOf(job.KindInstance, j.InstanceID),
		Name:          j.Name,
		Description:   j.Description,
		ManagedBy:     j.ManagedBy,
		Active:        proto.Bool(j.Active),
		State:         jobState(j),
		Workflow:      workflow,
		FrequencyType: carillonv1.Job_FrequencyType(carillonv1.Job_FrequencyType_value[string(j.Schedule.Type)]),
		TimeZone:      &j.Schedule.TimeZone,
		Labels:        j.Labels,
		OverlapPolicy: carillonv1.Job_OverlapPolicy(carillonv1.Job_OverlapPolicy_value[string(j.Policies.Overlap)]),
		CatchUpPolicy: carillonv1.Job_CatchUpPolicy(carillonv1.Job_CatchUpPolicy_value[string(j.Policies.CatchUp)]),
		CatchUpWindow: durationpb.New(j.Policies.CatchUpWindow),
		RetryPolicy:   retryMessage(j.Policies.Retry),
		NextRun:       stamp(j.NextRun),
		LastRun:       stamp(j.LastRun),
		CreatedAt:     stamp(j.CreatedAt),
		UpdatedAt:     stamp(j.UpdatedAt),
		Warnings:      mapAll(warnings, warningMessage),
		Pause:         pauseMessage(j.Pause),
	}
	optionFields(out, j.Schedule)
	limitFields(out, j.Policies)
	switch j.Schedule.Type {
	case job.CronBased:
		out.CronExpression = wrapperspb.String(j.Schedule.Cron)
	case job.IntervalBased:
		out.IntervalMinutes = wrapperspb.Int32(int32(j.Schedule.IntervalMinutes))
	}
	if j.Version > 0 { // none before it is made
		out.Etag = j.ETag()
	}
	return out, nil
}

func jobState(j job.Job) carillonv1.Job_State {
	switch {
	case !j.Active || j.Pause != nil:
		return carillonv1.Job_PAUSED
	case j.NextRun.IsZero() && j.Schedule.Type != job.Manual:
		return carillonv1.Job_EXHAUSTED
	default:
		return carillonv1.Job_ACTIVE
	}
}

func retryMessage(p *job.RetryPolicy) *carillonv1.RetryPolicy {
	if p == nil {
		return nil
	}
	out := &carillonv1.RetryPolicy{
		RetryCount:   int32(p.Count),
		MinBackoff:   durationpb.New(p.MinBackoff),
		MaxBackoff:   durationpb.New(p.MaxBackoff),
		MaxDoublings: proto.Int32(int32(p.MaxDoublings)),
	}
	if p.MaxDuration > 0 {
		out.MaxRetryDuration = durationpb.New(p.MaxDuration)
	}
	return out
}

func warningMessage(w schedule.Warning) *carillonv1.Warning {
	return &carillonv1.Warning{Code: w.Code, Message: w.Message}
}

func previewMessage(p policy.Previewed) *carillonv1.PreviewedOccurrence {
	out := &carillonv1.PreviewedOccurrence{
		ScheduledFor: stamp(p.Slot), StartsAt: stamp(p.StartsAt), Outcome: carillonv1.Occurrence_STARTED, Reason: p.Reason,
	}
	if p.Reason != "" {
		out.Outcome = carillonv1.Occurrence_SKIPPED
	}
	return out
}

func occurrenceMessage(o jobs.Occurrence) *carillonv1.Occurrence {
	return &carillonv1.Occurrence{
		ScheduledFor: stamp(o.ScheduledFor),
		Outcome:      carillonv1.Occurrence_Outcome(carillonv1.Occurrence_Outcome_value[string(o.Outcome)]),
		Reason:       o.Reason,
		ExecutionId:  textOf(job.KindExecution, o.ExecutionID),
		Until:        stamp(o.Until),
		MovedTo:      stamp(o.MovedTo),
		Count:        int32(min(o.Count, math.MaxInt32)),
	}
}
