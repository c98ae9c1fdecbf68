package httprequest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
)

// The reasons of a failed call, beside those of package egress.
const (
	ReasonConnectFailed    = "CONNECT_FAILED"
	ReasonConnectionLost   = "CONNECTION_LOST"
	ReasonTLSFailed        = "TLS_FAILED"
	ReasonTimeout          = "TIMEOUT"
	ReasonUnexpectedStatus = "UNEXPECTED_STATUS"
)

// describe turns an error of the HTTP client into one that may be shown. The
// client's own texts repeat URLs with their queries, so only texts that are
// known to be harmless are taken over.
func describe(ctx context.Context, c *call, err error) error {
	var refused *job.Failure
	var dial *egress.DialError
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &refused):
		return refused
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &dial):
		return unavailable(ReasonConnectFailed, c, dial.Error())
	case errors.As(err, &certificate):
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTLSFailed, Message: c.String() + ": " + certificate.Error()}
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTLSFailed, Message: c.String() + ": the server does not speak TLS on this port"}
	}
	return unavailable(ReasonConnectionLost, c, "the connection ended, or held no valid HTTP, before a full answer")
}

func unavailable(reason string, c *call, text string) *job.Failure {
	return &job.Failure{Code: "UNAVAILABLE", Reason: reason, Message: c.String() + ": " + text}
}

func unexpectedStatus(c *call, status int) *job.Failure {
	want := "2xx"
	if len(c.expect) > 0 {
		texts := make([]string, len(c.expect))
		for i, status := range c.expect {
			texts[i] = strconv.Itoa(status)
		}
		want = strings.Join(texts, " or ")
	}
	return &job.Failure{
		Code: codeOf(status), Reason: ReasonUnexpectedStatus,
		Message: fmt.Sprintf("%s: answered %d, expected %s", c, status, want),
	}
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
