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
		_, err := b.UpdateJob(t.Context(), free.ID, store.At(b.start), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
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

// testMarks: a mark says where to look first, and nothing about what is there.
func testMarks(t *testing.T, b *engineBench) {
	for range 7 {
		b.job(t, job.Policies{})
	}
	claimed := b.claim(t, 0, 0)
	if len(claimed) != 7 {
		t.Fatalf("%d executions claimed, want 7", len(claimed))
	}
	ends := make([]store.Finish, len(claimed))
	for i, c := range claimed {
		ends[i] = end(c, job.StateSucceeded)
	}
	ends[1].Mark = 0
	ends[2].Mark, ends[3].Mark = ends[3].Mark, ends[2].Mark
	ends[4].Mark = 1 << 40
	ends[5].Fence++
	if _, _, err := b.Progress(t.Context(), []store.Progress{{ // it may lie elsewhere now
		ExecutionID: claimed[6].ExecutionID, Fence: claimed[6].Fence, StartedAt: b.start,
	}}); err != nil {
		t.Fatal(err)
	}
	stale, err := b.Finish(t.Context(), ends)
	ok(t, err)
	if diff := cmp.Diff([]int64{claimed[5].ExecutionID}, stale); diff != "" {
		t.Errorf("stale (-want +got):\n%s", diff)
	}
	for i, c := range claimed {
		want := job.StateSucceeded
		if i == 5 {
			want = job.StateQueued
		}
		b.wantState(t, c.ExecutionID, want)
		if e := b.execution(t, c.ExecutionID); e.JobID != c.JobID {
			t.Errorf("execution %d is said to be of job %d, not %d", e.ID, e.JobID, c.JobID)
		}
	}
	// Again, as after a commit whose answer was lost: nothing is written.
	stale, err = b.Finish(t.Context(), ends)
	ok(t, err)
	if len(stale) != len(ends) {
		t.Errorf("%d of %d ends were refused the second time", len(stale), len(ends))
	}
}

// testReportsAndEnds: reports and ends of the same executions, in any order,
// wait for one another and not for each other.
func testReportsAndEnds(t *testing.T, b *engineBench) {
	jobs := volume(300)
	for range jobs {
		b.job(t, job.Policies{})
	}
	now := b.start
	for round := range 5 {
		claimed, _, err := b.ClaimDue(t.Context(), store.ClaimRequest{Owner: b.self, Now: now, Ahead: now, Limit: jobs},
			func(d store.Due) store.Decision { return policy.Due(d, now) })
		ok(t, err)
		reports, ends := make([]store.Progress, jobs), make([]store.Finish, jobs)
		for i, c := range claimed {
			ends[i] = end(c, job.StateSucceeded)
			ends[i].Mark = 0
			reports[jobs-1-i] = store.Progress{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: now}
		}
		var reporting sync.WaitGroup
		for range 4 {
			reporting.Go(func() {
				if _, _, err := b.Progress(t.Context(), reports); err != nil {
					t.Errorf("round %d: report: %v", round, err)
				}
			})
		}
		stale, err := b.Finish(t.Context(), ends)
		if err != nil || len(stale) > 0 {
			t.Errorf("round %d: finish: %v, stale %v", round, err, stale)
		}
		reporting.Wait()
		now = now.Add(time.Minute)
	}
}
