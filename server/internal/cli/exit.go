package cli

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Exit codes of the client commands, for scripts.
const (
	// ExitNo is a negative answer: an execution did not succeed, a diff is not
	// empty, some of several changes failed.
	ExitNo = 1
	// ExitUsage is a mistake in the call, found here or by the service.
	ExitUsage = 2
	// ExitUnavailable is a service that was not reached or failed: try again.
	ExitUnavailable = 3
	// ExitDenied is a missing or insufficient token.
	ExitDenied = 4
	// ExitNotFound is an object that is missing or hidden.
	ExitNotFound = 5
	// ExitConflict is a state that does not allow the call, or an object that
	// somebody else has changed.
	ExitConflict = 6
	// ExitInterrupted is a command that somebody ended, as shells tell it.
	ExitInterrupted = 130
)

// Exit is an error with the exit code that the program ends with.
type Exit struct {
	// Code is one of the constants of this package.
	Code int
	// Err says what went wrong, for people; it may span lines.
	Err error
}

func (e *Exit) Error() string { return e.Err.Error() }
func (e *Exit) Unwrap() error { return e.Err }

// ExitCode is the code that the program ends with.
func (e *Exit) ExitCode() int { return e.Code }

func usage(format string, args ...any) error {
	return &Exit{ExitUsage, fmt.Errorf(format, args...)}
}

func negative(format string, args ...any) error {
	return &Exit{ExitNo, fmt.Errorf(format, args...)}
}

// explain turns the error of a call into one for people, with every path and
// reason that the service gave, and its exit code.
func explain(err error) error {
	var exit *Exit
	if err == nil || errors.As(err, &exit) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return &Exit{ExitUnavailable, err}
	}
	var text strings.Builder
	if n := mistakes(s); n > 1 {
		fmt.Fprintf(&text, "%d mistakes", n) // the message is the first of them
	} else {
		text.WriteString(plain(s.Message()))
	}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetReason() != "" {
				fmt.Fprintf(&text, " (%s)", plain(d.GetReason()))
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				// The message is the first of them.
				if line := v.GetField() + ": " + v.GetDescription(); line != s.Message() {
					fmt.Fprintf(&text, "\n  %s", plain(line))
				}
			}
		case *errdetails.RetryInfo:
			fmt.Fprintf(&text, "\n  try again in %s", d.GetRetryDelay().AsDuration())
		}
	}
	if s.Code() == codes.Unavailable && strings.HasPrefix(s.Message(), "connection error") {
		text.Reset()
		fmt.Fprintf(&text, "no service answers: %s\n  is it running? name another by --api-addr HOST:PORT, or by --data-dir the folder of one on this machine", plain(dialed(s.Message())))
	}
	if s.Code() == codes.Unauthenticated {
		text.WriteString("\n  sign in with carillon login, or set CARILLON_TOKEN; on the server's machine: CARILLON_TOKEN=$(carillon token --scope operator)")
	}
	return &Exit{exitCode(s.Code()), errors.New(text.String())}
}

// mistakes is how many fields are wrong.
func mistakes(s *status.Status) int {
	n := 0
	for _, detail := range s.Details() {
		if bad, ok := detail.(*errdetails.BadRequest); ok {
			n += len(bad.GetFieldViolations())
		}
	}
	return n
}

// dialed is what a dial failed of, without gRPC's own words.
func dialed(message string) string {
	if i := strings.Index(message, "dial tcp "); i >= 0 {
		return strings.TrimSuffix(message[i+len("dial tcp "):], "\"")
	}
	return message
}

func exitCode(c codes.Code) int {
	switch c {
	case codes.InvalidArgument, codes.OutOfRange, codes.Unimplemented:
		return ExitUsage
	case codes.Unauthenticated, codes.PermissionDenied:
		return ExitDenied
	case codes.NotFound:
		return ExitNotFound
	case codes.Aborted, codes.FailedPrecondition, codes.AlreadyExists:
		return ExitConflict
	case codes.Canceled:
		return ExitNo
	default:
		return ExitUnavailable
	}
}
