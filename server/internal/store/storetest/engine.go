package storetest

import (
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
		"TheBuriedNeitherRenewNorClaim":  testBuriedReplica,
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
