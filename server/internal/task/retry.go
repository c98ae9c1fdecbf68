package task

import "time"

// Retry says how a task that failed is tried again within its execution. What
// can't change by itself, such as refused credentials, never is.
type Retry struct {
	// MaxAttempts counts the first one too; 1 means that there is no other.
	MaxAttempts int
	// MinBackoff is the wait after the first failure. It doubles from one to the
	// next, up to MaxBackoff.
	MinBackoff, MaxBackoff time.Duration
}

// The back-off of a Retry that names none.
const (
	DefaultMinBackoff = time.Second
	DefaultMaxBackoff = time.Minute
)

// Retrier is a [Type] whose tasks are tried again although their workflow does
// not say so, since doing the work twice harms nobody.
type Retrier interface{ DefaultRetry() Retry }
