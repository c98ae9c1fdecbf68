package storetest

import (
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// folderRaceTests let several replicas claim at once.
var folderRaceTests = tests{
	"of many that are due at once, on several replicas, one starts": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		for range 12 {
			w.job("", w.writes("a", "x"))
		}
		register(t, s, 3)
		for round := 1; round <= 8; round++ {
			claimed := w.race(hour(round))
			if len(claimed) != 1 {
				t.Fatalf("in round %d %d executions write one folder: %+v", round, len(claimed), claimed)
			}
			w.end(claimed[0])
		}
	},
	"many claim at once, no two write one folder, and all get their turn": manyClaimFolders,
}

// race lets several replicas decide at a time until nothing is left to decide.
func (w *worker) race(now time.Time) (all []store.Claimed) {
	var mu sync.Mutex
	var replicas sync.WaitGroup
	for replica := range 4 {
		replicas.Go(func() {
			for more := true; more; {
				claimed, again, err := w.ClaimDue(w.t.Context(), store.ClaimRequest{Owner: int64(replica + 1), Now: now, Ahead: now, Limit: 1},
					func(d store.Due) store.Decision { return policy.Due(d, now) })
				if err != nil {
					w.t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, claimed...)
				mu.Unlock()
				more = again
			}
		})
	}
	replicas.Wait()
	return all
}

func manyClaimFolders(t *testing.T, s store.Store) {
	w := newWorker(t, s)
	sets := [][]job.Folder{
		{w.writes("a", "x"), w.writes("b", "x")}, {w.writes("b", "x"), w.writes("a", "x")}, {w.writes("a", ""), w.reads("b", "")},
		{w.reads("a", "x/y"), w.writes("b", "z")}, {w.writes("a", "x/y/z")}, {w.reads("b", "")},
	}
	const each = 5
	for i, folders := range sets {
		j := w.job(job.OverlapAllow, folders...)
		for n := range each {
			w.byHand(j, hour(1).Add(time.Duration(i*each+n)*time.Millisecond))
		}
	}
	register(t, s, 3)
	var mu sync.Mutex
	held := map[int64][]job.Folder{}
	ended := 0
	var replicas sync.WaitGroup
	deadline := time.Now().Add(10 * time.Minute)
	for replica := range 4 {
		replicas.Go(func() {
			for time.Now().Before(deadline) {
				mu.Lock()
				done := ended == each*len(sets)
				mu.Unlock()
				if done {
					return
				}
				claimed, _, err := s.ClaimWithFolders(t.Context(), store.ClaimRequest{Owner: int64(replica + 1), Now: hour(2), Ahead: hour(2), Limit: 2}, policy.Admit)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range claimed {
					folders := must(s.Job(t.Context(), c.JobID))(t).Folders
					mu.Lock()
					for id, others := range held {
						if job.Collide(folders, others) {
							t.Errorf("executions %d and %d run at once", c.ExecutionID, id)
						}
					}
					held[c.ExecutionID] = folders
					mu.Unlock()
				}
				for _, c := range claimed {
					mu.Lock()
					delete(held, c.ExecutionID)
					ended++
					mu.Unlock()
					finish(t, s, c, job.StateSucceeded, hour(2), hour(2))
				}
			}
		})
	}
	replicas.Wait()
	if ended != each*len(sets) {
		t.Errorf("%d of %d got their turn", ended, each*len(sets))
	}
}
