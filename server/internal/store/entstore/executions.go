package entstore

import (
	"context"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/skip"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// bothTables reads active and ended executions in one statement: one that ends
// meanwhile is seen once. tail has the order and limit, by which each table
// uses its index.
func bothTables(where, tail string) string {
	return `SELECT * FROM (SELECT ` + activeColumns + ` FROM active_executions a WHERE ` + where + ` ` + tail + `) a
UNION ALL
SELECT * FROM (SELECT ` + endedColumns + ` FROM executions WHERE ` + where + ` ` + tail + `) h ` + tail
}

var (
	oneExecution         = bothTables("id = $1", "ORDER BY id LIMIT 1")
	executionsOfJob      = bothTables("job_id = $1 AND id < $2", "ORDER BY id DESC LIMIT $3")
	executionsOfInstance = bothTables("instance_id = $1 AND id < $2", "ORDER BY id DESC LIMIT $3")
	scheduledBetween     = bothTables(`job_id = $1 AND scheduled_for >= $2 AND scheduled_for < $3 AND "trigger" = 'SCHEDULE'`,
		"ORDER BY scheduled_for, id LIMIT $4")
	executionsBetween = bothTables("job_id = $1 AND scheduled_for >= $2 AND scheduled_for < $3", "ORDER BY scheduled_for, id LIMIT $4")
)

// Execution implements store.Executions.
func (s *Store) Execution(ctx context.Context, id int64) (e job.Execution, err error) {
	err = s.query(ctx, "read execution", func(ctx context.Context, c *ent.Client) error {
		e, err = executionByID(ctx, c, id)
		return err
	})
	return e, err
}

func executionByID(ctx context.Context, q querier, id int64) (job.Execution, error) {
	return single(ctx, q, scanExecution, oneExecution, id)
}

// ExecutionsOfJob implements store.Executions.
func (s *Store) ExecutionsOfJob(ctx context.Context, jobID int64, page store.Page) ([]job.Execution, error) {
	return s.executions(ctx, executionsOfJob, jobID, before(page), page.Limit)
}

// ExecutionsOfInstance implements store.Executions.
func (s *Store) ExecutionsOfInstance(ctx context.Context, instanceID int64, page store.Page) ([]job.Execution, error) {
	return s.executions(ctx, executionsOfInstance, instanceID, before(page), page.Limit)
}

// ScheduledBetween implements store.Executions.
func (s *Store) ScheduledBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error) {
	return s.executions(ctx, scheduledBetween, jobID, micros(from), micros(to), limit)
}

// ExecutionsBetween implements store.Executions.
func (s *Store) ExecutionsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error) {
	return s.executions(ctx, executionsBetween, jobID, micros(from), micros(to), limit)
}

func (s *Store) executions(ctx context.Context, query string, args ...any) (list []job.Execution, err error) {
	err = s.query(ctx, "list executions", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanExecution, query, args...)
		return err
	})
	return list, err
}

// The newest executions of each job, by one index look-up a job and table:
// ranking all of them would read every job's whole history.
var (
	latestPostgres = `
SELECT x.* FROM unnest($1::bigint[]) AS u(id) CROSS JOIN LATERAL (` + bothTables("job_id = u.id", "ORDER BY id DESC LIMIT $2") + `) x
ORDER BY x.job_id, x.id DESC`
	latestSQLite = `
SELECT ` + activeColumns + ` FROM (SELECT x.* FROM json_each($1) u CROSS JOIN active_executions x
  WHERE x.id IN (SELECT n.id FROM active_executions n WHERE n.job_id = u.value ORDER BY n.id DESC LIMIT $2)) a
UNION ALL
SELECT ` + endedColumns + ` FROM (SELECT x.* FROM json_each($1) u CROSS JOIN executions x
  WHERE x.id IN (SELECT n.id FROM executions n WHERE n.job_id = u.value ORDER BY n.id DESC LIMIT $2))
ORDER BY job_id, id DESC`
)

// LatestOfJobs implements store.Executions.
func (s *Store) LatestOfJobs(ctx context.Context, jobIDs []int64, limit int) (map[int64][]job.Execution, error) {
	query := latestSQLite
	if s.postgres() {
		query = latestPostgres
	}
	list, err := s.executions(ctx, query, s.list(jobIDs), limit)
	byJob := make(map[int64][]job.Execution)
	for _, e := range list {
		// SQLite's statement answers up to limit from each table.
		if len(byJob[e.JobID]) < limit {
			byJob[e.JobID] = append(byJob[e.JobID], e)
		}
	}
	return byJob, err
}

// SkipsBetween implements store.Executions.
func (s *Store) SkipsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) (list []job.Skip, err error) {
	err = s.query(ctx, "read ledger", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Skip.Query().Where(skip.JobID(jobID), skip.LastGTE(micros(from)), skip.FirstLT(micros(to))).
			Order(ent.Asc(skip.FieldFirst, skip.FieldID)).Limit(limit).All(ctx)
		list = mapAll(rows, skipOf)
		return err
	})
	return list, err
}
