// Package store says what the rest of the server needs of the database, by
// role, and nothing of how it is done. Package entstore is the one
// implementation, for SQLite and PostgreSQL; package storetest is the suite
// that it must pass on both.
//
// Rules that hold for every method:
//   - A call is one transaction: it happens whole or not at all, and when it
//     returns nil it survives a crash.
//   - A missing object is ErrNotFound. A caller's wish that the present state
//     forbids is a *job.PreconditionError. A database that does not answer in
//     time is a *job.UnavailableError, and then it is unknown whether the
//     call happened; every call is safe to repeat or says otherwise.
//   - Database wording never leaves: other errors name the operation.
//   - Times come back in UTC with microseconds, as they were given. A creation
//     without CreatedAt gets the present.
//   - A now that is passed in is the database's time to within seconds. A
//     [Clock] is asked under the lock of what is changed, so that what is due
//     before a change is told from what is due after it.
//   - Text is UTF-8 without NUL: the doors refuse anything else.
//   - Lists go from the newest to the oldest by id and are continued by the
//     last id that was seen (keyset paging); they never count.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// ErrNotFound says that an object is missing.
var ErrNotFound = errors.New("not found")

// OrMissing is err, told to callers as a missing object where it is ErrNotFound.
func OrMissing(err error, kind job.Kind, id int64) error {
	if errors.Is(err, ErrNotFound) {
		return kind.Missing(id)
	}
	return err
}

// Clock tells the database's time, wrong by no more than a few milliseconds. A
// call may ask more than once.
type Clock func() time.Time

// At is a clock that stands still.
func At(now time.Time) Clock { return func() time.Time { return now } }

// StartGuard is how long before its start an execution can't be withdrawn any
// more: a change that comes so late waits until the start has passed. An
// executor's last look at what it starts is younger than that by more than what
// clocks may differ.
const StartGuard = 100 * time.Millisecond

// Page asks for a part of a list.
type Page struct {
	// Before continues after the row with this id; 0 starts at the newest.
	Before int64
	// Limit is how many rows at most, at least 1.
	Limit int
}

// Request makes a creation idempotent for 24 hours: a second call with the
// same Key answers what the first one made, as long as Digest is the same; a
// different one is an *job.InvalidError for requestId, and when what the first
// one made has been deleted since, it is a *job.PreconditionError
// (REQUESTED_OBJECT_DELETED). The zero Request is not remembered.
type Request struct {
	// Key binds caller, method, parent and the request's id.
	Key string
	// Digest is a hash of everything else in the request.
	Digest string
}

// Instances keeps tenants and resources.
type Instances interface {
	// CreateInstance makes an instance; linkTo (0 for none) is the client that
	// instance-* will stand for it.
	CreateInstance(ctx context.Context, in job.Instance, linkTo int64, req Request) (job.Instance, error)
	Instance(ctx context.Context, id int64) (job.Instance, error)
	// Instances lists all, or, when only is not nil, those with these ids.
	Instances(ctx context.Context, only []int64, page Page) ([]job.Instance, error)
	// PauseInstance stops the jobs of an instance from running when due, from
	// now on: claims read the state of the instance, whatever the number of its
	// jobs. What was claimed ahead of its time is withdrawn. Slots that were
	// overdue belong to the pause. p.Since is ignored; for an instance that is
	// paused already, only reason, actor and end are replaced. A pause is
	// answered as it was asked for, also when its end has passed.
	PauseInstance(ctx context.Context, id int64, now Clock, p job.Pause) (job.Instance, error)
	// ResumeInstance ends a pause now; its range is kept, for slots that are not
	// told yet. An instance that is not paused stays as it is.
	ResumeInstance(ctx context.Context, id int64, now Clock) (job.Instance, error)
	// DeleteInstance fails with a *job.PreconditionError (INSTANCE_NOT_EMPTY)
	// while it has jobs or resources. Links of clients and webhooks go with it.
	DeleteInstance(ctx context.Context, id int64) error

	CreateResource(ctx context.Context, r job.Resource, req Request) (job.Resource, error)
	Resource(ctx context.Context, id int64) (job.Resource, error)
	// ResourcesByID answers those that exist, in any order.
	ResourcesByID(ctx context.Context, ids []int64) ([]job.Resource, error)
	Resources(ctx context.Context, instanceID int64, page Page) ([]job.Resource, error)
	// DeleteResource deletes the resource with its config; a
	// *job.PreconditionError (RESOURCE_IN_USE) names a job that uses it.
	DeleteResource(ctx context.Context, id int64) error

	// InstanceOf tells which instance an object belongs to: the instance
	// itself, or that of a resource, job, webhook, delivery, execution or backfill (running or
	// ended, also of a deleted job). It never changes for an id.
	InstanceOf(ctx context.Context, kind job.Kind, id int64) (int64, error)
}

// Clients keeps the programs that may ask for tokens.
type Clients interface {
	CreateClient(ctx context.Context, c job.Client) (job.Client, error)
	Client(ctx context.Context, id int64) (job.Client, error)
	Clients(ctx context.Context, page Page) ([]job.Client, error)
	DeleteClient(ctx context.Context, id int64) error
	// ResetClientSecret stores a new hash and raises the secret's version.
	ResetClientSecret(ctx context.Context, id int64, hash []byte) (job.Client, error)
	// Linked tells whether instance-* of the client stands for the instance.
	Linked(ctx context.Context, clientID, instanceID int64) (bool, error)
	// LinkedInstances lists what instance-* of the client stands for.
	LinkedInstances(ctx context.Context, clientID int64) ([]int64, error)
}

// SigningKey is a key for tokens or for links, its private part sealed.
type SigningKey struct {
	// ID is the key's public name (kid).
	ID string
	// Purpose is "token" or "link".
	Purpose string
	// Public is the public part; empty for symmetric keys.
	Public []byte
	// KeyID and Sealed are the private part.
	KeyID     uint32
	Sealed    []byte
	CreatedAt time.Time
	// ActiveAt is from when on it signs; what it signed is valid before, too.
	ActiveAt time.Time
	// RetiresAt is when nothing that it signed is valid any more; zero for never.
	RetiresAt time.Time
}

// SigningKeys keeps the keys that tokens and links are signed with.
type SigningKeys interface {
	// SigningKeys lists all, oldest first.
	SigningKeys(ctx context.Context) ([]SigningKey, error)
	// AddFirstSigningKey stores the key unless its purpose has one already.
	// Of replicas that race, one wins; all then read the same.
	AddFirstSigningKey(ctx context.Context, key SigningKey) error
	// RotateSigningKey stores a further key of a purpose. Its older keys retire
	// at retire unless they do so before; those that have retired by now go.
	RotateSigningKey(ctx context.Context, key SigningKey, retire, now time.Time) error
}

// Snapshots let several reads see one state of the database.
type Snapshots interface {
	// Snapshot calls fn, whose reads see one state when they use the context that
	// it is given. It must not write by that context, and may be called more than
	// once. Its error is answered as it is.
	Snapshot(ctx context.Context, fn func(ctx context.Context) error) error
}

// Jobs keeps jobs with their schedule state.
type Jobs interface {
	// CreateJob stores j with its NextRun, as version 1, and answers it with id
	// and times.
	// The resources in ResourceIDs must be of its instance, else it is a
	// *job.PreconditionError (RESOURCE_GONE): they were checked before, so this
	// is a lost race.
	CreateJob(ctx context.Context, j job.Job, req Request) (job.Job, error)
	Job(ctx context.Context, id int64) (job.Job, error)
	Jobs(ctx context.Context, instanceID int64, page Page) ([]job.Job, error)
	// UpdateJob reads the job with its schedule row locked, lets change alter
	// it, and stores the result with Version+1 and UpdatedAt, unless change
	// answers false: then nothing is written. change may be called more than
	// once. Whatever change alters of the schedule, of Active, or of the
	// workflow, executions of the old definition that were claimed ahead of
	// their time and have not come due are withdrawn: their slots are due again
	// under the new one. skips are added to the ledger in the same transaction.
	// change is told the time under the lock: what is due by then is the old
	// definition's.
	UpdateJob(ctx context.Context, id int64, now Clock, change func(j *job.Job, now time.Time) (changed bool, skips []job.Skip, err error)) (job.Job, error)
	// DeleteJob removes the job. Waiting executions end CANCELLED, started ones
	// become CANCELLING; history and ledger stay. check sees the job first.
	DeleteJob(ctx context.Context, id int64, now Clock, check func(job.Job) error) error
}

// Occurrences keeps callers' wishes about occurrences to come.
type Occurrences interface {
	// ChangeOccurrences reads the job with its schedule row locked, lets change
	// alter its Changes and NextRun, and stores these without raising the
	// version. What was claimed ahead of its time is withdrawn, so that NextRun
	// must count it. A changed slot that has an execution by schedule is a
	// *job.PreconditionError (ALREADY_STARTED, with its executionId). skips are
	// added to the ledger. change may be called more than once, each time with
	// the time under the lock; when it alters no wish, nothing is written.
	ChangeOccurrences(ctx context.Context, jobID int64, now Clock, change func(j *job.Job, now time.Time) (skips []job.Skip, err error)) (job.Job, error)
	// OccurrenceChanges lists the wishes of a job by slot; they are at most
	// job.MaxChanges.
	OccurrenceChanges(ctx context.Context, jobID int64) ([]job.OccurrenceChange, error)
}

// Backfills keeps ranges of the past that are run as one. They go with the
// history: PruneHistory deletes those that ended before its cutoff.
type Backfills interface {
	// CreateBackfill stores a backfill of b.JobID for the engine to advance. While
	// job.MaxOpenBackfills of the job have not ended it is an *job.ExhaustedError
	// (QUOTA).
	CreateBackfill(ctx context.Context, b job.Backfill, req Request) (job.Backfill, error)
	Backfill(ctx context.Context, id int64) (job.Backfill, error)
	// CancelBackfill ends a backfill: its waiting executions end CANCELLED, its
	// started ones are asked to end, and no further one is made. One that was
	// cancelled stays as it is; one that has finished is a
	// *job.PreconditionError (ALREADY_ENDED).
	CancelBackfill(ctx context.Context, id int64, now time.Time, why job.Failure) (job.Backfill, error)
}

// Executions reads what ran, running and ended alike, and takes what callers
// ask of executions.
type Executions interface {
	Execution(ctx context.Context, id int64) (job.Execution, error)
	// ExecutionsOfJob and ExecutionsOfInstance list active and ended ones
	// together.
	ExecutionsOfJob(ctx context.Context, jobID int64, page Page) ([]job.Execution, error)
	ExecutionsOfInstance(ctx context.Context, instanceID int64, page Page) ([]job.Execution, error)
	// LatestOfJobs answers up to limit of the newest executions of each job.
	LatestOfJobs(ctx context.Context, jobIDs []int64, limit int) (map[int64][]job.Execution, error)
	// EnqueueManual records an execution by hand, to be claimed at once.
	// Under OverlapSkip it is a *job.PreconditionError (OVERLAP, with the
	// blocking execution as executionId) while another execution of the job is
	// due and has not ended. Under BUFFER_ONE the same holds while one waits
	// already; under BUFFER_ALL it is an *job.ExhaustedError (QUOTA) while
	// job.MaxBuffered wait. CANCEL_OTHER asks those that have started to end.
	// Unless the job's own policy is ALLOW, its executions that were claimed
	// ahead are withdrawn: at their time the overlap is decided anew.
	EnqueueManual(ctx context.Context, m Manual) (job.Execution, error)
	// CancelExecution ends a waiting execution at once and asks a started one
	// to end, again without effect; one that has ended is a
	// *job.PreconditionError (ALREADY_ENDED).
	CancelExecution(ctx context.Context, id int64, now time.Time, why job.Failure) (job.Execution, error)
	// ScheduledBetween lists executions by schedule of a job whose
	// ScheduledFor lies in [from, to), oldest first, at most limit.
	ScheduledBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error)
	// ExecutionsBetween lists executions of a job by any trigger whose
	// ScheduledFor lies in [from, to), oldest first, at most limit.
	ExecutionsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Execution, error)
	// SkipsBetween lists ledger rows of a job that touch [from, to), oldest
	// first, at most limit.
	SkipsBetween(ctx context.Context, jobID int64, from, to time.Time, limit int) ([]job.Skip, error)
	// PruneHistory deletes up to limit executions that ended before cutoff, and
	// what else ages, of each kind as many, and answers the executions for their
	// logs. more tells that any kind reached the limit: then it is called again.
	// What ran while thousands of later ones began and ended may stay until the
	// next time.
	PruneHistory(ctx context.Context, cutoff time.Time, limit int) (pruned []job.Execution, more bool, err error)
}

// Manual asks for an execution by hand.
type Manual struct {
	JobID int64
	// TriggerID is the request's id, or random.
	TriggerID string
	Now       Clock
	// Overlap is the policy for this execution; empty means the job's own.
	Overlap job.OverlapPolicy
	Request Request
}
