package store

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// ErrStale says that a write carried a fence that is no longer the
// execution's: somebody else owns it.
var ErrStale = errors.New("stale fence")

// FileQuery asks for a part of an execution's record of files.
type FileQuery struct {
	ExecutionID int64
	// Action, State and Prefix of the path select, unless empty.
	Action job.FileAction
	State  job.FileState
	Prefix string
	// After continues after the record with this id.
	After int64
	Limit int
}

// Files keeps what became of the files of executions. The records go with
// their execution, in the order in which they were written.
type Files interface {
	// AnnounceFiles notes that files are about to be changed, and answers the
	// number of the announcement. If the replica dies before the files are
	// recorded, those that are not get a record with state UNKNOWN when its
	// executions are adopted.
	AnnounceFiles(ctx context.Context, executionID, fence int64, files []job.FileRecord) (int64, error)
	// RecordFiles adds records and forgets announcements.
	RecordFiles(ctx context.Context, executionID, fence int64, files []job.FileRecord, settled []int64) error
	// Files lists records, oldest first. One call reads a bounded number of
	// records: when it answers less than the limit, more is where to go on, 0
	// at the end.
	Files(ctx context.Context, q FileQuery) (records []job.FileRecord, more int64, err error)
}

// Memories keeps what executions of a job remember for the next. It goes with
// the job.
type Memories interface {
	// Recall answers nil for what was never remembered.
	Recall(ctx context.Context, jobID int64, key string) ([]byte, error)
	// Remember replaces a value, unless the execution's fence is stale.
	Remember(ctx context.Context, jobID, executionID, fence int64, key string, value []byte) error
}

// Approvals keeps the plans that wait for somebody's approval.
type Approvals interface {
	// Approval answers the last one of an execution.
	Approval(ctx context.Context, executionID int64) (job.Approval, error)
	// Approve lets an execution that waits go on with the plan of this digest.
	// One that does not wait is a *job.PreconditionError
	// (NOT_AWAITING_APPROVAL), another digest one too (PLAN_CHANGED). A second
	// approval of the same plan by anybody is the first.
	Approve(ctx context.Context, executionID int64, now time.Time, digest, actor string) (job.Execution, error)
	// Reject ends an execution that waits as FAILED with why.
	Reject(ctx context.Context, executionID int64, now time.Time, actor string, why job.Failure) (job.Execution, error)
}
