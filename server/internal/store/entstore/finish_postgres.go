package entstore

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// pgFinish finds the rows where their marks say, without a search or a lock
// beforehand. It leaves out what has moved since. The ids are compared in a way
// that no index serves: else a plan that was made while few executions were
// active reads all of them for each end, by the index that they are joined by.
// The tasks come last, as the longest: the driver's buffers grow by each argument.
const pgFinish = `
WITH gone AS (
  DELETE FROM active_executions a
  USING (SELECT unnest($1::tid[]) AS row, unnest($2::bigint[]) AS id, unnest($3::bigint[]) AS fence, unnest($4::bigint[]) AS started_at,
    unnest($5::bigint[]) AS finished_at, unnest($6::bigint[]) AS log_bytes, unnest($7::text[]) AS state, unnest($8::text[]) AS error,
    unnest($9::text[]) AS tasks) l
  WHERE a.ctid = l.row AND a.id IS NOT DISTINCT FROM l.id AND a.fence = l.fence AND a.owner <> 0` + pgGone + `
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
    coalesce(l.state, 'SUCCEEDED') AS state, a.attempt, a.fence, l.tasks, coalesce(l.log_bytes, 0) AS log_bytes,
    CASE WHEN l.state = 'CANCELLED' AND a.state = 'CANCELLING' AND a.error <> '' THEN a.error ELSE coalesce(l.error, '') END AS error`
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
  SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
    AS u(id, fence, error, tasks, started_at, not_before, log_bytes, state)
), locked AS MATERIALIZED (
  SELECT a.row, i.* FROM input i CROSS JOIN LATERAL (
    SELECT x.ctid AS row FROM active_executions x
    WHERE x.id = i.id AND x.fence = i.fence AND x.owner <> 0 AND x.state <> 'CANCELLING' FOR UPDATE) a
)
UPDATE active_executions a SET owner = 0, state = l.state, not_before = l.not_before, error = l.error, tasks = l.tasks,
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
			kept, err := pgTwice(retries, finishID, func(part []*store.Finish) (map[int64]bool, error) {
				f := finishColumns(part)
				return pgIDs(ctx, tx, len(part), pgRetry, f.id, f.fence, f.failure, f.tasks, f.started, f.retryAt, f.logBytes, f.state)
			})
			if err != nil {
				return err
			}
			if err := putApprovals(pgRunner{ctx, tx}, retries, kept); err != nil {
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
		if err := settleApprovals(pgRunner{ctx, tx}, final, missing); err != nil {
			return err
		}
		return countFailures(final, missing, pgRunner{ctx, tx})
	})
	return stale, convert("finish executions", err)
}

// pgWriteEnds writes ends to the history and answers the ids of those whose
// fence is stale.
func pgWriteEnds(ctx context.Context, tx pgx.Tx, ends []*store.Finish) (missing map[int64]bool, err error) {
	f := finishColumns(ends)
	done, err := tx.Exec(ctx, pgFinish, f.row, f.id, f.fence, f.started, f.finished, unless(0, f.logBytes),
		unless(string(job.StateSucceeded), f.state), unless("", f.failure), f.tasks)
	if err != nil || int(done.RowsAffected()) == len(ends) {
		return nil, err
	}
	written, err := pgIDs(ctx, tx, len(ends), pgFinished, f.id)
	if err != nil {
		return nil, err
	}
	searched := slices.DeleteFunc(slices.Clone(ends), func(end *store.Finish) bool { return written[end.ExecutionID] })
	found, err := pgTwice(searched, finishID, func(part []*store.Finish) (map[int64]bool, error) {
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
func pgLockCounted(ctx context.Context, tx pgx.Tx, ends []*store.Finish) error {
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

func finishID(end *store.Finish) int64 { return end.ExecutionID }

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
