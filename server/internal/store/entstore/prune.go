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
func (s *Store) PruneHistory(ctx context.Context, cutoff time.Time, limit int) (pruned []job.Execution, err error) {
	err = s.tx(ctx, "prune history", func(ctx context.Context, tx *ent.Tx) error {
		// Found first and deleted by key: in one statement the planner may
		// choose to read the whole table.
		old, err := collect(ctx, tx, scanID, oldExecutions, micros(cutoff), limit+pruneWindow, limit)
		if err != nil {
			return err
		}
		pruned, err = collect(ctx, tx, scanExecution, "DELETE FROM executions WHERE "+s.inList("id", 1)+" RETURNING "+historyColumns, s.list(old))
		if err != nil {
			return err
		}
		if err := pruneSkips(ctx, tx, cutoff, limit); err != nil {
			return err
		}
		if err := pruneBackfills(ctx, tx, cutoff, limit); err != nil {
			return err
		}
		return pruneRequests(ctx, tx, limit)
	})
	return pruned, err
}

func pruneSkips(ctx context.Context, tx *ent.Tx, cutoff time.Time, limit int) error {
	old := skip.LastLT(micros(cutoff))
	ids, err := tx.Skip.Query().Where(old).Order(ent.Asc(skip.FieldLast)).Limit(limit).IDs(ctx)
	if err != nil {
		return err
	}
	// One that a new skip folds into meanwhile is not old any more.
	_, err = tx.Skip.Delete().Where(idsIn(ids), old).Exec(ctx)
	return err
}

func pruneRequests(ctx context.Context, tx *ent.Tx, limit int) error {
	ids, err := tx.RequestKey.Query().Where(requestkey.CreatedAtLT(micros(time.Now().Add(-requestLife)))).
		Order(ent.Asc(requestkey.FieldCreatedAt)).Limit(limit).IDs(ctx)
	if err != nil {
		return err
	}
	_, err = tx.RequestKey.Delete().Where(idsIn(ids)).Exec(ctx)
	return err
}
