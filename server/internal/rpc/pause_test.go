package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// goTo sets the clock and lets the ticker look.
func (b *bundle) goTo(at string) {
	b.t.Helper()
	b.clock.set(day(at).AsTime())
	b.tick()
}

// occurrences lists a window.
func (b *bundle) occurrences(job string, from, to *timestamppb.Timestamp) []*carillonv1.Occurrence {
	b.t.Helper()
	return must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: job, From: from, To: to}))(b.t).GetOccurrences()
}

// wantRows compares occurrences, whatever their executions are.
func wantRows(t testing.TB, what string, got []*carillonv1.Occurrence, want ...*carillonv1.Occurrence) {
	t.Helper()
	if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&carillonv1.Occurrence{}, "execution_id")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// wantPause checks why a job does not run; nil means that it does.
func wantPause(t testing.TB, what string, j *carillonv1.Job, want *carillonv1.Pause) {
	t.Helper()
	if diff := cmp.Diff(want, j.GetPause(), protocmp.Transform()); diff != "" {
		t.Errorf("%s: pause (-want +got):\n%s", what, diff)
	}
	if paused := j.GetState() == carillonv1.Job_PAUSED; paused != (want != nil) || paused == (j.GetNextRun() != nil) {
		t.Errorf("%s: state %s, next run %v", what, j.GetState(), j.GetNextRun())
	}
}

func TestPauseOfAJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t)) // at 12:00:30.5
	id := j.GetId()
	pause := func(reason string, until *timestamppb.Timestamp) *carillonv1.Job {
		t.Helper()
		return must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: id, Reason: reason, Until: until}))(t)
	}
	since := day("04 12:00:30.5")
	first := pause("broken", day("04 15:30:00"))
	wantPause(t, "paused", first, &carillonv1.Pause{Reason: "broken", Actor: "operator", Since: since, Until: day("04 15:30:00")})
	wantPause(t, "list", must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in}))(t).GetJobs()[0], first.GetPause())

	// Pausing again says something new, or changes nothing.
	b.clock.set(day("04 12:30:00").AsTime())
	if again := pause("", nil); again.GetEtag() != first.GetEtag() {
		t.Errorf("a bare pause of a paused job changed it to %v", again)
	}
	if again := must(b.update(&carillonv1.Job{Id: id, Active: new(false)}))(t); again.GetEtag() != first.GetEtag() {
		t.Errorf("an equal update of a paused job changed it to %v", again)
	}
	client, operator := b.client([]string{"instance-*"}, in), b.operator
	b.operator = b.signIn(client)
	longer := &carillonv1.Pause{Reason: "still broken", Actor: client.GetId(), Since: since, Until: day("04 16:30:00")}
	wantPause(t, "paused for longer", pause("still broken", day("04 16:30:00")), longer)
	b.operator = operator
	wantPause(t, "renamed", must(b.update(&carillonv1.Job{Id: id, Name: "new"}))(t), longer)

	for text, until := range map[string]*timestamppb.Timestamp{"now": day("04 12:30:00"), "past": day("04 12:00:00"), "ancient": {Seconds: -62135596800}} {
		_, err := b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: id, Until: until})
		if diff := cmp.Diff([]string{"until OUT_OF_RANGE"}, violations(err)); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", text, diff)
		}
	}
	_, err := b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: id, Reason: strings.Repeat("x", 501)})
	wantCode(t, err, codes.InvalidArgument, "")
	_, err = b.jobs.PauseJob(b.as("instance-read-"+strings.TrimPrefix(in, "inst_")), &carillonv1.PauseJobRequest{JobId: id, Until: day("04 12:00:00")})
	wantCode(t, err, codes.PermissionDenied, "")

	// What would happen is told: skipped until the end, then due again.
	told := []*carillonv1.Occurrence{row("04 13:00:00", skipped, "PAUSED", day("04 16:00:00"), 4), row("04 17:00:00", pending), row("04 18:00:00", pending)}
	wantRows(t, "while paused", b.occurrences(id, nil, day("04 18:30:00")), told...)
	b.goTo("04 16:29:59")
	wantPause(t, "before the end", b.get(id), longer)
	b.goTo("04 16:30:00")
	wantPause(t, "after the end", b.get(id), nil)
	wantRows(t, "after the end", b.occurrences(id, nil, day("04 18:30:00")), told...)

	// One without an end tells what has passed, and nothing of what is to come.
	b.goTo("04 16:45:00")
	pause("", nil)
	b.goTo("04 18:15:00")
	told = append(told[:1], row("04 17:00:00", skipped, "PAUSED", day("04 18:00:00"), 2))
	wantRows(t, "paused for good", b.occurrences(id, nil, nil), told...)
	resumed := must(b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: id}))(t)
	wantPause(t, "resumed", resumed, nil)
	if got := resumed.GetNextRun().AsTime(); got != day("04 19:00:00").AsTime() {
		t.Errorf("next run is %v", got)
	}
	told = []*carillonv1.Occurrence{row("04 13:00:00", skipped, "PAUSED", day("04 18:00:00"), 6), row("04 19:00:00", pending)} // folded in the ledger
	wantRows(t, "resumed", b.occurrences(id, nil, day("04 19:30:00")), told...)
}

func TestPauseOfAnInterval(t *testing.T) {
	t.Parallel()
	b := setup(t)
	every := hourly(t)
	schedule(carillonv1.Job_INTERVAL_BASED, "", 60)(every)
	j := b.create(b.instance().GetId(), every) // slots at :00:30
	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId(), Until: day("04 14:20:00.5")}))(t)
	told := []*carillonv1.Occurrence{row("04 13:00:30", skipped, "PAUSED", day("04 14:00:30"), 2), row("04 15:20:00", pending)}
	wantRows(t, "while paused", b.occurrences(j.GetId(), nil, day("04 16:00:00")), told...)
	_, err := b.jobs.SkipOccurrence(b.operator, &carillonv1.SkipOccurrenceRequest{JobId: j.GetId(), ScheduledFor: day("04 15:00:30")})
	wantCode(t, err, codes.InvalidArgument, "NOT_AN_OCCURRENCE") // it counts anew from the end of the pause
	must(b.jobs.SkipOccurrence(b.operator, &carillonv1.SkipOccurrenceRequest{JobId: j.GetId(), ScheduledFor: day("04 15:20:00")}))(t)
	told[1] = row("04 15:20:00", skipped, "SKIPPED_BY_CALLER")
	wantRows(t, "skipped", b.occurrences(j.GetId(), nil, day("04 16:00:00")), told...)
	b.goTo("04 14:20:03") // however late the ticker comes by
	wantRows(t, "resumed", b.occurrences(j.GetId(), nil, day("04 16:00:00")), told...)
	if got := b.get(j.GetId()).GetNextRun().AsTime(); got != day("04 16:20:00").AsTime() {
		t.Errorf("next run is %v", got)
	}
}

func TestPauseOfAnInstance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	j, free := b.create(in, hourly(t)), b.create(other, hourly(t))
	paused := must(b.instances.PauseInstance(b.operator, &carillonv1.PauseInstanceRequest{InstanceId: in, Reason: "maintenance", Until: day("04 15:30:00")}))(t)
	want := &carillonv1.Pause{Reason: "maintenance", Actor: "operator", Since: day("04 12:00:30.5"), Until: day("04 15:30:00"), InstanceId: in}
	if diff := cmp.Diff(want, paused.GetPause(), protocmp.Transform()); diff != "" {
		t.Errorf("pause (-want +got):\n%s", diff)
	}
	wantPause(t, "its job", b.get(j.GetId()), want)
	wantPause(t, "listed", must(b.jobs.ListJobs(b.operator, &carillonv1.ListJobsRequest{InstanceId: in}))(t).GetJobs()[0], want)
	wantPause(t, "another one's job", b.get(free.GetId()), nil)
	if !b.get(j.GetId()).GetActive() {
		t.Error("the job itself is paused")
	}
	late := b.create(in, hourly(t))
	wantPause(t, "one made meanwhile", late, want)
	must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()}))(t)

	told := []*carillonv1.Occurrence{row("04 13:00:00", skipped, "PAUSED", day("04 15:00:00"), 3), row("04 16:00:00", pending)}
	wantRows(t, "while paused", b.occurrences(j.GetId(), nil, day("04 16:30:00")), told...)

	// A pause of its own lasts on: people are told both, and the later end.
	b.goTo("04 13:10:00")
	own := must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: late.GetId(), Reason: "mine", Until: day("04 17:30:00")}))(t)
	both := &carillonv1.Pause{Reason: "mine", Actor: "operator", Since: day("04 12:00:30.5"), Until: day("04 17:30:00"), InstanceId: in}
	wantPause(t, "both", own, both)
	wantRows(t, "both", b.occurrences(late.GetId(), nil, day("04 18:30:00")),
		row("04 13:00:00", skipped, "PAUSED"), row("04 14:00:00", skipped, "PAUSED", day("04 17:00:00"), 4), row("04 18:00:00", pending))

	// The end of the instance's pause comes when the ticker does, and is told before.
	b.clock.set(day("04 15:30:00").AsTime())
	if got := must(b.instances.GetInstance(b.operator, &carillonv1.GetInstanceRequest{InstanceId: in}))(t); got.GetPause() != nil {
		t.Errorf("a pause that is over is told: %v", got)
	}
	wantPause(t, "over, not ticked", b.get(j.GetId()), nil)
	wantRows(t, "over, not ticked", b.occurrences(j.GetId(), nil, day("04 16:30:00")),
		row("04 13:00:00", skipped, "PAUSED"), row("04 14:00:00", skipped, "PAUSED", day("04 15:00:00"), 2), told[1])
	b.tick()
	wantPause(t, "over", b.get(j.GetId()), nil)
	wantRows(t, "over", b.occurrences(j.GetId(), nil, day("04 16:30:00")), told...)
	both.InstanceId, both.Since = "", day("04 13:10:00")
	wantPause(t, "its own pause", b.get(late.GetId()), both)
	b.goTo("04 17:30:00")
	wantPause(t, "no pause", b.get(late.GetId()), nil)
	wantRows(t, "no pause", b.occurrences(late.GetId(), nil, day("04 18:30:00")),
		row("04 13:00:00", skipped, "PAUSED", day("04 17:00:00"), 5), row("04 18:00:00", pending))
}

func TestResumeInAPausedInstance(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := b.create(in, hourly(t))
	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId()}))(t)
	b.goTo("04 13:10:00")
	must(b.instances.PauseInstance(b.operator, &carillonv1.PauseInstanceRequest{InstanceId: in}))(t)
	b.goTo("04 14:10:00")
	held := must(b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: j.GetId()}))(t)
	if !held.GetActive() || held.GetState() != carillonv1.Job_PAUSED || held.GetPause().GetInstanceId() != in {
		t.Errorf("resumed to %v", held)
	}
	changed := must(b.update(&carillonv1.Job{Id: j.GetId(), CronExpression: wrapperspb.String("30 * * * *")}))(t)
	if changed.GetNextRun() != nil {
		t.Errorf("a held job is due: %v", changed)
	}
	b.clock.set(day("04 16:10:00").AsTime())
	must(b.instances.ResumeInstance(b.operator, &carillonv1.ResumeInstanceRequest{InstanceId: in}))(t)
	wantPause(t, "resumed, not ticked", b.get(j.GetId()), nil)
	b.tick()
	wantPause(t, "resumed", b.get(j.GetId()), nil)
	wantRows(t, "ledger", b.occurrences(j.GetId(), nil, day("04 17:00:00")),
		row("04 13:00:00", skipped, "PAUSED", day("04 15:30:00"), 4), row("04 16:30:00", pending))
	if in := must(b.instances.ResumeInstance(b.operator, &carillonv1.ResumeInstanceRequest{InstanceId: in}))(t); in.GetPause() != nil {
		t.Errorf("resumed again: %v", in)
	}
}

func TestPauseOfAnInstanceRefusals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	number := strings.TrimPrefix(in, "inst_")
	_, err := b.instances.PauseInstance(b.operator, &carillonv1.PauseInstanceRequest{InstanceId: in, Until: day("04 12:00:30.5")})
	if diff := cmp.Diff([]string{"until OUT_OF_RANGE"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	_, err = b.instances.PauseInstance(b.as("instance-read-"+number), &carillonv1.PauseInstanceRequest{InstanceId: in})
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = b.instances.ResumeInstance(b.as("instance-read-"+number), &carillonv1.ResumeInstanceRequest{InstanceId: in})
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = b.instances.PauseInstance(b.as("instance-write-9"+number), &carillonv1.PauseInstanceRequest{InstanceId: in})
	wantCode(t, err, codes.NotFound, "")
	first := must(b.instances.PauseInstance(b.as("instance-write-"+number), &carillonv1.PauseInstanceRequest{InstanceId: in, Reason: "a"}))(t)
	b.clock.set(b.clock.Now().Add(time.Minute))
	for _, same := range []*carillonv1.PauseInstanceRequest{{InstanceId: in}, {InstanceId: in, Reason: "a"}} {
		if again := must(b.instances.PauseInstance(b.operator, same))(t); !cmp.Equal(first, again, protocmp.Transform()) {
			t.Errorf("the same again changed %v to %v", first, again)
		}
	}
	other := must(b.instances.PauseInstance(b.operator, &carillonv1.PauseInstanceRequest{InstanceId: in, Reason: "b"}))(t)
	if !cmp.Equal(first.GetPause().GetSince(), other.GetPause().GetSince(), protocmp.Transform()) || other.GetPause().GetReason() != "b" {
		t.Errorf("another reason changed %v to %v", first, other)
	}
}
