package store

import (
	"context"

	"github.com/pointscene/carillon/server/internal/job"
)

// Quotas keeps what instances may use at most. The store itself sees to the
// number of jobs and of executions in an hour, in the transaction that makes
// one; a change of the latter is seen by the claims of other replicas within
// seconds.
//
// An execution counts for the hour, of the clock in UTC, in which it is
// recorded, or for that of its slot when it is claimed ahead. One that is taken
// back before it started has counted.
type Quotas interface {
	// SetQuota replaces what the operator gave to an instance.
	SetQuota(ctx context.Context, id int64, q job.Quota) error
	// Limits answers the limits of an instance that hold.
	Limits(ctx context.Context, id int64) (job.Limits, error)
	// Usage answers what an instance uses. It reads all that it counts.
	Usage(ctx context.Context, id int64) (job.Usage, error)
	// LogUsage answers the bytes of stored logs of each instance that has a
	// limit of them, with that limit.
	LogUsage(ctx context.Context) ([]LogUsage, error)
}

// LogUsage is how much the logs of an instance take.
type LogUsage struct {
	InstanceID int64
	// Bytes are stored, Limit may be; both in bytes.
	Bytes, Limit int64
}
