package egress

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// The reasons of a failed call, beside ReasonDenied.
const (
	ReasonConnectFailed    = "CONNECT_FAILED"
	ReasonConnectionLost   = "CONNECTION_LOST"
	ReasonTLSFailed        = "TLS_FAILED"
	ReasonTimeout          = "TIMEOUT"
	ReasonUnexpectedStatus = "UNEXPECTED_STATUS"
)

// Explain turns an error of an HTTP client into one that may be shown. The
// client's own texts repeat URLs with their queries, so only texts that are
// known to be harmless are taken over. call names the call, without secrets;
// the end of ctx is reported by its cause.
func Explain(ctx context.Context, call string, err error) error {
	var refused *job.Failure
	var dial *DialError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &refused):
		return refused
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &dial):
		return unavailable(ReasonConnectFailed, call, dial.Error())
	case errors.As(err, &certificate):
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTLSFailed, Message: call + ": " + certificate.Error()}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTLSFailed, Message: call + ": the server does not speak TLS on this port"}
	}
	return unavailable(ReasonConnectionLost, call, "the connection ended, or held no valid HTTP, before a full answer")
}

func unavailable(reason, call, text string) *job.Failure {
	return &job.Failure{Code: "UNAVAILABLE", Reason: reason, Message: call + ": " + text}
}

// UnexpectedStatus is the failure of a call that was answered otherwise than
// with what want says, such as 2xx.
func UnexpectedStatus(call string, status int, header http.Header, want string) *job.Failure {
	return &job.Failure{
		Code: codeOf(status), Reason: ReasonUnexpectedStatus,
		Message:    fmt.Sprintf("%s: answered %d, expected %s", call, status, want),
		RetryAfter: retryAfter(header.Get("Retry-After"), time.Now()),
	}
}

// retryAfter reads the header of that name: seconds or a date. What is neither,
// or past, is 0; what is too long for a Duration is the longest one.
func retryAfter(text string, now time.Time) time.Duration {
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	seconds, err := strconv.ParseUint(text, 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	const longest = 1<<63 - 1
	return time.Duration(min(seconds, longest/uint64(time.Second))) * time.Second
}

// codeOf is the google.rpc.Code for a status that was not expected.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound, http.StatusGone:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	}
	if status >= 500 {
		return "UNAVAILABLE"
	}
	return "FAILED_PRECONDITION"
}
