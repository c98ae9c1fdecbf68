package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func TestDeleteJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	run := must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()}))(t)
	_, err := b.jobs.DeleteJob(b.operator, &carillonv1.DeleteJobRequest{JobId: j.GetId(), Etag: `"7"`})
	wantCode(t, err, codes.Aborted, "ETAG_MISMATCH")
	must(b.jobs.DeleteJob(b.operator, &carillonv1.DeleteJobRequest{JobId: j.GetId(), Etag: j.GetEtag()}))(t)
	for name, call := range map[string]func() error{
		"get": func() error {
			_, err := b.jobs.GetJob(b.operator, &carillonv1.GetJobRequest{JobId: j.GetId()})
			return err
		},
		"delete": func() error {
			_, err := b.jobs.DeleteJob(b.operator, &carillonv1.DeleteJobRequest{JobId: j.GetId()})
			return err
		},
		"run": func() error {
			_, err := b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()})
			return err
		},
		"history": func() error {
			_, err := b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: j.GetId()})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, call(), codes.NotFound, "JOB_NOT_FOUND") })
	}
	e := must(b.executions.GetExecution(b.operator, &carillonv1.GetExecutionRequest{ExecutionId: run.GetId()}))(t)
	if e.GetState() != carillonv1.Execution_CANCELLED || e.GetSuccess().GetValue() || e.GetSuccess() == nil {
		t.Errorf("the waiting execution is %v", e)
	}
}

func TestRunJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paused := hourly(t)
	paused.Active = proto.Bool(false)
	j := b.create(b.instance().GetId(), paused)
	first := must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()}))(t)
	if first.GetTrigger() != carillonv1.Execution_MANUAL || first.GetState() != carillonv1.Execution_QUEUED || first.GetSuccess() != nil ||
		!proto.Equal(first.GetScheduledFor(), day("04 12:00:30.5")) || first.GetJobId() != j.GetId() {
		t.Errorf("execution is %v", first)
	}
	b.clock.set(b.clock.Now().Add(time.Second))
	_, err := b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()})
	wantCode(t, err, codes.FailedPrecondition, "OVERLAP")
	if !strings.Contains(err.Error(), first.GetId()) {
		t.Errorf("%v does not name %s", err, first.GetId())
	}
	second := must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId(), OverlapPolicy: carillonv1.Job_ALLOW}))(t)
	if second.GetId() == first.GetId() {
		t.Error("the second run is the first one")
	}
}

func TestPreviewSchedule(t *testing.T) {
	t.Parallel()
	b := setup(t)
	caller := b.as("resource-read-1")
	ask := func(kind carillonv1.Job_FrequencyType, cron string, minutes int32) *carillonv1.PreviewScheduleRequest {
		j := &carillonv1.Job{}
		schedule(kind, cron, minutes)(j)
		return &carillonv1.PreviewScheduleRequest{FrequencyType: kind, CronExpression: j.CronExpression, IntervalMinutes: j.IntervalMinutes, Count: 3}
	}
	with := func(in *carillonv1.PreviewScheduleRequest, do func(*carillonv1.PreviewScheduleRequest)) *carillonv1.PreviewScheduleRequest {
		do(in)
		return in
	}
	for name, test := range map[string]struct {
		in   *carillonv1.PreviewScheduleRequest
		want []*timestamppb.Timestamp
	}{
		"cron": {ask(carillonv1.Job_CRON_BASED, "0 * * * *", none), []*timestamppb.Timestamp{day("04 13:00:00"), day("04 14:00:00"), day("04 15:00:00")}},
		"zone": {with(ask(carillonv1.Job_CRON_BASED, "0 7 * * *", none), func(in *carillonv1.PreviewScheduleRequest) {
			in.TimeZone, in.Count = proto.String("Asia/Kolkata"), 1
		}), []*timestamppb.Timestamp{day("05 01:30:00")}},
		"interval": {with(ask(carillonv1.Job_INTERVAL_BASED, "", 90), func(in *carillonv1.PreviewScheduleRequest) { in.After = day("04 00:00:00.9") }),
			[]*timestamppb.Timestamp{day("04 01:30:00"), day("04 03:00:00"), day("04 04:30:00")}},
		"after is exclusive": {with(ask(carillonv1.Job_CRON_BASED, "0 * * * *", none), func(in *carillonv1.PreviewScheduleRequest) {
			in.After, in.Count = day("04 13:00:00"), 1
		}), []*timestamppb.Timestamp{day("04 14:00:00")}},
		"by hand": {ask(carillonv1.Job_MANUAL, "", none), nil},
	} {
		got := must(b.jobs.PreviewSchedule(caller, test.in))(t)
		if diff := cmp.Diff(test.want, got.GetTimes(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: times (-want +got):\n%s", name, diff)
		}
	}
	unasked := ask(carillonv1.Job_CRON_BASED, "30 2 * * *", none)
	unasked.Count, unasked.TimeZone = 0, proto.String("America/New_York")
	got := must(b.jobs.PreviewSchedule(caller, unasked))(t)
	if len(got.GetTimes()) != 10 || len(got.GetWarnings()) == 0 || got.GetWarnings()[0].GetCode() == "" {
		t.Errorf("answer is %v", got)
	}
	long := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		in   *carillonv1.PreviewScheduleRequest
		want []string
	}{
		"both":       {ask(carillonv1.Job_CRON_BASED, "* * * * *", 5), []string{"intervalMinutes NOT_FOR_FREQUENCY_TYPE"}},
		"nothing":    {ask(carillonv1.Job_FREQUENCY_TYPE_UNSPECIFIED, "", none), []string{"frequencyType REQUIRED"}},
		"too many":   {with(ask(carillonv1.Job_MANUAL, "", none), func(in *carillonv1.PreviewScheduleRequest) { in.Count = 101 }), []string{"count INT32_GTE_LTE"}},
		"before all": {with(ask(carillonv1.Job_INTERVAL_BASED, "", 5), func(in *carillonv1.PreviewScheduleRequest) { in.After = timestamppb.New(long) }), []string{"after OUT_OF_RANGE"}},
	} {
		_, err := b.jobs.PreviewSchedule(caller, test.in)
		if diff := cmp.Diff(test.want, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", name, diff)
		}
	}
	_, err := b.jobs.PreviewSchedule(t.Context(), unasked)
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
}
