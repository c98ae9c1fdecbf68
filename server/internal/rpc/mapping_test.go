package rpc

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
)

// Enums and domain values have the same names, all of them, both ways.
func TestEnums(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		enum protoreflect.Enum
		want []string
	}{
		"frequency type": {carillonv1.Job_FrequencyType(0), texts(job.CronBased, job.IntervalBased, job.Manual)},
		"overlap policy": {carillonv1.Job_OverlapPolicy(0), texts(job.OverlapSkip, job.OverlapBufferOne, job.OverlapBufferAll, job.OverlapCancelOther, job.OverlapAllow)},
		"gap":            {carillonv1.DaylightSaving_GapPolicy(0), texts(job.GapShiftForward, job.GapSkip)},
		"clock overlap":  {carillonv1.DaylightSaving_OverlapPolicy(0), texts(job.OverlapFirst, job.OverlapBoth)},
		"catch-up":       {carillonv1.Job_CatchUpPolicy(0), texts(job.CatchUpLatest, job.CatchUpAll, job.CatchUpNone)},
		"trigger":        {carillonv1.Execution_Trigger(0), texts(job.TriggerSchedule, job.TriggerManual, job.TriggerBackfill)},
		"state": {carillonv1.Execution_State(0), texts(job.StateQueued, job.StateRunning, job.StateAwaitingApproval, job.StateCancelling,
			job.StateSucceeded, job.StatePartiallySucceeded, job.StateFailed, job.StateCancelled, job.StateWorkerLost)},
		"task state": {carillonv1.Execution_Task_State(0), texts(job.TaskPending, job.TaskRunning, job.TaskSucceeded, job.TaskFailed, job.TaskSkipped, job.TaskCancelled,
			job.TaskPartiallySucceeded, job.TaskAwaitingApproval)},
		"approval":    {carillonv1.Approval_State(0), texts(job.ApprovalPending, job.ApprovalApproved, job.ApprovalRejected, job.ApprovalExpired, job.ApprovalCancelled)},
		"file action": {carillonv1.ExecutionFile_Action(0), texts(job.FileCopy, job.FileUpdate, job.FileDelete, job.FileConflict)},
		"file state":  {carillonv1.ExecutionFile_State(0), texts(job.FileDone, job.FileFailed, job.FileSkipped, job.FilePlanned, job.FileUnknown)},
		"notice event": {carillonv1.Webhook_Event(0), texts(job.EventFirstFailure, job.EventNthFailure, job.EventRecovered, job.EventPausedBySystem,
			job.EventApprovalNeeded, job.EventReauthRequired, job.EventNotFresh, job.EventFresh, job.EventPing)},
		"delivery": {carillonv1.Delivery_State(0), texts(job.DeliveryPending, job.DeliveryDelivered, job.DeliveryFailed)},
		"outcome":  {carillonv1.Occurrence_Outcome(0), texts(jobs.Pending, jobs.Started, jobs.Skipped)},
	} {
		values := test.enum.Descriptor().Values()
		if values.Len() != len(test.want)+1 {
			t.Errorf("%s: the enum has %d values besides UNSPECIFIED, the domain %d", name, values.Len()-1, len(test.want))
		}
		for _, text := range test.want {
			if v := values.ByName(protoreflect.Name(text)); v == nil || v.Number() == 0 {
				t.Errorf("%s: the enum lacks %s", name, text)
			}
		}
	}
}

// Every field of a webhook is either writable, checked or answered only.
func TestEveryFieldOfAWebhookIsMapped(t *testing.T) {
	t.Parallel()
	fields := (&carillonv1.Webhook{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		behaviour, _ := proto.GetExtension(fields.Get(i).Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		name := string(fields.Get(i).Name())
		given := !slices.Contains(behaviour, annotations.FieldBehavior_OUTPUT_ONLY) && !slices.Contains(checked, name)
		if given != slices.Contains(webhookWritable, name) {
			t.Errorf("the field %s is given by callers: %v", name, given)
		}
	}
}

func texts[T ~string](values ...T) (list []string) {
	for _, v := range values {
		list = append(list, string(v))
	}
	return list
}

// Every field of a job is either writable, checked or answered only: a new one
// must be thought of here and in fieldsOf.
func TestEveryFieldOfAJobIsMapped(t *testing.T) {
	t.Parallel()
	want := []string{"name", "description", "active", "workflow", "frequency_type", "cron_expression", "interval_minutes", "time_zone",
		"labels", "overlap_policy", "catch_up_policy", "catch_up_window", "retry_policy", "dst_gap_policy", "dst_overlap_policy",
		"start_time", "end_time", "jitter", "excluded_dates", "max_executions", "execution_time_limit", "pause_after_failures", "priority", "managed_by"}
	got := writable()
	if len(got) != len(want) {
		t.Fatalf("writable fields are %q, want %q", got, want)
	}
	for i, name := range want {
		if got[i] != name {
			t.Errorf("writable field %d is %s, want %s", i, got[i], name)
		}
	}
}

// No caller gets more rows at once than the service holds in memory.
func TestPageSize(t *testing.T) {
	t.Parallel()
	for asked, want := range map[int32]int{0: 100, -1: 100, 1: 1, 1000: 1000, 1001: 1000, 1 << 30: 1000} {
		if got := pageSize(asked); got != want {
			t.Errorf("asked for %d: %d rows, want %d", asked, got, want)
		}
	}
}

// No text makes a page token panic, or pass for another list's.
func FuzzPageToken(f *testing.F) {
	q := query{"method", "inst_1"}
	valid, err := q.token(position{Before: 7})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", valid, valid + "A", valid[:8], "AAAAAAAAAAAAAAAAe30", "!"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		var at position
		if err := q.parse(token, &at); err == nil {
			if again, _ := q.token(at); again != token {
				t.Errorf("%q was accepted as %v, whose token is %q", token, at, again)
			}
		}
		if err := (query{"method", "inst_2"}).parse(token, &at); err == nil && token == valid {
			t.Errorf("%q is accepted for another list", token)
		}
	})
}

// No mask names what only the service sets.
func FuzzMask(f *testing.F) {
	for _, seed := range []string{"", "*", "name", "workflow.tasks", "next_run", "retry_policy.max_attempts", "retry_policy.", "id,etag", ".", "name\x00", "labels.a,labels.a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		m, err := newMask(&fieldmaskpb.FieldMask{Paths: strings.Split(text, ",")})
		if err != nil {
			var invalid *job.InvalidError
			if !errors.As(err, &invalid) || len(err.Error()) > 1000+100*len(text) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		for path := range m {
			if name, _, _ := strings.Cut(path, "."); !slices.Contains(writable(), name) {
				t.Errorf("%q lets %s be written", text, path)
			}
		}
	})
}
