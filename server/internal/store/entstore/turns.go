package entstore

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/server/internal/store"
)

// When more is due than can run, instances take turns: a claim goes through
// them in the order of their ids, from where the last one stopped, and takes a
// few jobs of each. So one instance's herd costs another's single job no more
// than one round. Each instance costs one step in the index schedules_turns,
// however many jobs it has.

// maxTurns bounds how many instances one claim looks at.
const maxTurns = 200

// turnsQuery lists up to $2 instances that have anything scheduled, after $1.
const turnsQuery = `
WITH RECURSIVE turns(instance, n) AS (
  SELECT (SELECT min(s.instance_id) FROM schedules s WHERE s.next_run > 0 AND s.instance_id > $1), 1
  UNION ALL
  SELECT (SELECT min(s.instance_id) FROM schedules s WHERE s.next_run > 0 AND s.instance_id > t.instance), t.n + 1
  FROM turns t WHERE t.instance IS NOT NULL AND t.n < $2
)
SELECT instance FROM turns WHERE instance IS NOT NULL`

// turnsOf leaves out the instances that get nothing now, and one that is alone:
// all that it may have is claimed with the rest.
func (s *Store) turnsOf(found []int64, req store.ClaimRequest) []int64 {
	if len(found) == 1 && req.Rest && s.turn.Load() == 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(found), func(id int64) bool { return slices.Contains(req.Full, id) })
}

// endTurn notes where the next round begins: after the last instance that was
// looked at, or that got something when the limit cut the round short.
func (s *Store) endTurn(found []int64, rows []*dueRow, req store.ClaimRequest) {
	switch {
	case len(rows) > 0 && len(rows) == req.Limit:
		s.turn.Store(rows[len(rows)-1].InstanceID)
	case len(found) == maxTurns:
		s.turn.Store(found[len(found)-1])
	default:
		s.turn.Store(0)
	}
}

// withRest adds to the rows of a round what is due first, which may be the same
// ones, up to a limit.
func withRest(rows, rest []*dueRow, limit int) []*dueRow {
	if len(rows) == 0 {
		return rest
	}
	had := make(map[int64]bool, len(rows))
	for _, d := range rows {
		had[d.JobID] = true
	}
	for _, d := range rest {
		if len(rows) < limit && !had[d.JobID] {
			rows = append(rows, d)
		}
	}
	return rows
}

var pgLockTurns = `
SELECT d.*
FROM unnest($1::bigint[]) WITH ORDINALITY AS t(instance, n) CROSS JOIN LATERAL (
  SELECT s.ctid, ` + dueColumns + `
  FROM schedules s
  WHERE s.next_run > 0 AND s.next_run <= $2 AND s.instance_id = t.instance AND ` + strings.ReplaceAll(aheadOnlyFree, "$", "$5") + `
  ORDER BY s.next_run
  LIMIT $3
  FOR UPDATE SKIP LOCKED
) d
LIMIT $4`

func (s *Store) pgLockTurns(ctx context.Context, tx pgx.Tx, req store.ClaimRequest) ([]*dueRow, error) {
	listed, err := tx.Query(ctx, turnsQuery, s.turn.Load(), maxTurns)
	if err != nil {
		return nil, err
	}
	found, err := pgx.CollectRows(listed, pgx.RowTo[int64])
	if err != nil {
		return nil, err
	}
	turns := s.turnsOf(found, req)
	if len(turns) == 0 {
		s.endTurn(found, nil, req)
		return nil, nil
	}
	locked, err := tx.Query(ctx, pgLockTurns, turns, micros(req.Ahead), req.PerInstance, req.Limit, micros(req.Now))
	if err != nil {
		return nil, err
	}
	rows, err := pgx.CollectRows(locked, pgScanDue())
	if err == nil {
		s.endTurn(found, rows, req)
	}
	return rows, err
}

// liteTurns reads what pgLockTurns reads.
func (s *Store) liteTurns(tx *liteTx, req store.ClaimRequest, take func(instance int64, limit int) ([]*dueRow, error)) (rows []*dueRow, err error) {
	var found []int64
	err = tx.query(turnsQuery, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		found = append(found, id)
		return err
	}, s.turn.Load(), maxTurns)
	if err != nil {
		return nil, err
	}
	for _, instance := range s.turnsOf(found, req) {
		if len(rows) == req.Limit {
			break
		}
		more, err := take(instance, min(req.PerInstance, req.Limit-len(rows)))
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	s.endTurn(found, rows, req)
	return rows, nil
}
