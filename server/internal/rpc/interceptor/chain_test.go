package interceptor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// tokens verifies tokens that are their own scopes.
type tokens struct{}

func (tokens) Verify(_ context.Context, token string) (auth.Principal, error) {
	scopes, err := auth.ParseScopes(token)
	if err != nil {
		return auth.Principal{}, &job.UnauthenticatedError{Message: "bad token"}
	}
	return auth.Principal{ClientID: 3, Subject: "client_3", Scopes: scopes}, nil
}

// world has jobs, resources and executions of instances 1 and 2: the id of an
// object is ten times that of its instance.
type world struct{}

func (world) InstanceOf(_ context.Context, kind job.Kind, id int64) (int64, error) {
	switch {
	case kind == job.KindInstance && (id == 1 || id == 2):
		return id, nil
	case kind != job.KindInstance && (id == 10 || id == 20):
		return id / 10, nil
	case id == 500:
		return 0, errors.New("the database says hunter2")
	}
	return 0, store.ErrNotFound
}

func (world) Linked(context.Context, int64, int64) (bool, error)      { return false, nil }
func (world) LinkedInstances(context.Context, int64) ([]int64, error) { return nil, nil }

// sink takes audit events.
type sink struct {
	mu     sync.Mutex
	events []audit.Event
}

func (s *sink) AddAuditEvent(_ context.Context, e audit.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	return nil
}

type bundle struct {
	chain  *Chain
	log    *bytes.Buffer
	events *sink
}

func setup(t *testing.T, edit ...func(*Options)) *bundle {
	t.Helper()
	log, events := &bytes.Buffer{}, &sink{}
	o := Options{
		Verifier: tokens{}, Authorizer: auth.NewAuthorizer(world{}), Owners: world{},
		Log: slog.New(slog.NewJSONHandler(log, nil)), Metrics: prometheus.NewRegistry(), Now: time.Now, Audit: events,
	}
	for _, f := range edit {
		f(&o)
	}
	chain, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &bundle{chain: chain, log: log, events: events}
}

// call runs a unary call whose handler answers an empty job.
func (b *bundle) call(ctx context.Context, method string, request proto.Message) error {
	_, err := b.chain.Unary(ctx, request, &grpc.UnaryServerInfo{FullMethod: method},
		func(context.Context, any) (any, error) { return &carillonv1.Job{}, nil })
	return err
}

func as(ctx context.Context, scopes string) context.Context {
	return metadata.NewIncomingContext(ctx, metadata.Pairs("authorization", "Bearer "+scopes))
}

const (
	getJob      = carillonv1.JobService_GetJob_FullMethodName
	updateJob   = carillonv1.JobService_UpdateJob_FullMethodName
	createJob   = carillonv1.JobService_CreateJob_FullMethodName
	getResource = carillonv1.InstanceService_GetResource_FullMethodName
	listRuns    = carillonv1.ExecutionService_ListExecutions_FullMethodName
	getRun      = carillonv1.ExecutionService_GetExecution_FullMethodName
	preview     = carillonv1.JobService_PreviewSchedule_FullMethodName
)

func TestAuthentication(t *testing.T) {
	t.Parallel()
	b := setup(t)
	request := &carillonv1.GetJobRequest{JobId: "job_10"}
	for name, values := range map[string][]string{
		"none":         nil,
		"two":          {"Bearer operator", "Bearer operator"},
		"another kind": {"Basic operator"},
		"no token":     {"Bearer "},
		"no scheme":    {"operator"},
		"bad token":    {"Bearer nonsense"},
	} {
		md := metadata.MD{"authorization": values}
		if err := b.call(metadata.NewIncomingContext(t.Context(), md), getJob, request); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%s: %v, want UNAUTHENTICATED", name, err)
		}
	}
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} {
		md := metadata.Pairs("authorization", scheme+" operator")
		if err := b.call(metadata.NewIncomingContext(t.Context(), md), getJob, request); err != nil {
			t.Errorf("scheme %s: %v", scheme, err)
		}
	}
}

func TestDefaultDeny(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, method := range []string{"/carillon.v1.JobService/Undeclared", "/carillon.v1.Nothing/GetJob", "/grpc.health.v1.HealthX/Check", "carillon.v1.JobService/GetJob/", ""} {
		if err := b.call(as(t.Context(), "operator"), method, &carillonv1.GetJobRequest{JobId: "10"}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%q: %v, want PERMISSION_DENIED", method, err)
		}
	}
	for _, method := range []string{"/grpc.health.v1.Health/Check", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
		if err := b.call(t.Context(), method, &carillonv1.GetJobRequest{}); err != nil {
			t.Errorf("%q: %v", method, err)
		}
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	b := setup(t)
	get := func(id string) proto.Message { return &carillonv1.GetJobRequest{JobId: id} }
	update := func(id string) proto.Message { return &carillonv1.UpdateJobRequest{Job: &carillonv1.Job{Id: id}} }
	resource := func(id string) proto.Message { return &carillonv1.GetResourceRequest{ResourceId: id} }
	runs := func(job, instance string) proto.Message {
		return &carillonv1.ListExecutionsRequest{JobId: job, InstanceId: instance}
	}
	tests := []struct {
		name, scopes, method string
		request              proto.Message
		want                 codes.Code
		field                string
	}{
		{"reads", "instance-read-1", getJob, get("job_10"), codes.OK, ""},
		{"reads by number", "instance-read-1", getJob, get("10"), codes.OK, ""},
		{"writer reads", "instance-write-1", getJob, get("10"), codes.OK, ""},
		{"writes", "instance-write-1", updateJob, update("job_10"), codes.OK, ""},
		{"reader may not write", "instance-read-1", updateJob, update("job_10"), codes.PermissionDenied, ""},
		{"foreign", "instance-write-1", getJob, get("job_20"), codes.NotFound, ""},
		{"foreign, to write", "instance-write-1", updateJob, update("job_20"), codes.NotFound, ""},
		{"missing", "instance-write-1", getJob, get("job_99"), codes.NotFound, ""},
		{"missing for the operator", "operator", getJob, get("job_99"), codes.NotFound, ""},
		{"another prefix", "operator", getJob, get("exec_10"), codes.NotFound, ""},
		{"no identifier at all", "operator", getJob, get("..%2f"), codes.NotFound, ""},
		{"leading zero", "operator", getJob, get("010"), codes.NotFound, ""},
		{"no scope", "", getJob, get("job_10"), codes.Unauthenticated, ""},
		{"unrelated scope", "instance-create", getJob, get("job_10"), codes.NotFound, ""},
		{"no prefix match", "instance-read-1", getJob, get("20"), codes.NotFound, ""},
		{"empty", "operator", getJob, get(""), codes.InvalidArgument, "jobId"},
		{"empty inside the resource", "operator", updateJob, update(""), codes.InvalidArgument, "id"},
		{"no resource", "operator", updateJob, &carillonv1.UpdateJobRequest{}, codes.InvalidArgument, "id"},
		{"resource by its scope", "resource-read-10", getResource, resource("res_10"), codes.OK, ""},
		{"resource by its instance", "instance-read-1", getResource, resource("10"), codes.OK, ""},
		{"another resource", "resource-read-10", getResource, resource("20"), codes.NotFound, ""},
		{"resource scope is no instance scope", "resource-write-10", getJob, get("10"), codes.NotFound, ""},
		{"by job", "instance-read-1", listRuns, runs("job_10", ""), codes.OK, ""},
		{"by instance", "instance-read-1", listRuns, runs("", "1"), codes.OK, ""},
		{"by foreign instance", "instance-read-1", listRuns, runs("", "2"), codes.NotFound, ""},
		{"by neither", "instance-read-1", listRuns, runs("", ""), codes.InvalidArgument, "jobId"},
		{"by both", "instance-read-1", listRuns, runs("job_10", "2"), codes.InvalidArgument, "instanceId"},
		{"execution", "instance-read-1", getRun, &carillonv1.GetExecutionRequest{ExecutionId: "exec_10"}, codes.OK, ""},
		{"failing look-up", "operator", getJob, get("500"), codes.Internal, ""},
		{"create into foreign", "instance-write-1", createJob, &carillonv1.CreateJobRequest{InstanceId: "2"}, codes.NotFound, ""},
		{"nobody's clients", "instance-write-1 instance-create", carillonv1.InstanceService_ListClients_FullMethodName, &carillonv1.ListClientsRequest{}, codes.PermissionDenied, ""},
		{"operator's clients", "operator", carillonv1.InstanceService_ListClients_FullMethodName, &carillonv1.ListClientsRequest{}, codes.OK, ""},
		{"no instance-create", "instance-write-1", carillonv1.InstanceService_CreateInstance_FullMethodName, &carillonv1.CreateInstanceRequest{}, codes.PermissionDenied, ""},
		{"instance-create", "instance-create", carillonv1.InstanceService_CreateInstance_FullMethodName, &carillonv1.CreateInstanceRequest{}, codes.OK, ""},
	}
	for _, test := range tests {
		err := b.call(as(t.Context(), test.scopes), test.method, test.request)
		if status.Code(err) != test.want {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
		if fields := fieldsOf(err); test.field != "" && !slices.Contains(fields, test.field) {
			t.Errorf("%s: fields are %q, want %s", test.name, fields, test.field)
		}
		if strings.Contains(status.Convert(err).Message(), "hunter2") {
			t.Errorf("%s: the answer tells %q", test.name, status.Convert(err).Message())
		}
	}
}

// Missing and foreign are told apart by nothing but the identifier.
func TestNotFoundAlike(t *testing.T) {
	t.Parallel()
	b := setup(t)
	texts := map[string]bool{}
	for _, id := range []string{"job_20", "job_99"} {
		err := b.call(as(t.Context(), "instance-read-1"), getJob, &carillonv1.GetJobRequest{JobId: id})
		text, _ := json.Marshal(status.Convert(err).Proto())
		texts[strings.ReplaceAll(string(text), id, "ID")] = true
	}
	if len(texts) != 1 {
		t.Errorf("a missing and a foreign job are answered differently: %v", texts)
	}
}

func TestPanicsAndDurations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	info := &grpc.UnaryServerInfo{FullMethod: getJob}
	request := &carillonv1.GetJobRequest{JobId: "job_10"}
	md := metadata.Pairs("authorization", "Bearer operator", "x-request-id", "given-1")
	_, err := b.chain.Unary(metadata.NewIncomingContext(t.Context(), md), request, info, func(context.Context, any) (any, error) { panic("hunter2") })
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "given-1") {
		t.Errorf("a panic is answered as %v", err)
	}
	var line struct{ Level, Method, Code, Client, Object, Error, Stack string }
	if err := json.Unmarshal(b.log.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, b.log)
	}
	if line.Level != "ERROR" || line.Method != getJob || line.Code != "INTERNAL" || line.Client != "client_3" || line.Object != "job_10" ||
		line.Error != "panic: string" || strings.Contains(b.log.String(), "hunter2") || !strings.Contains(line.Stack, "TestPanicsAndDurations") {
		t.Errorf("line is %s", b.log)
	}
	if n := testutil.CollectAndCount(b.chain.durations); n != 1 {
		t.Errorf("%d series, want 1", n)
	}
	_, _ = b.chain.Unary(as(t.Context(), "operator"), request, info, func(ctx context.Context, _ any) (any, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > defaultMaxDuration {
			t.Errorf("the handler's deadline is %v", deadline)
		}
		return nil, nil
	})
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for given, taken := range map[string]bool{
		"abc-1.2_X": true, strings.Repeat("a", 64): true, strings.Repeat("a", 65): false, "": false,
		"with space": false, "line\nbreak": false, "ü": false,
	} {
		_, call := b.chain.begin(metadata.NewIncomingContext(t.Context(), metadata.Pairs("x-request-id", given)), getJob)
		if (call.requestID == given) != taken || call.requestID == "" {
			t.Errorf("%q became %q", given, call.requestID)
		}
	}
}

// fakeStream hands out one request.
type fakeStream struct {
	grpc.ServerStream
	ctx     context.Context
	request proto.Message
	err     error
}

func (s *fakeStream) Context() context.Context    { return s.ctx }
func (s *fakeStream) SetHeader(metadata.MD) error { return nil }
func (s *fakeStream) RecvMsg(m any) error {
	if s.err != nil {
		return s.err
	}
	proto.Merge(m.(proto.Message), s.request)
	return nil
}

func TestStreams(t *testing.T) {
	t.Parallel()
	b := setup(t)
	info := &grpc.StreamServerInfo{FullMethod: carillonv1.ExecutionService_TailLog_FullMethodName, IsServerStream: true}
	tests := []struct {
		name, scopes, id string
		recv             error
		want             codes.Code
	}{
		{"reads", "instance-read-1", "exec_10", nil, codes.OK},
		{"foreign", "instance-read-1", "exec_20", nil, codes.NotFound},
		{"empty", "instance-read-1", "", nil, codes.InvalidArgument},
		{"no token", "nonsense", "exec_10", nil, codes.Unauthenticated},
		{"gone", "operator", "exec_10", status.Error(codes.Canceled, "context canceled"), codes.Canceled},
		{"no request", "operator", "exec_10", io.EOF, codes.Internal},
	}
	for _, test := range tests {
		stream := &fakeStream{ctx: as(t.Context(), test.scopes), request: &carillonv1.TailLogRequest{ExecutionId: test.id}, err: test.recv}
		handled := false
		err := b.chain.Stream(b, stream, info, func(_ any, s grpc.ServerStream) error {
			if err := s.RecvMsg(&carillonv1.TailLogRequest{}); err != nil {
				return err
			}
			_, handled = auth.From(s.Context())
			return nil
		})
		if status.Code(err) != test.want || handled != (test.want == codes.OK) {
			t.Errorf("%s: %v, handled %v; want %s", test.name, err, handled, test.want)
		}
	}
}

// expiring verifies a token until its time.
type expiring struct {
	until  time.Time
	broken error
}

func (e *expiring) Verify(context.Context, string) (auth.Principal, error) {
	if e.broken != nil {
		return auth.Principal{}, e.broken
	}
	if time.Now().After(e.until) {
		return auth.Principal{}, &job.UnauthenticatedError{Message: "expired"}
	}
	return tokens{}.Verify(context.Background(), "operator")
}

func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method string
		// breaks says that the token can't be verified after a while.
		breaks bool
		want   codes.Code
		after  time.Duration
	}{
		"expired":      {carillonv1.ExecutionService_TailLog_FullMethodName, false, codes.Unauthenticated, time.Hour},
		"unverifiable": {carillonv1.ExecutionService_TailLog_FullMethodName, true, codes.OK, 3 * time.Hour},
		"public":       {carillonv1.ExecutionService_DownloadLog_FullMethodName, false, codes.OK, 3 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := setup(t)
				verifier := &expiring{until: time.Now().Add(time.Hour)}
				b.chain.Verifier = verifier
				began := time.Now()
				stream := &fakeStream{ctx: as(t.Context(), "operator"), request: &carillonv1.TailLogRequest{ExecutionId: "exec_10"}}
				err := b.chain.Stream(b, stream, &grpc.StreamServerInfo{FullMethod: test.method, IsServerStream: true}, func(_ any, s grpc.ServerStream) error {
					if test.breaks {
						verifier.broken = errors.New("no database")
					}
					select {
					case <-s.Context().Done():
						return s.Context().Err()
					case <-time.After(3 * time.Hour):
						return nil
					}
				})
				took := time.Since(began)
				if status.Code(err) != test.want || took < test.after || took > test.after+time.Minute {
					t.Errorf("ended after %v with %v, want %s after %v", took, err, test.want, test.after)
				}
			})
		})
	}
}
