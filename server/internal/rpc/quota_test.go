package rpc_test

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func (b *bundle) setQuota(instance string, limits *carillonv1.QuotaLimits) *carillonv1.Quota {
	b.t.Helper()
	return must(b.instances.SetQuota(b.operator, &carillonv1.SetQuotaRequest{InstanceId: instance, Limits: limits}))(b.t)
}

// wantQuota is a refusal by the quota of an instance.
func wantQuota(t *testing.T, err error, instance string, retry bool) {
	t.Helper()
	wantCode(t, err, codes.ResourceExhausted, "QUOTA")
	told, wait := "", false
	for _, d := range status.Convert(err).Details() {
		switch d := d.(type) {
		case *errdetails.QuotaFailure:
			told = d.GetViolations()[0].GetSubject()
		case *errdetails.RetryInfo:
			wait = d.GetRetryDelay().AsDuration() > 0
		}
	}
	if told != "instance:"+instance || wait != retry {
		t.Errorf("the quota failure is about %q and says to retry: %v", told, wait)
	}
}

func TestQuotaOfJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	b.create(in, hourly(t))
	b.setQuota(in, &carillonv1.QuotaLimits{Jobs: new(int32(2))})
	b.create(in, hourly(t))
	_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in, Job: hourly(t)})
	wantQuota(t, err, in, false)
	got := must(b.instances.GetQuota(b.as("instance-read-"+in[5:]), &carillonv1.GetQuotaRequest{InstanceId: in}))(t)
	if got.GetJobs() != 2 || got.GetLimits().GetJobs() != 2 || got.GetOwnLimits().Jobs == nil || got.GetOwnLimits().ExecutionsPerHour != nil || got.GetLimits().ExecutionsPerHour == nil {
		t.Errorf("quota %v", got)
	}
	b.setQuota(in, nil)
	b.create(in, hourly(t))
}

func TestQuotaOfExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t)).GetId()
	b.setQuota(in, &carillonv1.QuotaLimits{ExecutionsPerHour: new(int32(1))})
	b.run(j)
	_, err := b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j, OverlapPolicy: carillonv1.Job_ALLOW})
	wantQuota(t, err, in, true)
	b.clock.set(b.clock.Now().Add(time.Hour))
	_ = must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j, OverlapPolicy: carillonv1.Job_ALLOW}))(t)
}

func TestQuotaOfSchedules(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	old := b.create(in, &carillonv1.Job{Workflow: document(t, noop), FrequencyType: carillonv1.Job_INTERVAL_BASED, IntervalMinutes: wrapperspb.Int32(1)})
	b.setQuota(in, &carillonv1.QuotaLimits{MinIntervalMinutes: new(int32(15))})
	for cron, fits := range map[string]bool{
		"* * * * *": false, "*/15 * * * *": true, "0,14 * * * *": false, "50 23,0 * * *": true, "0,46 0,23 * * *": false,
		"0 0 1 1 *": true, "0,59 0,23 31 12 *": true, "0,59 0,23 * * *": false, "5 * * * 1": true, "0 0 29 2 *": true,
	} {
		j := hourly(t)
		j.CronExpression = wrapperspb.String(cron)
		_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in, Job: j, ValidateOnly: true})
		if fits {
			if err != nil {
				t.Errorf("%s: %v", cron, err)
			}
			continue
		}
		wantQuota(t, err, in, false)
	}
	// What was there before stays, until it is changed to another that is too often.
	if _, err := b.update(&carillonv1.Job{Id: old.GetId(), Name: "new"}, "name"); err != nil {
		t.Error(err)
	}
	_, err := b.update(&carillonv1.Job{Id: old.GetId(), IntervalMinutes: wrapperspb.Int32(14)}, "interval_minutes")
	wantQuota(t, err, in, false)
	if _, err := b.update(&carillonv1.Job{Id: old.GetId(), IntervalMinutes: wrapperspb.Int32(15)}, "interval_minutes"); err != nil {
		t.Error(err)
	}
}

func TestQuotaIsTheOperators(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	ask := &carillonv1.SetQuotaRequest{InstanceId: in, Limits: &carillonv1.QuotaLimits{Jobs: new(int32(1))}}
	_, err := b.instances.SetQuota(b.as("instance-write-"+in[5:]), ask)
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = b.instances.SetQuota(b.operator, &carillonv1.SetQuotaRequest{InstanceId: "inst_999", Limits: ask.GetLimits()})
	wantCode(t, err, codes.NotFound, "")
	_, err = b.instances.SetQuota(b.operator, &carillonv1.SetQuotaRequest{InstanceId: in, Limits: &carillonv1.QuotaLimits{Jobs: new(int32(-1))}})
	wantCode(t, err, codes.InvalidArgument, "")
	if got := violations(err); len(got) != 1 || got[0] != "jobs INT32_GTE" {
		t.Errorf("violations %v", got)
	}
}
