package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Due is one job whose next time has come, as the claim reads it under lock.
type Due struct {
	JobID      int64
	InstanceID int64
	// Version is that of the definition.
	Version  int64
	Schedule job.Schedule
	Policies job.Policies
	// NextRun is why the ticker comes by: the slot that is due, the time that
	// one was moved to, or the end of a pause.
	NextRun time.Time
	// Damaged says that what is stored can't be read.
	Damaged bool
	// Active is false while the job is paused; PausedAt is since when, and
	// PausedUntil when it resumes by itself, zero for never.
	Active                bool
	PausedAt, PausedUntil time.Time
	// Hold is the last pause of the job's instance, which may be over, nil when
	// there was none.
	Hold *job.Pause
	// Started counts executions by schedule while a policy needs it.
	Started int64
	// Changes are callers' wishes about occurrences, in the order of their
	// slots.
	Changes []job.OccurrenceChange
	// Blocking is the id of an execution of the job that is due and has not
	// ended, 0 for none.
	Blocking int64
	// Waiting is how many executions of the job wait behind others.
	Waiting int
	// Folders are those that the workflow works on, Holders the executions
	// that work on folders of remotes or wait to, in their order. A job without
	// Folders is not told of Holders.
	Folders []job.Folder
	Holders []Holder
	// Room is how many executions the instance may still begin in this hour,
	// nil when it has no limit of them.
	Room *int64
}

// Holder is an execution that works on folders of remotes, or waits to.
type Holder struct {
	ExecutionID, JobID, InstanceID int64
	// Running says that a replica owns it; else it waits for one.
	Running bool
	// Folders are its folders, with the accounts that they were in at its claim.
	Folders []job.Folder
}

// Work is what a look for work finds; times are zero for never.
type Work struct {
	// Due is when the first job is due.
	Due time.Time
	// Waiting is when the first execution that waits for a replica may start,
	// and Folders the same of those that wait for folders.
	Waiting, Folders time.Time
	// Backfills says that one has not ended, Active that an execution has not.
	Backfills, Active bool
	// Signals says that one will come for whatever callers change from now on.
	Signals bool
}

// Start is one execution that a decision makes.
type Start struct {
	// ScheduledFor is the slot.
	ScheduledFor time.Time
	// NotBefore is when it may start: the slot, or later with jitter.
	NotBefore time.Time
	// Waits lets it wait until no other execution of the job runs.
	Waits bool
}

// Decision is what becomes of a due job.
type Decision struct {
	Starts []Start
	Skips  []job.Skip
	// CancelRunning asks the job's running executions to end.
	CancelRunning bool
	// Next is when the ticker comes by again, zero for never.
	Next time.Time
	// Resume makes a paused job active; Anchor is its interval's new anchor.
	Resume bool
	Anchor time.Time
	// Since, when not zero, is from when on excluded slots are still to be told.
	Since time.Time
	// Consumed are the slots whose changes are told and over, Done those that
	// were moved earlier and have started before their slot.
	Consumed, Done []time.Time
}

// ClaimRequest bounds one claim.
type ClaimRequest struct {
	// Owner is the claiming replica. One that was buried claims nothing, and gets
	// ErrNotFound. With 0, ClaimDue makes executions that wait for a replica to
	// take them, and answers none.
	Owner int64
	// Now is the database's time as the replica knows it.
	Now time.Time
	// Ahead is up to when slots are claimed; jobs with an execution that has
	// not ended, and those of a paused instance, are claimed only up to Now.
	Ahead time.Time
	// Limit is how many jobs at most.
	Limit int
	// PerInstance, when not 0, is how many jobs of one instance at most; the
	// instances then take turns, from call to call. ClaimQueued ignores it.
	PerInstance int
	// Rest fills the limit, after the turns, with what is due first.
	Rest bool
	// Full are instances that get nothing now. ClaimDue passes them over in the
	// turns, not in the rest.
	Full []int64
}

// Claimed is an execution that this replica owns now.
type Claimed struct {
	ExecutionID  int64
	JobID        int64
	InstanceID   int64
	Trigger      job.Trigger
	TriggerID    string
	ScheduledFor time.Time
	NotBefore    time.Time
	CreatedAt    time.Time
	// FirstStartedAt is when the first attempt started, zero for the first.
	FirstStartedAt time.Time
	// Attempt is the number of this attempt, from 1.
	Attempt int
	// Fence guards every write of this attempt.
	Fence int64
	// Mark goes into the attempt's Finish.
	Mark Mark
	// JobVersion is that of the definition below.
	JobVersion int64
	Workflow   json.RawMessage
	Schedule   job.Schedule
	Policies   job.Policies
}

// ForeignHolder stands for an execution of another instance, whose id is not
// told.
const ForeignHolder = int64(-1)

// Mark is the store's note of where a claim lies. It saves a search, and may be
// missing or wrong.
type Mark uint64

// Finish is the end of one attempt.
type Finish struct {
	ExecutionID int64
	JobID       int64
	Fence       int64
	// PauseAfter is after how many ends in a row that did not succeed the job
	// is paused; 0 is never. Ends that were cancelled don't count.
	PauseAfter int
	Mark       Mark
	// State is final, or QUEUED when RetryAt is set.
	State      job.State
	Error      *job.Failure
	Tasks      []job.TaskRecord
	StartedAt  time.Time
	FinishedAt time.Time
	// Now is asked when the end pauses the job; nil stands for FinishedAt.
	Now      Clock
	LogBytes int64
	// RetryAt, when not zero, puts the execution back to wait for its next
	// attempt instead of ending it.
	RetryAt time.Time
	// Approval, when not nil, puts the execution back to wait for it
	// (AWAITING_APPROVAL) until RetryAt, when it expires.
	Approval *job.Approval
	// Decided says that the execution had gone on after an approval: what was
	// kept for that goes with its end.
	Decided bool
}

// Progress is what is told of an execution that has been running for a while.
type Progress struct {
	ExecutionID int64
	Fence       int64
	StartedAt   time.Time
	Tasks       []job.TaskRecord
	LogBytes    int64
}

// NextSlots answers up to limit slots of a job's schedule in (after, before).
type NextSlots func(s job.Schedule, jobID int64, after, before time.Time, limit int) []time.Time

// Engine is what ticker and executor need. A fence that is no longer the
// execution's makes a write count for nothing.
type Engine interface {
	// NextWork tells what there is to do and when. It costs next to nothing,
	// however much is stored, and locks nothing.
	NextWork(ctx context.Context) (Work, error)
	// ClaimDue takes due jobs in one transaction: it locks them, asks decide
	// for each, and stores what it answers. decide must be pure and quick.
	// Jobs that another replica has locked are passed over. The claimed
	// executions that may start at once or by timer are answered; those that
	// wait are for ClaimQueued. more tells that the limit was reached and that
	// another call need not find the same jobs.
	ClaimDue(ctx context.Context, req ClaimRequest, decide func(Due) Decision) (claimed []Claimed, more bool, err error)
	// ClaimQueued takes executions that wait for a replica: by hand, retries,
	// and those behind an execution that has ended. Of one job's waiting ones
	// the oldest goes first. It leaves out what ClaimWithFolders takes.
	ClaimQueued(ctx context.Context, req ClaimRequest) (claimed []Claimed, more bool, err error)
	// ClaimWithFolders is ClaimQueued for the executions whose jobs work on folders of
	// remotes. admit is told all that work on folders or wait to, those that run
	// first and then the waiting ones in their order, and answers which of these
	// may not start now and what each waits for: an execution, or ForeignHolder.
	// No two replicas decide about such executions at the same time, neither
	// here nor in ClaimDue. An execution holds its folders from its claim until
	// it has no owner any more: by its end, its release, or for its next attempt.
	ClaimWithFolders(ctx context.Context, req ClaimRequest, admit func([]Holder) map[int64]int64) (claimed []Claimed, more bool, err error)
	// StillClaimed answers the states of the executions that are still to be
	// started under their fence. One that is missing was withdrawn, because its
	// job was paused, edited or deleted since the claim. A change that is being
	// made is waited for, so what is answered can be withdrawn only by one that
	// asks its clock later.
	StillClaimed(ctx context.Context, claimed []Claimed) (map[int64]job.State, error)
	// Release puts executions back that were claimed and not started.
	Release(ctx context.Context, claimed []Claimed) error
	// Finish ends attempts in one transaction and answers the ids of those
	// whose fence was stale: nothing was written for them. One that was to be
	// retried but that somebody asked to cancel ends CANCELLED.
	Finish(ctx context.Context, ends []Finish) (stale []int64, err error)
	// AdvanceBackfills makes executions for open backfills, as many as their
	// concurrency lets run, and ends those that have none left.
	AdvanceBackfills(ctx context.Context, now time.Time, next NextSlots) error
	// Progress stores what has been running for a while and answers the ids
	// whose fence is stale and those that somebody asked to cancel.
	Progress(ctx context.Context, reports []Progress) (stale, cancelled []int64, err error)
	// Owned lists what a replica owns.
	Owned(ctx context.Context, owner int64) ([]Owned, error)
	// ExpireApprovals ends up to limit executions whose approval has expired by
	// now, with why as their error.
	ExpireApprovals(ctx context.Context, now time.Time, limit int, why job.Failure) (expired []int64, err error)
	// Reclaim lets go of executions that self owns and does not know: a claim
	// was committed and its answer lost. It is as Bury for these alone.
	Reclaim(ctx context.Context, self int64, executions []int64) ([]Lost, error)
}

// Replica is a process that shares the database.
type Replica struct {
	ID int64
	// Name tells people which: host and process.
	Name       string
	StartedAt  time.Time
	LeaseUntil time.Time
}

// Owned is a claim as the store has it.
type Owned struct {
	ExecutionID int64
	Fence       int64
	State       job.State
}

// Lost is an execution of a dead replica, adopted by the one that buried it.
type Lost struct {
	Claimed
	State     job.State
	StartedAt time.Time
	Tasks     []job.TaskRecord
	LogBytes  int64
}

// Replicas keeps the leases. The database's clock is the authority.
type Replicas interface {
	// Register makes a replica with a lease, and answers the database's time.
	Register(ctx context.Context, name string, lease time.Duration) (Replica, time.Time, error)
	// Renew extends the lease and answers the database's time; ErrNotFound
	// means that others have declared the replica dead. A replica is steady while
	// less than half of its lease is over at each renewal.
	Renew(ctx context.Context, id int64, lease time.Duration) (time.Time, error)
	// Bury removes replicas whose lease has ended, if self has been steady for
	// longer than lease, and those whose process is known to be gone: while the
	// database was away, nobody could renew. Executions of theirs whose time had not come wait again; the
	// others, which may have started, become self's under a new fence and are
	// answered: self must Finish them. The buried can neither renew nor claim.
	// ErrNotFound means that self was buried.
	Bury(ctx context.Context, self int64, lease time.Duration) ([]Lost, error)
	// Leave gives the lease up. It comes last: what the replica still owns is
	// lost with it, and it counts as dead until it is buried.
	Leave(ctx context.Context, self int64) error
	// DatabaseTime is the clock that all replicas go by.
	DatabaseTime(ctx context.Context) (time.Time, error)
	// Replicas answers the living ones.
	Replicas(ctx context.Context) ([]Replica, error)
}

// Signal is a wake-up between replicas.
type Signal struct {
	Kind SignalKind
	// ID is the execution's for SignalCancel, the job's for SignalWithdraw and
	// SignalDue, 0 for any, and 0 otherwise.
	ID int64
}

// SignalKind is what a signal asks for.
type SignalKind string

// The kinds of signals.
const (
	// SignalDue: look for work now.
	SignalDue SignalKind = "due"
	// SignalCancel: end an execution.
	SignalCancel SignalKind = "cancel"
	// SignalWithdraw: a job's executions that were claimed ahead are gone.
	SignalWithdraw SignalKind = "withdraw"
	// SignalReplica: a replica has registered.
	SignalReplica SignalKind = "replica"
	// SignalWebhook: an instance has its first webhook.
	SignalWebhook SignalKind = "webhook"
	// SignalDelivery: there is a notice to send.
	SignalDelivery SignalKind = "delivery"
	// SignalKeys: sealing keys have changed.
	SignalKeys SignalKind = "keys"
	// SignalMissed: signals may have been lost until now; look for all of it.
	SignalMissed SignalKind = "missed"
)

// Signals carries wake-ups between replicas. They may be lost: everything
// they tell is found again by polling.
type Signals interface {
	// Listen calls handle for each signal until ctx ends. It reconnects by
	// itself and calls handle with SignalMissed after each connect.
	Listen(ctx context.Context, handle func(Signal)) error
	// Listening tells whether signals arrive at this moment, so that whoever
	// polls may do so rarely.
	Listening() bool
}

// Store is all roles together.
type Store interface {
	Instances
	Quotas
	Audit
	Clients
	SigningKeys
	SealingKeys
	Configs
	Snapshots
	Jobs
	Occurrences
	Backfills
	Executions
	Watching
	Approvals
	Files
	Memories
	Inspection
	Webhooks
	Notices
	Engine
	Replicas
	Signals
	// Ping tells whether the database answers.
	Ping(ctx context.Context) error
	Close() error
}
