package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// testAheadLeavesRoom: jobs that may not be claimed ahead of their time, since
// their last execution runs, don't fill a batch that has room for others.
func testAheadLeavesRoom(t *testing.T, b *engineBench) {
	for range 3 {
		b.job(t, job.Policies{})
	}
	if claimed := b.claim(t, 0, 0); len(claimed) != 3 {
		t.Fatalf("%d executions claimed, want 3", len(claimed))
	}
	now := b.start.Add(time.Minute - 200*time.Millisecond)
	for _, req := range []store.ClaimRequest{{Limit: 2}, {Limit: 2, PerInstance: 2}} {
		free := b.job(t, job.Policies{})
		_, err := b.UpdateJob(t.Context(), free.ID, b.start, func(j *job.Job) (bool, []job.Skip, error) {
			j.NextRun = b.start.Add(time.Minute)
			return true, nil, nil
		})
		ok(t, err)
		req.Owner, req.Now, req.Ahead = b.self, now, now.Add(500*time.Millisecond)
		claimed, more, err := b.ClaimDue(t.Context(), req, func(d store.Due) store.Decision { return policy.Due(d, now) })
		ok(t, err)
		if got := only(t, claimed); got.JobID != free.ID || more {
			t.Errorf("job %d claimed, want %d; more %v", got.JobID, free.ID, more)
		}
	}
}

// testTurnsAndRest: after the turns of the instances, the batch is filled with
// what is due first, and no job is claimed twice.
func testTurnsAndRest(t *testing.T, b *engineBench) {
	for range 5 {
		b.job(t, job.Policies{})
	}
	single := b.jobOf(t)
	now := b.start.Add(time.Second)
	take := func(limit int) (of map[int64]int, more bool) {
		claimed, more, err := b.ClaimDue(t.Context(), store.ClaimRequest{
			Owner: b.self, Now: now, Ahead: now, Limit: limit, PerInstance: 2, Rest: true,
		}, func(d store.Due) store.Decision { return policy.Due(d, now) })
		ok(t, err)
		of = make(map[int64]int)
		jobs := make(map[int64]bool)
		for _, c := range claimed {
			of[c.InstanceID]++
			jobs[c.JobID] = true
		}
		if len(jobs) != len(claimed) {
			t.Errorf("%d executions of %d jobs", len(claimed), len(jobs))
		}
		return of, more
	}
	if of, more := take(4); of[b.instance.ID] != 3 || of[single.InstanceID] != 1 || !more {
		t.Errorf("turns and rest: %v, more %v", of, more)
	}
	if of, more := take(4); of[b.instance.ID] != 2 || len(of) != 1 || more {
		t.Errorf("what was left: %v, more %v", of, more)
	}
}
