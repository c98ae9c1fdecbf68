package door

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
)

// Domain is the domain of every ErrorInfo.
const Domain = "carillon"

// The reasons of faults that the facade itself finds.
const (
	ReasonUnknownField     = "UNKNOWN_FIELD"
	ReasonWrongType        = "WRONG_TYPE"
	ReasonInvalidValue     = "INVALID_VALUE"
	ReasonRequired         = "REQUIRED"
	ReasonDuplicateKey     = "DUPLICATE_KEY"
	ReasonInvalidText      = "INVALID_TEXT"
	ReasonBodyTooLarge     = "BODY_TOO_LARGE"
	ReasonMediaType        = "UNSUPPORTED_MEDIA_TYPE"
	ReasonMethodNotAllowed = "METHOD_NOT_ALLOWED"
	ReasonNoSuchRoute      = "ROUTE_NOT_FOUND"
)

// Violation names one wrong field.
type Violation struct {
	// Field is the path relative to the resource, in JSON names:
	// workflow.tasks[1].inputs[0].
	Field string `json:"field"`
	// Reason is UPPER_SNAKE_CASE and stable.
	Reason string `json:"reason"`
	// Description is a sentence for people. It holds no value of the request.
	Description string `json:"description"`
}

// Fault is a refusal or failure as the caller sees it.
type Fault struct {
	// Status has an ErrorInfo always.
	Status *status.Status
	// HTTP is the status of the answer.
	HTTP int
	// hides says that the error it stands for has more to tell.
	hides bool
}

func (f *Fault) Error() string { return f.Status.Message() }

// GRPCStatus lets package status see the status.
func (f *Fault) GRPCStatus() *status.Status { return f.Status }

// Refuse makes a fault whose HTTP status is the usual one of c.
func Refuse(c codes.Code, reason, message string) *Fault {
	return withDetails(c, message, &errdetails.ErrorInfo{Reason: reason, Domain: Domain})
}

// Invalid refuses input. The first violation gives reason and message, as in
// the service.
func Invalid(violations ...Violation) *Fault {
	bad := &errdetails.BadRequest{}
	for _, v := range violations {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: v.Field, Reason: v.Reason, Description: v.Description,
		})
	}
	first := violations[0]
	message := strings.TrimPrefix(first.Field+": "+first.Description, ": ")
	if more := len(violations) - 1; more > 0 {
		message += fmt.Sprintf(" (and %d more)", more)
	}
	return withDetails(codes.InvalidArgument, message, &errdetails.ErrorInfo{Reason: first.Reason, Domain: Domain}, bad)
}

// WithHTTP gives the fault another HTTP status.
func (f *Fault) WithHTTP(httpStatus int) *Fault {
	return &Fault{Status: f.Status, HTTP: httpStatus, hides: f.hides}
}

func withDetails(c codes.Code, message string, details ...protoadapt.MessageV1) *Fault {
	s, err := status.New(c, message).WithDetails(details...)
	if err != nil { // only for OK, which is no fault
		s = status.New(c, message)
	}
	return &Fault{Status: s, HTTP: runtime.HTTPStatusFromCode(c)}
}

// FaultOf turns any error into what the caller is told of it.
func FaultOf(err error) *Fault {
	var fault *Fault
	var grpcError interface{ GRPCStatus() *status.Status }
	switch {
	case errors.As(err, &fault):
		return fault
	case errors.As(err, &grpcError):
		return ofStatus(grpcError.GRPCStatus())
	case errors.Is(err, context.Canceled):
		return hidden(codes.Canceled)
	case errors.Is(err, context.DeadlineExceeded):
		return hidden(codes.DeadlineExceeded)
	}
	return hidden(codes.Internal)
}

// ofStatus keeps what the service said and hides what gRPC itself said.
func ofStatus(s *status.Status) *Fault {
	fault := &Fault{Status: s, HTTP: runtime.HTTPStatusFromCode(s.Code())}
	if fault.info() != nil {
		return fault
	}
	return hidden(s.Code())
}

// hidden tells no more than the code.
func hidden(c codes.Code) *Fault {
	message := "internal error"
	switch c {
	case codes.Unavailable:
		message = "the service cannot be reached now; try again"
	case codes.DeadlineExceeded:
		message = "the call took too long"
	case codes.Canceled:
		message = "the caller ended the call"
	case codes.ResourceExhausted:
		message = "the request or its answer is too large"
	case codes.Unimplemented:
		message = "this service does not offer the call"
	case codes.OK:
		c = codes.Internal
	}
	fault := Refuse(c, CodeName(c), message)
	fault.hides = c != codes.Canceled
	return fault
}

// CodeName is a code as google.rpc.Code spells it: NOT_FOUND.
func CodeName(c codes.Code) string { return code.Code(c).String() }

// Code is the status's code by name.
func (f *Fault) Code() string { return CodeName(f.Status.Code()) }

func (f *Fault) info() *errdetails.ErrorInfo { return detail[*errdetails.ErrorInfo](f) }

// Reason is the ErrorInfo's.
func (f *Fault) Reason() string { return f.info().GetReason() }

// Metadata are the ErrorInfo's facts, such as the blocking execution.
func (f *Fault) Metadata() map[string]string { return f.info().GetMetadata() }

// Violations are the wrong fields; not nil.
func (f *Fault) Violations() []Violation {
	violations := []Violation{}
	for _, v := range detail[*errdetails.BadRequest](f).GetFieldViolations() {
		violations = append(violations, Violation{Field: v.GetField(), Reason: v.GetReason(), Description: v.GetDescription()})
	}
	return violations
}

// RetryAfter says how long to wait; 0 when waiting is no help.
func (f *Fault) RetryAfter() time.Duration {
	return detail[*errdetails.RetryInfo](f).GetRetryDelay().AsDuration()
}

// detail returns the status's detail of one type, or that type's nil.
func detail[T any](f *Fault) T {
	for _, d := range f.Status.Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	var none T
	return none
}
