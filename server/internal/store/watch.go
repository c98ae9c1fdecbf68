package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// ExecutionMark is enough of an execution to see that it changed.
type ExecutionMark struct {
	ID, InstanceID, JobID int64
	// Mark is another one when anything that people see of the execution is.
	Mark uint64
	// Ahead says that its time has only just come or not yet and that it has not
	// started: it may be withdrawn, and is not told.
	Ahead bool
}

// Watching is what those read who watch executions: again and again, without
// a lock and without anything being written for them.
//
// Ids are given before they are committed, by several replicas. So an
// execution may come to be seen when one with a higher id has been seen for a
// while, but for no longer than a call may take.
type Watching interface {
	// NewestExecution is the highest id that can be seen, 0 for none.
	NewestExecution(ctx context.Context) (int64, error)
	// SettledExecution is the highest id in the history of an execution that
	// was recorded more than age ago by the database's clock, 0 for none.
	SettledExecution(ctx context.Context, age time.Duration) (int64, error)
	// ActiveMarks lists the executions of instances that have not ended, in
	// the order of their ids.
	ActiveMarks(ctx context.Context, instanceIDs []int64) ([]ExecutionMark, error)
	// EndedAbove lists executions of instances in the history with ids above
	// the given one, in the order of their ids, at most limit. Their Mark is 0:
	// history does not change.
	EndedAbove(ctx context.Context, instanceIDs []int64, above int64, limit int) ([]ExecutionMark, error)
	// ExecutionsByID answers those that exist, active or ended, in the order of
	// their ids.
	ExecutionsByID(ctx context.Context, ids []int64) ([]job.Execution, error)
}
