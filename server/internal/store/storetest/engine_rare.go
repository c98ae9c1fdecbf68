package storetest

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// rareEngineTests are about what few jobs have: pauses that end by themselves,
// limits, and failures that count.
var rareEngineTests = map[string]func(*testing.T, *engineBench){
	"PauseEndsByItself":         testPauseEnds,
	"MaxExecutionsExhaust":      testMaxExecutions,
	"FailuresInARowPause":       testFailuresPause,
	"SuccessForgetsFailures":    testSuccessForgets,
	"InstancesTakeTurns":        testTurns,
	"TurnsAndRest":              testTurnsAndRest,
	"AheadLeavesRoom":           testAheadLeavesRoom,
	"MarksMayBeWrong":           testMarks,
	"ReportsAndEndsTogether":    testReportsAndEnds,
	"LateProgressLeavesRetries": testLateProgress,
	"OwnerlessAreAdopted":       testOwnerless,
	"WaitsForNothingElse":       testReadyAt,
	"PriorityGoesFirst":         testPriority,
	"PriorityOfWhatIsDue":       testPriorityDue,
	"PriorityIsTheInstances":    testPriorityOfOthers,
	"CancelOtherEndsRetries":    testCancelOtherEndsRetries,
	"CancelOtherEndsApprovals":  testCancelOtherEndsApprovals,
	"CancelKeepsItsReason":      testCancelKeepsReason,
	"ASlotThatRanTwiceIsKept":   testRanTwice,
	"DecisionsOfTheWholeBatch":  testMixedBatch,
}

func testPauseEnds(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	until := b.start.Add(5*time.Minute + 30*time.Second)
	_, err := b.UpdateJob(t.Context(), j.ID, store.At(b.start.Add(-time.Second)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
		j.Active, j.PausedAt, j.NextRun = false, b.start.Add(-time.Second), time.Time{}
		j.Pause = &job.Pause{Reason: "maintenance", Actor: "client_3", Since: j.PausedAt, Until: until}
		return true, nil, nil
	})
	ok(t, err)
	none(t, b.claim(t, 5*time.Minute+29*time.Second, 500*time.Millisecond))
	none(t, b.claim(t, 5*time.Minute+31*time.Second, 0))
	after, err := b.Job(t.Context(), j.ID)
	ok(t, err)
	if !after.Active || after.Pause != nil || !after.NextRun.Equal(b.start.Add(6*time.Minute+30*time.Second)) || after.Version <= j.Version+1 {
		t.Errorf("resumed: active %v, pause %+v, next %v, version %d", after.Active, after.Pause, after.NextRun, after.Version)
	}
	want := []job.Skip{{
		JobID: j.ID, InstanceID: b.instance.ID, Reason: job.SkipPaused, First: b.start, Last: b.start.Add(5 * time.Minute), Count: 6,
	}}
	if diff := cmp.Diff(want, b.skips(t, j.ID)); diff != "" {
		t.Errorf("ledger (-want +got):\n%s", diff)
	}
	only(t, b.claim(t, 6*time.Minute+30*time.Second, 0)) // the interval counts from the end of the pause, not from the visit
}

func testMaxExecutions(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{MaxExecutions: 2})
	b.finish(t, only(t, b.claim(t, 0, 0)), job.StateSucceeded)
	last := only(t, b.claim(t, time.Minute, 0))
	b.finish(t, last, job.StateSucceeded)
	none(t, b.claim(t, 2*time.Minute, 0))
	after, err := b.Job(t.Context(), last.JobID)
	ok(t, err)
	if !after.NextRun.IsZero() || after.Started != 2 || !after.Active {
		t.Errorf("exhausted: next %v, started %d, active %v", after.NextRun, after.Started, after.Active)
	}
}

// fail ends an execution of a job that is paused after some failures.
func (b *engineBench) fail(t *testing.T, c store.Claimed, state job.State) {
	t.Helper()
	f := end(c, state)
	f.JobID, f.PauseAfter = c.JobID, c.Policies.PauseAfterFailures
	f.Error = &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY", Message: "away"}
	stale, err := b.Finish(t.Context(), []store.Finish{f})
	ok(t, err)
	if len(stale) > 0 {
		t.Fatalf("stale: %v", stale)
	}
}

func testFailuresPause(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{PauseAfterFailures: 2})
	b.fail(t, only(t, b.claim(t, 0, 0)), job.StateFailed)
	b.fail(t, only(t, b.claim(t, time.Minute, 0)), job.StateCancelled) // counts for nothing
	b.fail(t, only(t, b.claim(t, 2*time.Minute, 0)), job.StateWorkerLost)
	after, err := b.Job(t.Context(), j.ID)
	ok(t, err)
	if after.Active || !after.NextRun.IsZero() || after.Version != j.Version+1 || after.Pause == nil {
		t.Fatalf("after two failures: %+v", after)
	}
	if after.Pause.Actor != job.ActorSystem || after.Pause.Reason == "" {
		t.Errorf("pause: %+v", after.Pause)
	}
	none(t, b.claim(t, time.Hour, 0))
}

func testSuccessForgets(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{PauseAfterFailures: 2})
	for i, state := range []job.State{job.StateFailed, job.StateSucceeded, job.StateFailed} {
		b.fail(t, only(t, b.claim(t, time.Duration(i)*time.Minute, 0)), state)
	}
	after, err := b.Job(t.Context(), j.ID)
	ok(t, err)
	if !after.Active || after.Failures != 1 {
		t.Errorf("active %v with %d failures", after.Active, after.Failures)
	}
}

func testPriority(t *testing.T, b *engineBench) {
	low, high := b.job(t, job.Policies{}), b.job(t, job.Policies{Priority: 5})
	enqueue(t, b.Store, low.ID, b.start)
	enqueue(t, b.Store, high.ID, b.start.Add(time.Second))
	now := b.start.Add(time.Minute)
	claimed, more, err := b.ClaimQueued(t.Context(), store.ClaimRequest{Owner: b.self, Now: now, Ahead: now, Limit: 1})
	ok(t, err)
	if c := only(t, claimed); c.JobID != high.ID || !more {
		t.Errorf("job %d went first, want the one with the higher priority, %d; more %v", c.JobID, high.ID, more)
	}
}

// An execution that only its time or a free place keeps back says since when.
func testReadyAt(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{Overlap: job.OverlapBufferAll})
	c := only(t, b.claim(t, 0, 0))
	none(t, b.claim(t, time.Minute, 0)) // the second waits for the first
	want := func(when string, ready ...time.Time) {
		t.Helper()
		list, err := b.ExecutionsOfJob(t.Context(), j.ID, store.Page{Limit: 10})
		ok(t, err)
		var got []time.Time
		for _, e := range list {
			one := b.execution(t, e.ID)
			if !one.ReadyAt.Equal(e.ReadyAt) {
				t.Errorf("%s: execution %d alone is ready at %v, in the list at %v", when, e.ID, one.ReadyAt, e.ReadyAt)
			}
			got = append(got, e.ReadyAt)
		}
		if diff := cmp.Diff(ready, got); diff != "" {
			t.Errorf("%s, ready (-want +got):\n%s", when, diff)
		}
	}
	want("while the first has a place", time.Time{}, time.Time{})
	b.retry(t, c, 90*time.Second)
	want("while the first waits for its next attempt", time.Time{}, b.start.Add(90*time.Second))
	b.finish(t, only(t, b.claimQueued(t, 2*time.Minute)), job.StateSucceeded)
	want("after it", b.start.Add(time.Minute), time.Time{})
}

// Which jobs of an instance run when not all can is by priority, however the
// claim shares places among instances.
func testPriorityDue(t *testing.T, b *engineBench) {
	for name, req := range map[string]store.ClaimRequest{
		"by time":        {},
		"in turns":       {PerInstance: 2},
		"turns and rest": {PerInstance: 1, Rest: true},
	} {
		t.Run(name, func(t *testing.T) {
			b.instance = b.another(t)
			var want []int64
			for i, priority := range []int{-7, 0, 70, 0, 5} {
				j := b.job(t, job.Policies{Priority: priority})
				if i == 2 || i == 4 {
					want = append(want, j.ID)
				}
			}
			single := b.jobOf(t)
			now := b.start.Add(time.Second)
			req.Owner, req.Now, req.Ahead, req.Limit = b.self, now, now, 2
			var got []int64
			for range 3 { // it may be the other instance's turn
				claimed, _, err := b.ClaimDue(t.Context(), req, func(d store.Due) store.Decision { return policy.Due(d, now) })
				ok(t, err)
				for _, c := range claimed {
					if c.JobID != single.ID {
						got = append(got, c.JobID)
					}
				}
			}
			if len(got) < 2 {
				t.Fatalf("claimed %v", got)
			}
			if first := slices.Sorted(slices.Values(got[:2])); !slices.Equal(first, want) {
				t.Errorf("jobs %v went first, want those with the highest priorities, %v", first, want)
			}
			for _, c := range b.claim(t, time.Second, 0) { // the rest
				b.finish(t, c, job.StateSucceeded)
			}
		})
	}
}

// A priority says nothing to the other instances.
func testPriorityOfOthers(t *testing.T, b *engineBench) {
	for range 3 {
		enqueue(t, b.Store, b.job(t, job.Policies{Priority: 100}).ID, b.start)
	}
	other := b.jobOf(t)
	enqueue(t, b.Store, other.ID, b.start.Add(time.Second))
	now := b.start.Add(time.Minute)
	claimed, _, err := b.ClaimQueued(t.Context(), store.ClaimRequest{Owner: b.self, Now: now, Ahead: now, Limit: 2})
	ok(t, err)
	if !slices.ContainsFunc(claimed, func(c store.Claimed) bool { return c.JobID == other.ID }) {
		t.Errorf("all places went to one instance: %+v", claimed)
	}
}

func testCancelOtherEndsRetries(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{Overlap: job.OverlapCancelOther})
	first := only(t, b.claim(t, 0, 0))
	b.retry(t, first, time.Hour)
	none(t, b.claim(t, time.Minute, 0))
	b.wantState(t, first.ExecutionID, job.StateCancelled)
	only(t, b.claimQueued(t, time.Minute))
}

func testCancelOtherEndsApprovals(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{Overlap: job.OverlapCancelOther})
	first := only(t, b.claim(t, 0, 0))
	f := end(first, job.StateAwaitingApproval)
	f.Error, f.RetryAt = &guarded, b.start.Add(time.Hour)
	f.Approval = &job.Approval{ExecutionID: first.ExecutionID, Attempt: 1, State: job.ApprovalPending, Digest: "d", RequestedAt: b.start, ExpiresAt: f.RetryAt}
	_, err := b.Finish(t.Context(), []store.Finish{f})
	ok(t, err)
	none(t, b.claim(t, time.Minute, 0))
	b.wantState(t, first.ExecutionID, job.StateCancelled)
	a, err := b.Approval(t.Context(), first.ExecutionID)
	ok(t, err)
	if a.State != job.ApprovalCancelled || len(a.Snapshot) > 0 {
		t.Errorf("approval: %+v", a)
	}
	_, err = b.Approve(t.Context(), first.ExecutionID, b.start.Add(2*time.Minute), "d", "ann")
	refused(t, err, job.ReasonNotAwaiting)
	only(t, b.claimQueued(t, time.Minute))
}

func testCancelKeepsReason(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	_, err := b.CancelExecution(t.Context(), c.ExecutionID, b.start, job.Failure{Code: "CANCELLED", Reason: "BY_A_TEST", Message: "why"})
	ok(t, err)
	f := end(c, job.StateCancelled)
	f.Error = &job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled}
	_, err = b.Finish(t.Context(), []store.Finish{f})
	ok(t, err)
	if e := b.execution(t, c.ExecutionID); e.Error == nil || e.Error.Reason != "BY_A_TEST" {
		t.Errorf("the reason of the cancel: %+v", e.Error)
	}
}

// A replica with a wrong clock may bring a slot back after it has run. The
// second execution must not keep the others of its group from their history.
func testRanTwice(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	first := only(t, b.claim(t, 0, 0))
	b.finish(t, first, job.StateSucceeded)
	_, err := b.UpdateJob(t.Context(), j.ID, store.At(b.start), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
		j.NextRun = b.start
		return true, nil, nil
	})
	ok(t, err)
	again := only(t, b.claim(t, 0, 0))
	b.job(t, job.Policies{})
	other := only(t, b.claim(t, 0, 0))
	stale, err := b.Finish(t.Context(), []store.Finish{end(again, job.StateSucceeded), end(other, job.StateSucceeded)})
	ok(t, err)
	if len(stale) > 0 {
		t.Errorf("stale: %v", stale)
	}
	b.wantState(t, other.ExecutionID, job.StateSucceeded)
	if e := b.execution(t, again.ExecutionID); e.State != job.StateSucceeded || e.TriggerID == "" {
		t.Errorf("the second execution: %+v", e)
	}
}

// Jobs of every kind in one batch get each their own.
func testMixedBatch(t *testing.T, b *engineBench) {
	plain := b.job(t, job.Policies{})
	blocked := b.job(t, job.Policies{})
	waiting := b.job(t, job.Policies{Overlap: job.OverlapBufferAll})
	held := only(t, b.claimFor(t, blocked.ID, 0))
	before := only(t, b.claimFor(t, waiting.ID, 0))
	claimed := b.claim(t, time.Minute, 0)
	if c := only(t, claimed); c.JobID != plain.ID || !c.ScheduledFor.Equal(b.start.Add(time.Minute)) {
		t.Errorf("started: %+v", c)
	}
	reasons := func(jobID int64) (list []string) {
		for _, k := range b.skips(t, jobID) {
			list = append(list, k.Reason)
		}
		return list
	}
	if diff := cmp.Diff([]string{job.SkipMissed}, reasons(plain.ID)); diff != "" {
		t.Errorf("plain: %s", diff)
	}
	if diff := cmp.Diff([]string{job.SkipOverlap}, reasons(blocked.ID)); diff != "" {
		t.Errorf("blocked: %s", diff)
	}
	b.finish(t, before, job.StateSucceeded)
	b.finish(t, held, job.StateSucceeded)
	if c := only(t, b.claimQueued(t, time.Minute)); c.JobID != waiting.ID {
		t.Errorf("waited: %+v", c)
	}
}

// claimFor claims one job, leaving the others due.
func (b *engineBench) claimFor(t *testing.T, jobID int64, offset time.Duration) []store.Claimed {
	t.Helper()
	now := b.start.Add(offset)
	claimed, _, err := b.ClaimDue(t.Context(), store.ClaimRequest{Owner: b.self, Now: now, Ahead: now, Limit: 100},
		func(d store.Due) store.Decision {
			if d.JobID != jobID {
				return store.Decision{Next: d.NextRun}
			}
			return policy.Due(d, now)
		})
	ok(t, err)
	return claimed
}

func (b *engineBench) another(t *testing.T) job.Instance {
	t.Helper()
	other, err := b.CreateInstance(t.Context(), job.Instance{Title: "other", CreatedAt: b.start}, 0, store.Request{})
	ok(t, err)
	return other
}

// jobOf makes a minute job in an instance of its own.
func (b *engineBench) jobOf(t *testing.T) job.Job {
	t.Helper()
	mine := b.instance
	b.instance = b.another(t)
	defer func() { b.instance = mine }()
	return b.job(t, job.Policies{})
}

func testTurns(t *testing.T, b *engineBench) {
	for range 20 {
		b.job(t, job.Policies{})
	}
	single, second := b.jobOf(t), b.jobOf(t)
	now := b.start.Add(time.Second)
	take := func(limit, perInstance int, full ...int64) map[int64]int {
		claimed, _, err := b.ClaimDue(t.Context(), store.ClaimRequest{
			Owner: b.self, Now: now, Ahead: now, Limit: limit, PerInstance: perInstance, Full: full,
		}, func(d store.Due) store.Decision { return policy.Due(d, now) })
		ok(t, err)
		of := make(map[int64]int)
		for _, c := range claimed {
			of[c.InstanceID]++
		}
		return of
	}
	herd := b.instance.ID
	want := map[int64]int{herd: 3, single.InstanceID: 1, second.InstanceID: 1}
	if diff := cmp.Diff(want, take(100, 3)); diff != "" {
		t.Errorf("one round (-want +got):\n%s", diff)
	}
	third := b.jobOf(t)
	if diff := cmp.Diff(map[int64]int{third.InstanceID: 1}, take(100, 100, herd)); diff != "" {
		t.Errorf("while the herd has all its places (-want +got):\n%s", diff)
	}
	// A limit that cuts a round short: the next round begins behind the cut, or anew
	// when nothing is there.
	fourth := b.jobOf(t)
	for _, round := range []struct {
		limit int
		want  map[int64]int
	}{
		{1, map[int64]int{fourth.InstanceID: 1}},
		{2, map[int64]int{herd: 2}},
		{2, map[int64]int{herd: 2}},
	} {
		if diff := cmp.Diff(round.want, take(round.limit, 2)); diff != "" {
			t.Errorf("a short round (-want +got):\n%s", diff)
		}
	}
	if got := take(100, 0); got[herd] != 13 {
		t.Errorf("by time: %v", got)
	}
}

// A report that is written after the attempt was put back must not hide it.
func testLateProgress(t *testing.T, b *engineBench) {
	b.job(t, job.Policies{})
	c := only(t, b.claim(t, 0, 0))
	b.retry(t, c, 10*time.Second)
	stale, _, err := b.Progress(t.Context(), []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: b.start}})
	ok(t, err)
	if len(stale) != 1 {
		t.Errorf("stale: %v", stale)
	}
	ended, err := b.Finish(t.Context(), []store.Finish{end(c, job.StateSucceeded)})
	ok(t, err)
	if len(ended) != 1 {
		t.Errorf("an end after the retry was stored; stale: %v", ended)
	}
	only(t, b.claimQueued(t, 10*time.Second))
}

// What a replica leaves behind is found at the next look, whichever that is.
func testOwnerless(t *testing.T, b *engineBench) {
	_, err := b.Bury(t.Context(), b.self, 0)
	ok(t, err)
	gone := b.replica(t, time.Minute)
	b.job(t, job.Policies{})
	c := only(t, b.claimAs(t, gone, 0, 0))
	ok(t, b.Leave(t.Context(), gone))
	lost, err := b.Bury(t.Context(), b.self, 0)
	ok(t, err)
	if len(lost) != 1 || lost[0].ExecutionID != c.ExecutionID || lost[0].Fence <= c.Fence {
		t.Fatalf("lost: %+v", lost)
	}
	b.finish(t, lost[0].Claimed, job.StateWorkerLost)
	// And a claim of one's own whose answer was lost.
	b.job(t, job.Policies{})
	own := only(t, b.claim(t, 0, 0))
	lost, err = b.Reclaim(t.Context(), b.self, []int64{own.ExecutionID})
	ok(t, err)
	if len(lost) != 1 || lost[0].Fence <= own.Fence {
		t.Errorf("taken back: %+v", lost)
	}
}
