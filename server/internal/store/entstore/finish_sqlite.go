package entstore

import (
	"context"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	liteHistory = `
INSERT INTO executions (id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, ?1, ?2, ?3, attempt, fence,
  CASE WHEN ?3 = 'CANCELLED' AND state = 'CANCELLING' AND error <> '' THEN error ELSE ?4 END, ?5, ?6
FROM active_executions WHERE id = ?7 AND fence = ?8 AND owner <> 0`
	liteGone  = `DELETE FROM active_executions WHERE id = ? AND fence = ?`
	liteRetry = `
UPDATE active_executions SET owner = 0, state = ?, not_before = ?, error = ?, tasks = ?, log_bytes = ?, started_at = ?,
  first_started_at = CASE WHEN first_started_at = 0 THEN ? ELSE first_started_at END
WHERE id = ? AND fence = ? AND owner <> 0 AND state <> 'CANCELLING'`
	liteProgress = `
UPDATE active_executions SET started_at = ?, tasks = ?, log_bytes = ?,
  first_started_at = CASE WHEN first_started_at = 0 THEN ? ELSE first_started_at END,
  state = CASE WHEN state = 'QUEUED' THEN 'RUNNING' ELSE state END
WHERE id = ? AND fence = ? AND owner <> 0 RETURNING state`
)

func (s *Store) liteFinish(ctx context.Context, ends []store.Finish) (stale []int64, err error) {
	if slices.ContainsFunc(ends, func(end store.Finish) bool { return end.PauseAfter > 0 }) {
		defer s.change()()
	}
	var signals []store.Signal
	err = s.liteTx(ctx, func(tx *liteTx) error {
		missing := make(map[int64]bool)
		final, retries := splitFinish(ends)
		kept, err := liteRetries(tx, retries)
		if err != nil {
			return err
		}
		if err := putApprovals(liteRunner{tx, &signals}, retries, kept); err != nil {
			return err
		}
		final = slices.Concat(final, notKept(retries, kept))
		c := finishColumns(final)
		for i, id := range c.id {
			done, err := tx.exec(liteHistory, c.started[i], c.finished[i], c.state[i], c.failure[i], c.tasks[i], c.logBytes[i], id, c.fence[i])
			if err != nil {
				return err
			}
			if n, err := done.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				stale, missing[id] = append(stale, id), true
				continue
			}
			if _, err := tx.exec(liteGone, id, c.fence[i]); err != nil {
				return err
			}
		}
		if err := settleApprovals(liteRunner{tx, &signals}, final, missing); err != nil {
			return err
		}
		return countFailures(final, missing, liteRunner{tx, &signals})
	})
	if err != nil {
		return nil, convert("finish executions", err)
	}
	s.local.send(signals...)
	return stale, nil
}

func liteRetries(tx *liteTx, retries []*store.Finish) (map[int64]bool, error) {
	kept := make(map[int64]bool, len(retries))
	c := finishColumns(retries)
	for i, id := range c.id {
		done, err := tx.exec(liteRetry, c.state[i], c.retryAt[i], c.failure[i], c.tasks[i], c.logBytes[i], c.started[i], c.started[i], id, c.fence[i])
		if err != nil {
			return nil, err
		}
		n, err := done.RowsAffected()
		if err != nil {
			return nil, err
		}
		kept[id] = n == 1
	}
	return kept, nil
}

func (s *Store) liteProgress(ctx context.Context, reports []store.Progress) (map[int64]job.State, error) {
	states := make(map[int64]job.State, len(reports))
	c := progressColumns(reports)
	err := s.liteTx(ctx, func(tx *liteTx) error {
		for i, id := range c.id {
			err := tx.query(liteProgress, func(scan func(...any) error) error {
				var state job.State
				err := scan(&state)
				states[id] = state
				return err
			}, c.started[i], c.tasks[i], c.logBytes[i], c.started[i], id, c.fence[i])
			if err != nil {
				return err
			}
		}
		return nil
	})
	return states, convert("report progress", err)
}
