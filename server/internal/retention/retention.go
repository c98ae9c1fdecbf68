// Package retention deletes executions, their logs and their ledger rows, and
// by a time of their own audit events, once they are old, in small batches, so
// that nobody waits for it: between two of them the database is left to others
// for as long as one took.
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
	PruneHistory(ctx context.Context, cutoff time.Time, limit int) (pruned []job.Execution, more bool, err error)
	PruneAuditEvents(ctx context.Context, cutoff time.Time, limit int) (int, error)
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
	// KeepAudit is how long audit events are kept.
	KeepAudit time.Duration
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
		if err := p.pruneAudit(ctx); err != nil && ctx.Err() == nil {
			p.Log.WarnContext(ctx, "can't prune the audit events; trying again later", "error", err)
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
		began := p.Now()
		gone, more, err := p.Store.PruneHistory(ctx, cutoff, batch)
		if err != nil {
			return pruned, err
		}
		took := p.Now().Sub(began)
		pruned += len(gone)
		var refs []executionlog.Ref
		for _, e := range gone {
			if mayHaveLog(e) {
				refs = append(refs, executionlog.Ref{InstanceID: e.InstanceID, ExecutionID: e.ID})
			}
		}
		if len(refs) > 0 {
			if err := p.Logs.Delete(ctx, refs...); err != nil {
				return pruned, err
			}
		}
		if !more || !rest(ctx, took) {
			return pruned, ctx.Err()
		}
	}
}

// rest leaves the database to others for as long as a batch took, within
// bounds. It answers false when ctx ended.
func rest(ctx context.Context, took time.Duration) bool {
	timer := time.NewTimer(min(max(took, time.Millisecond), time.Second))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// pruneAudit deletes the audit events that are old.
func (p *Pruner) pruneAudit(ctx context.Context) error {
	for {
		began := p.Now()
		n, err := p.Store.PruneAuditEvents(ctx, p.Now().Add(-p.KeepAudit), batch)
		if err != nil || n == 0 || !rest(ctx, p.Now().Sub(began)) {
			return err
		}
	}
}

// mayHaveLog is false for the many that certainly wrote nothing: a look-up in
// the log store costs more than the rest of a deletion. What did not end
// quietly may have left a log that nobody counted.
func mayHaveLog(e job.Execution) bool {
	return e.LogBytes > 0 || e.Attempt > 1 || e.State != job.StateSucceeded
}
