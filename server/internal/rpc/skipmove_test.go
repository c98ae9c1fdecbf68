package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// moved is a row that comes at another time.
func moved(slot, to string) *carillonv1.Occurrence {
	o := row(slot, pending)
	o.MovedTo = day(to)
	return o
}

// edits are the three calls about one job.
type edits struct {
	*bundle
	job string
}

func (e edits) skip(slot string) (*carillonv1.Occurrence, error) {
	return e.jobs.SkipOccurrence(e.operator, &carillonv1.SkipOccurrenceRequest{JobId: e.job, ScheduledFor: day(slot)})
}

func (e edits) move(slot, to string) (*carillonv1.Occurrence, error) {
	return e.jobs.MoveOccurrence(e.operator, &carillonv1.MoveOccurrenceRequest{JobId: e.job, ScheduledFor: day(slot), MoveTo: day(to)})
}

func (e edits) restore(slot string) (*carillonv1.Occurrence, error) {
	return e.jobs.RestoreOccurrence(e.operator, &carillonv1.RestoreOccurrenceRequest{JobId: e.job, ScheduledFor: day(slot)})
}

func (e edits) want(what string, to string, rows ...*carillonv1.Occurrence) {
	e.t.Helper()
	wantRows(e.t, what, e.occurrences(e.job, nil, day(to)), rows...)
}

// next checks when the job runs next.
func (e edits) next(want string) {
	e.t.Helper()
	if got := e.get(e.job).GetNextRun(); !cmp.Equal(got, day(want), protocmp.Transform()) {
		e.t.Errorf("next run is %v, want %s", got.AsTime(), want)
	}
}

// editing is a job every hour at 12:00:30.5, whose executions end at once.
func editing(t *testing.T) edits {
	b := setup(t)
	return edits{b, b.create(b.instance().GetId(), hourly(t)).GetId()}
}

// tickTo lets the ticker look every half hour; what starts ends at once.
func (e edits) tickTo(at string) {
	e.t.Helper()
	for end := day(at).AsTime(); e.clock.Now().Before(end); {
		next := e.clock.Now().Truncate(30 * time.Minute).Add(30 * time.Minute)
		if next.After(end) {
			next = end
		}
		e.clock.set(next)
		e.tick()
		for e.finishOne() {
			continue
		}
	}
}

func (e edits) finishOne() bool {
	found := must(e.executions.ListExecutions(e.operator, &carillonv1.ListExecutionsRequest{JobId: e.job, PageSize: 1}))(e.t).GetExecutions()
	if len(found) == 0 || found[0].GetState() != carillonv1.Execution_QUEUED {
		return false
	}
	e.finish(e.claim(), job.StateSucceeded, nil, nil)
	return true
}

func TestSkipMoveAndRestore(t *testing.T) {
	t.Parallel()
	e := editing(t)
	same := func(what string, got, want *carillonv1.Occurrence) {
		t.Helper()
		wantRows(t, what, []*carillonv1.Occurrence{got}, want)
	}
	left := func(slot string) *carillonv1.Occurrence { return row(slot, skipped, "SKIPPED_BY_CALLER") }
	etag := e.get(e.job).GetEtag()
	same("skip", must(e.skip("04 13:00:00"))(t), left("04 13:00:00"))
	same("skip again", must(e.skip("04 13:00:00"))(t), left("04 13:00:00"))
	e.next("04 14:00:00") // the ticker comes by at 13:00 only to tell it
	same("later", must(e.move("04 14:00:00", "04 17:30:00"))(t), moved("04 14:00:00", "04 17:30:00"))
	same("earlier", must(e.move("04 16:00:00", "04 12:30:00"))(t), moved("04 16:00:00", "04 12:30:00"))
	e.next("04 12:30:00")
	same("skip and restore", must(e.skip("04 18:00:00"))(t), left("04 18:00:00"))
	same("skip and restore", must(e.restore("04 18:00:00"))(t), row("04 18:00:00", pending))
	same("move and skip", must(e.move("04 19:00:00", "04 19:10:00"))(t), moved("04 19:00:00", "04 19:10:00"))
	same("move and skip", must(e.skip("04 19:00:00"))(t), left("04 19:00:00"))
	same("to its own time", must(e.move("04 20:00:00", "04 20:00:00"))(t), row("04 20:00:00", pending))
	same("restore what is unchanged", must(e.restore("04 21:00:00"))(t), row("04 21:00:00", pending))
	if e.get(e.job).GetEtag() != etag {
		t.Error("a changed occurrence changed the definition")
	}
	e.want("plan", "04 20:30:00", left("04 13:00:00"), moved("04 14:00:00", "04 17:30:00"), row("04 15:00:00", pending),
		moved("04 16:00:00", "04 12:30:00"), row("04 17:00:00", pending), row("04 18:00:00", pending), left("04 19:00:00"), row("04 20:00:00", pending))

	e.tickTo("04 16:45:00")
	told := []*carillonv1.Occurrence{left("04 13:00:00"), moved("04 14:00:00", "04 17:30:00"), row("04 15:00:00", started), row("04 16:00:00", started)}
	e.want("in the middle", "04 17:30:00", append(told, row("04 17:00:00", pending))...)
	e.next("04 17:00:00")
	e.tickTo("04 20:30:00")
	told[1] = row("04 14:00:00", started)
	e.want("at the end", "04 20:30:00", append(told, row("04 17:00:00", started), row("04 18:00:00", started), left("04 19:00:00"), row("04 20:00:00", started))...)
	e.next("04 21:00:00")
}

func TestAnOccurrenceThatWasMovedOverNow(t *testing.T) {
	t.Parallel()
	e := editing(t)
	must(e.move("04 13:00:00", "04 17:30:00"))(t)
	must(e.move("04 14:00:00", "04 17:40:00"))(t)
	e.goTo("04 14:30:00")
	_, err := e.restore("04 13:00:00")
	wantCode(t, err, codes.FailedPrecondition, "SLOT_PASSED")
	must(e.move("04 13:00:00", "04 14:50:00"))(t)
	e.next("04 14:50:00")
	wantRows(t, "skip", []*carillonv1.Occurrence{must(e.skip("04 14:00:00"))(t)}, row("04 14:00:00", skipped, "SKIPPED_BY_CALLER"))
	e.want("told at once", "04 15:30:00", moved("04 13:00:00", "04 14:50:00"), row("04 14:00:00", skipped, "SKIPPED_BY_CALLER"), row("04 15:00:00", pending))
	e.goTo("04 14:50:00")
	e.want("started", "04 15:30:00", row("04 13:00:00", started), row("04 14:00:00", skipped, "SKIPPED_BY_CALLER"), row("04 15:00:00", pending))
	for _, slot := range []string{"04 13:00:00", "04 14:00:00"} {
		_, err := e.skip(slot)
		wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE")
	}
	// One that was moved earlier and has started can't be changed any more.
	must(e.move("04 18:00:00", "04 15:30:00"))(t)
	e.goTo("04 15:30:00")
	for _, change := range []func() (*carillonv1.Occurrence, error){
		func() (*carillonv1.Occurrence, error) { return e.skip("04 18:00:00") },
		func() (*carillonv1.Occurrence, error) { return e.move("04 18:00:00", "04 19:00:00") },
		func() (*carillonv1.Occurrence, error) { return e.restore("04 18:00:00") },
	} {
		_, err := change()
		wantCode(t, err, codes.FailedPrecondition, "ALREADY_STARTED")
	}
}

func TestSkipMoveRefusals(t *testing.T) {
	t.Parallel()
	e := editing(t)
	byHand := hourly(t)
	schedule(carillonv1.Job_MANUAL, "", none)(byHand)
	manual := e.create(e.get(e.job).GetInstanceId(), byHand).GetId()
	for name, test := range map[string]struct {
		slot *timestamppb.Timestamp
		next string
	}{
		"between":       {day("04 13:00:01"), "2026-05-04T14:00:00Z"},
		"a bit later":   {day("04 13:00:00.000001"), "2026-05-04T14:00:00Z"},
		"past":          {day("04 12:00:00"), "2026-05-04T13:00:00Z"},
		"before 1970":   {&timestamppb.Timestamp{Seconds: -62135596800}, "2026-05-04T13:00:00Z"},
		"far away":      {timestamppb.New(time.Date(2300, 1, 1, 0, 0, 0, 0, time.UTC)), "2026-05-04T13:00:00Z"},
		"the last year": {timestamppb.New(time.Date(2199, 12, 31, 22, 30, 0, 0, time.UTC)), "2199-12-31T23:00:00Z"},
	} {
		_, err := e.jobs.SkipOccurrence(e.operator, &carillonv1.SkipOccurrenceRequest{JobId: e.job, ScheduledFor: test.slot})
		if diff := cmp.Diff([]string{"scheduledFor NOT_AN_OCCURRENCE"}, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", name, diff)
		}
		if !strings.Contains(status.Convert(err).Message(), "the next one is "+test.next) {
			t.Errorf("%s: %v does not name %s", name, err, test.next)
		}
	}
	for _, to := range []string{"04 12:00:30.5", "04 12:00:00"} {
		_, err := e.move("04 13:00:00", to)
		if diff := cmp.Diff([]string{"moveTo OUT_OF_RANGE"}, violations(err)); diff != "" {
			t.Errorf("to %s: violations (-want +got):\n%s", to, diff)
		}
	}
	_, err := e.jobs.MoveOccurrence(e.operator, &carillonv1.MoveOccurrenceRequest{JobId: e.job})
	if diff := cmp.Diff([]string{"moveTo REQUIRED", "scheduledFor REQUIRED"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	_, err = e.jobs.SkipOccurrence(e.operator, &carillonv1.SkipOccurrenceRequest{JobId: manual, ScheduledFor: day("04 13:00:00")})
	wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE")
	number := strings.TrimPrefix(e.get(e.job).GetInstanceId(), "inst_")
	_, err = e.jobs.SkipOccurrence(e.as("instance-read-"+number), &carillonv1.SkipOccurrenceRequest{JobId: e.job, ScheduledFor: day("04 13:00:01")})
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = e.jobs.RestoreOccurrence(e.as("instance-read-9"+number), &carillonv1.RestoreOccurrenceRequest{JobId: e.job, ScheduledFor: day("04 13:00:00")})
	wantCode(t, err, codes.NotFound, "")

	// A paused job has nothing to come, unless it is known when it resumes.
	must(e.jobs.PauseJob(e.operator, &carillonv1.PauseJobRequest{JobId: e.job}))(t)
	_, err = e.skip("04 13:00:00")
	wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE")
	must(e.jobs.PauseJob(e.operator, &carillonv1.PauseJobRequest{JobId: e.job, Until: day("04 15:30:00")}))(t)
	_, err = e.skip("04 15:00:00")
	if !strings.Contains(status.Convert(err).Message(), "the next one is 2026-05-04T16:00:00Z") {
		t.Errorf("error is %v", err)
	}
	must(e.skip("04 17:00:00"))(t)
	e.goTo("04 15:30:00")
	e.want("resumed", "04 18:30:00", row("04 13:00:00", skipped, "PAUSED", day("04 15:00:00"), 3), row("04 16:00:00", pending),
		row("04 17:00:00", skipped, "SKIPPED_BY_CALLER"), row("04 18:00:00", pending))
}

// What a pause and a new schedule do to changed occurrences.
func TestChangedOccurrencesAndChangesOfTheJob(t *testing.T) {
	t.Parallel()
	e := editing(t)
	must(e.skip("04 14:00:00"))(t)                // in the pause
	must(e.move("04 15:00:00", "04 18:10:00"))(t) // out of it
	must(e.move("04 20:00:00", "04 15:10:00"))(t) // into it
	must(e.move("04 13:00:00", "04 21:20:00"))(t) // over it
	must(e.skip("04 19:00:00"))(t)                // after it
	e.goTo("04 13:10:00")
	must(e.jobs.PauseJob(e.operator, &carillonv1.PauseJobRequest{JobId: e.job}))(t)
	e.goTo("04 17:10:00")
	must(e.jobs.ResumeJob(e.operator, &carillonv1.ResumeJobRequest{JobId: e.job}))(t)
	e.next("04 18:00:00")
	first, rest := row("04 14:00:00", skipped, "PAUSED"), row("04 16:00:00", skipped, "PAUSED", day("04 17:00:00"), 2)
	into := row("04 20:00:00", skipped, "PAUSED")
	e.want("resumed", "04 20:30:00", moved("04 13:00:00", "04 21:20:00"), first, moved("04 15:00:00", "04 18:10:00"), rest,
		row("04 18:00:00", pending), row("04 19:00:00", skipped, "SKIPPED_BY_CALLER"), into)

	// The new schedule has 18:00 and 20:00, and nothing else of the old one.
	must(e.update(&carillonv1.Job{Id: e.job, CronExpression: wrapperspb.String("0 */2 * * *")}))(t)
	e.want("another schedule", "04 22:30:00",
		row("04 13:00:00", skipped, "SUPERSEDED"), first, row("04 15:00:00", skipped, "SUPERSEDED"), rest,
		row("04 18:00:00", pending), into, row("04 22:00:00", pending))
}

func TestSkipWhatIsClaimedAhead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := time.Now().Add(time.Hour).Truncate(time.Minute) // the store tells what lies ahead by the real clock
	b.clock.set(now)
	b.operator = b.as("operator")
	every := hourly(t)
	every.CronExpression = wrapperspb.String("* * * * *")
	e := edits{b, b.create(b.instance().GetId(), every).GetId()}
	replica, _, err := b.store.Register(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	first := timestamppb.New(now.Add(time.Minute))
	b.clock.set(now.Add(59500 * time.Millisecond))
	b.tickAhead(replica.ID, now.Add(time.Minute))
	skip := &carillonv1.SkipOccurrenceRequest{JobId: e.job, ScheduledFor: first}
	must(b.jobs.SkipOccurrence(b.operator, skip))(t)
	if list := must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: e.job}))(t).GetExecutions(); len(list) != 0 {
		t.Errorf("executions are %v", list)
	}
	must(b.jobs.RestoreOccurrence(b.operator, &carillonv1.RestoreOccurrenceRequest{JobId: e.job, ScheduledFor: first}))(t)
	b.clock.set(first.AsTime())
	b.tick()
	_, err = b.jobs.SkipOccurrence(b.operator, skip)
	wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE")
	if list := must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: e.job}))(t).GetExecutions(); len(list) != 1 {
		t.Errorf("executions are %v", list)
	}
}

func TestOccurrencesOfAJobWithALimit(t *testing.T) {
	t.Parallel()
	b := setup(t)
	limited := hourly(t)
	limited.MaxExecutions = 3
	e := edits{b, b.create(b.instance().GetId(), limited).GetId()}
	must(e.skip("04 14:00:00"))(t)
	plan := []*carillonv1.Occurrence{row("04 13:00:00", pending), row("04 14:00:00", skipped, "SKIPPED_BY_CALLER"), row("04 15:00:00", pending), row("04 16:00:00", pending)}
	wantRows(t, "plan", b.occurrences(e.job, nil, nil), plan...)
	_, err := e.skip("04 17:00:00")
	wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE")
	e.tickTo("04 17:30:00")
	for _, o := range []int{0, 2, 3} {
		plan[o].Outcome = started
	}
	wantRows(t, "done", b.occurrences(e.job, nil, nil), plan...)
}
