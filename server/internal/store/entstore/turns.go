package entstore

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/server/internal/store"
)

// When more is due than can run, instances take turns: a claim goes through
// them, the newest first, from where the last one stopped, and takes a
// few jobs of each. So one instance's herd costs another's single job no more
// than one round. Each instance costs one step in the index schedules_turns,
// however many jobs it has.

// maxTurns bounds how many instances one claim looks at.
const maxTurns = 200

// turnsQuery lists up to $2 instances that have anything scheduled, before $1, the
// newest first: an instance's last index entry is one to come, while its first ones,
// in a herd, are those of rows that have moved.
const turnsQuery = `
WITH RECURSIVE turns(instance, n) AS (
  SELECT (SELECT max(s.instance_id) FROM schedules s WHERE s.next_run > 0 AND s.instance_id < $1), 1
  UNION ALL
  SELECT (SELECT max(s.instance_id) FROM schedules s WHERE s.next_run > 0 AND s.instance_id < t.instance), t.n + 1
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

// instances lists those of the next round, by a function that lists those before
// one.
func (s *Store) instances(before func(instance int64) ([]int64, error)) ([]int64, error) {
	if last := s.turn.Load(); last != 0 {
		if found, err := before(last); err != nil || len(found) > 0 {
			return found, err
		}
		s.turn.Store(0)
	}
	return before(math.MaxInt64)
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

// levels are the priorities of what an instance has scheduled, the highest
// first: a step in the index schedules_turns each.
const levels = `
WITH RECURSIVE levels(priority) AS (
  SELECT (SELECT max(s.priority) FROM schedules s WHERE s.next_run > 0 AND s.instance_id = $1)
  UNION ALL
  SELECT (SELECT max(s.priority) FROM schedules s WHERE s.next_run > 0 AND s.instance_id = $1 AND s.priority < l.priority)
  FROM levels l WHERE l.priority IS NOT NULL
)
SELECT priority FROM levels WHERE priority IS NOT NULL`

// pgLockTurns takes up to $3 due rows of each of the instances $1, those of the
// highest priority first.
var pgLockTurns = `
SELECT d.*
FROM unnest($1::bigint[], $3::bigint[]) WITH ORDINALITY AS t(instance, most, n) CROSS JOIN LATERAL (
  SELECT d.*
  FROM (` + strings.ReplaceAll(levels, "$1", "t.instance") + `) l CROSS JOIN LATERAL (
    SELECT s.ctid, ` + dueColumns + `
    FROM schedules s
    WHERE s.next_run > 0 AND s.next_run <= $2 AND s.instance_id = t.instance AND s.priority = l.priority AND ` + strings.ReplaceAll(aheadOnlyFree, "$", "$5") + `
    ORDER BY s.next_run
    LIMIT t.most
    FOR UPDATE SKIP LOCKED
  ) d
  LIMIT t.most
) d
LIMIT $4`

func (s *Store) pgLockTurns(ctx context.Context, tx pgx.Tx, req store.ClaimRequest) ([]*dueRow, error) {
	found, err := s.instances(func(last int64) ([]int64, error) {
		listed, err := tx.Query(ctx, turnsQuery, last, maxTurns)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(listed, pgx.RowTo[int64])
	})
	if err != nil {
		return nil, err
	}
	turns := s.turnsOf(found, req)
	if len(turns) == 0 {
		s.endTurn(found, nil, req)
		return nil, nil
	}
	rows, err := pgTakeTurns(ctx, tx, req, turns, slices.Repeat([]int64{int64(req.PerInstance)}, len(turns)))
	if err == nil {
		s.endTurn(found, rows, req)
	}
	return rows, err
}

func pgTakeTurns(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, instances, most []int64) ([]*dueRow, error) {
	locked, err := tx.Query(ctx, pgLockTurns, instances, micros(req.Ahead), most, req.Limit, micros(req.Now))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(locked, pgScanDue())
}

// liteTurns reads what pgLockTurns reads.
func (s *Store) liteTurns(tx *liteTx, req store.ClaimRequest, take func(instance int64, limit int) ([]*dueRow, error)) (rows []*dueRow, err error) {
	found, err := s.instances(func(last int64) ([]int64, error) { return liteIDs(tx, turnsQuery, last, maxTurns) })
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

// Which of its jobs an instance runs, when not all can, is a matter of their
// priorities; how many, never: those are for the others to say, too.

// severalLevels lists those of the instances, given as an array on PostgreSQL and
// as JSON on SQLite, whose jobs have not all one priority. It asks for one below the
// highest: the lowest of all stands, after a herd, behind the index entries of all
// that moved.
const (
	pgSeveralLevels = `
SELECT u.id FROM unnest($1::bigint[]) AS u(id) WHERE ` + lowerLevel
	liteSeveralLevels = `
SELECT u.id FROM (SELECT value AS id FROM json_each($1)) u WHERE ` + lowerLevel
	lowerLevel = `(
  SELECT s.priority FROM schedules s
  WHERE s.next_run > 0 AND s.instance_id = u.id AND s.priority < (SELECT max(h.priority) FROM schedules h WHERE h.next_run > 0 AND h.instance_id = u.id)
  ORDER BY s.priority DESC LIMIT 1) IS NOT NULL`
)

// shares is how many of the rows each instance has.
func shares(rows []*dueRow) map[int64]int64 {
	n := make(map[int64]int64)
	for _, d := range rows {
		n[d.InstanceID]++
	}
	return n
}

// pgPrefer puts in the place of rows that were chosen by their time, when these
// are as many as there may be, as many of the same instances by their priority.
func pgPrefer(ctx context.Context, tx pgx.Tx, req store.ClaimRequest, rows []*dueRow) ([]*dueRow, error) {
	if len(rows) < req.Limit {
		return rows, nil
	}
	listed, err := tx.Query(ctx, pgSeveralLevels, instancesOf(rows))
	if err != nil {
		return nil, err
	}
	several, err := pgx.CollectRows(listed, pgx.RowTo[int64])
	if err != nil || len(several) == 0 {
		return rows, err
	}
	n := shares(rows)
	most := make([]int64, len(several))
	for i, id := range several {
		most[i] = n[id]
	}
	better, err := pgTakeTurns(ctx, tx, req, several, most)
	return append(without(rows, several), better...), err
}

// litePrefer is pgPrefer.
func litePrefer(tx *liteTx, req store.ClaimRequest, rows []*dueRow, take func(instance int64, limit int) ([]*dueRow, error)) ([]*dueRow, error) {
	if len(rows) < req.Limit {
		return rows, nil
	}
	several, err := liteIDs(tx, liteSeveralLevels, "["+idList(instancesOf(rows))+"]")
	if err != nil || len(several) == 0 {
		return rows, err
	}
	n := shares(rows)
	rows = without(rows, several)
	for _, id := range several {
		better, err := take(id, int(n[id]))
		if err != nil {
			return nil, err
		}
		rows = append(rows, better...)
	}
	return rows, nil
}

// without leaves out the rows of some instances.
func without(rows []*dueRow, instances []int64) []*dueRow {
	return slices.DeleteFunc(rows, func(d *dueRow) bool { return slices.Contains(instances, d.InstanceID) })
}

// liteTakeTurn reads up to limit due rows of an instance, those of the highest
// priority first.
func liteTakeTurn(tx *liteTx, req store.ClaimRequest, instance int64, limit int) (rows []*dueRow, err error) {
	priorities, err := liteIDs(tx, levels, instance)
	if err != nil {
		return nil, err
	}
	for _, priority := range priorities {
		if len(rows) == limit {
			break
		}
		more, err := liteReadDue(tx, liteDueOf, micros(req.Ahead), micros(req.Now), limit-len(rows), instance, priority)
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

func liteIDs(tx *liteTx, query string, args ...any) (ids []int64, err error) {
	err = tx.query(query, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, args...)
	return ids, err
}
