package rpc_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// explained is an explanation as lines: "exec_1 …".
func (b *bundle) explained(t *testing.T, in *carillonv1.ExplainJobRequest) (summary string, lines []string) {
	t.Helper()
	e := must(b.jobs.ExplainJob(b.operator, in))(t)
	for _, line := range e.GetExplanations() {
		if got := line.GetScheduledFor().AsTime().Format("2006-01-02 15:04"); !strings.HasPrefix(line.GetText(), got) {
			t.Errorf("%s is of %s", line.GetText(), got)
		}
		lines = append(lines, strings.TrimSpace(line.GetExecutionId()+" "+line.GetText()))
	}
	return e.GetSummary(), lines
}

func TestExplainJob(t *testing.T) {
	t.Parallel()
	b := setup(t) // 12:00:30.5
	noon := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	in := b.instance().GetId()
	j := b.create(in, hourly(t)).GetId()
	at := func(hour, minute int) {
		b.clock.set(noon.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute))
	}
	at(1, 0)
	b.tick()
	first := b.claim()
	at(2, 0)
	b.tick() // overlaps
	at(3, 0)
	b.tick()
	at(3, 10)
	b.finish(first, job.StateFailed, &job.Failure{Code: "UNKNOWN", Reason: "TASK_FAILED", Message: "no such file"}, nil)
	at(3, 20)
	b.run(j)
	b.finish(b.claim(), job.StateSucceeded, nil, nil)
	must(b.jobs.SkipOccurrence(b.operator, &carillonv1.SkipOccurrenceRequest{JobId: j, ScheduledFor: timestamppb.New(noon.Add(5 * time.Hour))}))(t)
	must(b.jobs.MoveOccurrence(b.operator, &carillonv1.MoveOccurrenceRequest{JobId: j, ScheduledFor: timestamppb.New(noon.Add(6 * time.Hour)), MoveTo: timestamppb.New(noon.Add(6*time.Hour + 30*time.Minute))}))(t)
	summary, lines := b.explained(t, &carillonv1.ExplainJobRequest{JobId: j})
	if want := "Active. Runs every hour at minute 0 in UTC; next at 2026-05-04 16:00 UTC. While an execution has not ended, occurrences are skipped. Of what was missed while nothing ran, the newest occurrence of the last 1 d is made up."; summary != want {
		t.Errorf("summary is\n%s, want\n%s", summary, want)
	}
	if diff := cmp.Diff([]string{
		// The end that the test stores says that it started just before.
		"exec_1 2026-05-04 13:00 UTC: started 2 h 10 min late as exec_1, failed after 1 s: TASK_FAILED, no such file.",
		"exec_1 2026-05-04 14:00 UTC: 2 occurrences from then to 2026-05-04 15:00 UTC were skipped, because exec_1 had not ended.",
		"exec_2 2026-05-04 15:20 UTC: run by hand, started 0 ms late as exec_2, succeeded after 1 s.",
		"2026-05-04 16:00 UTC: is due, in 40 min.",
		"2026-05-04 17:00 UTC: will be left out, as a caller wants it.",
		"2026-05-04 18:00 UTC: moved by a caller; it is due at 2026-05-04 18:30 UTC, in 3 h 10 min.",
	}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	_, lines = b.explained(t, &carillonv1.ExplainJobRequest{JobId: j, From: timestamppb.New(noon.Add(3*time.Hour + time.Minute)), To: timestamppb.New(noon.Add(4 * time.Hour))})
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "exec_2 ") {
		t.Errorf("in a range: %v", lines)
	}

	must(b.jobs.PauseJob(b.operator, &carillonv1.PauseJobRequest{JobId: j, Reason: "moving house"}))(t)
	at(8, 30)
	summary, lines = b.explained(t, &carillonv1.ExplainJobRequest{JobId: j})
	if !strings.HasPrefix(summary, `Paused since 2026-05-04 15:20 UTC by operator, until somebody resumes it, for the reason "moving house". Runs every hour`) {
		t.Errorf("summary is %s", summary)
	}
	if want := "2026-05-04 16:00 UTC: 5 occurrences from then to 2026-05-04 20:00 UTC do not run, because the job is paused."; lines[len(lines)-1] != want {
		t.Errorf("the last line is %s, want %s", lines[len(lines)-1], want)
	}
}

func TestExplainJobTellsAThousand(t *testing.T) {
	t.Parallel()
	b := setup(t)
	minutes := hourly(t)
	minutes.CronExpression.Value = "* * * * *"
	j := b.create(b.instance().GetId(), minutes).GetId()
	summary, lines := b.explained(t, &carillonv1.ExplainJobRequest{JobId: j, To: timestamppb.New(b.clock.Now().AddDate(0, 0, 3))})
	if len(lines) != 1000 || !strings.HasSuffix(summary, " There is more than can be told at once: the last event told is of 2026-05-05 04:40 UTC.") {
		t.Errorf("%d lines, summary %s", len(lines), summary)
	}
}

// What needs new credentials is told ahead: for a week, or as far as the caller
// looks.
func TestExplainJobTellsOfCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t) // 12:00:30.5
	in := b.instance().GetId()
	res := b.resource(in).GetId()
	j := hourly(t)
	j.Workflow = document(t, `{"tasks":[{"name":"t","type":"test.touch","args":{"resourceId":"`+res+`"}}]}`)
	id := b.create(in, j).GetId()
	check := func(name, want string, to *timestamppb.Timestamp) {
		t.Helper()
		summary, _ := b.explained(t, &carillonv1.ExplainJobRequest{JobId: id, To: to})
		_, got, _ := strings.Cut(summary, " The credentials")
		if got != want {
			t.Errorf("%s: of the credentials it tells %q, want %q", name, got, want)
		}
	}
	store := func(config string) {
		t.Helper()
		if err := b.addConfig(res, config); err != nil {
			t.Fatal(err)
		}
	}
	later := func(days int) {
		b.clock.set(b.clock.Now().AddDate(0, 0, days))
		b.operator = b.as("operator") // the token has expired meanwhile
	}
	// The token of b, which the workflow does not name, ends too.
	store(`{"a":{"type":"s3","month":"x"},"b":{"type":"s3","token":"x"}}`)
	check("in a month", "", nil)
	check("in a month, as seen far ahead", ` of remote "a" of `+res+" end at 2026-06-03 12:00:30 UTC, in 30 d, unless a use renews them: store new ones before.",
		timestamppb.New(b.clock.Now().AddDate(0, 0, 31)))
	later(24)
	check("in six days", ` of remote "a" of `+res+" end at 2026-06-03 12:00:30 UTC, in 6 d, unless a use renews them: store new ones before.", nil)
	later(7)
	check("since a day", ` of remote "a" of `+res+" ended at 2026-06-03 12:00:30 UTC: store new ones.", nil)
	instance, _ := job.KindInstance.Parse(in)
	opened := must(b.configs.For(instance, 1).Remote(t.Context(), res, "a"))(t)
	if err := opened.Refused(t.Context(), &job.Failure{Reason: job.ReasonReauth, Message: "invalid_grant"}); err != nil {
		t.Fatal(err)
	}
	check("refused", ` of remote "a" of `+res+" are refused since 2026-06-04 12:00:30 UTC (REAUTH_REQUIRED): store new ones.", nil)
	store(`{"a":{"type":"s3"}}`)
	check("with credentials that don't end", "", nil)
}

func TestExplainJobRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t)).GetId()
	_, err := b.jobs.ExplainJob(b.as("instance-read-999"), &carillonv1.ExplainJobRequest{JobId: j})
	wantCode(t, err, codes.NotFound, "")
	_, err = b.jobs.ExplainJob(t.Context(), &carillonv1.ExplainJobRequest{JobId: j})
	wantCode(t, err, codes.Unauthenticated, "")
	_, err = b.jobs.ExplainJob(b.operator, &carillonv1.ExplainJobRequest{JobId: j, From: timestamppb.New(b.clock.Now()), To: timestamppb.New(b.clock.Now())})
	wantCode(t, err, codes.InvalidArgument, "OUT_OF_RANGE")
}
