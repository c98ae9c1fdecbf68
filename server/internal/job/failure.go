package job

import (
	"errors"
	"time"
)

// Failure is why an execution or a task did not succeed. It is shown to
// callers, so it never carries a secret.
type Failure struct {
	// Code is the name of a google.rpc.Code: DEADLINE_EXCEEDED.
	Code string `json:"code"`
	// Reason is UPPER_SNAKE_CASE and stable: SOURCE_EMPTY.
	Reason string `json:"reason"`
	// Message is for people and says what to do where that is known.
	Message string `json:"message"`
	// RetryAfter is how long the other side asks to be left alone; 0 unless it
	// does. It is not kept.
	RetryAfter time.Duration `json:"-"`
}

// permanent are the codes that another attempt cannot change.
var permanent = map[string]bool{
	"INVALID_ARGUMENT":    true,
	"NOT_FOUND":           true,
	"PERMISSION_DENIED":   true,
	"UNAUTHENTICATED":     true,
	"FAILED_PRECONDITION": true,
	"UNIMPLEMENTED":       true,
	"OUT_OF_RANGE":        true,
}

// Permanent tells that another attempt cannot change the failure: the
// credentials or the input are refused.
func (f *Failure) Permanent() bool { return permanent[f.Code] }

func (f *Failure) Error() string { return f.Message }

// The reasons that the engine itself gives; task types add their own.
const (
	ReasonWorkerLost      = "WORKER_LOST"
	ReasonCancelled       = "CANCELLED"
	ReasonDependency      = "DEPENDENCY_FAILED"
	ReasonTaskPanicked    = "TASK_PANICKED"
	ReasonTaskFailed      = "TASK_FAILED"
	ReasonDeadline        = "DEADLINE_EXCEEDED"
	ReasonTaskTimeout     = "TASK_TIMEOUT"
	ReasonWorkflowInvalid = "WORKFLOW_INVALID"
	// ReasonReauth: the stored credentials of a remote are refused.
	ReasonReauth = "REAUTH_REQUIRED"
)

// FailureOf turns any error of a task into a Failure. Errors that are no
// Failure keep their text: tasks must not put secrets into errors.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Code: "UNKNOWN", Reason: ReasonTaskFailed, Message: err.Error()}
}
