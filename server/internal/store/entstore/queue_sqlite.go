package entstore

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	liteQueued = `
SELECT a.id, a.job_id, a.instance_id, a."trigger", a.trigger_id, a.scheduled_for, a.not_before, a.created_at,
       a.first_started_at, a.attempt, a.waits, s.fence, s.version, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies, s.extras, j.workflow
FROM active_executions a
JOIN schedules s ON s.id = a.job_id
JOIN jobs j ON j.id = a.job_id
WHERE a.owner = 0 AND a.not_before <= ? AND a.state = 'QUEUED' AND length(a.trees) = 0
  AND a.instance_id NOT IN (SELECT value FROM json_each(?))
  AND (NOT a.waits OR NOT EXISTS (
    SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id
      AND (o."trigger" <> 'BACKFILL' OR (a."trigger" = 'BACKFILL' AND o.trigger_id <> a.trigger_id))
      AND (o.owner <> 0 OR o.attempt > 0 OR (o.waits AND o.id < a.id))))
ORDER BY row_number() OVER (PARTITION BY a.instance_id ORDER BY s.priority DESC, a.not_before), a.not_before
LIMIT ?`
	liteTake = `
UPDATE active_executions SET owner = ?, attempt = ?, fence = ?, state = 'QUEUED', started_at = 0, error = '', tasks = '', waits = false WHERE id = ?`
	liteRaiseFence = `UPDATE schedules SET fence = max(fence, ?), skip_id = 0 WHERE id = ?`
)

func (s *Store) liteClaimQueued(ctx context.Context, req store.ClaimRequest) (claimed []store.Claimed, more bool, err error) {
	err = s.liteTx(ctx, func(tx *liteTx) error {
		claimed, more, err = liteTakeRows(tx, req, liteQueued)
		return err
	})
	if err != nil {
		return nil, false, convert("claim waiting executions", err)
	}
	return claimed, more, nil
}

// liteTakeRows takes the executions that a query finds; more tells that these
// were as many as there may be.
func liteTakeRows(tx *liteTx, req store.ClaimRequest, query string) (claimed []store.Claimed, more bool, err error) {
	var rows []queuedRow
	err = tx.query(query, func(scan func(...any) error) error {
		q, err := scanQueued(scan, false)
		rows = append(rows, q)
		return err
	}, micros(req.Ahead), encode(append([]int64{}, req.Full...)), req.Limit)
	if err != nil {
		return nil, false, err
	}
	claimed = takeQueued(rows)
	for _, c := range claimed {
		if _, err := tx.exec(liteTake, req.Owner, c.Attempt, c.Fence, c.ExecutionID); err != nil {
			return nil, false, err
		}
		if _, err := tx.exec(liteRaiseFence, c.Fence, c.JobID); err != nil {
			return nil, false, err
		}
	}
	return claimed, len(rows) == req.Limit, nil
}

func (s *Store) liteClaimWithFolders(ctx context.Context, req store.ClaimRequest, admit func([]store.Holder) map[int64]int64) (claimed []store.Claimed, more bool, err error) {
	err = s.liteTx(ctx, func(tx *liteTx) error {
		a, err := s.admit(liteRunner{tx, nil}, req, admit)
		if err != nil || len(a.free) == 0 {
			return err
		}
		admitted := strings.Replace(liteQueued, "length(a.trees) = 0", "a.id IN ("+idList(a.free)+")", 1)
		if claimed, more, err = liteTakeRows(tx, req, admitted); err != nil {
			return err
		}
		return a.hold(liteRunner{tx, nil}, claimed)
	})
	if err != nil {
		return nil, false, convert("claim executions that wait for folders", err)
	}
	return claimed, more, nil
}

func (s *Store) liteStillClaimed(ctx context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	states := make(map[int64]job.State, len(claimed))
	if s.changing.Load() > 0 { // behind the change, which may withdraw them
		return states, convert("check claims", s.liteTx(ctx, func(tx *liteTx) error {
			return readClaims(claimed, states, func(c store.Claimed, state *job.State) (bool, error) {
				return liteRunner{tx, nil}.row(liteStillClaimed, []any{state}, c.ExecutionID, c.Fence)
			})
		}))
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := readClaims(claimed, states, func(c store.Claimed, state *job.State) (bool, error) {
		err := s.read.QueryRowContext(ctx, liteStillClaimed, c.ExecutionID, c.Fence).Scan(state)
		if errors.Is(err, sql.ErrNoRows) {
			return false, nil
		}
		return err == nil, err
	})
	return states, convert("check claims", err)
}

const liteStillClaimed = `SELECT state FROM active_executions WHERE id = ? AND fence = ? AND owner <> 0`

// readClaims notes the states of those claims that read finds.
func readClaims(claimed []store.Claimed, states map[int64]job.State, read func(store.Claimed, *job.State) (bool, error)) error {
	for _, c := range claimed {
		var state job.State
		found, err := read(c, &state)
		if err != nil {
			return err
		}
		if found {
			states[c.ExecutionID] = state
		}
	}
	return nil
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
