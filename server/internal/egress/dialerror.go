package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// DialError says why no connection came about, without the addresses and name
// servers that its cause tells of.
type DialError struct {
	// Host is as the caller wrote it.
	Host  string
	Cause error
}

func (e *DialError) Error() string { return fmt.Sprintf("connect to %q: %s", e.Host, e.text()) }

func (e *DialError) Unwrap() error { return e.Cause }

// Timeout makes a DialError a net.Error like its cause.
func (e *DialError) Timeout() bool {
	var cause net.Error
	return errors.As(e.Cause, &cause) && cause.Timeout()
}

// Temporary belongs to net.Error; it is true for name lookups worth repeating.
func (e *DialError) Temporary() bool {
	var lookup *net.DNSError
	return errors.As(e.Cause, &lookup) && lookup.IsTemporary
}

func (e *DialError) text() string {
	var lookup *net.DNSError
	var number syscall.Errno
	switch {
	case errors.As(e.Cause, &lookup):
		return "the name could not be looked up"
	case errors.Is(e.Cause, context.Canceled):
		return "cancelled"
	case e.Timeout():
		return "timed out"
	case errors.As(e.Cause, &number):
		return number.Error()
	}
	return "failed"
}
