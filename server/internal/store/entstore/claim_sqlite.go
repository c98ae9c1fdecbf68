package entstore

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/pointscene/carillon/server/internal/store"
)

// SQLite runs in this process, so a statement per row costs no more than one
// per batch; what counts is one transaction, and one fsync, per batch.

var liteDue = `
SELECT ` + dueColumns + `, j.workflow,
       coalesce((SELECT min(x.id) FROM active_executions x WHERE x.job_id = s.id AND x."trigger" <> 'BACKFILL'), 0),
       (SELECT count(*) FROM active_executions x WHERE x.job_id = s.id AND x.waits AND x.owner = 0 AND x."trigger" <> 'BACKFILL')
FROM schedules s JOIN jobs j ON j.id = s.id
WHERE s.next_run > 0 AND s.next_run <= ?1 AND ` + strings.ReplaceAll(aheadOnlyFree, "$", "?2") + `
ORDER BY s.next_run
LIMIT ?3`

// liteDueOf is liteDue for the jobs of one instance that have one priority.
var liteDueOf = strings.Replace(liteDue, "s.next_run > 0 AND", "s.next_run > 0 AND s.instance_id = ?4 AND s.priority = ?5 AND", 1)

// liteChanges reads the wishes about jobs, given as a JSON array of their ids.
// The join is in this order: there may be many due jobs and many wishes.
const liteChanges = `
SELECT c.job_id, c.slot, c.move_to FROM json_each(?) u CROSS JOIN occurrence_changes c
WHERE c.job_id = u.value ORDER BY c.job_id, c.slot`

const liteHolds = `SELECT i.id, i.paused_at, i.paused_until FROM json_each(?) u CROSS JOIN instances i WHERE i.id = u.value`

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
  'CANCELLED', attempt, fence, ?, ` + tasksCancelled + `, log_bytes
FROM active_executions WHERE job_id = ? AND owner = 0 AND attempt > 0 AND "trigger" <> 'BACKFILL'`
	liteCancelApprovals = cancelApprovals + `job_id = $2 AND owner = 0 AND attempt > 0 AND "trigger" <> 'BACKFILL')`
	liteDropWaiting     = `
DELETE FROM active_executions WHERE job_id = ? AND owner = 0 AND attempt > 0 AND "trigger" <> 'BACKFILL'`
	liteFoldSkip = `
UPDATE skips SET first = min(first, ?), last = max(last, ?), count = count + ? WHERE id = ? AND reason = ? AND blocked_by = ?`
	liteInsertSkip = `
INSERT INTO skips (job_id, instance_id, reason, first, last, count, blocked_by) VALUES (?, ?, ?, ?, ?, ?, ?)`
)

func (s *Store) liteClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) (claimed []store.Claimed, more bool, err error) {
	own, err := s.quotasNow(ctx)
	if err != nil {
		return nil, false, err
	}
	var signals []store.Signal
	err = s.liteTx(ctx, func(tx *liteTx) error {
		rows, err := s.liteDueRows(tx, req)
		if err != nil || len(rows) == 0 {
			return err
		}
		holders, err := s.guard(liteRunner{tx, nil}, rows, req)
		if err != nil {
			return err
		}
		rooms := s.newRooms(own, rows, req.Now)
		if err := liteReadRooms(tx, rooms); err != nil {
			return err
		}
		batch := newClaimBatch(req, rows, holders, rooms, decide)
		more = batch.more(len(rows) == req.Limit)
		if err := liteStoreRooms(tx, rooms); err != nil {
			return err
		}
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

func (s *Store) liteDueRows(tx *liteTx, req store.ClaimRequest) (rows []*dueRow, err error) {
	take := func(instance int64, limit int) ([]*dueRow, error) { return liteTakeTurn(tx, req, instance, limit) }
	if req.PerInstance > 0 {
		if rows, err = s.liteTurns(tx, req, take); err != nil {
			return nil, err
		}
	}
	if req.PerInstance == 0 || req.Rest {
		rest, err := liteReadDue(tx, liteDue, micros(req.Ahead), micros(req.Now), req.Limit)
		if err != nil {
			return nil, err
		}
		if rows, err = litePrefer(tx, req, withRest(rows, rest, req.Limit), take); err != nil {
			return nil, err
		}
	}
	known := make(holds)
	err = tx.query(liteHolds, func(scan func(...any) error) error {
		var id int64
		var pause pauseColumns
		err := scan(&id, &pause.since, &pause.until)
		known[id] = pause.pause(id)
		return err
	}, "["+idList(instancesOf(rows))+"]")
	if err != nil {
		return nil, err
	}
	rows = known.give(rows)
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
	for i := range b.starts {
		r := &b.starts[i]
		done, err := tx.exec(liteInsertActive, r.due.JobID, r.due.InstanceID, micros(r.start.ScheduledFor), micros(r.start.NotBefore), r.start.Waits,
			micros(req.Now), r.owner, r.attempt, r.fence)
		if err != nil {
			return nil, err
		}
		if r.id, err = done.LastInsertId(); err != nil {
			return nil, err
		}
	}
	return b.claimed(req.Now), b.hold(liteRunner{tx, nil})
}

func liteAddSkip(tx *liteTx, k *skipRow) error {
	if k.due.skipID != 0 && !k.apart {
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
	if !k.skip.Alone {
		k.due.skipID, err = done.LastInsertId()
	}
	return err
}

func liteCancel(tx *liteTx, jobs []int64, now int64) (signals []store.Signal, err error) {
	for _, id := range jobs {
		if _, err := tx.exec(liteArchiveWaiting, now, failureText(cancelledByNext), id); err != nil {
			return nil, err
		}
		if _, err := tx.exec(liteCancelApprovals, now, id); err != nil {
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
