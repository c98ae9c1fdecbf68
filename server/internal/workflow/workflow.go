// Package workflow turns the JSON document of a job into a checked graph of
// tasks.
//
// Rules:
//   - Pure: no I/O, no clock, nothing kept between calls.
//   - The grammar is closed: an unknown key is refused, not ignored.
//   - [Parse] knows only the document, [Check] knows the task types too. Both
//     run at create, at update and again when an execution starts, because
//     types and rules may have changed in between.
//   - What is refused is told with all its paths, relative to the job:
//     workflow.tasks[1].inputs[0]. No error repeats an argument's value.
//   - A workflow's tasks keep the order in which they were written; that order
//     also settles every tie.
package workflow

import (
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// The limits of a workflow document.
const (
	MaxTasks = 100
	// MaxDepth is how deep objects and lists may nest; the workflow itself is
	// the first level.
	MaxDepth = 100
	// MaxNameBytes bounds a task's name.
	MaxNameBytes = 128
	// MaxViolations bounds how many violations one error tells of.
	MaxViolations = 50
	// MinTimeout is the shortest timeout of a task.
	MinTimeout = 100 * time.Millisecond
	// MaxTimeout is the longest.
	MaxTimeout = 30 * 24 * time.Hour
	// MaxAttempts bounds how often a task is tried.
	MaxAttempts = 20
	// MinBackoff is the shortest wait between two tries that may be asked for.
	MinBackoff = 100 * time.Millisecond
	// MaxBackoff is the longest.
	MaxBackoff = time.Hour
)

// The reasons that this package gives beside those of package task.
const (
	ReasonDuplicateTask   = "DUPLICATE_TASK_NAME"
	ReasonDuplicateInput  = "DUPLICATE_INPUT"
	ReasonUnknownInput    = "UNKNOWN_INPUT"
	ReasonUnknownTaskType = "UNKNOWN_TASK_TYPE"
	ReasonCycle           = "CYCLE"
	ReasonTooManyTasks    = "TOO_MANY_TASKS"
	ReasonTooDeep         = "TOO_DEEP"
	ReasonNumberRange     = "NUMBER_RANGE"
	ReasonInvalidText     = "INVALID_TEXT"
	ReasonInvalidName     = "INVALID_NAME"
)

// Workflow is a parsed document: a directed acyclic graph of tasks.
type Workflow struct {
	// Name is for people; it may be empty.
	Name string
	// InstanceID is as the caller wrote it (a number as its digits), empty if
	// absent. It must be the job's own instance, which the caller checks.
	InstanceID string
	// Tasks are in the order of the document; there is at least one.
	Tasks []Task
}

// Task is one step of a workflow.
type Task struct {
	// Name is unique in the workflow.
	Name string
	// Type is the name of a task type; only Check knows whether it exists.
	Type string
	// Args is nil when the document has none.
	Args task.Args
	// Inputs names the tasks that must succeed before this one, as written.
	Inputs []string
	// Timeout bounds the task with all its tries; 0 means that only the
	// execution's limit does.
	Timeout time.Duration
	// Retry is nil when the document has none: the type's own way is taken.
	Retry *task.Retry
}

// Check refuses unknown task types and arguments that a type refuses, with a
// *job.InvalidError. Any other error is a fault of a type, not of the input.
func Check(w *Workflow, types *task.Registry) error {
	var errs job.InvalidError
	for i := range w.Tasks {
		t := &w.Tasks[i]
		if _, ok := types.Lookup(t.Type); !ok {
			errs.Add(taskPath(i)+".type", ReasonUnknownTaskType,
				"unknown task type; known are %s", strings.Join(types.Names(), ", "))
			continue
		}
		if err := types.Check(t.Type, t.Args); err != nil {
			if err := errs.Under(taskPath(i)+".args", err); err != nil {
				return err
			}
		}
	}
	errs.Violations = errs.Violations[:min(len(errs.Violations), MaxViolations)]
	return errs.Err()
}

// Resources lists the resources that the tasks name, with paths relative to
// the job, in the order of the tasks. Tasks of unknown type name none.
func (w *Workflow) Resources(types *task.Registry) []task.ResourceRef {
	var refs []task.ResourceRef
	for i := range w.Tasks {
		taskType, ok := types.Lookup(w.Tasks[i].Type)
		if !ok {
			continue
		}
		for _, ref := range taskType.Resources(w.Tasks[i].Args) {
			ref.Path = job.JoinPath(taskPath(i)+".args", ref.Path)
			refs = append(refs, ref)
		}
	}
	return refs
}

// Folders lists the folders of remotes that the tasks work on, in the order of
// the tasks.
func (w *Workflow) Folders(types *task.Registry) []task.Folder {
	var folders []task.Folder
	for i := range w.Tasks {
		taskType, _ := types.Lookup(w.Tasks[i].Type)
		if worker, ok := taskType.(task.Worker); ok {
			folders = append(folders, worker.Folders(w.Tasks[i].Args)...)
		}
	}
	return folders
}

func taskPath(i int) string { return task.Index("workflow.tasks", i) }
