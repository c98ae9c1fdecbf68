package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Overdue is a job that the ticker should have come by.
type Overdue struct {
	JobID, InstanceID int64
	NextRun           time.Time
}

// Open is an execution that has not ended, as a look for faults sees it.
type Open struct {
	ExecutionID, JobID, InstanceID int64
	State                          job.State
	// Owner is 0 while it waits for a replica.
	Owner int64
	// NotBefore is when it might start, StartedAt when it did, zero before.
	NotBefore, StartedAt time.Time
	// TimeLimit is the job's, 0 for none.
	TimeLimit time.Duration
}

// Double is an occurrence that has two executions.
type Double struct {
	JobID, InstanceID int64
	ScheduledFor      time.Time
	// ExecutionID is the one too many.
	ExecutionID int64
}

// Run is what the ledger knows of an execution by schedule.
type Run struct {
	ExecutionID  int64
	ScheduledFor time.Time
}

// Inspection is what a look for broken promises reads. It writes nothing and
// takes no lock, and each call reads a bounded part of the database.
type Inspection interface {
	// DatabaseTime is the clock that all replicas go by.
	DatabaseTime(ctx context.Context) (time.Time, error)
	// OverdueJobs lists jobs that the ticker should have come by before a time,
	// the longest overdue first.
	OverdueJobs(ctx context.Context, before time.Time, limit int) ([]Overdue, error)
	// Orphans lists open executions whose owner is no replica any more, or one
	// whose lease ended long ago without anybody burying it.
	Orphans(ctx context.Context, limit int) ([]Open, error)
	// Stuck lists open executions that should be somewhere else since before a
	// time: they wait for nothing that the store knows of, or have an owner that
	// has not started them, or run although their time limit was over.
	Stuck(ctx context.Context, before time.Time, limit int) ([]Open, error)
	// Doubles lists occurrences that have two executions, among the newest active
	// and the newest ended ones.
	Doubles(ctx context.Context, newest, limit int) ([]Double, error)
	// AllJobs lists the jobs of all instances.
	AllJobs(ctx context.Context, page Page) ([]job.Job, error)
	// Told tells which of some jobs have anything of what Runs, OccurrenceChanges and
	// SkipsBetween list.
	Told(ctx context.Context, jobIDs []int64, from, to time.Time) (map[int64]bool, error)
	// Runs lists the executions by schedule of a job with ScheduledFor in
	// [from, to), in that order.
	Runs(ctx context.Context, jobID int64, from, to time.Time) ([]Run, error)
	// TakenUp tells whether any execution of the job was made in [from, to), or
	// an attempt may have been taken up: only the start of the last one is kept.
	// It looks at the newest ended ones only, and answers true when these begin
	// after from.
	TakenUp(ctx context.Context, jobID int64, from, to time.Time, newest int) (bool, error)
	OccurrenceChanges(ctx context.Context, jobID int64) ([]job.OccurrenceChange, error)
	SkipsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Skip, error)
}
