package entstore

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// pgLockQueued takes executions without an owner and their schedule rows. Of
// those of one job that wait for each other, only the oldest is eligible, and
// only while none has an owner. The rows are found by the small index of those
// that wait, whatever the planner thinks of the tables, and locked one by one
// until there are enough. Instances take turns, each by its own priorities.
const pgLockQueued = `
SELECT a.row, a.id, a.job_id, a.instance_id, a.trigger, a.trigger_id, a.scheduled_for, a.not_before, a.created_at,
       a.first_started_at, a.attempt, a.waits, s.fence, s.version, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies, s.extras, j.workflow
FROM (
  SELECT a.ctid AS row, a.job_id, a.instance_id
  FROM active_executions a CROSS JOIN LATERAL (SELECT priority FROM schedules WHERE id = a.job_id OFFSET 0) p
  WHERE a.owner = 0 AND a.not_before <= $1 AND a.state = 'QUEUED' AND length(a.trees) = 0 AND a.instance_id <> ALL($3::bigint[])
    AND (NOT a.waits OR NOT EXISTS (
      SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id
        AND (o.trigger <> 'BACKFILL' OR (a.trigger = 'BACKFILL' AND o.trigger_id <> a.trigger_id))
        AND (o.owner <> 0 OR o.attempt > 0 OR (o.waits AND o.id < a.id))))
  ORDER BY row_number() OVER (PARTITION BY a.instance_id ORDER BY p.priority DESC, a.not_before), a.not_before
  OFFSET 0
) q
CROSS JOIN LATERAL (SELECT * FROM schedules WHERE id = q.job_id FOR UPDATE SKIP LOCKED) s
CROSS JOIN LATERAL (SELECT ctid AS row, * FROM active_executions WHERE ctid = q.row AND owner = 0 AND state = 'QUEUED' FOR UPDATE SKIP LOCKED) a
CROSS JOIN LATERAL (SELECT workflow FROM jobs WHERE id = q.job_id AND instance_id = q.instance_id OFFSET 0) j
LIMIT $2`

// pgLockAdmitted is pgLockQueued for executions that may have their folders.
var pgLockAdmitted = strings.Replace(pgLockQueued, "length(a.trees) = 0", "a.id = ANY($4::bigint[])", 1)

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
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed, more = nil, false
		claimed, more, err = pgTake(ctx, tx, req, pgLockQueued)
		return err
	})
	return claimed, more, convert("claim waiting executions", err)
}

// pgTake takes the executions that a statement locks; more tells that these
// were as many as there may be.
func pgTake(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, lock string, args ...any) (claimed []store.Claimed, more bool, err error) {
	rows, err := pgLockQueuedRows(ctx, tx, req, lock, args...)
	if err != nil || len(rows) == 0 {
		return nil, false, err
	}
	more = len(rows) == req.Limit
	if rows, err = pgDropBlocked(ctx, tx, rows); err != nil || len(rows) == 0 {
		return nil, more, err
	}
	claimed, err = pgTakeQueuedRows(ctx, tx, req, rows)
	return claimed, more, err
}

func (s *Store) pgClaimWithFolders(ctx context.Context, req store.ClaimRequest, admit func([]store.Holder) map[int64]int64) (claimed []store.Claimed, more bool, err error) {
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		claimed, more = nil, false
		a, err := s.admit(pgRunner{ctx, tx}, req, admit)
		if err != nil || len(a.free) == 0 {
			return err
		}
		if claimed, more, err = pgTake(ctx, tx, req, pgLockAdmitted, a.free); err != nil {
			return err
		}
		return a.hold(pgRunner{ctx, tx}, claimed)
	})
	return claimed, more, convert("claim executions that wait for folders", err)
}

func pgLockQueuedRows(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, lock string, args ...any) ([]queuedRow, error) {
	found, err := tx.Query(ctx, lock, append([]any{micros(req.Ahead), req.Limit, append([]int64{}, req.Full...)}, args...)...)
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
	queueAlive(&work, req.Owner)
	work.Queue(pgTakeQueued, req.Owner, refs, attempts, fences)
	work.Queue(pgRaiseFences, jobs, fences)
	return claimed, tx.SendBatch(ctx, &work).Close()
}

// pgStillClaimed tells of each claim whether somebody has locked it since: a
// lock stands in xmax, which costs nothing to look at.
const pgStillClaimed = `
SELECT a.id, a.state, a.locked FROM unnest($1::bigint[], $2::bigint[]) AS u(id, fence)
CROSS JOIN LATERAL (SELECT id, state, xmax <> '0'::xid AS locked FROM active_executions x WHERE x.id = u.id AND x.fence = u.fence AND x.owner <> 0 OFFSET 0) a`

// pgStillClaimedAfter waits for whoever has locked a claim.
const pgStillClaimedAfter = `
SELECT a.id, a.state, false FROM (SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS u(id, fence) ORDER BY id) u
CROSS JOIN LATERAL (SELECT id, state FROM active_executions x WHERE x.id = u.id AND x.fence = u.fence AND x.owner <> 0 FOR SHARE) a`

func (s *Store) pgStillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	states := make(map[int64]job.State, len(claimed))
	locked, err := pgReadClaims(ctx, s.engine, pgStillClaimed, claimed, states)
	if err != nil || len(locked) == 0 {
		return states, convert("check claims", err)
	}
	doubtful := slices.DeleteFunc(slices.Clone(claimed), func(c store.Claimed) bool { return !locked[c.ExecutionID] })
	err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := pgReadClaims(ctx, tx, pgStillClaimedAfter, doubtful, states)
		return err
	})
	return states, convert("check claims", err)
}

// pgReadClaims notes the states of claims, but not of those that are locked,
// which it answers.
func pgReadClaims(ctx context.Context, q interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}, query string, claimed []store.Claimed, states map[int64]job.State) (map[int64]bool, error) {
	ids, fences := make([]int64, len(claimed)), make([]int64, len(claimed))
	for i, c := range claimed {
		ids[i], fences[i] = c.ExecutionID, c.Fence
	}
	found, err := q.Query(ctx, query, ids, fences)
	if err != nil {
		return nil, err
	}
	var id int64
	var state string
	var isLocked bool
	locked := make(map[int64]bool)
	_, err = pgx.ForEachRow(found, []any{&id, &state, &isLocked}, func() error {
		if isLocked {
			locked[id] = true
		} else {
			states[id] = job.State(state)
		}
		return nil
	})
	return locked, err
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
