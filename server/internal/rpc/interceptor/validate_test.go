package interceptor

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func fieldsOf(err error) (fields []string) {
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField()+" "+v.GetReason())
				fields = append(fields, v.GetField())
			}
		}
	}
	return fields
}

func document(t *testing.T, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := s.UnmarshalJSON([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestValidation(t *testing.T) {
	t.Parallel()
	b := setup(t)
	long := strings.Repeat("é", 201)
	tests := []struct {
		name    string
		method  string
		request proto.Message
		want    []string
	}{
		{"name", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{Name: long}}, []string{"name STRING_MAX_LEN"}},
		{"labels", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{Labels: map[string]string{"a": long}}}, []string{"labels.a STRING_MAX_LEN"}},
		{"odd label", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{Labels: map[string]string{"a.b": long}}}, []string{`labels["a.b"] STRING_MAX_LEN`}},
		{"nested", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{RetryPolicy: &carillonv1.RetryPolicy{RetryCount: 21}}}, []string{"retryPolicy.retryCount INT32_GTE_LTE"}},
		{"all at once", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", RequestId: long, Job: &carillonv1.Job{Name: long, FrequencyType: 9}},
			[]string{"name STRING_MAX_LEN", "frequencyType ENUM_DEFINED_ONLY", "requestId STRING_MAX_LEN"}},
		{"no job", createJob, &carillonv1.CreateJobRequest{InstanceId: "1"}, []string{"job REQUIRED"}},
		{"list", carillonv1.InstanceService_CreateClient_FullMethodName, &carillonv1.CreateClientRequest{Client: &carillonv1.Client{Scopes: []string{"operator", long}}}, []string{"scopes[1] STRING_MAX_LEN"}},
		{"negative page", carillonv1.JobService_ListJobs_FullMethodName, &carillonv1.ListJobsRequest{InstanceId: "1", PageSize: -1}, []string{"pageSize INT32_GTE"}},
		{"too many times", preview, &carillonv1.PreviewScheduleRequest{FrequencyType: carillonv1.Job_CRON_BASED, Count: 101}, []string{"count INT32_GTE_LTE"}},
		{"NUL", updateJob, &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: "10", Name: "a\x00b", Labels: map[string]string{"k": "\x00"}}}, []string{"labels.k INVALID_TEXT", "name INVALID_TEXT"}},
		{"behind a document", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", RequestId: "\x00", Job: &carillonv1.Job{
			Workflow: document(t, `{"name": "\u0000", "tasks": [{"a": {"b": "\u0000"}}]}`), TimeZone: proto.String("\x00"), Labels: map[string]string{"k": "\x00"},
			StartTime: &timestamppb.Timestamp{Seconds: 1 << 60}, EndTime: &timestamppb.Timestamp{Nanos: -1}, ExcludedDates: []string{"2026-12-24", "\x00"},
		}}, []string{"timeZone INVALID_TEXT", "labels.k INVALID_TEXT", "startTime OUT_OF_RANGE", "endTime OUT_OF_RANGE", "excludedDates[1] INVALID_TEXT", "requestId INVALID_TEXT"}},
		{"impossible time", preview, &carillonv1.PreviewScheduleRequest{After: &timestamppb.Timestamp{Seconds: 1 << 60}}, []string{"after OUT_OF_RANGE"}},
		{"impossible duration", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{CatchUpWindow: &durationpb.Duration{Seconds: 60, Nanos: -5}}}, []string{"catchUpWindow OUT_OF_RANGE"}},
		{"short window", createJob, &carillonv1.CreateJobRequest{InstanceId: "1", Job: &carillonv1.Job{CatchUpWindow: durationpb.New(time.Second)}}, []string{"catchUpWindow DURATION_GTE_LTE"}},
	}
	for _, test := range tests {
		err := b.call(as(t.Context(), "operator"), test.method, test.request)
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v, want INVALID_ARGUMENT", test.name, err)
		}
		got := slices.DeleteFunc(fieldsOf(err), func(f string) bool { return !strings.Contains(f, " ") })
		slices.Sort(got)
		slices.Sort(test.want)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: violations (-want +got):\n%s", test.name, diff)
		}
	}
	// Authorization comes first.
	err := b.call(as(t.Context(), "instance-write-1"), createJob, &carillonv1.CreateJobRequest{InstanceId: "2", Job: &carillonv1.Job{Name: long}})
	if status.Code(err) != codes.NotFound {
		t.Errorf("an invalid request to a foreign instance: %v, want NOT_FOUND", err)
	}
}
