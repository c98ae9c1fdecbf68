package entstore

import (
	"cmp"
	"context"
	"slices"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// nextWork reads a few entries of small indexes, however much is stored. Of the
// active executions it asks for the newest: behind the entries of a herd's older
// ones, which have ended, it would have to search for one that has not.
const nextWork = `
SELECT coalesce((SELECT next_run FROM schedules WHERE next_run > 0 ORDER BY next_run LIMIT 1), 0),
  coalesce((SELECT not_before FROM active_executions WHERE owner = 0 ORDER BY not_before LIMIT 1), 0),
  coalesce((SELECT min(not_before) FROM active_executions WHERE length(trees) > 0 AND owner = 0), 0),
  EXISTS (SELECT 1 FROM backfills WHERE finished_at = 0),
  coalesce((SELECT true FROM active_executions ORDER BY id DESC LIMIT 1), false)`

// NextWork implements store.Engine. It takes no transaction, which on SQLite
// would keep the one writer from others: most looks find nothing.
func (s *Store) NextWork(ctx context.Context) (w store.Work, err error) {
	var due, waiting, folders int64
	into := []any{&due, &waiting, &folders, &w.Backfills, &w.Active}
	err = s.run(ctx, "look for work", func(ctx context.Context) error {
		if s.postgres() {
			return s.engine.QueryRow(ctx, nextWork).Scan(into...)
		}
		return s.read.QueryRowContext(ctx, nextWork).Scan(into...)
	})
	w.Due, w.Waiting, w.Folders = timeOf(due), timeOf(waiting), timeOf(folders)
	w.Signals = s.Listening()
	return w, err
}

// ClaimDue implements store.Engine.
func (s *Store) ClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) ([]store.Claimed, bool, error) {
	if s.postgres() {
		return s.pgClaimDue(ctx, req, decide)
	}
	return s.liteClaimDue(ctx, req, decide)
}

// ClaimQueued implements store.Engine.
func (s *Store) ClaimQueued(ctx context.Context, req store.ClaimRequest) ([]store.Claimed, bool, error) {
	if s.postgres() {
		return s.pgClaimQueued(ctx, req)
	}
	return s.liteClaimQueued(ctx, req)
}

// ClaimWithFolders implements store.Engine.
func (s *Store) ClaimWithFolders(ctx context.Context, req store.ClaimRequest, admit func([]store.Holder) map[int64]int64) ([]store.Claimed, bool, error) {
	if s.postgres() {
		return s.pgClaimWithFolders(ctx, req, admit)
	}
	return s.liteClaimWithFolders(ctx, req, admit)
}

// StillClaimed implements store.Engine.
func (s *Store) StillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	if s.postgres() {
		return s.pgStillClaimed(ctx, claimed)
	}
	return s.liteStillClaimed(ctx, claimed)
}

// Release implements store.Engine.
func (s *Store) Release(ctx context.Context, claimed []store.Claimed) error {
	claimed = slices.Clone(claimed)
	slices.SortFunc(claimed, func(a, b store.Claimed) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) })
	if s.postgres() {
		return s.pgRelease(ctx, claimed)
	}
	return s.liteRelease(ctx, claimed)
}

// Owned implements store.Engine.
func (s *Store) Owned(ctx context.Context, owner int64) (owned []store.Owned, err error) {
	err = s.query(ctx, "list claims", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.ActiveExecution.Query().Where(activeexecution.Owner(owner)).
			Select(activeexecution.FieldID, activeexecution.FieldFence, activeexecution.FieldState).All(ctx)
		owned = make([]store.Owned, len(rows))
		for i, row := range rows {
			owned[i] = store.Owned{ExecutionID: row.ID, Fence: row.Fence, State: job.State(row.State)}
		}
		return err
	})
	return owned, err
}

// Reclaim implements store.Engine.
func (s *Store) Reclaim(ctx context.Context, self int64, executions []int64) (lost []store.Lost, err error) {
	err = s.tx(ctx, "take back claims", func(ctx context.Context, tx *ent.Tx) error {
		which := "owner = " + idList([]int64{self}) + " AND id IN (" + idList(executions) + ")"
		if lost, err = s.adopt(ctx, tx, self, which); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return lost, err
}

// Finish implements store.Engine.
func (s *Store) Finish(ctx context.Context, ends []store.Finish) (stale []int64, err error) {
	finish := s.liteFinish
	if s.postgres() {
		finish = s.pgFinish
	}
	stale, err = finish(ctx, ends)
	if !isDuplicate(err) {
		return stale, err
	}
	// A slot ran twice: clocks or a fault of ours. One bad row must not keep
	// the others from their history, and this one is kept under another name.
	s.log.ErrorContext(ctx, "an occurrence has run twice; its second execution keeps a trigger id of its own", "error", err)
	for _, end := range ends {
		again, err := finish(ctx, []store.Finish{end})
		if isDuplicate(err) {
			if _, err = s.db.ExecContext(ctx, `UPDATE active_executions SET trigger_id = 'again_' || id WHERE id = $1 AND fence = $2`, end.ExecutionID, end.Fence); err == nil {
				again, err = finish(ctx, []store.Finish{end})
			}
		}
		if err != nil {
			return nil, convert("finish an execution", err)
		}
		stale = append(stale, again...)
	}
	return stale, nil
}

// Progress implements store.Engine.
func (s *Store) Progress(ctx context.Context, reports []store.Progress) (stale, cancelled []int64, err error) {
	write := s.liteProgress
	if s.postgres() {
		write = s.pgProgress
	}
	// Rows are locked in the order of their ids, as by Finish.
	reports = slices.Clone(reports)
	slices.SortFunc(reports, func(a, b store.Progress) int { return cmp.Compare(a.ExecutionID, b.ExecutionID) })
	states, err := write(ctx, reports)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range reports {
		switch state, known := states[r.ExecutionID]; {
		case !known:
			stale = append(stale, r.ExecutionID)
		case state == job.StateCancelling:
			cancelled = append(cancelled, r.ExecutionID)
		}
	}
	return stale, cancelled, nil
}
