package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func testFinish(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	f := end(c, job.StateFailed)
	f.Error = &job.Failure{Code: "INTERNAL", Reason: "X", Message: "y"}
	f.Tasks = []job.TaskRecord{{Name: "a", Type: "util.noop", State: job.TaskFailed, StartedAt: f.StartedAt, FinishedAt: f.FinishedAt, Error: f.Error}}
	f.LogBytes = 12
	stale, err := b.Finish(t.Context(), []store.Finish{f})
	ok(t, err)
	want := job.Execution{
		ID: c.ExecutionID, JobID: c.JobID, InstanceID: c.InstanceID, Trigger: job.TriggerSchedule, ScheduledFor: b.start,
		CreatedAt: b.start, StartedAt: f.StartedAt, FinishedAt: f.FinishedAt, State: job.StateFailed, Attempt: 1, Fence: c.Fence,
		Error: f.Error, Tasks: f.Tasks, LogBytes: 12,
	}
	if diff := cmp.Diff(want, b.execution(t, c.ExecutionID)); diff != "" || len(stale) > 0 {
		t.Errorf("stale %v; execution (-want +got):\n%s", stale, diff)
	}
}

func testStaleFence(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	old := c
	old.Fence--
	stale, err := b.Finish(t.Context(), []store.Finish{end(old, job.StateSucceeded)})
	ok(t, err)
	if len(stale) != 1 || stale[0] != c.ExecutionID {
		t.Errorf("stale %v, want the execution", stale)
	}
	stale, _, err = b.Progress(t.Context(), []store.Progress{{ExecutionID: old.ExecutionID, Fence: old.Fence, StartedAt: b.start}})
	ok(t, err)
	if len(stale) != 1 {
		t.Errorf("progress under a stale fence: stale %v", stale)
	}
	if e := b.execution(t, c.ExecutionID); e.State != job.StateQueued || !e.StartedAt.IsZero() {
		t.Errorf("a stale write was accepted: %+v", e)
	}
	b.finish(t, c, job.StateSucceeded)
	stale, err = b.Finish(t.Context(), []store.Finish{end(c, job.StateFailed)})
	ok(t, err)
	if len(stale) != 1 {
		t.Errorf("a second end: stale %v", stale)
	}
	b.wantState(t, c.ExecutionID, job.StateSucceeded)
}

func (b *engineBench) retry(t *testing.T, c store.Claimed, after time.Duration) {
	t.Helper()
	f := end(c, job.StateQueued)
	f.RetryAt = b.start.Add(after)
	f.Error = &job.Failure{Code: "UNAVAILABLE", Reason: "X", Message: "y"}
	stale, err := b.Finish(t.Context(), []store.Finish{f})
	ok(t, err)
	if len(stale) > 0 {
		t.Fatalf("stale %v", stale)
	}
}

func testRetry(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	b.retry(t, c, 10*time.Second)
	if e := b.execution(t, c.ExecutionID); e.State != job.StateQueued || e.Attempt != 1 || e.Error == nil {
		t.Errorf("waiting for its next attempt: %+v", e)
	}
	none(t, b.claimQueued(t, 9*time.Second))
	again := only(t, b.claimQueued(t, 10*time.Second))
	if again.ExecutionID != c.ExecutionID || again.Attempt != 2 || again.Fence <= c.Fence || !again.FirstStartedAt.Equal(b.start) {
		t.Errorf("second attempt: %+v", again)
	}
	b.finish(t, again, job.StateSucceeded)
	if e := b.execution(t, c.ExecutionID); e.State != job.StateSucceeded || e.Attempt != 2 || e.Error != nil {
		t.Errorf("ended: %+v", e)
	}
}

func testCancelledRetry(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	_, err := b.CancelExecution(t.Context(), c.ExecutionID, b.start, job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled})
	ok(t, err)
	b.wantState(t, c.ExecutionID, job.StateCancelling)
	owned, err := b.Owned(t.Context(), b.self)
	ok(t, err)
	if len(owned) != 1 || owned[0] != (store.Owned{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateCancelling}) {
		t.Errorf("owned: %+v", owned)
	}
	b.retry(t, c, 10*time.Second)
	b.wantState(t, c.ExecutionID, job.StateCancelled)
}

func testWaiting(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{Overlap: job.OverlapBufferAll})
	first := only(t, b.claim(t, 0, 0))
	none(t, b.claim(t, time.Minute, 0))
	none(t, b.claim(t, 2*time.Minute, 0))
	none(t, b.claimQueued(t, 3*time.Minute))
	b.finish(t, first, job.StateSucceeded)
	second := only(t, b.claimQueued(t, 3*time.Minute))
	if !second.ScheduledFor.Equal(b.start.Add(time.Minute)) || second.JobID != j.ID {
		t.Errorf("second is for %v", second.ScheduledFor)
	}
	none(t, b.claimQueued(t, 3*time.Minute))
	b.finish(t, second, job.StateSucceeded)
	third := only(t, b.claimQueued(t, 3*time.Minute))
	if !third.ScheduledFor.Equal(b.start.Add(2*time.Minute)) || third.Fence <= second.Fence {
		t.Errorf("third is for %v with fence %d", third.ScheduledFor, third.Fence)
	}
}

func testCancelOther(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{Overlap: job.OverlapCancelOther})
	first := only(t, b.claim(t, 0, 0))
	none(t, b.claim(t, time.Minute, 0))
	b.wantState(t, first.ExecutionID, job.StateCancelling)
	none(t, b.claimQueued(t, time.Minute))
	b.finish(t, first, job.StateCancelled)
	only(t, b.claimQueued(t, time.Minute))
}

func testProgress(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	tasks := []job.TaskRecord{{Name: "a", Type: "util.noop", State: job.TaskRunning, StartedAt: b.start}}
	report := []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: b.start, Tasks: tasks, LogBytes: 3}}
	stale, cancelled, err := b.Progress(t.Context(), report)
	ok(t, err)
	if len(stale)+len(cancelled) > 0 {
		t.Errorf("stale %v, cancelled %v", stale, cancelled)
	}
	e := b.execution(t, c.ExecutionID)
	if diff := cmp.Diff(tasks, e.Tasks); diff != "" || e.State != job.StateRunning || !e.StartedAt.Equal(b.start) {
		t.Errorf("%+v\n%s", e, diff)
	}
	_, err = b.CancelExecution(t.Context(), c.ExecutionID, b.start, job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled})
	ok(t, err)
	_, cancelled, err = b.Progress(t.Context(), report)
	ok(t, err)
	if len(cancelled) != 1 {
		t.Errorf("cancelled %v", cancelled)
	}
}

func testWithdraw(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	c := only(t, b.claim(t, -400*time.Millisecond, 500*time.Millisecond))
	edited, err := b.UpdateJob(t.Context(), j.ID, store.At(b.start.Add(-200*time.Millisecond)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
		j.Name = "other"
		return true, nil, nil
	})
	ok(t, err)
	states, err := b.StillClaimed(t.Context(), []store.Claimed{c})
	ok(t, err)
	if len(states) != 0 {
		t.Errorf("still claimed: %v", states)
	}
	if _, err := b.Execution(t.Context(), c.ExecutionID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the withdrawn execution: %v", err)
	}
	if !edited.NextRun.Equal(b.start) {
		t.Errorf("the slot is due again at %v, want %v", edited.NextRun, b.start)
	}
	if again := only(t, b.claim(t, 0, 0)); again.JobVersion != j.Version+1 {
		t.Errorf("claimed version %d, want %d", again.JobVersion, j.Version+1)
	}
}

func testDeleteActive(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{Overlap: job.OverlapBufferAll})
	running := only(t, b.claim(t, 0, 0))
	none(t, b.claim(t, time.Minute, 0))
	ok(t, b.DeleteJob(t.Context(), j.ID, store.At(b.start.Add(time.Minute)), func(job.Job) error { return nil }))
	if err := b.DeleteJob(t.Context(), j.ID, store.At(b.start), func(job.Job) error { return nil }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a second delete: %v", err)
	}
	b.wantState(t, running.ExecutionID, job.StateCancelling)
	b.finish(t, running, job.StateCancelled)
	list, err := b.ExecutionsOfInstance(t.Context(), b.instance.ID, store.Page{Limit: 10})
	ok(t, err)
	if len(list) != 2 || list[0].State != job.StateCancelled || list[1].State != job.StateCancelled {
		t.Errorf("history: %+v", list)
	}
	none(t, b.claim(t, time.Hour, 0))
	none(t, b.claimQueued(t, time.Hour))
}

func testRelease(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	ok(t, b.Release(t.Context(), []store.Claimed{c}))
	again := only(t, b.claimQueued(t, 0))
	if again.ExecutionID != c.ExecutionID || again.Attempt != 1 || again.Fence <= c.Fence {
		t.Errorf("claimed again: %+v", again)
	}
}
