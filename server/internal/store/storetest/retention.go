package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var retentionTests = tests{
	"what ended before the cutoff goes in batches": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		enqueue(t, s, j.ID, minute(-1))
		c := claimQueued(t, s, noon)[0] // the first to be made is the last to end
		old := history(t, s, j.ID, 5)   // ended a second after minute 0 to 4
		finish(t, s, c, job.StateSucceeded, noon, minute(10))
		running := enqueue(t, s, j.ID, noon.Add(time.Millisecond))

		var pruned []int64
		for {
			batch := must(s.PruneHistory(t.Context(), minute(4), 3))(t)
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
		_ = must(s.PruneHistory(t.Context(), minute(10), 100))(t)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{missed})
	},
	"a skip does not fold into a row that was pruned": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		paused := job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipPaused, First: minute(0), Last: minute(1), Count: 2}
		skip(t, s, j.ID, paused)
		_ = must(s.PruneHistory(t.Context(), minute(10), 100))(t)
		paused.First, paused.Last = minute(20), minute(21)
		skip(t, s, j.ID, paused)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{paused})
	},
	"recent requests are remembered": func(t *testing.T, s store.Store) {
		req := store.Request{Key: "k", Digest: "d"}
		first := must(s.CreateInstance(t.Context(), job.Instance{}, 0, req))(t)
		_ = must(s.PruneHistory(t.Context(), noon.Add(1000*time.Hour), 100))(t)
		same(t, "repeat", must(s.CreateInstance(t.Context(), job.Instance{}, 0, req))(t), first)
	},
}
