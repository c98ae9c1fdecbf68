package entstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// The statements below take arrays, one element a row. Three habits keep their
// plans right however stale the statistics are: rows are locked first and then
// found again by ctid; no statement joins a big table to unnest() by anything
// else than a lateral look-up of its key, which OFFSET 0 or FOR UPDATE keeps
// from becoming a join; and no table is read from end to end (openEngine).

var pgLockDue = `
SELECT s.ctid, ` + dueColumns + `
FROM schedules s
WHERE s.next_run > 0 AND s.next_run <= $1 AND ` + strings.Replace(aheadOnlyFree, "$", "$3", 1) + `
ORDER BY s.next_run
LIMIT $2
FOR UPDATE SKIP LOCKED`

// pgBehindDue runs after the rows are locked, so that its snapshot has every
// execution that another transaction made before it let go of the lock.
const pgBehindDue = `
SELECT u.id, j.workflow, coalesce(a.blocking, 0), coalesce(a.waiting, 0)
FROM unnest($1::bigint[]) AS u(id)
CROSS JOIN LATERAL (SELECT workflow FROM jobs WHERE jobs.id = u.id OFFSET 0) j
LEFT JOIN LATERAL (
  SELECT min(x.id) AS blocking, count(*) FILTER (WHERE x.waits AND x.owner = 0) AS waiting
  FROM active_executions x WHERE x.job_id = u.id AND x.trigger <> 'BACKFILL'
) a ON true`

const pgChanges = `
SELECT job_id, slot, move_to FROM occurrence_changes WHERE job_id = ANY($1::bigint[]) ORDER BY job_id, slot`

const pgMoveSchedules = `
UPDATE schedules s SET next_run = u.next_run, fence = u.fence, skip_id = u.skip_id
FROM unnest($1::tid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u(row, next_run, fence, skip_id)
WHERE s.ctid = u.row`

const pgInsertActive = `
INSERT INTO active_executions (job_id, instance_id, trigger, trigger_id, scheduled_for, not_before, waits, created_at,
  owner, state, attempt, fence, first_started_at, started_at, error, tasks, log_bytes)
SELECT u.job_id, u.instance_id, 'SCHEDULE', '', u.scheduled_for, u.not_before, u.waits, $1,
  CASE WHEN u.fence > 0 THEN $2::bigint ELSE 0 END, 'QUEUED', CASE WHEN u.fence > 0 THEN 1 ELSE 0 END, u.fence, 0, 0, '', '', 0
FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[], $8::bigint[])
  AS u(job_id, instance_id, scheduled_for, not_before, waits, fence)
RETURNING ctid, id, job_id, scheduled_for`

const (
	anyDue    = `SELECT EXISTS (SELECT 1 FROM schedules WHERE next_run > 0 AND next_run <= $1)`
	anyQueued = `SELECT EXISTS (SELECT 1 FROM active_executions WHERE owner = 0 AND not_before <= $1)`
)

// pgAny asks whether there is anything to claim, without a transaction: most
// looks find nothing.
func (s *Store) pgAny(ctx context.Context, query string, req store.ClaimRequest) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err = s.engine.QueryRow(ctx, query, micros(req.Ahead)).Scan(&found)
	return found, err
}

func (s *Store) pgClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) (claimed []store.Claimed, more bool, err error) {
	if due, err := s.pgAny(ctx, anyDue, req); err != nil || !due {
		return nil, false, convert("look for due jobs", err)
	}
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed, more = nil, false
		rows, err := s.pgLockDueRows(ctx, tx, req)
		if err != nil || len(rows) == 0 {
			return err
		}
		more = len(rows) == req.Limit
		if err := pgReadBehind(ctx, tx, rows); err != nil {
			return err
		}
		batch := newClaimBatch(req, rows, decide)
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
	return withRest(rows, rest, req.Limit), err
}

// pgScanDue reads the rows of one batch.
func pgScanDue() pgx.RowToFunc[*dueRow] {
	due := newDueReader(true)
	return func(r pgx.CollectableRow) (*dueRow, error) { return due.read(r.Scan) }
}

func pgReadBehind(ctx context.Context, tx pgx.Tx, rows []*dueRow) error {
	byID := make(map[int64]*dueRow, len(rows))
	ids := make([]int64, len(rows))
	for i, d := range rows {
		ids[i], byID[d.JobID] = d.JobID, d
	}
	var work pgx.Batch
	work.Queue(pgBehindDue, ids).Query(func(found pgx.Rows) error {
		var id, blocking int64
		var waiting int
		var workflow []byte // a new one for each row
		_, err := pgx.ForEachRow(found, []any{&id, &workflow, &blocking, &waiting}, func() error {
			d := byID[id]
			d.workflow, d.Blocking, d.Waiting = workflow, blocking, waiting
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
	work.Queue(pgMoveSchedules, m.rows, m.next, m.fence, m.skip)
	if len(b.cancel) > 0 {
		work.Queue(pgCancelRunning, b.cancel)
		work.Queue(pgCancelWaiting, b.cancel, micros(req.Now), failureText(cancelledByNext))
	}
	for _, w := range b.rare {
		work.Queue(w.sql, w.args...)
	}
	rows := make(map[startKey]inserted, len(b.starts))
	if len(b.starts) > 0 {
		a := b.inserts()
		work.Queue(pgInsertActive, micros(req.Now), req.Owner, a.job, a.instance, a.scheduled, a.notBefore, a.waits, a.fence).
			Query(func(found pgx.Rows) error {
				var row pgtype.TID
				var id int64
				var key startKey
				_, err := pgx.ForEachRow(found, []any{&row, &id, &key.job, &key.scheduled}, func() error {
					rows[key] = inserted{id, markOf(row)}
					return nil
				})
				return err
			})
	}
	if err := tx.SendBatch(ctx, &work).Close(); err != nil {
		return nil, err
	}
	return b.claimed(rows, micros(req.Now)), nil
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
)
INSERT INTO executions (id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes)
SELECT id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, $2,
  'CANCELLED', attempt, fence, $3, tasks, log_bytes FROM gone`

// A moved occurrence may be told after later ones.
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
		fresh := slices.DeleteFunc(slices.Clone(round), func(k *skipRow) bool { return folded[k.due.skipID] })
		if err := pgInsertFresh(ctx, tx, fresh); err != nil {
			return err
		}
	}
	return nil
}

func pgFold(ctx context.Context, tx pgx.Tx, round []*skipRow) (map[int64]bool, error) {
	open := slices.DeleteFunc(slices.Clone(round), func(k *skipRow) bool { return k.due.skipID == 0 })
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
		byJob[k.due.JobID] = k.due
	}
	c := skipColumns(fresh)
	found, err := tx.Query(ctx, pgInsertSkips, c.job, c.instance, c.reason, c.first, c.last, c.count, c.blockedBy)
	if err != nil {
		return err
	}
	var id, jobID int64
	_, err = pgx.ForEachRow(found, []any{&id, &jobID}, func() error { byJob[jobID].skipID = id; return nil })
	return err
}

// pgLockQueued takes executions without an owner and their schedule rows. Of
// those of one job that wait for each other, only the oldest is eligible, and
// only while none has an owner.
const pgLockQueued = `
SELECT a.ctid, a.id, a.job_id, a.instance_id, a.trigger, a.trigger_id, a.scheduled_for, a.not_before, a.created_at,
       a.first_started_at, a.attempt, a.waits, s.fence, s.version, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies, s.extras, j.workflow
FROM active_executions a
JOIN schedules s ON s.id = a.job_id
JOIN jobs j ON j.id = a.job_id
WHERE a.owner = 0 AND a.not_before <= $1 AND a.state = 'QUEUED' AND a.instance_id <> ALL($3::bigint[])
  AND (NOT a.waits OR NOT EXISTS (
    SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id
      AND (o.trigger <> 'BACKFILL' OR (a.trigger = 'BACKFILL' AND o.trigger_id <> a.trigger_id))
      AND (o.owner <> 0 OR o.attempt > 0 OR (o.waits AND o.id < a.id))))
ORDER BY s.priority DESC, a.not_before
LIMIT $2
FOR UPDATE OF a, s SKIP LOCKED`

// pgOthersActive is asked again under the lock, for those that wait.
const pgOthersActive = `
SELECT DISTINCT job_id, CASE WHEN trigger = 'BACKFILL' THEN trigger_id ELSE '' END
FROM active_executions WHERE job_id = ANY($1::bigint[]) AND owner <> 0`

const pgTakeQueued = `
UPDATE active_executions a SET owner = $1, attempt = u.attempt, fence = u.fence, state = 'QUEUED', started_at = 0, error = '', tasks = '', waits = false
FROM unnest($2::tid[], $3::bigint[], $4::bigint[]) AS u(row, attempt, fence)
WHERE a.ctid = u.row`

const pgRaiseFences = `
UPDATE schedules s SET fence = greatest(s.fence, l.fence), skip_id = 0
FROM (
  SELECT k.row, max(u.fence) AS fence FROM unnest($1::bigint[], $2::bigint[]) AS u(job_id, fence)
  CROSS JOIN LATERAL (SELECT x.ctid AS row FROM schedules x WHERE x.id = u.job_id OFFSET 0) k
  GROUP BY k.row
) l
WHERE s.ctid = l.row`

func (s *Store) pgClaimQueued(ctx context.Context, req store.ClaimRequest) (claimed []store.Claimed, more bool, err error) {
	if queued, err := s.pgAny(ctx, anyQueued, req); err != nil || !queued {
		return nil, false, convert("look for waiting executions", err)
	}
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed, more = nil, false
		rows, err := pgLockQueuedRows(ctx, tx, req)
		if err != nil || len(rows) == 0 {
			return err
		}
		more = len(rows) == req.Limit
		if rows, err = pgDropBlocked(ctx, tx, rows); err != nil || len(rows) == 0 {
			return err
		}
		claimed, err = pgTakeQueuedRows(ctx, tx, req, rows)
		return err
	})
	return claimed, more, convert("claim waiting executions", err)
}

func pgLockQueuedRows(ctx context.Context, tx pgx.Tx, req store.ClaimRequest) ([]queuedRow, error) {
	found, err := tx.Query(ctx, pgLockQueued, micros(req.Ahead), req.Limit, append([]int64{}, req.Full...))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, func(r pgx.CollectableRow) (queuedRow, error) { return scanQueued(r.Scan, true) })
}

func pgDropBlocked(ctx context.Context, tx pgx.Tx, rows []queuedRow) ([]queuedRow, error) {
	var waiting []int64
	for _, q := range rows {
		if q.waits {
			waiting = append(waiting, q.JobID)
		}
	}
	if len(waiting) == 0 {
		return rows, nil
	}
	found, err := tx.Query(ctx, pgOthersActive, waiting)
	if err != nil {
		return nil, err
	}
	var active []activeGroup
	var g activeGroup
	_, err = pgx.ForEachRow(found, []any{&g.job, &g.backfill}, func() error { active = append(active, g); return nil })
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(rows, func(q queuedRow) bool {
		return q.waits && slices.ContainsFunc(active, q.waitsFor)
	}), nil
}

func pgTakeQueuedRows(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, rows []queuedRow) ([]store.Claimed, error) {
	claimed := takeQueued(rows)
	refs, jobs := make([]pgtype.TID, len(rows)), make([]int64, len(rows))
	attempts, fences := make([]int64, len(rows)), make([]int64, len(rows))
	for i, c := range claimed {
		refs[i], jobs[i], attempts[i], fences[i] = rows[i].row, c.JobID, int64(c.Attempt), c.Fence
	}
	var work pgx.Batch
	work.Queue(pgTakeQueued, req.Owner, refs, attempts, fences)
	work.Queue(pgRaiseFences, jobs, fences)
	return claimed, tx.SendBatch(ctx, &work).Close()
}

const pgStillClaimed = `
SELECT a.id, a.state FROM unnest($1::bigint[], $2::bigint[]) AS u(id, fence)
CROSS JOIN LATERAL (SELECT id, state FROM active_executions x WHERE x.id = u.id AND x.fence = u.fence AND x.owner <> 0 OFFSET 0) a`

func (s *Store) pgStillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	ids, fences := make([]int64, len(claimed)), make([]int64, len(claimed))
	for i, c := range claimed {
		ids[i], fences[i] = c.ExecutionID, c.Fence
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	found, err := s.engine.Query(ctx, pgStillClaimed, ids, fences)
	if err != nil {
		return nil, convert("check claims", err)
	}
	states := make(map[int64]job.State, len(claimed))
	var id int64
	var state string
	_, err = pgx.ForEachRow(found, []any{&id, &state}, func() error { states[id] = job.State(state); return nil })
	return states, convert("check claims", err)
}

const pgRelease = `
WITH locked AS MATERIALIZED (
  SELECT a.row FROM unnest($1::bigint[], $2::bigint[]) AS u(id, fence)
  CROSS JOIN LATERAL (SELECT x.ctid AS row FROM active_executions x WHERE x.id = u.id AND x.fence = u.fence AND x.owner <> 0 AND x.state = 'QUEUED' FOR UPDATE) a
)
UPDATE active_executions a SET owner = 0, attempt = a.attempt - 1, fence = 0 FROM locked l WHERE a.ctid = l.row
RETURNING a.id`

func (s *Store) pgRelease(ctx context.Context, claimed []store.Claimed) error {
	return convert("release executions", s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := pgTwice(claimed, func(c store.Claimed) int64 { return c.ExecutionID }, func(part []store.Claimed) (map[int64]bool, error) {
			ids, fences := make([]int64, len(part)), make([]int64, len(part))
			for i, c := range part {
				ids[i], fences[i] = c.ExecutionID, c.Fence
			}
			return pgIDs(ctx, tx, len(part), pgRelease, ids, fences)
		})
		if err == nil {
			_, err = tx.Exec(ctx, "SELECT pg_notify($1, 'due:0')", channel)
		}
		return err
	}))
}

// pgFinish finds the rows where their marks say, without a search or a lock
// beforehand. It leaves out what has moved since.
const pgFinish = `
WITH gone AS (
  DELETE FROM active_executions a
  USING unnest($1::tid[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
    AS l(row, id, fence, state, error, tasks, started_at, finished_at, log_bytes)
  WHERE a.ctid = l.row AND a.id = l.id AND a.fence = l.fence AND a.owner <> 0` + pgGone + `
)` + pgHistory

// pgFinishSearched is pgFinish for those, and tells which it found.
const pgFinishSearched = `
WITH input AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])
    AS u(id, fence, state, error, tasks, started_at, finished_at, log_bytes)
), locked AS MATERIALIZED (
  SELECT a.row, i.* FROM input i CROSS JOIN LATERAL (
    SELECT x.ctid AS row FROM active_executions x WHERE x.id = i.id AND x.fence = i.fence AND x.owner <> 0 FOR UPDATE) a
), gone AS (
  DELETE FROM active_executions a USING locked l WHERE a.ctid = l.row` + pgGone + `
)` + pgHistory + `
RETURNING id`

const (
	pgGone = `
  RETURNING a.id, a.job_id, a.instance_id, a.trigger, a.trigger_id, a.scheduled_for, a.created_at, l.started_at, l.finished_at,
    l.state, a.attempt, a.fence, l.tasks, l.log_bytes,
    CASE WHEN l.state = 'CANCELLED' AND a.state = 'CANCELLING' AND a.error <> '' THEN a.error ELSE l.error END AS error`
	pgHistory = `
INSERT INTO executions (id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes)
SELECT id, job_id, instance_id, trigger, trigger_id, scheduled_for, created_at, started_at, finished_at,
  state, attempt, fence, error, tasks, log_bytes FROM gone`
	// pgFinished are those that this transaction wrote.
	pgFinished = `
SELECT e.id FROM unnest($1::bigint[]) AS u(id)
CROSS JOIN LATERAL (SELECT id FROM executions WHERE executions.id = u.id AND xmin = pg_current_xact_id()::xid OFFSET 0) e`
)

const pgRetry = `
WITH input AS (
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS u(id, fence, error, tasks, started_at, not_before, log_bytes)
), locked AS MATERIALIZED (
  SELECT a.row, i.* FROM input i CROSS JOIN LATERAL (
    SELECT x.ctid AS row FROM active_executions x
    WHERE x.id = i.id AND x.fence = i.fence AND x.owner <> 0 AND x.state <> 'CANCELLING' FOR UPDATE) a
)
UPDATE active_executions a SET owner = 0, state = 'QUEUED', not_before = l.not_before, error = l.error, tasks = l.tasks,
  log_bytes = l.log_bytes, started_at = l.started_at,
  first_started_at = CASE WHEN a.first_started_at = 0 THEN l.started_at ELSE a.first_started_at END
FROM locked l WHERE a.ctid = l.row
RETURNING a.id`

func (s *Store) pgFinish(ctx context.Context, ends []store.Finish) (stale []int64, err error) {
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		stale = nil
		final, retries := splitFinish(ends)
		if err := pgLockCounted(ctx, tx, final); err != nil {
			return err
		}
		if len(retries) > 0 {
			kept, err := pgTwice(retries, finishID, func(part []store.Finish) (map[int64]bool, error) {
				f := finishColumns(part)
				return pgIDs(ctx, tx, len(part), pgRetry, f.id, f.fence, f.failure, f.tasks, f.started, f.retryAt, f.logBytes)
			})
			if err != nil {
				return err
			}
			final = append(final, notKept(retries, kept)...)
			slices.SortFunc(final, byID)
		}
		if len(final) == 0 {
			return nil
		}
		missing, err := pgWriteEnds(ctx, tx, final)
		if err != nil {
			return err
		}
		stale = slices.Sorted(maps.Keys(missing))
		return countFailures(final, missing, pgRunner{ctx, tx})
	})
	return stale, convert("finish executions", err)
}

// pgWriteEnds writes ends to the history and answers the ids of those whose
// fence is stale.
func pgWriteEnds(ctx context.Context, tx pgx.Tx, ends []store.Finish) (missing map[int64]bool, err error) {
	f := finishColumns(ends)
	done, err := tx.Exec(ctx, pgFinish, f.row, f.id, f.fence, f.state, f.failure, f.tasks, f.started, f.finished, f.logBytes)
	if err != nil || int(done.RowsAffected()) == len(ends) {
		return nil, err
	}
	written, err := pgIDs(ctx, tx, len(ends), pgFinished, f.id)
	if err != nil {
		return nil, err
	}
	searched := slices.DeleteFunc(slices.Clone(ends), func(end store.Finish) bool { return written[end.ExecutionID] })
	found, err := pgTwice(searched, finishID, func(part []store.Finish) (map[int64]bool, error) {
		f := finishColumns(part)
		return pgIDs(ctx, tx, len(part), pgFinishSearched, f.id, f.fence, f.state, f.failure, f.tasks, f.started, f.finished, f.logBytes)
	})
	missing = make(map[int64]bool)
	for _, end := range searched {
		if !found[end.ExecutionID] {
			missing[end.ExecutionID] = true
		}
	}
	return missing, err
}

// markOf and tidOf turn a row's place into a mark and back.
func markOf(row pgtype.TID) store.Mark {
	return store.Mark(row.BlockNumber)<<16 | store.Mark(row.OffsetNumber)
}

func tidOf(mark store.Mark) pgtype.TID {
	return pgtype.TID{BlockNumber: uint32(mark >> 16), OffsetNumber: uint16(mark), Valid: true}
}

// pgLockCounted locks the schedule rows that countFailures will write, before
// any execution is locked: everybody takes them in this order.
func pgLockCounted(ctx context.Context, tx pgx.Tx, ends []store.Finish) error {
	var jobs []int64
	for _, end := range ends {
		if end.PauseAfter > 0 {
			jobs = append(jobs, end.JobID)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `SELECT id FROM schedules WHERE id = ANY($1::bigint[]) ORDER BY id FOR UPDATE`, jobs)
	return err
}

// pgRunner runs statements one by one.
type pgRunner struct {
	ctx context.Context
	tx  pgx.Tx
}

func (r pgRunner) exec(sql string, args ...any) error {
	_, err := r.tx.Exec(r.ctx, sql, args...)
	return err
}

func (r pgRunner) row(sql string, into []any, args ...any) (found bool, err error) {
	err = r.tx.QueryRow(r.ctx, sql, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (r pgRunner) notify(sig store.Signal) error {
	return r.exec("SELECT pg_notify($1, $2)", channel, signalText(sig))
}

func finishID(end store.Finish) int64 { return end.ExecutionID }

// pgTwice runs a statement for rows, and again for those that it did not
// write: one that it had to wait for is locked then, but its new version is
// not in the snapshot that the statement began with. What is missing after the
// second look has another fence.
func pgTwice[T, V any](rows []T, id func(T) int64, run func([]T) (map[int64]V, error)) (map[int64]V, error) {
	written, err := run(rows)
	if err != nil || len(written) == len(rows) {
		return written, err
	}
	missed := slices.DeleteFunc(slices.Clone(rows), func(row T) bool {
		_, ok := written[id(row)]
		return ok
	})
	more, err := run(missed)
	maps.Copy(written, more)
	return written, err
}

func pgIDs(ctx context.Context, tx pgx.Tx, atMost int, statement string, args ...any) (map[int64]bool, error) {
	found, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	ids := make(map[int64]bool, atMost)
	var id int64
	_, err = pgx.ForEachRow(found, []any{&id}, func() error { ids[id] = true; return nil })
	return ids, err
}

const pgProgress = `
WITH locked AS MATERIALIZED (
  SELECT a.row, u.started_at, u.tasks, u.log_bytes
  FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[]) AS u(id, fence, started_at, tasks, log_bytes)
  CROSS JOIN LATERAL (SELECT x.ctid AS row FROM active_executions x WHERE x.id = u.id AND x.fence = u.fence AND x.owner <> 0 FOR UPDATE) a
)
UPDATE active_executions a SET started_at = l.started_at, tasks = l.tasks, log_bytes = l.log_bytes,
  first_started_at = CASE WHEN a.first_started_at = 0 THEN l.started_at ELSE a.first_started_at END,
  state = CASE WHEN a.state = 'QUEUED' THEN 'RUNNING' ELSE a.state END
FROM locked l WHERE a.ctid = l.row
RETURNING a.id, a.state`

func (s *Store) pgProgress(ctx context.Context, reports []store.Progress) (map[int64]job.State, error) {
	var states map[int64]job.State
	err := s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		states, err = pgTwice(reports, func(r store.Progress) int64 { return r.ExecutionID }, func(part []store.Progress) (map[int64]job.State, error) {
			c := progressColumns(part)
			found, err := tx.Query(ctx, pgProgress, c.id, c.fence, c.started, c.tasks, c.logBytes)
			if err != nil {
				return nil, err
			}
			states := make(map[int64]job.State, len(part))
			var id int64
			var state string
			_, err = pgx.ForEachRow(found, []any{&id, &state}, func() error { states[id] = job.State(state); return nil })
			return states, err
		})
		return err
	})
	return states, convert("report progress", err)
}

// pgTx runs fn in a transaction with the store's deadline. A serialisation
// failure or deadlock can't happen to the statements above (rows are locked in
// one order and passed over when taken), so there is no retry here: the
// callers are loops that come again.
func (s *Store) pgTx(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return pgx.BeginFunc(ctx, s.engine, func(tx pgx.Tx) error { return fn(ctx, tx) })
}
