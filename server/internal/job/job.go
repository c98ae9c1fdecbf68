package job

import (
	"encoding/json"
	"strconv"
	"time"
)

// Time cuts t to whole microseconds in UTC: what the store keeps exactly.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Instance is a tenant.
type Instance struct {
	ID          int64
	Title       string
	Description string
	CreatedAt   time.Time
	// Pause is nil while its jobs run.
	Pause *Pause
	// Quota is what the operator gave to it.
	Quota Quota
}

// Pause is why something does not run, and until when.
type Pause struct {
	Reason string
	// Actor is who paused it: client_3, operator, or system.
	Actor string
	Since time.Time
	// Until is when it resumes by itself, zero for never.
	Until time.Time
	// InstanceID is the instance when that is paused, 0 for the job alone.
	InstanceID int64
	// Reauth says that the service paused it because credentials are refused,
	// and resumes it when there are new ones.
	Reauth bool
}

// Over tells whether the pause has ended by itself. So has none.
func (p *Pause) Over(now time.Time) bool {
	return p == nil || !p.Until.IsZero() && !p.Until.After(now)
}

// Covers tells whether an occurrence that is due at an instant, and not told
// yet, belongs to the pause: what was overdue when it began does too.
func (p *Pause) Covers(at time.Time) bool {
	return p != nil && (p.Until.IsZero() || !at.After(p.Until))
}

// ActorSystem is the actor of pauses that the service decides.
const ActorSystem = "system"

// Backfill is a range of the past that is run as one.
type Backfill struct {
	ID         int64
	JobID      int64
	InstanceID int64
	// From (inclusive) and To (exclusive) bound the slots.
	From, To time.Time
	// Concurrency is how many of its executions run at a time.
	Concurrency int
	// Overlap is BUFFER_ALL (they wait for the job's others) or ALLOW.
	Overlap OverlapPolicy
	State   BackfillState
	// Total is how many slots the range holds, Started how many executions were
	// made.
	Total, Started int
	CreatedAt      time.Time
	// FinishedAt is zero until all have ended.
	FinishedAt time.Time
}

// BackfillState is how far a backfill is.
type BackfillState string

// The states of a backfill.
const (
	BackfillRunning   BackfillState = "RUNNING"
	BackfillFinished  BackfillState = "FINISHED"
	BackfillCancelled BackfillState = "CANCELLED"
)

// MaxBackfill bounds how many slots a backfill's range may hold.
const MaxBackfill = 10_000

// MaxOpenBackfills bounds how many backfills of a job have not ended.
const MaxOpenBackfills = 10

// MaxChanges bounds how many changed occurrences a job has.
const MaxChanges = 1000

// OccurrenceChange is a caller's wish about one occurrence to come.
type OccurrenceChange struct {
	JobID int64
	// Slot is when the occurrence is due.
	Slot time.Time
	// MoveTo is when it starts instead; zero leaves it out.
	MoveTo time.Time
	// Done says that it was moved earlier and has started: its slot, still to
	// come, is told already.
	Done bool
}

// Resource owns stored credentials.
type Resource struct {
	ID          int64
	InstanceID  int64
	Title       string
	Description string
	CreatedAt   time.Time
}

// Client is a program that may ask for tokens.
type Client struct {
	ID    int64
	Title string
	// Scopes is what its tokens may carry, in canonical form.
	Scopes []string
	// InstanceIDs are what instance-* stands for, in order.
	InstanceIDs []int64
	// SecretHash is SHA-256 of the secret.
	SecretHash []byte
	// SecretVersion rises with each reset; older tokens are dead.
	SecretVersion int64
	CreatedAt     time.Time
}

// SealedRemote is one remote configuration as it is stored.
type SealedRemote struct {
	ResourceID int64
	// Name is what workflows write before the colon.
	Name string
	// Type is how it is reached: drive, s3.
	Type string
	// Keys are the names of the options that are set, in order.
	Keys []string
	// Version rises with each change and is bound into the seal.
	Version int64
	// KeyID is the sealing key.
	KeyID uint32
	// Ciphertext holds the options, sealed.
	Ciphertext []byte
	UpdatedAt  time.Time
	// Account tells which remotes are one account; see Folder.
	Account string
	Expiry
	// Refusal is nil as long as nobody knows that the credentials are refused.
	Refusal *Refusal
}

// ExpiringWithin is how long before their end credentials count as expiring:
// time enough for whoever must ask somebody else for new ones.
const ExpiringWithin = 7 * 24 * time.Hour

// Expiry is when credentials end, zero where nobody knows.
type Expiry struct {
	// Credentials is when somebody must authorise anew, unless they are used
	// before.
	Credentials time.Time
	// Token is when the access token ends; it is renewed by itself.
	Token time.Time
}

// Refusal is why and since when stored credentials are of no use: the state
// REAUTH_REQUIRED. It ends when new ones are stored.
type Refusal struct {
	Reason string
	Since  time.Time
}

// Job is a workflow and when it runs.
type Job struct {
	ID          int64
	InstanceID  int64
	Name        string
	Description string
	// ManagedBy is the program that manages the definition, empty for none. Names
	// of the jobs of one manager differ within an instance.
	ManagedBy string
	// Active is false while paused.
	Active bool
	// Workflow is the JSON text, as validated.
	Workflow json.RawMessage
	Schedule Schedule
	Policies Policies
	Labels   map[string]string
	// ResourceIDs are the resources that the workflow names, in order.
	ResourceIDs []int64
	// Folders are the folders that the workflow works on.
	Folders []Folder
	// Version rises with each change of the definition.
	Version   int64
	CreatedAt time.Time
	UpdatedAt time.Time

	// NextRun is the next time it will run, zero for none. It is state, not
	// definition: the ticker moves it.
	NextRun time.Time
	// NextLeftOut says that a caller leaves the occurrence at NextRun out: the
	// ticker comes by only to tell it.
	NextLeftOut bool
	// PausedAt is since when it is not active, zero while it is; Pause says why
	// and until when.
	PausedAt time.Time
	Pause    *Pause
	// Hold is the last pause of its instance, which may be over, nil when there
	// was none. While it lasts the job is not due, whatever NextRun says.
	Hold *Pause
	// Changes are callers' wishes about its occurrences, in the order of their
	// slots. Only changes under lock see and store them.
	Changes []OccurrenceChange
	// Started counts executions by schedule while Policies.MaxExecutions is
	// set, Failures those in a row that did not succeed while
	// Policies.PauseAfterFailures is.
	Started  int64
	Failures int
	// LastRun is the start of the last execution; the store derives it.
	LastRun time.Time
}

// ETag is the text form of the version.
func (j *Job) ETag() string { return `"` + strconv.FormatInt(j.Version, 10) + `"` }
