package executor

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

// reportLoop tells the store what runs for longer than a moment. It sleeps
// while nothing runs.
func (e *Executor) reportLoop(ctx context.Context) {
	tick := time.NewTicker(e.o.ReportAfter)
	defer tick.Stop()
	for {
		if e.Taken() == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return
			case <-e.busy:
			}
			tick.Reset(e.o.ReportAfter)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !e.report(ctx) {
				pause(ctx, time.Second)
			}
		}
	}
}

// report tells whether the database took what there was to tell.
func (e *Executor) report(ctx context.Context) bool {
	before := e.o.Now().Add(-e.o.ReportAfter)
	var reports []store.Progress
	e.mu.Lock()
	for _, a := range e.attempts {
		if p, ok := a.report(before); ok {
			reports = append(reports, p)
		}
	}
	e.mu.Unlock()
	if len(reports) == 0 {
		return true
	}
	stale, cancelled, err := e.o.Store.Progress(ctx, reports)
	if err != nil {
		e.o.Log.WarnContext(ctx, "can't report progress; trying again", "executions", len(reports), "error", err)
		for _, p := range reports {
			if a := e.attempt(p.ExecutionID); a != nil {
				a.reportAgain()
			}
		}
		return false
	}
	fences := make(map[int64]int64, len(reports))
	for _, p := range reports {
		fences[p.ExecutionID] = p.Fence
	}
	e.endAll(stale, fences, errFenced)
	e.endAll(cancelled, fences, errCancelled)
	return true
}

// endAll ends attempts, but not a later one of the same execution.
func (e *Executor) endAll(ids []int64, fences map[int64]int64, cause error) {
	for _, id := range ids {
		if a := e.attempt(id); a != nil && a.Fence == fences[id] {
			a.cancel(cause)
		}
	}
}
