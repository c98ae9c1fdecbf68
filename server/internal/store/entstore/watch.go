package entstore

import (
	"context"
	"hash/fnv"
	"io"
	"strconv"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// settling is for how long after its time an execution that has not started
// may still be withdrawn, by a change that was decided before.
const settling = time.Second

const newestExecution = `SELECT max(id) FROM (SELECT max(id) AS id FROM active_executions UNION ALL SELECT max(id) FROM executions) n`

// settledExecution goes back from the end of the history: it reads what was
// recorded since $1 and one row more.
const settledExecution = `SELECT id FROM executions WHERE created_at < $1 ORDER BY id DESC LIMIT 1`

// NewestExecution implements store.Watching.
func (s *Store) NewestExecution(ctx context.Context) (id int64, err error) {
	err = s.query(ctx, "find the newest execution", func(ctx context.Context, c *ent.Client) error {
		found, err := single(ctx, c, scanOptionalID, newestExecution)
		id = found
		return err
	})
	return id, err
}

// scanOptionalID is scanID with 0 for NULL.
func scanOptionalID(scan func(...any) error) (int64, error) {
	var id *int64
	if err := scan(&id); err != nil || id == nil {
		return 0, err
	}
	return *id, nil
}

// SettledExecution implements store.Watching.
func (s *Store) SettledExecution(ctx context.Context, age time.Duration) (id int64, err error) {
	err = s.query(ctx, "find a settled execution", func(ctx context.Context, c *ent.Client) error {
		now, err := s.databaseTime(ctx, c)
		if err != nil {
			return err
		}
		found, err := collect(ctx, c, scanID, settledExecution, micros(now.Add(-age)))
		if err == nil && len(found) > 0 {
			id = found[0]
		}
		return err
	})
	return id, err
}

// markColumns are what scanMark reads: all that changes while an execution has
// not ended.
const markColumns = `id, instance_id, job_id, state, attempt, started_at, error, tasks, waiting_for`

// activeMarks takes the instances as $1 and as $2 up to which start an execution
// that has not started is told.
func (s *Store) activeMarks() string {
	return `SELECT ` + markColumns + `, not_before > $2 AND ` + aheadOf + ` FROM active_executions WHERE ` + s.inList("instance_id", 1) + ` ORDER BY id`
}

// ActiveMarks implements store.Watching.
func (s *Store) ActiveMarks(ctx context.Context, instanceIDs []int64) (marks []store.ExecutionMark, err error) {
	err = s.query(ctx, "watch active executions", func(ctx context.Context, c *ent.Client) error {
		now, err := s.databaseTime(ctx, c)
		if err != nil {
			return err
		}
		marks, err = collect(ctx, c, scanMark, s.activeMarks(), s.list(instanceIDs), micros(now.Add(-settling)))
		return err
	})
	return marks, err
}

func scanMark(scan func(...any) error) (m store.ExecutionMark, err error) {
	var state, failure, tasks string
	var attempt, started, waitingFor int64
	if err := scan(&m.ID, &m.InstanceID, &m.JobID, &state, &attempt, &started, &failure, &tasks, &waitingFor, &m.Ahead); err != nil {
		return m, err
	}
	hash := fnv.New64a()
	for _, part := range []string{state, strconv.FormatInt(attempt, 10), strconv.FormatInt(started, 10), strconv.FormatInt(waitingFor, 10), failure, tasks} {
		_, _ = io.WriteString(hash, part) // a hash takes everything
		_, _ = hash.Write([]byte{0})
	}
	m.Mark = hash.Sum64()
	return m, nil
}

func (s *Store) endedAbove() string {
	return `SELECT id, instance_id, job_id FROM executions WHERE ` + s.inList("instance_id", 1) + ` AND id > $2 ORDER BY id LIMIT $3`
}

// EndedAbove implements store.Watching.
func (s *Store) EndedAbove(ctx context.Context, instanceIDs []int64, above int64, limit int) (marks []store.ExecutionMark, err error) {
	err = s.query(ctx, "watch ended executions", func(ctx context.Context, c *ent.Client) error {
		marks, err = collect(ctx, c, func(scan func(...any) error) (m store.ExecutionMark, err error) {
			err = scan(&m.ID, &m.InstanceID, &m.JobID)
			return m, err
		}, s.endedAbove(), s.list(instanceIDs), above, limit)
		return err
	})
	return marks, err
}

// ExecutionsByID implements store.Watching.
func (s *Store) ExecutionsByID(ctx context.Context, ids []int64) ([]job.Execution, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return s.executions(ctx, bothTables(s.inList("id", 1), "ORDER BY id"), s.list(ids))
}
