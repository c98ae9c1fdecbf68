package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// prune prunes once.
func prune(t *testing.T, s store.Store, cutoff time.Time, limit int) []job.Execution {
	t.Helper()
	pruned, _, err := s.PruneHistory(t.Context(), cutoff, limit)
	ok(t, err)
	return pruned
}

var retentionTests = tests{
	"there is more as long as anything is old": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		history(t, s, j.ID, 1)
		for i := range 5 {
			skip(t, s, j.ID, job.Skip{
				JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(i), Last: minute(i), Count: 1, BlockedBy: int64(i),
			})
		}
		var rounds []bool
		for len(rounds) < 4 {
			_, more, err := s.PruneHistory(t.Context(), minute(60), 2)
			ok(t, err)
			rounds = append(rounds, more)
		}
		same(t, "more", rounds, []bool{true, true, false, false})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
	},
	"what ended before the cutoff goes in batches": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		enqueue(t, s, j.ID, minute(-1))
		c := claimQueued(t, s, noon)[0] // the first to be made is the last to end
		old := history(t, s, j.ID, 5)   // ended a second after minute 0 to 4
		finish(t, s, c, job.StateSucceeded, noon, minute(10))
		running := enqueue(t, s, j.ID, noon.Add(time.Millisecond))

		var pruned []int64
		for {
			batch := prune(t, s, minute(4), 3)
			if len(batch) == 0 {
				break
			}
			if len(batch) > 3 {
				t.Fatalf("a batch of %d", len(batch))
			}
			for _, e := range batch {
				if e.JobID != j.ID || e.State != job.StateSucceeded || e.FinishedAt.IsZero() {
					t.Errorf("pruned %+v", e)
				}
			}
			pruned = append(pruned, idsOf(batch)...)
		}
		if len(pruned) != 4 {
			t.Errorf("pruned %v, want those of minute 0 to 3", pruned)
		}
		same(t, "left", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{running.ID, old[4], c.ExecutionID})
	},
	"old ledger rows go too": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		paused := job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipPaused, First: minute(0), Last: minute(1), Count: 2}
		missed := job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(2), Last: minute(20), Count: 3}
		skip(t, s, j.ID, paused, missed)
		prune(t, s, minute(10), 100)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{missed})
	},
	"a skip does not fold into a row that was pruned": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		paused := job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipPaused, First: minute(0), Last: minute(1), Count: 2}
		skip(t, s, j.ID, paused)
		prune(t, s, minute(10), 100)
		paused.First, paused.Last = minute(20), minute(21)
		skip(t, s, j.ID, paused)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{paused})
	},
	"recent requests are remembered": func(t *testing.T, s store.Store) {
		req := store.Request{Key: "k", Digest: "d"}
		first := must(s.CreateInstance(t.Context(), job.Instance{}, 0, req))(t)
		prune(t, s, noon.Add(1000*time.Hour), 100)
		same(t, "repeat", must(s.CreateInstance(t.Context(), job.Instance{}, 0, req))(t), first)
	},
}
