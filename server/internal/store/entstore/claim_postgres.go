package entstore

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/store"
)

// The statements below take arrays, one element a row; one that is NULL stands for
// what is usual (unless). Those that every execution pays for unnest them in a
// SELECT list, which goes through all of them in step: in FROM, each would be
// stored as a table of its own before. Three habits keep the plans right however
// stale the statistics are: rows are locked first and then found again by ctid; no
// statement joins a big table to unnest() by anything else than a lateral look-up
// of its key, which OFFSET 0 or FOR UPDATE keeps from becoming a join; and no
// table is read from end to end (openEngine).

var pgLockDue = `
SELECT s.ctid, ` + dueColumns + `
FROM schedules s
WHERE s.next_run > 0 AND s.next_run <= $1 AND ` + strings.ReplaceAll(aheadOnlyFree, "$", "$3") + `
ORDER BY s.next_run
LIMIT $2
FOR UPDATE SKIP LOCKED`

// What follows is read after the rows are locked, by a snapshot that has every
// execution that another transaction made before it let go of the lock.

// pgWorkflows names the instance too, so that whichever index the planner takes
// while the table is small leads straight to the row when it is big.
const pgWorkflows = `
SELECT u.id, j.workflow FROM (SELECT unnest($1::bigint[]) AS id, unnest($2::bigint[]) AS instance_id) u
CROSS JOIN LATERAL (SELECT workflow FROM jobs WHERE jobs.id = u.id AND jobs.instance_id = u.instance_id OFFSET 0) j`

// pgBehindDue answers only the jobs that have executions, which are few.
const pgBehindDue = `
SELECT job_id, min(id), count(*) FILTER (WHERE waits AND owner = 0)
FROM active_executions WHERE job_id = ANY($1::bigint[]) AND trigger <> 'BACKFILL' GROUP BY job_id`

const pgChanges = `
SELECT job_id, slot, move_to FROM occurrence_changes WHERE job_id = ANY($1::bigint[]) ORDER BY job_id, slot`

// pgHolds keeps instances from being paused or resumed until the claims are
// stored. One that is, at this moment, is passed over: to wait for it, with
// schedules locked, would be the wrong order.
const pgHolds = `
SELECT id, paused_at, paused_until FROM instances WHERE id = ANY($1::bigint[]) ORDER BY id FOR KEY SHARE SKIP LOCKED`

const pgMoveSchedules = `
UPDATE schedules s SET next_run = u.next_run, fence = u.fence, skip_id = coalesce(u.skip_id, 0)
FROM (SELECT unnest($1::tid[]) AS row, unnest($2::bigint[]) AS next_run, unnest($3::bigint[]) AS fence, unnest($4::bigint[]) AS skip_id) u
WHERE s.ctid = u.row`

const pgInsertActive = `
INSERT INTO active_executions (job_id, instance_id, trigger, trigger_id, scheduled_for, not_before, waits, created_at,
  owner, state, attempt, fence, first_started_at, started_at, error, tasks, log_bytes)
SELECT u.job_id, u.instance_id, 'SCHEDULE', '', u.scheduled_for, coalesce(u.not_before, u.scheduled_for), coalesce(u.waits, false), $1,
  CASE WHEN u.fence > 0 THEN $2::bigint ELSE 0 END, 'QUEUED', CASE WHEN u.fence > 0 THEN 1 ELSE 0 END, u.fence, 0, 0, '', '', 0
FROM (SELECT unnest($3::bigint[]) AS job_id, unnest($4::bigint[]) AS instance_id, unnest($5::bigint[]) AS scheduled_for,
  unnest($6::bigint[]) AS not_before, unnest($7::boolean[]) AS waits, unnest($8::bigint[]) AS fence) u
RETURNING ctid, id, job_id, scheduled_for`

func (s *Store) pgClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) (claimed []store.Claimed, more bool, err error) {
	own, err := s.quotasNow(ctx)
	if err != nil {
		return nil, false, err
	}
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed, more = nil, false
		rows, err := s.pgLockDueRows(ctx, tx, req)
		if err != nil || len(rows) == 0 {
			return err
		}
		full := len(rows) == req.Limit
		if rows, err = pgReadHolds(ctx, tx, rows); err != nil || len(rows) == 0 {
			return err
		}
		if err := pgReadBehind(ctx, tx, req.Owner, rows); err != nil {
			return err
		}
		holders, err := s.guard(pgRunner{ctx, tx}, rows, req)
		if err != nil {
			return err
		}
		rooms := s.newRooms(own, rows, req.Now)
		if err := pgReadRooms(ctx, tx, rooms); err != nil {
			return err
		}
		batch := newClaimBatch(req, rows, holders, rooms, decide)
		more = batch.more(full)
		if err := pgStoreRooms(ctx, tx, rooms); err != nil {
			return err
		}
		if err := pgAddSkips(ctx, tx, batch.skips); err != nil {
			return err
		}
		claimed, err = pgStoreClaims(ctx, tx, req, batch)
		return err
	})
	return claimed, more, convert("claim due jobs", err)
}

func (s *Store) pgLockDueRows(ctx context.Context, tx pgx.Tx, req store.ClaimRequest) (rows []*dueRow, err error) {
	if req.PerInstance > 0 {
		if rows, err = s.pgLockTurns(ctx, tx, req); err != nil || !req.Rest {
			return rows, err
		}
	}
	found, err := tx.Query(ctx, pgLockDue, micros(req.Ahead), req.Limit, micros(req.Now))
	if err != nil {
		return nil, err
	}
	rest, err := pgx.CollectRows(found, pgScanDue())
	if err != nil {
		return nil, err
	}
	return pgPrefer(ctx, tx, req, withRest(rows, rest, req.Limit))
}

// pgScanDue reads the rows of one batch.
func pgScanDue() pgx.RowToFunc[*dueRow] {
	due := newDueReader(true)
	return func(r pgx.CollectableRow) (*dueRow, error) { return due.read(r.Scan) }
}

func pgReadHolds(ctx context.Context, tx pgx.Tx, rows []*dueRow) ([]*dueRow, error) {
	instances := instancesOf(rows)
	found, err := tx.Query(ctx, pgHolds, instances)
	if err != nil {
		return nil, err
	}
	known := make(holds, len(instances))
	var id int64
	var pause pauseColumns
	_, err = pgx.ForEachRow(found, []any{&id, &pause.since, &pause.until}, func() error {
		known[id] = pause.pause(id)
		return nil
	})
	return known.give(rows), err
}

func pgReadBehind(ctx context.Context, tx pgx.Tx, owner int64, rows []*dueRow) error {
	byID := make(map[int64]*dueRow, len(rows))
	ids, instances := make([]int64, len(rows)), make([]int64, len(rows))
	for i, d := range rows {
		ids[i], instances[i], byID[d.JobID] = d.JobID, d.InstanceID, d
	}
	var work pgx.Batch
	queueAlive(&work, owner)
	work.Queue(pgWorkflows, ids, instances).Query(func(found pgx.Rows) error {
		var id int64
		var workflow []byte // a new one for each row
		_, err := pgx.ForEachRow(found, []any{&id, &workflow}, func() error { byID[id].workflow = workflow; return nil })
		return err
	})
	work.Queue(pgBehindDue, ids).Query(func(found pgx.Rows) error {
		var id, blocking int64
		var waiting int
		_, err := pgx.ForEachRow(found, []any{&id, &blocking, &waiting}, func() error {
			d := byID[id]
			d.Blocking, d.Waiting = blocking, waiting
			return nil
		})
		return err
	})
	work.Queue(pgChanges, ids).Query(func(found pgx.Rows) error {
		var id, slot, moveTo int64
		_, err := pgx.ForEachRow(found, []any{&id, &slot, &moveTo}, func() error {
			d := byID[id]
			d.Changes = append(d.Changes, changeOf(id, slot, moveTo))
			return nil
		})
		return err
	})
	return tx.SendBatch(ctx, &work).Close()
}

func pgStoreClaims(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, b *claimBatch) ([]store.Claimed, error) {
	var work pgx.Batch
	m := b.moves()
	work.Queue(pgMoveSchedules, m.rows, m.next, m.fence, unless(0, m.skip))
	if len(b.cancel) > 0 {
		work.Queue(pgCancelRunning, b.cancel)
		work.Queue(pgCancelWaiting, b.cancel, micros(req.Now), failureText(cancelledByNext))
	}
	for _, w := range b.rare {
		work.Queue(w.sql, w.args...)
	}
	if len(b.starts) > 0 {
		a := b.inserts()
		if slices.Equal(a.notBefore, a.scheduled) {
			a.notBefore = nil
		}
		work.Queue(pgInsertActive, micros(req.Now), req.Owner, a.job, a.instance, a.scheduled, a.notBefore, unless(false, a.waits), a.fence).
			Query(func(found pgx.Rows) error {
				var row pgtype.TID
				var id, jobID, scheduled int64
				n := 0
				_, err := pgx.ForEachRow(found, []any{&row, &id, &jobID, &scheduled}, func() error {
					start := b.inserted(n, jobID, scheduled)
					start.id, start.mark = id, markOf(row)
					n++
					return nil
				})
				return err
			})
	}
	if err := tx.SendBatch(ctx, &work).Close(); err != nil {
		return nil, err
	}
	return b.claimed(req.Now), b.hold(pgRunner{ctx, tx})
}

// pgCancelRunning asks the running executions of jobs to end and tells their
// replicas.
const pgCancelRunning = `
WITH asked AS (
  UPDATE active_executions SET state = 'CANCELLING'
  WHERE job_id = ANY($1::bigint[]) AND owner <> 0 AND state <> 'CANCELLING' AND trigger <> 'BACKFILL'
  RETURNING id
)
SELECT pg_notify('carillon', 'cancel:' || id) FROM asked`

// pgCancelWaiting ends executions that wait for their next attempt.
const pgCancelWaiting = `
WITH gone AS (
  DELETE FROM active_executions WHERE job_id = ANY($1::bigint[]) AND owner = 0 AND attempt > 0 AND trigger <> 'BACKFILL' RETURNING *
), decided AS (
  UPDATE approvals a SET snapshot = '', decided_at = CASE a.state WHEN 'PENDING' THEN $2 ELSE a.decided_at END,
    state = CASE a.state WHEN 'PENDING' THEN 'CANCELLED' ELSE a.state END
  FROM gone WHERE a.id = gone.id
)
INSERT INTO executions (id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes)
SELECT id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, $2,
  'CANCELLED', attempt, fence, $3, ` + tasksCancelled + `, log_bytes FROM gone`

// An edit may have told what comes later.
const pgFoldSkips = `
UPDATE skips k SET first = least(k.first, l.first), last = greatest(k.last, l.last), count = k.count + l.count
FROM (
  SELECT x.row, u.first, u.last, u.count
  FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) AS u(id, reason, blocked_by, first, last, count)
  CROSS JOIN LATERAL (SELECT y.ctid AS row FROM skips y WHERE y.id = u.id AND y.reason = u.reason AND y.blocked_by = u.blocked_by OFFSET 0) x
) l
WHERE k.ctid = l.row
RETURNING k.id`

const pgInsertSkips = `
INSERT INTO skips (job_id, instance_id, reason, first, last, count, blocked_by)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
RETURNING id, job_id`

// pgAddSkips adds to the ledger in rounds: the first skip of every job, then
// the second, since the second may not fold into what was before the first.
func pgAddSkips(ctx context.Context, tx pgx.Tx, skips []*skipRow) error {
	for _, round := range skipRounds(skips) {
		folded, err := pgFold(ctx, tx, round)
		if err != nil {
			return err
		}
		fresh := slices.DeleteFunc(slices.Clone(round), func(k *skipRow) bool { return !k.apart && folded[k.due.skipID] })
		if err := pgInsertFresh(ctx, tx, fresh); err != nil {
			return err
		}
	}
	return nil
}

func pgFold(ctx context.Context, tx pgx.Tx, round []*skipRow) (map[int64]bool, error) {
	open := slices.DeleteFunc(slices.Clone(round), func(k *skipRow) bool { return k.due.skipID == 0 || k.apart })
	folded := make(map[int64]bool, len(open))
	if len(open) == 0 {
		return folded, nil
	}
	c := skipColumns(open)
	found, err := tx.Query(ctx, pgFoldSkips, c.open, c.reason, c.blockedBy, c.first, c.last, c.count)
	if err != nil {
		return nil, err
	}
	var id int64
	_, err = pgx.ForEachRow(found, []any{&id}, func() error { folded[id] = true; return nil })
	return folded, err
}

func pgInsertFresh(ctx context.Context, tx pgx.Tx, fresh []*skipRow) error {
	if len(fresh) == 0 {
		return nil
	}
	byJob := make(map[int64]*dueRow, len(fresh))
	for _, k := range fresh {
		if !k.skip.Alone {
			byJob[k.due.JobID] = k.due
		}
	}
	c := skipColumns(fresh)
	found, err := tx.Query(ctx, pgInsertSkips, c.job, c.instance, c.reason, c.first, c.last, c.count, c.blockedBy)
	if err != nil {
		return err
	}
	var id, jobID int64
	_, err = pgx.ForEachRow(found, []any{&id, &jobID}, func() error {
		if d := byJob[jobID]; d != nil {
			d.skipID = id
		}
		return nil
	})
	return err
}
