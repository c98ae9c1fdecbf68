// Package task holds the contract between the executor and the things a
// workflow can do, and the registry of them.
//
// Rules:
//   - A [Type] is stateless and safe for concurrent use; what belongs to one
//     execution comes in through [Run].
//   - What arguments a type takes is said once, by its JSON Schema: callers read
//     it (ListTaskTypes), and [Registry.Check] applies it. A type's own Check
//     holds what a schema can't say, and nothing else.
//   - Arguments are checked at create, at update and again when the execution
//     starts, so a type's Do need not.
//   - Do returns soon after its context ends, and reports the context's cause.
//   - An error that a user can act on is a *job.Failure. No error and no log
//     line holds a secret.
package task

import (
	"context"
	"encoding/json"
	"log/slog"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// Args are a task's arguments as decoded JSON: nil, bool, float64, string,
// []any and map[string]any.
type Args map[string]any

// Type is one thing a workflow can do.
type Type interface {
	// Name is the type's name in a workflow: http.request.
	Name() string
	// Schema is the JSON Schema (2020-12) of the arguments: an object that is
	// closed by additionalProperties, whose description says in a sentence what
	// the type does, and whose examples[0] is a set of arguments that fits. Each
	// property has a description, which is part of what a refusal says.
	Schema() []byte
	// Check refuses what the schema can't, with a *job.InvalidError whose paths
	// are relative to the arguments (remotes[0]). It is pure. An argument that
	// the schema refused is left out here, a required one too.
	Check(Args) error
	// Resources lists the resource ids that the arguments name, with their
	// paths relative to the arguments. The values are as the caller wrote them.
	Resources(Args) []ResourceRef
	// Do runs the task to its end.
	Do(ctx context.Context, run Run) (Output, error)
}

// ResourceRef is a resource named in a task's arguments.
type ResourceRef struct {
	// Path is relative to the arguments: resourceId.
	Path string
	// ID is the text form, with or without the prefix.
	ID string
}

// Worker is a [Type] that works on folders of remotes. Executions whose folders
// overlap don't run at once, unless all of them only read.
type Worker interface {
	// Folders lists the folders that the arguments name. It is asked only of
	// arguments that were checked.
	Folders(Args) []Folder
}

// Folder is a folder of a stored remote, with everything below it.
type Folder struct {
	// ResourceID is the text form, with or without the prefix.
	ResourceID string
	// Remote is a key of the resource's config.
	Remote string
	Path   string
	// Writes is whether the task may change it.
	Writes bool
}

// Output is what a task hands to the tasks that name it as an input. It is
// JSON-like data, never a secret.
type Output map[string]any

// Run is what a task is given for one attempt of one execution.
type Run struct {
	ExecutionID int64
	JobID       int64
	InstanceID  int64
	// TaskName is unique in the workflow.
	TaskName string
	// Fence rises with every attempt of any execution of the job. Receivers
	// refuse an effect whose fence is lower than one they have seen.
	Fence int64
	// IdempotencyKey is the same for all attempts of this task in this
	// execution.
	IdempotencyKey string
	// Args must not be changed: other executions share them.
	Args Args
	// Inputs holds the outputs of the tasks named in inputs, by task name.
	Inputs map[string]Output
	// Log writes to the execution's log.
	Log *slog.Logger
	// Work is the directory in which the tasks of the execution pass files to
	// each other.
	Work *workdir.Dir
	// Configs opens the stored credentials of a resource of the job's instance.
	Configs Configs
	// Attempt is the number of the execution's attempt, from 1.
	Attempt int
	// Report tells how far the task is. The last one stays; it may be called
	// often and by several goroutines.
	Report func(job.TaskReport)
	// Files keeps the record of what became of files.
	Files Files
	// Memory is what the job's executions remember.
	Memory Memory
	// Approved is the State of the task's [Approval] error when somebody has
	// approved its plans and the task goes on; nil otherwise.
	Approved json.RawMessage
}

// Files keeps the record of an execution's files. It is safe for concurrent
// use. Its methods may block while the database is away, until the task's
// context ends.
type Files interface {
	// Doubtful lists this task's files at a remote whose outcome an earlier
	// attempt could not tell any more; up to some number.
	Doubtful(ctx context.Context, remote string) ([]job.FileRecord, error)
	// Announce notes durably that files are about to be changed, so that each
	// has a record even if the process dies meanwhile.
	Announce(ctx context.Context, files []job.FileRecord) error
	// Done notes what became of a file; Attempt, Task and At are filled in.
	Done(ctx context.Context, file job.FileRecord)
}

// Memory is what one execution of a job remembers for the next. Keys are the
// task type's own; it begins them with the task's name.
type Memory interface {
	// Recall answers nil for what was never remembered.
	Recall(ctx context.Context, key string) ([]byte, error)
	Remember(ctx context.Context, key string, value []byte) error
}

// Partial is the error of a task that did a part of its work.
type Partial struct{ Failure *job.Failure }

func (p *Partial) Error() string { return p.Failure.Message }
func (p *Partial) Unwrap() error { return p.Failure }

// Approval is the error of a task that was stopped by a guard and may go on
// when somebody approves its plans. Nothing that they say has been done.
type Approval struct {
	Plans []job.Plan
	// State is handed to the task when it goes on: at least the digests that
	// were approved.
	State json.RawMessage
	// Failure is the guard's, as the task's error while it waits.
	Failure *job.Failure
}

func (a *Approval) Error() string { return a.Failure.Message }
func (a *Approval) Unwrap() error { return a.Failure }

// Planner is a [Type] that can tell what it would do, without doing it. The
// output is what Do would hand to the tasks after it, as far as that is known.
type Planner interface {
	// Plan bounds its memory; when ctx ends it answers what it knows, marked as
	// incomplete. A destination that can't be planned has its error in its
	// plan.
	Plan(ctx context.Context, run Run) ([]job.Plan, Output, error)
}

// Configs opens stored remote configurations for the time of one execution.
type Configs interface {
	// Remote returns the configuration stored under name for the resource,
	// opened. A missing resource or name is a *job.Failure.
	Remote(ctx context.Context, resourceID, name string) (RemoteConfig, error)
}

// RemoteConfig is one opened remote configuration.
type RemoteConfig struct {
	ResourceID int64
	Name       string
	// Type is the remote's type: drive, s3.
	Type string
	// Options are the stored keys except type, as strings, in the clear.
	Options map[string]string
	// Save seals a changed option (an SSH server's key) before it is used. Nil
	// forgets it with the session.
	Save func(ctx context.Context, key, value string) error
	// Renew answers an OAuth token that fresh accepts: the stored one, or else
	// what exchange makes of the stored one. Of all executions on all replicas
	// one exchanges, and what it gets is sealed before anybody is given it.
	// Options are as they are stored at that moment. Nil means that there is
	// nowhere to keep a new token.
	Renew func(ctx context.Context, fresh func(options map[string]string) bool, exchange Exchange) (token string, err error)
	// Refused notes that the service refuses these credentials, so that nobody
	// tries them again before there are new ones; nil notes nothing.
	Refused func(ctx context.Context, why *job.Failure) error
}

// Exchange gets a new token, as the JSON that is stored, for the stored options.
// It returns soon after ctx ends. Its ctx outlives the execution's: a token that
// was exchanged must be kept.
type Exchange func(ctx context.Context, options map[string]string) (token string, err error)
