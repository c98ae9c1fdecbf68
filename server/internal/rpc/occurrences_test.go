package rpc_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
)

const (
	pending = carillonv1.Occurrence_PENDING
	started = carillonv1.Occurrence_STARTED
	skipped = carillonv1.Occurrence_SKIPPED
)

// row is an occurrence without the id of its execution.
func row(at string, outcome carillonv1.Occurrence_Outcome, rest ...any) *carillonv1.Occurrence {
	o := &carillonv1.Occurrence{ScheduledFor: day(at), Outcome: outcome, Count: 1}
	for _, r := range rest {
		switch r := r.(type) {
		case string:
			o.Reason = r
		case *timestamppb.Timestamp:
			o.Until = r
		case int:
			o.Count = int32(r)
		}
	}
	return o
}

// interrupted is a store in which something happens while a job is told.
type interrupted struct {
	*entstore.Store
	happen func()
}

func (s interrupted) OccurrenceChanges(ctx context.Context, id int64) ([]job.OccurrenceChange, error) {
	s.happen()
	return s.Store.OccurrenceChanges(ctx, id)
}

// The ticker comes by while occurrences are told: each is told once.
func TestOccurrencesAreOneState(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t)) // at 12:00:30
	b.clock.set(day("04 15:30:00").AsTime())
	authorizer := auth.NewAuthorizer(b.store)
	service := jobs.New(interrupted{b.store, b.tick}, authorizer, task.NewRegistry(util.Noop{}), b.clock.Now)
	ctx := auth.With(t.Context(), auth.Principal{Subject: "o", Scopes: must(auth.ParseScopes("operator"))(t)})
	id, _ := job.KindJob.Parse(j.GetId())
	told, _, err := service.Occurrences(ctx, id, jobs.Window{To: day("04 17:30:00").AsTime()}, 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range told {
		if want := day("04 13:00:00").AsTime().Add(time.Duration(i) * time.Hour); o.Outcome != jobs.Pending || !o.ScheduledFor.Equal(want) {
			t.Errorf("told %+v, want %s as pending", o, want)
		}
	}
	if len(told) != 5 {
		t.Errorf("told %d occurrences, want 5", len(told))
	}
	b.clock.set(day("04 18:30:00").AsTime())
	e, err := service.Explain(ctx, id, day("04 15:45:00").AsTime(), day("04 18:15:00").AsTime())
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Events) != 3 {
		t.Errorf("explained as %v, want 3 occurrences", e.Events)
	}
}

// A day in the life of an hourly job, told from the outside.
func TestOccurrences(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t)) // at 12:00:30
	list := func(in *carillonv1.ListOccurrencesRequest) ([]*carillonv1.Occurrence, string) {
		t.Helper()
		in.JobId = j.GetId()
		got := must(b.jobs.ListOccurrences(b.operator, in))(t)
		return got.GetOccurrences(), got.GetNextPageToken()
	}
	want := func(got []*carillonv1.Occurrence, want ...*carillonv1.Occurrence) {
		t.Helper()
		if diff := cmp.Diff(want, got, protocmp.Transform(), protocmp.IgnoreFields(&carillonv1.Occurrence{}, "execution_id")); diff != "" {
			t.Errorf("occurrences (-want +got):\n%s", diff)
		}
		for _, o := range got {
			if (o.GetExecutionId() != "") != (o.GetOutcome() == started || o.GetReason() == "OVERLAP") {
				t.Errorf("%v names execution %q", o, o.GetExecutionId())
			}
		}
	}
	next := func(first, n int) (rows []*carillonv1.Occurrence) {
		for i := range n {
			at := time.Date(2026, 5, 4, first+i, 0, 0, 0, time.UTC)
			rows = append(rows, row(at.Format("02 15:04:05"), pending))
		}
		return rows
	}
	got, token := list(&carillonv1.ListOccurrencesRequest{})
	want(got, next(13, 10)...)
	if token != "" {
		t.Errorf("there is a further page %q", token)
	}

	b.clock.set(day("04 13:00:00.01").AsTime())
	b.tick() // starts 13:00
	b.clock.set(day("04 14:00:00.01").AsTime())
	b.tick() // 14:00 is skipped: 13:00 has not ended
	b.clock.set(day("04 15:00:00.01").AsTime())
	b.tick() // and so is 15:00
	told := []*carillonv1.Occurrence{row("04 13:00:00", started), row("04 14:00:00", skipped, "OVERLAP", day("04 15:00:00"), 2)}
	got, _ = list(&carillonv1.ListOccurrencesRequest{})
	want(got, append(told, next(16, 10)...)...)

	// Nothing ticks until 18:30; then the job is given another schedule.
	b.clock.set(day("04 18:30:00").AsTime())
	got, _ = list(&carillonv1.ListOccurrencesRequest{To: day("04 20:00:00")})
	overdue := next(16, 4)
	for _, o := range overdue[:3] {
		o.Reason = "NO_FREE_PLACE"
	}
	want(got, append(told, overdue...)...)
	must(b.update(&carillonv1.Job{Id: j.GetId(), CronExpression: wrapperspb.String("30 * * * *")}))(t)
	told = append(told, row("04 16:00:00", skipped, "SUPERSEDED", day("04 18:00:00"), 3))
	got, _ = list(&carillonv1.ListOccurrencesRequest{To: day("04 19:30:00.000001")})
	want(got, append(told, row("04 19:30:00", pending))...)

	// A pause is told while it lasts and afterwards alike.
	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j.GetId()}))(t)
	got, _ = list(&carillonv1.ListOccurrencesRequest{})
	want(got, told...)
	b.clock.set(day("04 20:45:00").AsTime())
	told = append(told, row("04 19:30:00", skipped, "PAUSED", day("04 20:30:00"), 2))
	got, _ = list(&carillonv1.ListOccurrencesRequest{})
	want(got, told...)
	must(b.jobs.ResumeJob(b.operator, &carillonv1.ResumeJobRequest{JobId: j.GetId()}))(t)
	told = append(told, row("04 21:30:00", pending), row("04 22:30:00", pending), row("04 23:30:00", pending))
	window := &carillonv1.ListOccurrencesRequest{To: day("05 00:00:00")}
	got, _ = list(window)
	want(got, told...)

	// Pages of any size are the same list.
	for size := int32(1); size <= int32(len(told)); size++ {
		var all []*carillonv1.Occurrence
		for token, pages := "", 0; ; pages++ {
			window.PageSize, window.PageToken = size, token
			var page []*carillonv1.Occurrence
			page, token = list(window)
			all = append(all, page...)
			if token == "" || pages > len(told) {
				break
			}
		}
		want(all, told...)
	}
	window.PageSize, window.PageToken = 1, ""
	_, token = list(window)

	// A part of a folded range is told as the whole range.
	got, _ = list(&carillonv1.ListOccurrencesRequest{From: day("04 15:00:00"), To: day("04 17:00:00")})
	want(got, told[1], told[2])

	_, err := b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: j.GetId(), PageToken: token, To: day("06 00:00:00")})
	wantCode(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
	_, err = b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: j.GetId(), From: day("04 12:00:00"), To: day("04 12:00:00")})
	if diff := cmp.Diff([]string{"to OUT_OF_RANGE"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

// What was claimed ahead of its time is told once.
func TestOccurrenceClaimedAhead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	// The store tells what lies ahead by the real clock, which must not get there.
	now := time.Now().Add(time.Hour).Truncate(time.Minute)
	b.clock.set(now)
	b.operator = b.as("operator")
	every := hourly(t)
	every.CronExpression = wrapperspb.String("* * * * *")
	j := b.create(b.instance().GetId(), every)
	replica, _, err := b.store.Register(t.Context(), "test", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	b.tickAhead(replica.ID, now.Add(time.Minute))
	got := must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: j.GetId(), To: timestamppb.New(now.Add(150 * time.Second))}))(t)
	if len(got.GetOccurrences()) != 2 || got.GetOccurrences()[0].GetOutcome() != started || got.GetOccurrences()[1].GetOutcome() != pending ||
		!proto.Equal(got.GetOccurrences()[0].GetScheduledFor(), timestamppb.New(now.Add(time.Minute))) {
		t.Errorf("occurrences are %v", got)
	}
}

func TestOccurrencesOfOtherJobs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	byHand := hourly(t)
	schedule(carillonv1.Job_MANUAL, "", none)(byHand)
	j := b.create(b.instance().GetId(), byHand)
	must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId()}))(t)
	got := must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: j.GetId()}))(t)
	if len(got.GetOccurrences()) != 0 {
		t.Errorf("a job by hand has the occurrences %v", got)
	}
	far := b.create(b.instance().GetId(), hourly(t))
	got = must(b.jobs.ListOccurrences(b.operator, &carillonv1.ListOccurrencesRequest{JobId: far.GetId(), To: timestamppb.New(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}))(t)
	if len(got.GetOccurrences()) != 100 || got.GetNextPageToken() == "" {
		t.Errorf("%d occurrences, token %q", len(got.GetOccurrences()), got.GetNextPageToken())
	}
}
