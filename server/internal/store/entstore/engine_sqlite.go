package entstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// SQLite runs in this process, so a statement per row costs no more than one
// per batch; what counts is one transaction, and one fsync, per batch.

var liteDue = `
SELECT ` + dueColumns + `, j.workflow,
       coalesce((SELECT min(x.id) FROM active_executions x WHERE x.job_id = s.id AND x."trigger" <> 'BACKFILL'), 0),
       (SELECT count(*) FROM active_executions x WHERE x.job_id = s.id AND x.waits AND x.owner = 0 AND x."trigger" <> 'BACKFILL')
FROM schedules s JOIN jobs j ON j.id = s.id
WHERE s.next_run > 0 AND s.next_run <= ?1 AND ` + strings.Replace(aheadOnlyFree, "$", "?2", 1) + `
ORDER BY s.next_run
LIMIT ?3`

// liteDueOf is liteDue for one instance.
var liteDueOf = strings.Replace(liteDue, "s.next_run > 0 AND", "s.next_run > 0 AND s.instance_id = ?4 AND", 1)

// liteChanges reads the wishes about jobs, given as a JSON array of their ids.
// The join is in this order: there may be many due jobs and many wishes.
const liteChanges = `
SELECT c.job_id, c.slot, c.move_to FROM json_each(?) u CROSS JOIN occurrence_changes c
WHERE c.job_id = u.value ORDER BY c.job_id, c.slot`

const (
	liteMove         = `UPDATE schedules SET next_run = ?, fence = ?, skip_id = ? WHERE id = ?`
	liteInsertActive = `
INSERT INTO active_executions (job_id, instance_id, "trigger", trigger_id, scheduled_for, not_before, waits, created_at,
  owner, state, attempt, fence, first_started_at, started_at, error, tasks, log_bytes)
VALUES (?, ?, 'SCHEDULE', '', ?, ?, ?, ?, ?, 'QUEUED', ?, ?, 0, 0, '', '', 0)`
	liteCancelRunning = `
UPDATE active_executions SET state = 'CANCELLING'
WHERE job_id = ? AND owner <> 0 AND state <> 'CANCELLING' AND "trigger" <> 'BACKFILL' RETURNING id`
	liteArchiveWaiting = `
INSERT INTO executions (` + historyColumns + `)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, ?,
  'CANCELLED', attempt, fence, ?, tasks, log_bytes
FROM active_executions WHERE job_id = ? AND owner = 0 AND attempt > 0 AND "trigger" <> 'BACKFILL'`
	liteDropWaiting = `
DELETE FROM active_executions WHERE job_id = ? AND owner = 0 AND attempt > 0 AND "trigger" <> 'BACKFILL'`
	liteFoldSkip = `
UPDATE skips SET first = min(first, ?), last = max(last, ?), count = count + ? WHERE id = ? AND reason = ? AND blocked_by = ?`
	liteInsertSkip = `
INSERT INTO skips (job_id, instance_id, reason, first, last, count, blocked_by) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

func (s *Store) liteClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) (claimed []store.Claimed, more bool, err error) {
	due, err := s.liteAnyDue(ctx, req)
	if err != nil || !due {
		return nil, false, convert("look for due jobs", err)
	}
	var signals []store.Signal
	err = s.liteTx(ctx, func(tx *liteTx) error {
		rows, err := s.liteDueRows(tx, req)
		if err != nil || len(rows) == 0 {
			return err
		}
		more = len(rows) == req.Limit
		batch := newClaimBatch(req, rows, decide)
		for _, k := range batch.skips {
			if err := liteAddSkip(tx, k); err != nil {
				return err
			}
		}
		if signals, err = liteCancel(tx, batch.cancel, micros(req.Now)); err != nil {
			return err
		}
		for _, w := range batch.rare {
			if err := (liteRunner{tx, nil}).exec(w.sql, w.args...); err != nil {
				return err
			}
		}
		claimed, err = liteStoreClaims(tx, req, batch)
		return err
	})
	if err != nil {
		return nil, false, convert("claim due jobs", err)
	}
	s.local.send(signals...)
	return claimed, more, nil
}

// liteAnyDue asks a reader first: a write transaction takes the one writer
// away from others, and most looks find nothing.
func (s *Store) liteAnyDue(ctx context.Context, req store.ClaimRequest) (due bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.read.QueryRowContext(ctx, anyDue, micros(req.Ahead)).Scan(&due)
	return due, err
}

func (s *Store) liteDueRows(tx *liteTx, req store.ClaimRequest) (rows []*dueRow, err error) {
	ahead, now := micros(req.Ahead), micros(req.Now)
	if req.PerInstance > 0 {
		rows, err = s.liteTurns(tx, req, func(instance int64, limit int) ([]*dueRow, error) {
			return liteReadDue(tx, liteDueOf, ahead, now, limit, instance)
		})
		if err != nil {
			return nil, err
		}
	}
	if req.PerInstance == 0 || req.Rest {
		rest, err := liteReadDue(tx, liteDue, ahead, now, req.Limit)
		if err != nil {
			return nil, err
		}
		rows = withRest(rows, rest, req.Limit)
	}
	byID := make(map[int64]*dueRow, len(rows))
	for _, d := range rows {
		byID[d.JobID] = d
	}
	return rows, tx.query(liteChanges, func(scan func(...any) error) error {
		var id, slot, moveTo int64
		if err := scan(&id, &slot, &moveTo); err != nil {
			return err
		}
		if d := byID[id]; d != nil {
			d.Changes = append(d.Changes, changeOf(id, slot, moveTo))
		}
		return nil
	}, "["+idList(slices.Collect(maps.Keys(byID)))+"]")
}

func liteReadDue(tx *liteTx, query string, args ...any) (rows []*dueRow, err error) {
	var workflow []byte // a new one for each row
	var blocking int64
	var waiting int
	due := newDueReader(false, &workflow, &blocking, &waiting)
	err = tx.query(query, func(scan func(...any) error) error {
		d, err := due.read(scan)
		if err != nil {
			return err
		}
		d.workflow, d.Blocking, d.Waiting = workflow, blocking, waiting
		rows = append(rows, d)
		return nil
	}, args...)
	return rows, err
}

func liteStoreClaims(tx *liteTx, req store.ClaimRequest, b *claimBatch) ([]store.Claimed, error) {
	for _, d := range b.moved {
		if _, err := tx.exec(liteMove, d.next, d.fence, d.closedSkip(), d.JobID); err != nil {
			return nil, err
		}
	}
	rows := make(map[startKey]inserted, len(b.starts))
	for _, r := range b.starts {
		scheduled := micros(r.start.ScheduledFor)
		done, err := tx.exec(liteInsertActive, r.due.JobID, r.due.InstanceID, scheduled, micros(r.start.NotBefore), r.start.Waits,
			micros(req.Now), r.owner, r.attempt, r.fence)
		if err != nil {
			return nil, err
		}
		id, err := done.LastInsertId()
		if err != nil {
			return nil, err
		}
		rows[startKey{r.due.JobID, scheduled}] = inserted{id: id}
	}
	return b.claimed(rows, micros(req.Now)), nil
}

func liteAddSkip(tx *liteTx, k *skipRow) error {
	if k.due.skipID != 0 {
		done, err := tx.exec(liteFoldSkip, micros(k.skip.First), micros(k.skip.Last), k.skip.Count, k.due.skipID, k.skip.Reason, k.skip.BlockedBy)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 1 {
			return err
		}
	}
	done, err := tx.exec(liteInsertSkip, k.skip.JobID, k.skip.InstanceID, k.skip.Reason, micros(k.skip.First), micros(k.skip.Last), k.skip.Count, k.skip.BlockedBy)
	if err != nil {
		return err
	}
	k.due.skipID, err = done.LastInsertId()
	return err
}

func liteCancel(tx *liteTx, jobs []int64, now int64) (signals []store.Signal, err error) {
	for _, id := range jobs {
		if _, err := tx.exec(liteArchiveWaiting, now, failureText(cancelledByNext), id); err != nil {
			return nil, err
		}
		if _, err := tx.exec(liteDropWaiting, id); err != nil {
			return nil, err
		}
		err := tx.query(liteCancelRunning, func(scan func(...any) error) error {
			asked := store.Signal{Kind: store.SignalCancel}
			err := scan(&asked.ID)
			signals = append(signals, asked)
			return err
		}, id)
		if err != nil {
			return nil, err
		}
	}
	return signals, nil
}

const (
	liteQueued = `
SELECT a.id, a.job_id, a.instance_id, a."trigger", a.trigger_id, a.scheduled_for, a.not_before, a.created_at,
       a.first_started_at, a.attempt, a.waits, s.fence, s.version, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies, s.extras, j.workflow
FROM active_executions a
JOIN schedules s ON s.id = a.job_id
JOIN jobs j ON j.id = a.job_id
WHERE a.owner = 0 AND a.not_before <= ? AND a.state = 'QUEUED'
  AND a.instance_id NOT IN (SELECT value FROM json_each(?))
  AND (NOT a.waits OR NOT EXISTS (
    SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id
      AND (o."trigger" <> 'BACKFILL' OR (a."trigger" = 'BACKFILL' AND o.trigger_id <> a.trigger_id))
      AND (o.owner <> 0 OR o.attempt > 0 OR (o.waits AND o.id < a.id))))
ORDER BY s.priority DESC, a.not_before
LIMIT ?`
	liteTake = `
UPDATE active_executions SET owner = ?, attempt = ?, fence = ?, state = 'QUEUED', started_at = 0, error = '', tasks = '', waits = false WHERE id = ?`
	liteRaiseFence = `UPDATE schedules SET fence = max(fence, ?), skip_id = 0 WHERE id = ?`
)

func (s *Store) liteClaimQueued(ctx context.Context, req store.ClaimRequest) (claimed []store.Claimed, more bool, err error) {
	if queued, err := s.liteAnyQueued(ctx, req); err != nil || !queued {
		return nil, false, convert("look for waiting executions", err)
	}
	err = s.liteTx(ctx, func(tx *liteTx) error {
		var rows []queuedRow
		err := tx.query(liteQueued, func(scan func(...any) error) error {
			q, err := scanQueued(scan, false)
			rows = append(rows, q)
			return err
		}, micros(req.Ahead), encode(append([]int64{}, req.Full...)), req.Limit)
		if err != nil {
			return err
		}
		more = len(rows) == req.Limit
		claimed = takeQueued(rows)
		for _, c := range claimed {
			if _, err := tx.exec(liteTake, req.Owner, c.Attempt, c.Fence, c.ExecutionID); err != nil {
				return err
			}
			if _, err := tx.exec(liteRaiseFence, c.Fence, c.JobID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, convert("claim waiting executions", err)
	}
	return claimed, more, nil
}

func (s *Store) liteAnyQueued(ctx context.Context, req store.ClaimRequest) (queued bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.read.QueryRowContext(ctx, anyQueued, micros(req.Ahead)).Scan(&queued)
	return queued, err
}

func (s *Store) liteStillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	states := make(map[int64]job.State, len(claimed))
	for _, c := range claimed {
		var state job.State
		err := s.read.QueryRowContext(ctx, `SELECT state FROM active_executions WHERE id = ? AND fence = ? AND owner <> 0`, c.ExecutionID, c.Fence).Scan(&state)
		switch {
		case err == nil:
			states[c.ExecutionID] = state
		case !errors.Is(err, sql.ErrNoRows):
			return nil, convert("check claims", err)
		}
	}
	return states, nil
}

func (s *Store) liteRelease(ctx context.Context, claimed []store.Claimed) error {
	return convert("release executions", s.liteTx(ctx, func(tx *liteTx) error {
		for _, c := range claimed {
			if _, err := tx.exec(`UPDATE active_executions SET owner = 0, attempt = attempt - 1, fence = 0 WHERE id = ? AND fence = ? AND state = 'QUEUED'`, c.ExecutionID, c.Fence); err != nil {
				return err
			}
		}
		return nil
	}))
}

const (
	liteHistory = `
INSERT INTO executions (id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, ?1, ?2, ?3, attempt, fence,
  CASE WHEN ?3 = 'CANCELLED' AND state = 'CANCELLING' AND error <> '' THEN error ELSE ?4 END, ?5, ?6
FROM active_executions WHERE id = ?7 AND fence = ?8 AND owner <> 0`
	liteGone  = `DELETE FROM active_executions WHERE id = ? AND fence = ?`
	liteRetry = `
UPDATE active_executions SET owner = 0, state = 'QUEUED', not_before = ?, error = ?, tasks = ?, log_bytes = ?, started_at = ?,
  first_started_at = CASE WHEN first_started_at = 0 THEN ? ELSE first_started_at END
WHERE id = ? AND fence = ? AND owner <> 0 AND state <> 'CANCELLING'`
	liteProgress = `
UPDATE active_executions SET started_at = ?, tasks = ?, log_bytes = ?,
  first_started_at = CASE WHEN first_started_at = 0 THEN ? ELSE first_started_at END,
  state = CASE WHEN state = 'QUEUED' THEN 'RUNNING' ELSE state END
WHERE id = ? AND fence = ? AND owner <> 0 RETURNING state`
)

func (s *Store) liteFinish(ctx context.Context, ends []store.Finish) (stale []int64, err error) {
	var signals []store.Signal
	err = s.liteTx(ctx, func(tx *liteTx) error {
		missing := make(map[int64]bool)
		final, retries := splitFinish(ends)
		kept, err := liteRetries(tx, retries)
		if err != nil {
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
		return countFailures(final, missing, liteRunner{tx, &signals})
	})
	if err != nil {
		return nil, convert("finish executions", err)
	}
	s.local.send(signals...)
	return stale, nil
}

// liteRunner runs statements one by one; signals are sent after the commit.
type liteRunner struct {
	tx      *liteTx
	signals *[]store.Signal
}

func (r liteRunner) exec(text string, args ...any) error {
	_, err := r.tx.exec(text, args...)
	return err
}

func (r liteRunner) row(text string, into []any, args ...any) (found bool, err error) {
	err = r.tx.query(text, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	}, args...)
	return found, err
}

func (r liteRunner) notify(sig store.Signal) error {
	*r.signals = append(*r.signals, sig)
	return nil
}

func liteRetries(tx *liteTx, retries []store.Finish) (map[int64]bool, error) {
	kept := make(map[int64]bool, len(retries))
	c := finishColumns(retries)
	for i, id := range c.id {
		done, err := tx.exec(liteRetry, c.retryAt[i], c.failure[i], c.tasks[i], c.logBytes[i], c.started[i], c.started[i], id, c.fence[i])
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

// liteTx is a write transaction that prepares each statement once.
type liteTx struct {
	ctx      context.Context
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

func (s *Store) liteTx(ctx context.Context, fn func(*liteTx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t := &liteTx{ctx: ctx, tx: tx, prepared: make(map[string]*sql.Stmt)}
	if err := fn(t); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (t *liteTx) statement(text string) (*sql.Stmt, error) {
	if st, ok := t.prepared[text]; ok {
		return st, nil
	}
	st, err := t.tx.PrepareContext(t.ctx, text)
	if err == nil {
		t.prepared[text] = st
	}
	return st, err
}

func (t *liteTx) exec(text string, args ...any) (sql.Result, error) {
	st, err := t.statement(text)
	if err != nil {
		return nil, err
	}
	return st.ExecContext(t.ctx, args...)
}

func (t *liteTx) query(text string, each func(scan func(...any) error) error, args ...any) error {
	st, err := t.statement(text)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
