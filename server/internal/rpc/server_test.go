package rpc_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// raw sends bytes as they are.
type raw struct{}

var _ encoding.Codec = raw{}

func (raw) Marshal(v any) ([]byte, error) {
	if text, ok := v.([]byte); ok {
		return text, nil
	}
	return nil, errors.New("not bytes")
}
func (raw) Unmarshal([]byte, any) error { return nil }
func (raw) Name() string                { return "proto" }

// Bytes that are no message are the caller's mistake, after authentication.
func TestMalformedRequests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	brokenText := []byte{0x0a, 0x01, 0xff} // field 1 is the byte 0xff, which is no UTF-8
	for _, method := range []string{
		carillonv1.JobService_GetJob_FullMethodName, carillonv1.JobService_CreateJob_FullMethodName, carillonv1.TokenService_IssueToken_FullMethodName,
	} {
		for _, bytes := range [][]byte{brokenText, {0xff}} {
			err := b.conn.Invoke(b.operator, method, bytes, new([]byte), grpc.ForceCodec(raw{}))
			wantCode(t, err, codes.InvalidArgument, "MALFORMED_REQUEST")
		}
	}
	err := b.conn.Invoke(t.Context(), carillonv1.JobService_GetJob_FullMethodName, []byte{0xff}, new([]byte), grpc.ForceCodec(raw{}))
	wantCode(t, err, codes.Unauthenticated, "UNAUTHENTICATED")
	stream, err := b.conn.NewStream(b.operator, &grpc.StreamDesc{ServerStreams: true}, carillonv1.ExecutionService_TailLog_FullMethodName, grpc.ForceCodec(raw{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(brokenText), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	wantCode(t, stream.RecvMsg(new([]byte)), codes.InvalidArgument, "MALFORMED_REQUEST")
}

func TestLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	j := hourly(t)
	j.Description = strings.Repeat("x", 2<<20)
	_, err := b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in, Job: j})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("2 MiB: %v, want RESOURCE_EXHAUSTED", err)
	}
	j.Description = strings.Repeat("x", 1<<20)
	_, err = b.jobs.CreateJob(b.operator, &carillonv1.CreateJobRequest{InstanceId: in, Job: j})
	wantCode(t, err, codes.InvalidArgument, "STRING_MAX_LEN")
}

// Every refusal has a reason, also gRPC's own.
func TestUnknownMethods(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, method := range []string{"/carillon.v1.JobService/Nothing", "/carillon.v1.Nothing/GetJob", "/nothing/at/all"} {
		wantCode(t, b.conn.Invoke(b.operator, method, &carillonv1.GetJobRequest{}, &carillonv1.Job{}), codes.Unimplemented, "UNKNOWN_METHOD")
		wantCode(t, b.conn.Invoke(t.Context(), method, &carillonv1.GetJobRequest{}, &carillonv1.Job{}), codes.Unimplemented, "UNKNOWN_METHOD")
	}
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := must(healthv1.NewHealthClient(b.conn).Check(t.Context(), &healthv1.HealthCheckRequest{}))(t)
	if answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("health is %v", answer)
	}
	_, err := healthv1.NewHealthClient(b.conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: "nothing"})
	wantCode(t, err, codes.NotFound, "NOT_FOUND")
	stream := must(reflectionv1.NewServerReflectionClient(b.conn).ServerReflectionInfo(t.Context()))(t)
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range must(stream.Recv())(t).GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"carillon.v1.JobService", "carillon.v1.TokenService", "grpc.health.v1.Health"} {
		if !strings.Contains(strings.Join(names, " "), want) {
			t.Errorf("reflection lists %v, which lacks %s", names, want)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
}

func TestRequestIDIsAnsweredAndLogged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(b.operator, "x-request-id", "from-the-caller")
	_, err := b.jobs.GetJob(ctx, &carillonv1.GetJobRequest{JobId: "job_7"}, grpc.Header(&header))
	wantCode(t, err, codes.NotFound, "JOB_NOT_FOUND")
	if got := header.Get("x-request-id"); len(got) != 1 || got[0] != "from-the-caller" {
		t.Errorf("the header has %v", got)
	}
	if !strings.Contains(b.output.String(), "method=/carillon.v1.JobService/GetJob code=NOT_FOUND") || !strings.Contains(b.output.String(), "client=operator object=job_7") {
		t.Errorf("the log is %s", b.output.String())
	}
}
