package rpc_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// claim makes a new replica the owner of what waits.
func (b *bundle) claim() store.Claimed {
	b.t.Helper()
	replica, _, err := b.store.Register(b.t.Context(), "test", time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	claimed, _, err := b.store.ClaimQueued(b.t.Context(), store.ClaimRequest{Owner: replica.ID, Now: b.clock.Now(), Ahead: b.clock.Now(), Limit: 10})
	if err != nil || len(claimed) != 1 {
		b.t.Fatalf("claimed %v: %v", claimed, err)
	}
	return claimed[0]
}

func (b *bundle) finish(c store.Claimed, state job.State, failure *job.Failure, tasks []job.TaskRecord) {
	b.t.Helper()
	now := job.Time(b.clock.Now())
	stale, err := b.store.Finish(b.t.Context(), []store.Finish{{
		ExecutionID: c.ExecutionID, Fence: c.Fence, State: state, Error: failure, Tasks: tasks, StartedAt: now, FinishedAt: now.Add(time.Second),
	}})
	if err != nil || len(stale) > 0 {
		b.t.Fatalf("finish: %v, stale %v", err, stale)
	}
}

func (b *bundle) run(jobID string) *carillonv1.Execution {
	b.t.Helper()
	return must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: jobID}))(b.t)
}

func (b *bundle) execution(id string) *carillonv1.Execution {
	b.t.Helper()
	return must(b.executions.GetExecution(b.operator, &carillonv1.GetExecutionRequest{ExecutionId: id}))(b.t)
}

func TestExecutionFromBeginningToEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	queued := b.run(j.GetId())
	want := &carillonv1.Execution{
		Id: queued.GetId(), JobId: j.GetId(), InstanceId: j.GetInstanceId(), Trigger: carillonv1.Execution_MANUAL, State: carillonv1.Execution_QUEUED,
		ScheduledFor: day("04 12:00:30.5"), CreatedAt: day("04 12:00:30.5"),
		LogPath: "logs/" + j.GetInstanceId() + "/" + queued.GetId() + "/",
	}
	ignore := protocmp.IgnoreFields(&carillonv1.Execution{}, "signed_log_url")
	if diff := cmp.Diff(want, queued, protocmp.Transform(), ignore); diff != "" {
		t.Errorf("queued (-want +got):\n%s", diff)
	}
	claimed := b.claim()
	start := job.Time(b.clock.Now())
	b.finish(claimed, job.StateFailed, &job.Failure{Code: "DEADLINE_EXCEEDED", Reason: "SLOW", Message: "too slow"}, []job.TaskRecord{
		{Name: "a", Type: "util.noop", State: job.TaskSucceeded, StartedAt: start, FinishedAt: start.Add(time.Second), Attempt: 2, NextAttemptAt: start},
		{Name: "b", Type: "util.noop", State: job.TaskSkipped, Error: &job.Failure{Code: "ABORTED", Reason: "DEPENDENCY_FAILED", Message: "no"}},
	})
	want.State, want.Attempt, want.StartedAt, want.FinishedAt = carillonv1.Execution_FAILED, 1, day("04 12:00:30.5"), day("04 12:00:31.5")
	want.Success = wrapFalse
	want.Error = &carillonv1.Execution_Error{Code: "DEADLINE_EXCEEDED", Reason: "SLOW", Message: "too slow"}
	want.Tasks = []*carillonv1.Execution_Task{
		{Name: "a", Type: "util.noop", State: carillonv1.Execution_Task_SUCCEEDED, StartedAt: day("04 12:00:30.5"), FinishedAt: day("04 12:00:31.5"), Attempt: 2, NextAttemptAt: day("04 12:00:30.5")},
		{Name: "b", Type: "util.noop", State: carillonv1.Execution_Task_SKIPPED, Error: &carillonv1.Execution_Error{Code: "ABORTED", Reason: "DEPENDENCY_FAILED", Message: "no"}},
	}
	if diff := cmp.Diff(want, b.execution(queued.GetId()), protocmp.Transform(), ignore); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if got := b.get(j.GetId()).GetLastRun(); !proto.Equal(got, day("04 12:00:30.5")) {
		t.Errorf("last run is %v", got.AsTime())
	}
}

func TestListExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance()
	first, second := b.create(in.GetId(), hourly(t)), b.create(in.GetId(), hourly(t))
	var all, ofFirst []string
	for i := range 6 {
		j := first
		if i%2 == 1 {
			j = second
		}
		e := b.run(j.GetId())
		all = append(all, e.GetId())
		if j == first {
			ofFirst = append(ofFirst, e.GetId())
		}
		if i < 5 { // the last one waits: both kinds are one list
			b.finish(b.claim(), job.StateSucceeded, nil, nil)
		}
		b.clock.set(b.clock.Now().Add(time.Second))
	}
	slices.Reverse(all)
	slices.Reverse(ofFirst)
	read := func(in *carillonv1.ListExecutionsRequest) (ids []string) {
		in.PageSize = 2
		for {
			page := must(b.executions.ListExecutions(b.operator, in))(t)
			for _, e := range page.GetExecutions() {
				ids = append(ids, e.GetId())
				if e.GetSignedLogUrl() == "" || e.GetLogPath() == "" {
					t.Errorf("%s has no log: %v", e.GetId(), e)
				}
			}
			if in.PageToken = page.GetNextPageToken(); in.PageToken == "" {
				return ids
			}
		}
	}
	if diff := cmp.Diff(all, read(&carillonv1.ListExecutionsRequest{InstanceId: in.GetId()})); diff != "" {
		t.Errorf("of the instance (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(ofFirst, read(&carillonv1.ListExecutionsRequest{JobId: first.GetId()})); diff != "" {
		t.Errorf("of the job (-want +got):\n%s", diff)
	}
	token := must(b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: first.GetId(), PageSize: 1}))(t).GetNextPageToken()
	_, err := b.executions.ListExecutions(b.operator, &carillonv1.ListExecutionsRequest{JobId: second.GetId(), PageToken: token})
	wantCode(t, err, codes.InvalidArgument, "INVALID_PAGE_TOKEN")
}

func TestCancelExecution(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	cancel := func(id string) (*carillonv1.Execution, error) {
		return b.executions.CancelExecution(b.operator, &carillonv1.CancelExecutionRequest{ExecutionId: id})
	}
	waiting := must(cancel(b.run(j.GetId()).GetId()))(t)
	if waiting.GetState() != carillonv1.Execution_CANCELLED || waiting.GetError().GetReason() != "CANCELLED" || waiting.GetError().GetMessage() != "cancelled by operator" {
		t.Errorf("the waiting one is %v", waiting)
	}
	_, err := cancel(waiting.GetId())
	wantCode(t, err, codes.FailedPrecondition, "ALREADY_ENDED")
	b.clock.set(b.clock.Now().Add(time.Second))
	running := b.run(j.GetId())
	claimed := b.claim()
	if _, _, err := b.store.Progress(t.Context(), []store.Progress{{ExecutionID: claimed.ExecutionID, Fence: claimed.Fence, StartedAt: b.clock.Now()}}); err != nil {
		t.Fatal(err)
	}
	if got := must(cancel(running.GetId()))(t); got.GetState() != carillonv1.Execution_CANCELLING || got.GetSuccess() != nil {
		t.Errorf("the running one is %v", got)
	}
}

// write puts lines into an execution's log.
func (b *bundle) write(e *carillonv1.Execution, messages ...string) {
	b.t.Helper()
	w := b.logs.Writer(refOf(b.t, e), 1)
	log := slog.New(w.Handler())
	for i, m := range messages {
		log.Info(m, "n", i, "nested", map[string]any{"a": []any{1, "x", nil}})
	}
	if err := w.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func refOf(t testing.TB, e *carillonv1.Execution) executionlog.Ref {
	t.Helper()
	id, ok := job.KindExecution.Parse(e.GetId())
	instance, ok2 := job.KindInstance.Parse(e.GetInstanceId())
	if !ok || !ok2 {
		t.Fatalf("ids of %v", e)
	}
	return executionlog.Ref{InstanceID: instance, ExecutionID: id}
}

func TestTailLog(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	e := b.run(j.GetId())
	tail := func(cursor string, follow bool) ([]*carillonv1.TailLogResponse, error) {
		stream, err := b.executions.TailLog(b.operator, &carillonv1.TailLogRequest{ExecutionId: e.GetId(), Cursor: cursor, Follow: follow})
		if err != nil {
			return nil, err
		}
		return receive(stream)
	}
	if lines := must(tail("", false))(t); len(lines) != 0 {
		t.Errorf("a log without lines has %v", lines)
	}
	claimed := b.claim()
	b.write(e, "one", "two", "three")
	lines := must(tail("", false))(t)
	var got []string
	for _, l := range lines {
		got = append(got, l.GetLevel()+" "+l.GetMessage()+" "+fmt.Sprint(l.GetAttributes().AsMap()["n"]))
	}
	if diff := cmp.Diff([]string{"INFO one 0", "INFO two 1", "INFO three 2"}, got); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
	if rest := must(tail(lines[0].GetCursor(), false))(t); len(rest) != 2 || rest[0].GetMessage() != "two" {
		t.Errorf("after the first line come %v", rest)
	}
	b.finish(claimed, job.StateSucceeded, nil, nil)
	if all := must(tail("", true))(t); len(all) != 3 {
		t.Errorf("following an ended one gives %v", all)
	}
	_, err := tail("nonsense", false)
	if diff := cmp.Diff([]string{"cursor INVALID_CURSOR"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	_, err = tail(strings.Repeat("x", 201), false)
	wantCode(t, err, codes.InvalidArgument, "STRING_MAX_LEN")
	part := func(in *carillonv1.TailLogRequest) ([]*carillonv1.TailLogResponse, error) {
		in.ExecutionId = e.GetId()
		stream, err := b.executions.TailLog(b.operator, in)
		if err != nil {
			return nil, err
		}
		return receive(stream)
	}
	if last := must(part(&carillonv1.TailLogRequest{Last: 1, Before: lines[2].GetCursor(), Level: "INFO", Search: "W"}))(t); len(last) != 1 || last[0].GetMessage() != "two" {
		t.Errorf("the last one before the third with a w is %v", last)
	}
	_, err = part(&carillonv1.TailLogRequest{Before: lines[0].GetCursor(), Follow: true})
	wantCode(t, err, codes.InvalidArgument, "NOT_APPLICABLE")
	_, err = part(&carillonv1.TailLogRequest{Before: "nonsense"})
	if diff := cmp.Diff([]string{"before INVALID_CURSOR"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
	_, err = part(&carillonv1.TailLogRequest{Level: "LOUD"})
	wantCode(t, err, codes.InvalidArgument, "STRING_IN")
}

func TestSignedLogs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	e := b.run(b.create(in, hourly(t)).GetId())
	other := b.run(b.create(in, hourly(t)).GetId())
	b.write(e, append(slices.Repeat([]string{strings.Repeat("x", 10_000)}, 20), "end")...)
	link, err := url.Parse(b.execution(e.GetId()).GetSignedLogUrl())
	if err != nil || !strings.HasPrefix(link.String(), publicURL+"/logs/"+e.GetId()+"?") {
		t.Fatalf("link is %s: %v", link, err)
	}
	expires, _ := strconv.ParseInt(link.Query().Get("expires"), 10, 64)
	valid := &carillonv1.DownloadLogRequest{ExecutionId: e.GetId(), Expires: expires, KeyId: link.Query().Get("key_id"), Signature: link.Query().Get("signature")}
	download := func(in *carillonv1.DownloadLogRequest) ([]byte, error) {
		stream, err := b.executions.DownloadLog(t.Context(), in) // without a token
		if err != nil {
			return nil, err
		}
		parts, err := receive(stream)
		var text []byte
		for _, p := range parts {
			text = append(text, p.GetData()...)
		}
		return text, err
	}
	text := must(download(valid))(t)
	if lines := bytes.Split(bytes.TrimSpace(text), []byte("\n")); len(lines) != 21 || len(text) < 200_000 || !bytes.Contains(lines[20], []byte(`"end"`)) {
		t.Errorf("the log has %d lines in %d bytes", len(lines), len(text))
	}
	for name, do := range map[string]func(*carillonv1.DownloadLogRequest){
		"another execution": func(in *carillonv1.DownloadLogRequest) { in.ExecutionId = other.GetId() },
		"later":             func(in *carillonv1.DownloadLogRequest) { in.Expires += 60 },
		"another key":       func(in *carillonv1.DownloadLogRequest) { in.KeyId = "x" },
		"no signature":      func(in *carillonv1.DownloadLogRequest) { in.Signature = "" },
	} {
		bad := proto.CloneOf(valid)
		do(bad)
		text, err := download(bad)
		t.Run(name, func(t *testing.T) { wantCode(t, err, codes.PermissionDenied, "PERMISSION_DENIED") })
		if len(text) > 0 {
			t.Errorf("%s: %d bytes were sent", name, len(text))
		}
	}
	b.clock.set(b.clock.Now().Add(15 * time.Minute))
	_, err = download(valid)
	wantCode(t, err, codes.PermissionDenied, "PERMISSION_DENIED")
	// One that wrote nothing has a link to an empty log.
	b.operator = b.as("operator")
	link, _ = url.Parse(b.execution(other.GetId()).GetSignedLogUrl())
	expires, _ = strconv.ParseInt(link.Query().Get("expires"), 10, 64)
	text, err = download(&carillonv1.DownloadLogRequest{ExecutionId: other.GetId(), Expires: expires, KeyId: link.Query().Get("key_id"), Signature: link.Query().Get("signature")})
	if err != nil || len(text) != 0 {
		t.Errorf("the empty log: %q, %v", text, err)
	}
}

func TestLatestExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	job1, job2, foreign := b.create(in, hourly(t)).GetId(), b.create(in, hourly(t)).GetId(), b.create(other, hourly(t)).GetId()
	var want []string
	for range 3 {
		e := b.run(job1)
		b.finish(b.claim(), job.StateSucceeded, nil, nil)
		b.clock.set(b.clock.Now().Add(time.Second))
		want = append([]string{e.GetId()}, want...)
	}
	b.run(foreign)
	latest := must(b.executions.ListLatestExecutions(b.as("instance-read-"+in[5:]), &carillonv1.ListLatestExecutionsRequest{
		InstanceId: in, JobIds: []string{job1, job2, foreign, job1, "nonsense"}, Count: 2}))(t)
	var got []string
	for _, e := range latest.GetExecutions() {
		got = append(got, e.GetId())
	}
	if diff := cmp.Diff(want[:2], got); diff != "" {
		t.Errorf("executions (-want +got):\n%s", diff)
	}
}

// What is due and finds no place says so, not what waits for its own job.
func TestWaitingForAPlace(t *testing.T) {
	t.Parallel()
	b := setup(t)
	j := b.create(b.instance().GetId(), hourly(t))
	run := func() string {
		t.Helper()
		return must(b.jobs.RunJob(b.operator, &carillonv1.RunJobRequest{JobId: j.GetId(), OverlapPolicy: carillonv1.Job_BUFFER_ALL}))(t).GetId()
	}
	first, second := run(), run()
	for after, want := range map[string]string{"04 12:00:31": "", "04 12:00:32": "NO_FREE_PLACE"} {
		b.clock.set(day(after).AsTime())
		for id, reason := range map[string]string{first: want, second: ""} {
			e := must(b.executions.GetExecution(b.operator, &carillonv1.GetExecutionRequest{ExecutionId: id}))(t)
			if got := e.GetWaitingFor(); got.GetReason() != reason || got.GetExecutionId() != "" {
				t.Errorf("at %s %s waits for %v, want %q", after, id, got, reason)
			}
		}
	}
}
