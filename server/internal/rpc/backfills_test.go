package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
)

// advance lets the ticker make the executions of backfills that have room.
func (b *bundle) advance() {
	b.t.Helper()
	if err := b.store.AdvanceBackfills(b.t.Context(), b.clock.Now(), policy.BackfillSlots); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) backfill(job string) *carillonv1.Backfill {
	b.t.Helper()
	return must(b.jobs.BackfillJob(b.operator, &carillonv1.BackfillJobRequest{JobId: job, From: day("04 08:00:00"), To: day("04 11:00:00")}))(b.t)
}

func TestBackfill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t)) // at 12:00:30.5
	ask := &carillonv1.BackfillJobRequest{JobId: j.GetId(), From: day("04 08:00:00"), To: day("04 11:00:00"), RequestId: "r"}
	want := &carillonv1.Backfill{
		JobId: j.GetId(), InstanceId: in, From: day("04 08:00:00"), To: day("04 11:00:00"), Concurrency: 1,
		OverlapPolicy: carillonv1.Job_BUFFER_ALL, State: carillonv1.Backfill_RUNNING, Total: 3, CreatedAt: day("04 12:00:30.5"),
	}
	same := func(what string, got *carillonv1.Backfill) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check := proto.CloneOf(ask)
	check.ValidateOnly = true
	same("what would be", must(b.jobs.BackfillJob(b.operator, check))(t))
	b.advance()
	if list := must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: j.GetId()}))(t).GetExecutions(); len(list) != 0 {
		t.Fatalf("checking has made %v", list)
	}
	made := must(b.jobs.BackfillJob(b.operator, ask))(t)
	want.Id = made.GetId()
	if !strings.HasPrefix(made.GetId(), "backfill_") {
		t.Errorf("id is %q", made.GetId())
	}
	same("made", made)
	same("repeated", must(b.jobs.BackfillJob(b.operator, ask))(t))
	spelled := proto.CloneOf(ask) // as a door does that knows the defaults, and more fields
	spelled.JobId, spelled.Concurrency, spelled.OverlapPolicy = strings.TrimPrefix(ask.GetJobId(), "job_"), 1, made.GetOverlapPolicy()
	spelled.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	same("repeated in other words", must(b.jobs.BackfillJob(b.operator, spelled))(t))
	get := &carillonv1.GetBackfillRequest{BackfillId: strings.TrimPrefix(made.GetId(), "backfill_")}
	same("read", must(b.jobs.GetBackfill(b.operator, get))(t))

	var slots []string
	for range 3 {
		b.advance()
		b.advance() // one at a time
		e := must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: j.GetId(), PageSize: 1}))(t).GetExecutions()[0]
		if e.GetTrigger() != carillonv1.Execution_BACKFILL || e.GetTriggerId() != made.GetId() {
			t.Errorf("trigger is %s %s", e.GetTrigger(), e.GetTriggerId())
		}
		slots = append(slots, e.GetScheduledFor().AsTime().Format("15:04"))
		b.finish(b.claim(), job.StateSucceeded, nil, nil)
	}
	if diff := cmp.Diff([]string{"08:00", "09:00", "10:00"}, slots); diff != "" {
		t.Errorf("slots (-want +got):\n%s", diff)
	}
	b.clock.set(day("04 12:05:00").AsTime())
	b.advance()
	want.State, want.Started, want.FinishedAt = carillonv1.Backfill_FINISHED, 3, day("04 12:05:00")
	same("finished", must(b.jobs.GetBackfill(b.operator, get))(t))
	_, err := b.jobs.CancelBackfill(b.operator, &carillonv1.CancelBackfillRequest{BackfillId: made.GetId()})
	wantCode(t, err, codes.FailedPrecondition, "ALREADY_ENDED")
	ask.From = day("04 07:00:00")
	_, err = b.jobs.BackfillJob(b.operator, ask)
	wantCode(t, err, codes.InvalidArgument, "REQUEST_ID_REUSED")
}

func TestCancelBackfill(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t))
	made := must(b.jobs.BackfillJob(b.operator, &carillonv1.BackfillJobRequest{
		JobId: j.GetId(), From: day("03 00:00:00"), To: day("04 00:00:00"), Concurrency: 2, OverlapPolicy: carillonv1.Job_ALLOW,
	}))(t)
	b.advance()
	number := strings.TrimPrefix(in, "inst_")
	cancel := &carillonv1.CancelBackfillRequest{BackfillId: made.GetId()}
	_, err := b.jobs.CancelBackfill(b.as("instance-read-"+number), cancel)
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = b.jobs.CancelBackfill(b.as("instance-write-9"+number), cancel)
	wantCode(t, err, codes.NotFound, "")
	must(b.jobs.GetBackfill(b.as("instance-read-"+number), &carillonv1.GetBackfillRequest{BackfillId: made.GetId()}))(t)
	ended := must(b.jobs.CancelBackfill(b.as("instance-write-"+number), cancel))(t)
	if ended.GetState() != carillonv1.Backfill_CANCELLED || ended.GetStarted() != 2 || ended.GetFinishedAt() == nil {
		t.Errorf("cancelled as %v", ended)
	}
	for _, e := range must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: j.GetId()}))(t).GetExecutions() {
		if e.GetState() != carillonv1.Execution_CANCELLED || e.GetError().GetReason() != "BACKFILL_CANCELLED" {
			t.Errorf("execution is %v", e)
		}
	}
	b.clock.set(b.clock.Now().Add(time.Minute))
	if again := must(b.jobs.CancelBackfill(b.operator, cancel))(t); !proto.Equal(ended, again) {
		t.Errorf("again: %v, first %v", again, ended)
	}
	// It stays readable when its job is gone.
	must(b.jobs.DeleteJob(b.operator, &carillonv1.DeleteJobRequest{JobId: j.GetId()}))(t)
	if got := must(b.jobs.GetBackfill(b.operator, &carillonv1.GetBackfillRequest{BackfillId: made.GetId()}))(t); !proto.Equal(ended, got) {
		t.Errorf("without its job: %v, first %v", got, ended)
	}
}

func TestBackfillRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t))
	ask := func(id, from, to string) *carillonv1.BackfillJobRequest {
		return &carillonv1.BackfillJobRequest{JobId: id, From: day(from), To: day(to)}
	}
	every := hourly(t)
	schedule(carillonv1.Job_INTERVAL_BASED, "", 1)(every)
	minutely := b.create(in, every)
	byHand := hourly(t)
	schedule(carillonv1.Job_MANUAL, "", none)(byHand)
	manual := b.create(in, byHand)
	outside := ask(j.GetId(), "04 10:00:00", "04 11:00:00")
	outside.From.Seconds = -1
	policy := ask(j.GetId(), "04 10:00:00", "04 11:00:00")
	policy.OverlapPolicy, policy.Concurrency = carillonv1.Job_SKIP, 101
	long := ask(j.GetId(), "04 10:00:00", "04 11:00:00")
	long.From.Seconds -= 10_000 * 3600
	for name, test := range map[string]struct {
		ask  *carillonv1.BackfillJobRequest
		want []string
	}{
		"nothing":             {&carillonv1.BackfillJobRequest{JobId: j.GetId()}, []string{"from REQUIRED", "to REQUIRED"}},
		"backwards":           {ask(j.GetId(), "04 10:00:00", "04 10:00:00"), []string{"to OUT_OF_RANGE"}},
		"in the future":       {ask(j.GetId(), "04 10:00:00", "04 12:00:31"), []string{"to OUT_OF_RANGE"}},
		"before 1970":         {outside, []string{"from OUT_OF_RANGE"}},
		"between slots":       {ask(j.GetId(), "04 10:00:01", "04 11:00:00"), []string{"from NO_OCCURRENCES"}},
		"before the interval": {ask(minutely.GetId(), "04 10:00:00", "04 12:00:00"), []string{"from NO_OCCURRENCES"}},
		"too many":            {long, []string{"to OUT_OF_RANGE"}},
		"policies":            {policy, []string{"concurrency INT32_GTE_LTE", "overlapPolicy ENUM_IN"}},
	} {
		_, err := b.jobs.BackfillJob(b.operator, test.ask)
		if diff := cmp.Diff(test.want, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s\n%v", name, diff, err)
		}
	}
	long.From.Seconds += 3600
	if most := must(b.jobs.BackfillJob(b.operator, long))(t); most.GetTotal() != 10_000 {
		t.Errorf("the largest has %d", most.GetTotal())
	}
	_, err := b.jobs.BackfillJob(b.operator, ask(manual.GetId(), "04 10:00:00", "04 11:00:00"))
	wantCode(t, err, codes.FailedPrecondition, "NO_SCHEDULE")
	_, err = b.jobs.BackfillJob(b.as("instance-read-"+strings.TrimPrefix(in, "inst_")), ask(j.GetId(), "04 11:00:00", "04 10:00:00"))
	wantCode(t, err, codes.PermissionDenied, "")
	for _, id := range []string{"backfill_999", "job_1", "0", ""} {
		_, err := b.jobs.GetBackfill(b.operator, &carillonv1.GetBackfillRequest{BackfillId: id})
		if id == "" {
			wantCode(t, err, codes.InvalidArgument, "")
			continue
		}
		wantCode(t, err, codes.NotFound, "")
	}
}
