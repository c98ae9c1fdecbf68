package executor

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// reconcileEvery is the time between two comparisons.
	reconcileEvery = 4 * time.Second
	// strayLooks is in how many comparisons in a row a claim must be unknown
	// here: more than the store's timeout, since a claim may be on its way.
	strayLooks = 3
)

// reconcileLoop compares what the store says this replica owns with what it
// knows. A commit whose answer was lost leaves claims that nobody here knows:
// they are adopted like those of a dead replica. A cancel whose signal was lost
// is found here too.
func (e *Executor) reconcileLoop(ctx context.Context) {
	tick := time.NewTicker(reconcileEvery)
	defer tick.Stop()
	strays := make(map[claimKey]int)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			strays = e.reconcile(ctx, strays)
			e.expireApprovals()
		}
	}
}

func (e *Executor) reconcile(ctx context.Context, before map[claimKey]int) map[claimKey]int {
	owner := e.o.Owner()
	if owner == 0 {
		return nil
	}
	owned, err := e.o.Store.Owned(ctx, owner)
	if err != nil {
		return before // the other loops say that the database is away
	}
	strays := make(map[claimKey]int)
	var lost []int64
	for _, o := range owned {
		key := claimKey{o.ExecutionID, o.Fence}
		switch {
		case !e.knows(key):
			if strays[key] = before[key] + 1; strays[key] >= strayLooks {
				lost = append(lost, o.ExecutionID)
			}
		case o.State == job.StateCancelling:
			e.Cancel(o.ExecutionID)
		}
	}
	if len(lost) == 0 {
		return strays
	}
	adopted, err := e.o.Store.Reclaim(ctx, owner, lost)
	if err != nil {
		e.o.Log.WarnContext(ctx, "can't take back claims whose answer was lost; trying again", "executions", lost, "error", err)
		return strays
	}
	e.o.Log.WarnContext(ctx, "took back claims whose answer was lost", "executions", lost)
	e.Adopt(adopted)
	return nil
}

// knows tells whether a claim is on its way here.
func (e *Executor) knows(key claimKey) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := e.attempts[key.id]
	return a != nil && a.Fence == key.fence || e.adopted[key]
}
