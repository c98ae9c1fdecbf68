// Package task holds the contract between the executor and the things a
// workflow can do, and the registry of them.
//
// Rules:
//   - A [Type] is stateless and safe for concurrent use; what belongs to one
//     execution comes in through [Run].
//   - Check is pure: it refuses arguments at create, at update and again when
//     the execution starts, with paths relative to the arguments.
//   - Do returns soon after its context ends, and reports the context's cause.
//   - An error that a user can act on is a *job.Failure. No error and no log
//     line holds a secret.
package task

import (
	"context"
	"log/slog"
	"slices"
)

// Args are a task's arguments as decoded JSON: nil, bool, float64, string,
// []any and map[string]any.
type Args map[string]any

// Type is one thing a workflow can do.
type Type interface {
	// Name is the type's name in a workflow: http.request.
	Name() string
	// Check refuses wrong arguments with a *job.InvalidError whose paths are
	// relative to the arguments (remotes[0]).
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
	Args           Args
	// Inputs holds the outputs of the tasks named in inputs, by task name.
	Inputs map[string]Output
	// Log writes to the execution's log.
	Log *slog.Logger
	// Configs opens the stored credentials of a resource of the job's instance.
	Configs Configs
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
	// Save seals a changed option (a refreshed OAuth token) before it is used.
	Save func(ctx context.Context, key, value string) error
}

// Registry is the set of known task types.
type Registry struct{ types map[string]Type }

// NewRegistry returns a registry of the given types; a name given twice is a
// programming error and panics at start.
func NewRegistry(types ...Type) *Registry {
	r := &Registry{types: make(map[string]Type, len(types))}
	for _, t := range types {
		if _, twice := r.types[t.Name()]; twice {
			panic("task: type registered twice: " + t.Name()) //nolint:forbidigo // a mistake in the program's own list
		}
		r.types[t.Name()] = t
	}
	return r
}

// Lookup returns the type with this name.
func (r *Registry) Lookup(name string) (Type, bool) {
	t, ok := r.types[name]
	return t, ok
}

// Names returns the known names in order.
func (r *Registry) Names() []string {
	names := make([]string, 0, len(r.types))
	for name := range r.types {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
