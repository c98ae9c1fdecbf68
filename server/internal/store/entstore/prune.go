package entstore

import (
	"context"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/requestkey"
	"github.com/pointscene/carillon/ent/skip"
	"github.com/pointscene/carillon/server/internal/job"
)

// pruneWindow is how far beyond the limit the oldest executions are looked at.
// Ids rise with creation, so those that ended first are at the start but for
// the few that ran across the cutoff; there is no index on the end.
const pruneWindow = 10_000

const oldExecutions = `
SELECT id FROM (SELECT id, finished_at FROM executions ORDER BY id LIMIT $2) head
WHERE finished_at < $1 ORDER BY id LIMIT $3`

// PruneHistory implements store.Executions.
func (s *Store) PruneHistory(ctx context.Context, cutoff time.Time, limit int) (pruned []job.Execution, more bool, err error) {
	// Found first and deleted by key: in one statement the planner may choose
	// to read the whole table. The many records of files go before.
	var old []int64
	err = s.query(ctx, "find old executions", func(ctx context.Context, c *ent.Client) error {
		old, err = collect(ctx, c, scanID, oldExecutions, micros(cutoff), limit+pruneWindow, limit)
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if err := s.pruneFiles(ctx, old); err != nil {
		return nil, false, err
	}
	err = s.tx(ctx, "prune history", func(ctx context.Context, tx *ent.Tx) error {
		pruned, err = collect(ctx, tx, scanExecution, "DELETE FROM executions WHERE "+s.inList("id", 1)+" RETURNING "+endedColumns, s.list(old))
		if err != nil {
			return err
		}
		for _, table := range []string{"approvals WHERE " + s.inList("id", 1), "file_announcements WHERE " + s.inList("execution_id", 1)} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table, s.list(old)); err != nil {
				return err
			}
		}
		more = len(old) == limit
		for _, prune := range []func(context.Context, *ent.Tx, time.Time, int) (int, error){pruneSkips, pruneBackfills, pruneRequests, pruneNotices} {
			found, err := prune(ctx, tx, cutoff, limit)
			if err != nil {
				return err
			}
			more = more || found == limit
		}
		return pruneHours(ctx, tx)
	})
	return pruned, more, err
}

// pruneSkips and the others answer how many rows they found.
func pruneSkips(ctx context.Context, tx *ent.Tx, cutoff time.Time, limit int) (int, error) {
	old := skip.LastLT(micros(cutoff))
	ids, err := tx.Skip.Query().Where(old).Order(ent.Asc(skip.FieldLast)).Limit(limit).IDs(ctx)
	if err != nil {
		return 0, err
	}
	// One that a new skip folds into meanwhile is not old any more.
	_, err = tx.Skip.Delete().Where(idsIn(ids), old).Exec(ctx)
	return len(ids), err
}

func pruneRequests(ctx context.Context, tx *ent.Tx, _ time.Time, limit int) (int, error) {
	ids, err := tx.RequestKey.Query().Where(requestkey.CreatedAtLT(micros(time.Now().Add(-requestLife)))).
		Order(ent.Asc(requestkey.FieldCreatedAt)).Limit(limit).IDs(ctx)
	if err != nil {
		return 0, err
	}
	_, err = tx.RequestKey.Delete().Where(idsIn(ids)).Exec(ctx)
	return len(ids), err
}
