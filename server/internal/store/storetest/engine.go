package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// RunEngine proves store.Engine, store.Replicas and store.Signals.
func RunEngine(t *testing.T, open Open) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *engineBench){
		"ClaimMovesTheSchedule":          testClaim,
		"ClaimAheadOnlyWithoutOverlap":   testClaimAhead,
		"ClaimWithoutOwnerWaits":         testClaimWithoutOwner,
		"ConcurrentClaimsNeverShare":     testConcurrentClaims,
		"SkipsFold":                      testSkipsFold,
		"FinishMovesToHistory":           testFinish,
		"StaleFenceWritesNothing":        testStaleFence,
		"RetryWaitsForItsTime":           testRetry,
		"CancelledRetryEnds":             testCancelledRetry,
		"WaitingStartsInOrder":           testWaiting,
		"CancelOtherAsksTheRunning":      testCancelOther,
		"ProgressIsSeen":                 testProgress,
		"EditWithdrawsWhatIsAhead":       testWithdraw,
		"DeleteEndsWhatIsActive":         testDeleteActive,
		"ReleaseWaitsAgain":              testRelease,
		"BuriedExecutionsAreAdoptedOnce": testBury,
		"RenewAfterBurialFails":          testRenewAfterBurial,
		"SignalsArrive":                  testSignals,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newEngineBench(t, open(t)))
		})
	}
	for name, test := range rareEngineTests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newEngineBench(t, open(t)))
		})
	}
}

type engineBench struct {
	store.Store
	instance job.Instance
	// self is a registered replica; start is the time of the first slot.
	self  int64
	start time.Time
}

func newEngineBench(t *testing.T, s store.Store) *engineBench {
	t.Helper()
	instance, err := s.CreateInstance(t.Context(), job.Instance{Title: "bench", CreatedAt: job.Time(time.Now())}, 0, store.Request{})
	ok(t, err)
	b := &engineBench{Store: s, instance: instance, start: job.Time(time.Now()).Truncate(time.Minute)}
	b.self = b.replica(t, time.Minute)
	return b
}

func (b *engineBench) replica(t *testing.T, lease time.Duration) int64 {
	t.Helper()
	r, _, err := b.Register(t.Context(), "bench", lease)
	ok(t, err)
	return r.ID
}

// job makes a minute job whose next slot is start.
func (b *engineBench) job(t *testing.T, p job.Policies) job.Job {
	t.Helper()
	j, err := b.CreateJob(t.Context(), job.Job{
		InstanceID: b.instance.ID, Name: "j", Active: true, Workflow: []byte(`{"tasks":[{"name":"a","type":"util.noop"}]}`),
		Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: b.start.Add(-time.Minute)},
		Policies: p.WithDefaults(), Version: 1, NextRun: b.start, CreatedAt: b.start, UpdatedAt: b.start,
	}, store.Request{})
	ok(t, err)
	return j
}

// claim claims what is due at an offset from start.
func (b *engineBench) claim(t *testing.T, offset, ahead time.Duration) []store.Claimed {
	t.Helper()
	return b.claimAs(t, b.self, offset, ahead)
}

func (b *engineBench) claimAs(t *testing.T, owner int64, offset, ahead time.Duration) []store.Claimed {
	t.Helper()
	now := b.start.Add(offset)
	claimed, _, err := b.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now.Add(ahead), Limit: 100},
		func(d store.Due) store.Decision { return policy.Due(d, now) })
	ok(t, err)
	return claimed
}

func (b *engineBench) claimQueued(t *testing.T, offset time.Duration) []store.Claimed {
	t.Helper()
	now := b.start.Add(offset)
	claimed, _, err := b.ClaimQueued(t.Context(), store.ClaimRequest{Owner: b.self, Now: now, Ahead: now, Limit: 100})
	ok(t, err)
	return claimed
}

func (b *engineBench) finish(t *testing.T, c store.Claimed, state job.State) {
	t.Helper()
	stale, err := b.Finish(t.Context(), []store.Finish{end(c, state)})
	ok(t, err)
	if len(stale) > 0 {
		t.Fatalf("execution %d: stale fence", c.ExecutionID)
	}
}

func end(c store.Claimed, state job.State) store.Finish {
	return store.Finish{ExecutionID: c.ExecutionID, Mark: c.Mark, Fence: c.Fence, State: state, StartedAt: c.NotBefore, FinishedAt: c.NotBefore.Add(time.Second)}
}

func only(t *testing.T, claimed []store.Claimed) store.Claimed {
	t.Helper()
	if len(claimed) != 1 {
		t.Fatalf("%d executions claimed, want 1: %+v", len(claimed), claimed)
	}
	return claimed[0]
}

func none(t *testing.T, claimed []store.Claimed) {
	t.Helper()
	if len(claimed) != 0 {
		t.Fatalf("%d executions claimed, want none: %+v", len(claimed), claimed)
	}
}

func (b *engineBench) execution(t *testing.T, id int64) job.Execution {
	t.Helper()
	e, err := b.Execution(t.Context(), id)
	ok(t, err)
	return e
}

func (b *engineBench) wantState(t *testing.T, id int64, want job.State) {
	t.Helper()
	if got := b.execution(t, id).State; got != want {
		t.Errorf("execution %d is %s, want %s", id, got, want)
	}
}

func testClaim(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	none(t, b.claim(t, -time.Second, 0))
	c := only(t, b.claim(t, 0, 0))
	want := store.Claimed{
		ExecutionID: c.ExecutionID, Mark: c.Mark, JobID: j.ID, InstanceID: b.instance.ID, Trigger: job.TriggerSchedule,
		ScheduledFor: b.start, NotBefore: b.start, CreatedAt: b.start, Attempt: 1, Fence: 1, JobVersion: j.Version,
		Workflow: j.Workflow, Schedule: j.Schedule, Policies: j.Policies,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
	none(t, b.claim(t, time.Second, 0))
	b.finish(t, c, job.StateSucceeded)
	again := only(t, b.claim(t, time.Minute, 0))
	if again.Fence <= c.Fence || again.ExecutionID <= c.ExecutionID {
		t.Errorf("the next execution has fence %d and id %d, after %d and %d", again.Fence, again.ExecutionID, c.Fence, c.ExecutionID)
	}
}

func testClaimAhead(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, -400*time.Millisecond, 500*time.Millisecond))
	if !c.NotBefore.Equal(b.start) {
		t.Errorf("may start at %v, want %v", c.NotBefore, b.start)
	}
	none(t, b.claim(t, time.Minute-400*time.Millisecond, 500*time.Millisecond))
	b.finish(t, c, job.StateSucceeded)
	only(t, b.claim(t, time.Minute-300*time.Millisecond, 500*time.Millisecond))
}

func testClaimWithoutOwner(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	none(t, b.claimAs(t, 0, 0, 0))
	if c := only(t, b.claimQueued(t, 0)); c.Attempt != 1 || c.Fence != 1 {
		t.Errorf("attempt %d with fence %d, want 1 and 1", c.Attempt, c.Fence)
	}
}

func testConcurrentClaims(t *testing.T, b *engineBench) {
	const jobs, claimers = 60, 4
	for range jobs {
		b.job(t, job.Policies{})
	}
	var mu sync.Mutex
	seen := make(map[int64]int)
	var group sync.WaitGroup
	for range claimers {
		owner := b.replica(t, time.Minute)
		group.Go(func() {
			for {
				now := b.start.Add(time.Second)
				claimed, _, err := b.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now, Limit: 7},
					func(d store.Due) store.Decision { return policy.Due(d, now) })
				if err != nil || len(claimed) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				for _, c := range claimed {
					seen[c.JobID]++
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	// A claimer may have found every row locked by others and given up.
	for _, c := range b.claim(t, time.Second, 0) {
		seen[c.JobID]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("job %d was claimed %d times", id, n)
		}
	}
	if len(seen) != jobs {
		t.Errorf("%d jobs were claimed, want %d", len(seen), jobs)
	}
}

func (b *engineBench) skips(t *testing.T, jobID int64) []job.Skip {
	t.Helper()
	skips, err := b.SkipsBetween(t.Context(), jobID, b.start.Add(-time.Hour), b.start.Add(time.Hour), 100)
	ok(t, err)
	for i := range skips {
		skips[i].ID = 0
	}
	return skips
}

func testSkipsFold(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	for minute := time.Duration(1); minute <= 3; minute++ {
		none(t, b.claim(t, minute*time.Minute, 0))
	}
	b.finish(t, c, job.StateSucceeded)
	c2 := only(t, b.claim(t, 4*time.Minute, 0))
	none(t, b.claim(t, 5*time.Minute, 0))
	b.finish(t, c2, job.StateSucceeded)
	// Two minutes are missed, one starts.
	b.finish(t, only(t, b.claim(t, 8*time.Minute, 0)), job.StateSucceeded)
	row := func(reason string, first, last, count int, by int64) job.Skip {
		return job.Skip{
			JobID: j.ID, InstanceID: b.instance.ID, Reason: reason, BlockedBy: by, Count: int64(count),
			First: b.start.Add(time.Duration(first) * time.Minute), Last: b.start.Add(time.Duration(last) * time.Minute),
		}
	}
	want := []job.Skip{
		row(job.SkipOverlap, 1, 3, 3, c.ExecutionID),
		row(job.SkipOverlap, 5, 5, 1, c2.ExecutionID),
		row(job.SkipMissed, 6, 7, 2, 0),
	}
	if diff := cmp.Diff(want, b.skips(t, j.ID)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
}

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
	edited, err := b.UpdateJob(t.Context(), j.ID, b.start.Add(-200*time.Millisecond), func(j *job.Job) (bool, []job.Skip, error) {
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
	ok(t, b.DeleteJob(t.Context(), j.ID, b.start.Add(time.Minute), func(job.Job) error { return nil }))
	if err := b.DeleteJob(t.Context(), j.ID, b.start, func(job.Job) error { return nil }); !errors.Is(err, store.ErrNotFound) {
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

func testBury(t *testing.T, b *engineBench) {
	dead := b.replica(t, -time.Second)
	j := b.job(t, job.Policies{})
	running := only(t, b.claimAs(t, dead, 0, 0))
	_, _, err := b.Progress(t.Context(), []store.Progress{{ExecutionID: running.ExecutionID, Fence: running.Fence, StartedAt: b.start}})
	ok(t, err)
	// Burial goes by the database's time: this slot is still to come there.
	b.start = job.Time(time.Now()).Add(time.Hour).Truncate(time.Minute)
	b.job(t, job.Policies{})
	ahead := only(t, b.claimAs(t, dead, 0, 0))

	lost, err := b.Bury(t.Context(), b.self)
	ok(t, err)
	if len(lost) != 1 || lost[0].ExecutionID != running.ExecutionID || lost[0].Fence <= running.Fence || !lost[0].StartedAt.Equal(running.NotBefore) {
		t.Fatalf("lost: %+v", lost)
	}
	if diff := cmp.Diff(j.Schedule, lost[0].Schedule); diff != "" {
		t.Errorf("schedule of the lost (-want +got):\n%s", diff)
	}
	if stale, err := b.Finish(t.Context(), []store.Finish{end(running, job.StateSucceeded), end(ahead, job.StateSucceeded)}); err != nil || len(stale) != 2 {
		t.Errorf("the dead replica's writes: stale %v, %v", stale, err)
	}
	b.wantState(t, running.ExecutionID, job.StateRunning)
	b.finish(t, lost[0].Claimed, job.StateWorkerLost)
	if again := only(t, b.claimQueued(t, 0)); again.ExecutionID != ahead.ExecutionID || again.Attempt != 1 || again.Fence <= ahead.Fence {
		t.Errorf("what had not come due waits again: %+v", again)
	}
	lost, err = b.Bury(t.Context(), b.self)
	ok(t, err)
	if len(lost) != 0 {
		t.Errorf("buried twice: %+v", lost)
	}
}

func testRenewAfterBurial(t *testing.T, b *engineBench) {
	zombie := b.replica(t, -time.Second)
	_, err := b.Bury(t.Context(), b.self)
	ok(t, err)
	if b.sqlite() {
		return // one process: nobody else can bury it
	}
	if _, err := b.Renew(t.Context(), zombie, time.Minute); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("renewed after the burial: %v", err)
	}
	if _, err := b.Renew(t.Context(), b.self, time.Minute); err != nil {
		t.Errorf("the living: %v", err)
	}
}

func (b *engineBench) sqlite() bool {
	_, err := b.Renew(context.Background(), -1, time.Second)
	return err == nil
}

func testSignals(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	got := make(chan store.Signal, 16)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = b.Listen(ctx, func(s store.Signal) { got <- s }) }()
	if first := <-got; first.Kind != store.SignalDue {
		t.Fatalf("after connecting: %+v", first)
	}
	e, err := b.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "r1", Now: b.start})
	ok(t, err)
	if s := <-got; s.Kind != store.SignalDue {
		t.Errorf("after a run by hand: %+v", s)
	}
	c := only(t, b.claimQueued(t, 0))
	_, err = b.CancelExecution(t.Context(), e.ID, b.start, job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled})
	ok(t, err)
	if s := <-got; s != (store.Signal{Kind: store.SignalCancel, ID: c.ExecutionID}) {
		t.Errorf("after a cancel: %+v", s)
	}
}
