package interceptor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

func TestStatusOf(t *testing.T) {
	t.Parallel()
	info := func(reason string, metadata ...string) *errdetails.ErrorInfo {
		i := &errdetails.ErrorInfo{Reason: reason, Domain: "carillon"}
		if len(metadata) == 2 {
			i.Metadata = map[string]string{metadata[0]: metadata[1]}
		}
		return i
	}
	tests := map[string]struct {
		err     error
		code    codes.Code
		message string
		details []proto.Message
	}{
		"invalid": {&job.InvalidError{Violations: []job.Violation{{Field: "workflow.tasks[1].inputs[0]", Reason: "UNKNOWN_INPUT", Description: "no such task"}, {Field: "name", Reason: "TOO_LONG", Description: "too long"}}},
			codes.InvalidArgument, "workflow.tasks[1].inputs[0]: no such task (and 1 more)", []proto.Message{info("UNKNOWN_INPUT"), &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
				{Field: "workflow.tasks[1].inputs[0]", Reason: "UNKNOWN_INPUT", Description: "no such task"}, {Field: "name", Reason: "TOO_LONG", Description: "too long"}}}}},
		"invalid as a whole": {job.Invalid("", "MALFORMED", "is no message"), codes.InvalidArgument, "is no message",
			[]proto.Message{info("MALFORMED"), &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Reason: "MALFORMED", Description: "is no message"}}}}},
		"not found":       {job.KindJob.NotFound("job_19"), codes.NotFound, `job "job_19" not found`, []proto.Message{info("JOB_NOT_FOUND")}},
		"not found, long": {job.KindJob.NotFound(strings.Repeat("x", 1000)), codes.NotFound, `job "` + strings.Repeat("x", 40) + `" not found`, []proto.Message{info("JOB_NOT_FOUND")}},
		"denied":          {&job.DeniedError{Message: "no"}, codes.PermissionDenied, "no", []proto.Message{info("PERMISSION_DENIED")}},
		"unauthenticated": {&job.UnauthenticatedError{Message: "who?"}, codes.Unauthenticated, "who?", []proto.Message{info("UNAUTHENTICATED")}},
		"precondition": {&job.PreconditionError{Reason: "OVERLAP", Message: "runs", Metadata: map[string]string{"executionId": "exec_1"}}, codes.FailedPrecondition, "runs",
			[]proto.Message{info("OVERLAP", "executionId", "exec_1"), &errdetails.PreconditionFailure{Violations: []*errdetails.PreconditionFailure_Violation{{Type: "OVERLAP", Description: "runs"}}}}},
		"aborted": {&job.AbortedError{Message: "changed"}, codes.Aborted, "changed", []proto.Message{info("ETAG_MISMATCH")}},
		"exhausted": {&job.ExhaustedError{Reason: "THROTTLED", Message: "slow down", RetryAfter: 2 * time.Second}, codes.ResourceExhausted, "slow down",
			[]proto.Message{info("THROTTLED"), &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "THROTTLED", Description: "slow down"}}}, &errdetails.RetryInfo{RetryDelay: durationpb.New(2 * time.Second)}}},
		"exhausted for good": {&job.ExhaustedError{Reason: "QUOTA", Message: "full"}, codes.ResourceExhausted, "full",
			[]proto.Message{info("QUOTA"), &errdetails.QuotaFailure{Violations: []*errdetails.QuotaFailure_Violation{{Subject: "QUOTA", Description: "full"}}}}},
		"unavailable": {&job.UnavailableError{Message: "later", Cause: errors.New("dial tcp 10.0.0.1: refused")}, codes.Unavailable, "later",
			[]proto.Message{info("UNAVAILABLE"), &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}}},
		"wrong secret":   {&auth.OAuthError{Code: "invalid_client", Description: "wrong"}, codes.Unauthenticated, "wrong", []proto.Message{info("INVALID_CLIENT")}},
		"throttled":      {&auth.OAuthError{Code: "invalid_client", Description: "wrong", RetryAfter: time.Second}, codes.ResourceExhausted, "wrong", []proto.Message{info("INVALID_CLIENT"), &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)}}},
		"other grant":    {&auth.OAuthError{Code: "unsupported_grant_type", Description: "no"}, codes.InvalidArgument, "no", []proto.Message{info("UNSUPPORTED_GRANT_TYPE")}},
		"cancelled":      {fmt.Errorf("read: %w", context.Canceled), codes.Canceled, "the caller ended the call", []proto.Message{info("CANCELLED")}},
		"too late":       {fmt.Errorf("read: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "the call took too long", []proto.Message{info("DEADLINE_EXCEEDED")}},
		"from gRPC":      {status.Error(codes.NotFound, "unknown service"), codes.NotFound, "unknown service", []proto.Message{info("NOT_FOUND")}},
		"anything else":  {errors.New("pq: password=hunter2"), codes.Internal, "internal error; the server's log tells more of request req-1", []proto.Message{info("INTERNAL", "requestId", "req-1")}},
		"wrapped status": {fmt.Errorf("hunter2: %w", status.Error(codes.NotFound, "hunter2")), codes.Internal, "internal error; the server's log tells more of request req-1", []proto.Message{info("INTERNAL", "requestId", "req-1")}},
		"panic":          {&panicked{value: "hunter2"}, codes.Internal, "internal error; the server's log tells more of request req-1", []proto.Message{info("INTERNAL", "requestId", "req-1")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i, err := range []error{test.err, fmt.Errorf("hunter2: %w", test.err)} {
				if name == "from gRPC" && i == 1 {
					continue // "wrapped status" is that case
				}
				got := statusOf(err, "req-1")
				if got.Code() != test.code || got.Message() != test.message {
					t.Errorf("status is %s %q, want %s %q", got.Code(), got.Message(), test.code, test.message)
				}
				var details []proto.Message
				for _, d := range got.Details() {
					details = append(details, d.(proto.Message))
				}
				if diff := cmp.Diff(test.details, details, protocmp.Transform()); diff != "" {
					t.Errorf("details (-want +got):\n%s", diff)
				}
			}
		})
	}
}
