package interceptor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

// Domain is the domain of every ErrorInfo.
const Domain = "carillon"

// verdict is an error as the caller sees it.
type verdict struct {
	code    codes.Code
	reason  string
	message string
	// metadata goes into the ErrorInfo.
	metadata map[string]string
	details  []protoadapt.MessageV1
}

// status writes a verdict with its ErrorInfo.
func (v verdict) status() *status.Status {
	info := &errdetails.ErrorInfo{Reason: v.reason, Domain: Domain, Metadata: v.metadata}
	s, err := status.New(v.code, v.message).WithDetails(append([]protoadapt.MessageV1{info}, v.details...)...)
	if err != nil { // only for OK or details that can't be encoded
		return status.New(v.code, v.message)
	}
	return s
}

// statusOf turns any error into what the caller is told. Typed errors of
// package job are meant for callers; of others nothing but the code is told.
func statusOf(err error, requestID string) *status.Status {
	// Not by errors.As: a wrapped status would carry the wrapping text.
	if s, ok := err.(interface{ GRPCStatus() *status.Status }); ok {
		return ofGRPC(s.GRPCStatus())
	}
	if v, ok := ofJob(err); ok {
		return v.status()
	}
	var oauth *auth.OAuthError
	if errors.As(err, &oauth) {
		return ofOAuth(oauth).status()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return verdict{code: codes.Canceled, reason: "CANCELLED", message: "the caller ended the call"}.status()
	case errors.Is(err, context.DeadlineExceeded):
		return verdict{code: codes.DeadlineExceeded, reason: "DEADLINE_EXCEEDED", message: "the call took too long"}.status()
	}
	return verdict{
		code: codes.Internal, reason: "INTERNAL", message: "internal error; the server's log tells more of request " + requestID,
		metadata: map[string]string{"requestId": requestID},
	}.status()
}

// CodeOf is the code of an error, nil included, as google.rpc.Code spells it.
func CodeOf(err error) string {
	if err == nil {
		return codeName(codes.OK)
	}
	return codeName(statusOf(err, "").Code())
}

// ofGRPC completes what gRPC itself or its own services say.
func ofGRPC(s *status.Status) *status.Status {
	if s.Code() == codes.OK || len(s.Details()) > 0 {
		return s
	}
	return verdict{code: s.Code(), reason: codeName(s.Code()), message: s.Message()}.status()
}

// ofJob is the list of the errors that callers can tell apart.
func ofJob(err error) (verdict, bool) {
	var (
		invalid         *job.InvalidError
		notFound        *job.NotFoundError
		denied          *job.DeniedError
		unauthenticated *job.UnauthenticatedError
		precondition    *job.PreconditionError
		aborted         *job.AbortedError
		exhausted       *job.ExhaustedError
		unavailable     *job.UnavailableError
	)
	switch {
	case errors.As(err, &invalid):
		return ofInvalid(invalid), true
	case errors.As(err, &notFound):
		return verdict{code: codes.NotFound, reason: strings.ToUpper(notFound.Kind) + "_NOT_FOUND",
			message: fmt.Sprintf("%s %.40q not found", notFound.Kind, notFound.ID)}, true
	case errors.As(err, &denied):
		return verdict{code: codes.PermissionDenied, reason: "PERMISSION_DENIED", message: denied.Message}, true
	case errors.As(err, &unauthenticated):
		return verdict{code: codes.Unauthenticated, reason: "UNAUTHENTICATED", message: unauthenticated.Message}, true
	case errors.As(err, &precondition):
		return ofPrecondition(precondition), true
	case errors.As(err, &aborted):
		return verdict{code: codes.Aborted, reason: "ETAG_MISMATCH", message: aborted.Message}, true
	case errors.As(err, &exhausted):
		return ofExhausted(exhausted), true
	case errors.As(err, &unavailable):
		// One second is longer than any pause that ends by itself.
		return verdict{code: codes.Unavailable, reason: "UNAVAILABLE", message: unavailable.Message, details: retryAfter(time.Second)}, true
	}
	return verdict{}, false
}

// ofInvalid takes the first violation's reason as that of the whole.
func ofInvalid(e *job.InvalidError) verdict {
	bad := &errdetails.BadRequest{}
	for _, v := range e.Violations {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: v.Field, Reason: v.Reason, Description: v.Description})
	}
	v := verdict{code: codes.InvalidArgument, reason: "INVALID_ARGUMENT", message: "invalid request"}
	if len(e.Violations) > 0 {
		first := e.Violations[0]
		v.reason, v.message = first.Reason, strings.TrimPrefix(first.Field+": "+first.Description, ": ")
		v.details = []protoadapt.MessageV1{bad}
	}
	if more := len(e.Violations) - 1; more > 0 {
		v.message += fmt.Sprintf(" (and %d more)", more)
	}
	return v
}

func ofPrecondition(e *job.PreconditionError) verdict {
	failure := &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: e.Reason, Description: e.Message}}}
	return verdict{code: codes.FailedPrecondition, reason: e.Reason, message: e.Message, metadata: e.Metadata, details: []protoadapt.MessageV1{failure}}
}

func ofExhausted(e *job.ExhaustedError) verdict {
	quota := &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: cmp.Or(e.Subject, e.Reason), Description: e.Message}}}
	details := append([]protoadapt.MessageV1{quota}, retryAfter(e.RetryAfter)...)
	return verdict{code: codes.ResourceExhausted, reason: e.Reason, message: e.Message, details: details}
}

// ofOAuth keeps the code of RFC 6749 as the reason.
func ofOAuth(e *auth.OAuthError) verdict {
	v := verdict{code: codes.InvalidArgument, reason: strings.ToUpper(e.Code), message: e.Description, details: retryAfter(e.RetryAfter)}
	switch {
	case e.RetryAfter > 0:
		v.code = codes.ResourceExhausted
	case e.Code == "invalid_client":
		v.code = codes.Unauthenticated
	}
	return v
}

func retryAfter(d time.Duration) []protoadapt.MessageV1 {
	if d <= 0 {
		return nil
	}
	return []protoadapt.MessageV1{&errdetails.RetryInfo{RetryDelay: durationpb.New(d)}}
}
