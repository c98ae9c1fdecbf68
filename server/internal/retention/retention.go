// Package retention deletes executions, their logs and their ledger rows once
// they are old, in small batches, so that nobody waits for it.
//
// Rules: a log goes after its execution, so that no execution ever points to a
// log that is gone; what a crash leaves in between is an orphaned log object,
// never a lie. Several replicas may prune at once.
package retention

import (
	"context"
	"log/slog"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
)

// batch is how many executions one transaction deletes.
const batch = 500

// Store is where executions are pruned.
type Store interface {
	PruneHistory(ctx context.Context, cutoff time.Time, limit int) ([]job.Execution, error)
}

// Logs is where their logs are deleted.
type Logs interface {
	Delete(ctx context.Context, refs ...executionlog.Ref) error
}

// Pruner deletes what is older than Keep.
type Pruner struct {
	Store Store
	Logs  Logs
	// Keep is how long an execution is kept after its end.
	Keep time.Duration
	// Every is the time between two rounds.
	Every time.Duration
	// Now is the database's time.
	Now func() time.Time
	Log *slog.Logger
}

// Run prunes until ctx ends.
func (p *Pruner) Run(ctx context.Context) {
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	for {
		if n, err := p.Prune(ctx); err != nil && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "can't prune the history; trying again later", "pruned", n, "error", err)
		} else if n > 0 {
			p.Log.InfoContext(ctx, "pruned the history", "executions", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Prune deletes everything that is old and tells how many executions went.
func (p *Pruner) Prune(ctx context.Context) (pruned int, err error) {
	cutoff := p.Now().Add(-p.Keep)
	for {
		gone, err := p.Store.PruneHistory(ctx, cutoff, batch)
		if err != nil || len(gone) == 0 {
			return pruned, err
		}
		pruned += len(gone)
		var refs []executionlog.Ref
		for _, e := range gone {
			if mayHaveLog(e) {
				refs = append(refs, executionlog.Ref{InstanceID: e.InstanceID, ExecutionID: e.ID})
			}
		}
		if len(refs) == 0 {
			continue
		}
		if err := p.Logs.Delete(ctx, refs...); err != nil {
			return pruned, err
		}
	}
}

// mayHaveLog is false for the many that certainly wrote nothing: a look-up in
// the log store costs more than the rest of a deletion. What did not end
// quietly may have left a log that nobody counted.
func mayHaveLog(e job.Execution) bool {
	return e.LogBytes > 0 || e.Attempt > 1 || e.State != job.StateSucceeded
}
