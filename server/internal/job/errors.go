package job

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Violation names one wrong field of a request.
type Violation struct {
	// Field is the path relative to the resource, in JSON names:
	// workflow.tasks[1].inputs[0].
	Field string
	// Reason is UPPER_SNAKE_CASE and stable: UNKNOWN_TASK_TYPE.
	Reason string
	// Description is a sentence for people that says what to do.
	Description string
}

// InvalidError refuses input before anything was changed.
type InvalidError struct{ Violations []Violation }

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Violations))
	for i, v := range e.Violations {
		parts[i] = v.Field + ": " + v.Description
	}
	return strings.Join(parts, "; ")
}

// Invalid returns an InvalidError with one violation.
func Invalid(field, reason, format string, args ...any) *InvalidError {
	return &InvalidError{Violations: []Violation{{Field: field, Reason: reason, Description: fmt.Sprintf(format, args...)}}}
}

// Add appends a violation.
func (e *InvalidError) Add(field, reason, format string, args ...any) {
	e.Violations = append(e.Violations, Violation{Field: field, Reason: reason, Description: fmt.Sprintf(format, args...)})
}

// Under appends err's violations with their paths moved below prefix; any
// other error is returned as it is, nil when err was absorbed or nil.
func (e *InvalidError) Under(prefix string, err error) error {
	if err == nil {
		return nil
	}
	var inner *InvalidError
	if !errors.As(err, &inner) {
		return err
	}
	for _, v := range inner.Violations {
		v.Field = JoinPath(prefix, v.Field)
		e.Violations = append(e.Violations, v)
	}
	return nil
}

// Err returns what was refused, or nil when nothing was. It is a copy, so that
// the usual error that stays empty costs no memory.
func (e *InvalidError) Err() error {
	if e == nil || len(e.Violations) == 0 {
		return nil
	}
	return &InvalidError{Violations: e.Violations}
}

// JoinPath joins two field paths: a, b → a.b; a, [0] → a[0].
func JoinPath(prefix, field string) string {
	switch {
	case prefix == "":
		return field
	case field == "" || strings.HasPrefix(field, "["):
		return prefix + field
	default:
		return prefix + "." + field
	}
}

// NotFoundError says that an object is missing or not readable by the caller:
// the two are deliberately alike.
type NotFoundError struct {
	// Kind is the singular name of the object: "job".
	Kind string
	// ID is the identifier as the caller wrote it.
	ID string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %q not found", e.Kind, e.ID) }

// DeniedError says that the caller may read the object but not do this.
type DeniedError struct{ Message string }

func (e *DeniedError) Error() string { return e.Message }

// UnauthenticatedError says that there is no token or that it is not valid.
type UnauthenticatedError struct{ Message string }

func (e *UnauthenticatedError) Error() string { return e.Message }

// PreconditionError refuses a valid request because of the present state.
type PreconditionError struct {
	// Reason is UPPER_SNAKE_CASE and stable: OVERLAP.
	Reason  string
	Message string
	// Metadata carries machine-readable facts, such as the blocking execution.
	Metadata map[string]string
}

func (e *PreconditionError) Error() string { return e.Message }

// AbortedError says that the object changed since the caller read it.
type AbortedError struct{ Message string }

func (e *AbortedError) Error() string { return e.Message }

// ExhaustedError says that a limit was reached. RetryAfter is zero when
// waiting does not help.
type ExhaustedError struct {
	Reason  string
	Message string
	// Subject is whose limit it is, such as instance:inst_3; the reason when
	// empty.
	Subject    string
	RetryAfter time.Duration
}

func (e *ExhaustedError) Error() string { return e.Message }

// UnavailableError says that the service can't answer now and that the same
// call may succeed later.
type UnavailableError struct {
	Message string
	Cause   error
}

func (e *UnavailableError) Error() string { return e.Message }
func (e *UnavailableError) Unwrap() error { return e.Cause }
