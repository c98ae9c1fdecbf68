package grpccall_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/grpccall"
)

const check = "grpc.health.v1.Health/Check"

// doctor is a health service whose answers the asked service's name decides.
type doctor struct {
	healthv1.UnimplementedHealthServer
	calls chan metadata.MD
}

func (d *doctor) Check(ctx context.Context, in *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	select {
	case d.calls <- md:
	default:
	}
	switch in.GetService() {
	case "missing":
		return nil, status.Error(codes.NotFound, "no such\nthing for hunter2")
	case "busy":
		s, _ := status.New(codes.ResourceExhausted, "slow down").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(7 * time.Second)})
		return nil, s.Err()
	case "hangs":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return &healthv1.HealthCheckResponse{Status: healthv1.HealthCheckResponse_SERVING}, nil
}

// serve runs a server on loopback.
func serve(t *testing.T, d *doctor, reflects bool, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(options...)
	healthv1.RegisterHealthServer(server, d)
	if reflects {
		reflection.Register(server)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return listener.Addr().String()
}

func newDoctor() *doctor { return &doctor{calls: make(chan metadata.MD, 10)} }

func newType(t *testing.T) *grpccall.Type {
	t.Helper()
	networks, err := egress.ParsePrefixes([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return grpccall.New(egress.New(egress.Options{Allow: networks}).DialContext)
}

func do(ctx context.Context, typ task.Type, args task.Args) (task.Output, string, error) {
	var log bytes.Buffer
	out, err := typ.Do(ctx, task.Run{
		ExecutionID: 100234, TaskName: "call", Fence: 7, IdempotencyKey: "exec_100234/call", Args: args, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	return out, log.String(), err
}

// set is the health service's descriptor set.
func set(t testing.TB) string {
	t.Helper()
	file := protodesc.ToFileDescriptorProto(healthv1.File_grpc_health_v1_health_proto)
	raw, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}})
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func TestCall(t *testing.T) {
	t.Parallel()
	typ := newType(t)
	for _, reflects := range []bool{true, false} {
		d := newDoctor()
		args := task.Args{
			"address": serve(t, d, reflects), "method": check, "plaintext": true, "body": map[string]any{"service": "any"},
			"metadata": map[string]any{"Authorization": "Bearer hunter2", "trace-bin": "AQI="},
		}
		if !reflects {
			args["descriptorSet"] = set(t)
		}
		out, log, err := do(t.Context(), typ, args)
		if err != nil {
			t.Fatal(err)
		}
		want := task.Output{"code": "OK", "bodyBytes": 2.0, "body": map[string]any{"status": "SERVING"}}
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
		got := <-d.calls
		for key, want := range map[string]string{
			"carillon-execution-id": "exec_100234", "carillon-fence": "7", "idempotency-key": "exec_100234/call", "authorization": "Bearer hunter2", "trace-bin": "\x01\x02",
		} {
			if values := got.Get(key); len(values) != 1 || values[0] != want {
				t.Errorf("metadata %s: %q, want %q", key, values, want)
			}
		}
		if strings.Contains(log, "hunter2") || strings.Contains(log, "any") || !strings.Contains(log, "code=OK") {
			t.Errorf("log:\n%s", log)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(nil)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	certificate := secure.TLS.Certificates[0]
	address := serve(t, newDoctor(), true, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	if _, _, err := do(t.Context(), newType(t), task.Args{"address": address, "method": check, "caCertificate": authority}); err != nil {
		t.Errorf("its own authority: %v", err)
	}
	_, _, err := do(t.Context(), newType(t), task.Args{"address": address, "method": check})
	if f := job.FailureOf(err); err == nil || f.Reason != "TLS_FAILED" || !f.Permanent() {
		t.Errorf("unknown authority: %#v", err)
	}
	_, _, err = do(t.Context(), newType(t), task.Args{"address": serve(t, newDoctor(), true), "method": check})
	if f := job.FailureOf(err); err == nil || f.Reason != "TLS_FAILED" {
		t.Errorf("a server without TLS: %#v", err)
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	open, closed := serve(t, newDoctor(), true), serve(t, newDoctor(), false)
	tests := map[string]struct {
		address, method, service string
		more                     task.Args
		code, reason             string
	}{
		"code":             {open, check, "missing", nil, "NOT_FOUND", "UNEXPECTED_CODE"},
		"expected":         {open, check, "missing", task.Args{"expectCode": []any{"OK", "NOT_FOUND"}}, "", ""},
		"OK not expected":  {open, check, "", task.Args{"expectCode": "NOT_FOUND"}, "FAILED_PRECONDITION", "UNEXPECTED_CODE"},
		"throttled":        {open, check, "busy", nil, "RESOURCE_EXHAUSTED", "UNEXPECTED_CODE"},
		"denied":           {"10.0.0.1:443", check, "", nil, "PERMISSION_DENIED", "EGRESS_DENIED"},
		"nobody there":     {"127.0.0.1:1", check, "", nil, "UNAVAILABLE", "CONNECT_FAILED"},
		"no reflection":    {closed, check, "", nil, "FAILED_PRECONDITION", "NO_REFLECTION"},
		"no service":       {open, "a.B/C", "", nil, "NOT_FOUND", "UNKNOWN_METHOD"},
		"no method":        {open, "grpc.health.v1.Health/Chack", "", nil, "NOT_FOUND", "UNKNOWN_METHOD"},
		"no service of it": {open, "grpc.health.v1.HealthCheckRequest/Check", "", nil, "NOT_FOUND", "UNKNOWN_METHOD"},
		"streaming":        {open, "grpc.health.v1.Health/Watch", "", nil, "FAILED_PRECONDITION", "STREAMING_METHOD"},
		"body":             {open, check, "", task.Args{"body": map[string]any{"hunter2": 1.0}}, "INVALID_ARGUMENT", "BODY_DOES_NOT_FIT"},
		"timeout":          {open, check, "hangs", task.Args{"timeout": 0.05}, "DEADLINE_EXCEEDED", "TIMEOUT"},
	}
	typ := newType(t)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := task.Args{"address": test.address, "method": test.method, "plaintext": true,
				"body": map[string]any{"service": test.service}, "metadata": map[string]any{"authorization": "hunter2"}}
			for key, value := range test.more {
				args[key] = value
			}
			_, log, err := do(t.Context(), typ, args)
			if test.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			f := job.FailureOf(err)
			if err == nil || f.Code != test.code || f.Reason != test.reason {
				t.Fatalf("%#v, want %s %s", err, test.code, test.reason)
			}
			if strings.Contains(f.Message+log, "hunter2") || strings.Contains(f.Message, "\n") {
				t.Errorf("%q\n%s", f.Message, log)
			}
			if name == "code" && !strings.HasSuffix(f.Message, "answered NOT_FOUND, expected OK: no such thing for [masked]") {
				t.Errorf("%q", f.Message)
			}
			if wait := f.RetryAfter; (wait == 7*time.Second) != (name == "throttled") {
				t.Errorf("retry after %s", wait)
			}
		})
	}
}

func TestCancelReportsTheCause(t *testing.T) {
	t.Parallel()
	d := newDoctor()
	why := errors.New("cancelled by alice")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-d.calls; cancel(why) }()
	_, _, err := do(ctx, newType(t), task.Args{"address": serve(t, d, true), "method": check, "plaintext": true, "body": map[string]any{"service": "hangs"}})
	if !errors.Is(err, why) {
		t.Errorf("%v, want %v", err, why)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	types := task.NewRegistry(grpccall.New(nil))
	least := func(pairs ...any) task.Args {
		args := task.Args{"address": "a.internal:443", "method": check}
		for i := 0; i < len(pairs); i += 2 {
			args[pairs[i].(string)] = pairs[i+1]
		}
		return args
	}
	tests := map[string]struct {
		args task.Args
		want []string
	}{
		"least":             {least(), nil},
		"all":               {least("body", map[string]any{"service": "x"}, "metadata", map[string]any{"a": "b"}, "timeout", "1h", "expectCode", "NOT_FOUND", "descriptorSet", set(t), "plaintext", true), nil},
		"nothing":           {nil, []string{"address REQUIRED", "method REQUIRED"}},
		"no port":           {least("address", "a.internal"), []string{"address INVALID_VALUE"}},
		"port 0":            {least("address", "a.internal:0"), []string{"address INVALID_VALUE"}},
		"URL":               {least("address", "https://a.internal:443"), []string{"address INVALID_VALUE"}},
		"no host":           {least("address", ":443"), []string{"address INVALID_VALUE"}},
		"method":            {least("method", "/a.B/C"), []string{"method INVALID_VALUE"}},
		"code":              {least("expectCode", []any{"OK", "ok"}), []string{"expectCode[1] INVALID_VALUE"}},
		"own metadata":      {least("metadata", map[string]any{"Carillon-Fence": "1", "grpc-timeout": "1S", "TE": "x", ":path": "x"}), []string{`metadata[":path"] INVALID_VALUE`, "metadata.Carillon-Fence RESERVED_METADATA", "metadata.TE RESERVED_METADATA", "metadata.grpc-timeout RESERVED_METADATA"}},
		"metadata values":   {least("metadata", map[string]any{"a": "b\n", "b-bin": "?"}), []string{"metadata.a INVALID_VALUE", "metadata.b-bin INVALID_VALUE"}},
		"no set":            {least("descriptorSet", "hunter2"), []string{"descriptorSet INVALID_VALUE"}},
		"other set":         {least("descriptorSet", set(t), "method", "a.B/C"), []string{"method UNKNOWN_METHOD"}},
		"streaming":         {least("descriptorSet", set(t), "method", "grpc.health.v1.Health/Watch"), []string{"method STREAMING_METHOD"}},
		"body by the set":   {least("descriptorSet", set(t), "body", map[string]any{"service": 1.0}), []string{"body BODY_DOES_NOT_FIT"}},
		"authority":         {least("caCertificate", "hunter2"), []string{"caCertificate INVALID_VALUE"}},
		"one is of no use":  {least("caCertificate", "hunter2", "plaintext", true), []string{"caCertificate INVALID_VALUE", "caCertificate INVALID_VALUE"}},
		"a timeout of days": {least("timeout", "48h"), []string{"timeout OUT_OF_RANGE"}},
	}
	for name, test := range tests {
		err := types.Check("grpc.call", test.args)
		var got []string
		var invalid *job.InvalidError
		if errors.As(err, &invalid) {
			for _, v := range invalid.Violations {
				got = append(got, v.Field+" "+v.Reason)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s repeats a value: %v", name, err)
		}
	}
}

// FuzzDescriptorSet: whatever is given as a set, it is taken or refused.
func FuzzDescriptorSet(f *testing.F) {
	raw, err := base64.StdEncoding.DecodeString(set(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, "grpc.health.v1.Health/Check", "x")
	f.Add([]byte{}, "a/b", "")
	f.Add([]byte("\x0a\x02\x0a\x00"), "a/b", "")
	typ := grpccall.New(nil)
	f.Fuzz(func(t *testing.T, raw []byte, method, service string) {
		err := typ.Check(task.Args{"address": "a:1", "method": method, "descriptorSet": base64.StdEncoding.EncodeToString(raw), "body": map[string]any{"service": service}})
		var invalid *job.InvalidError
		if err != nil && !errors.As(err, &invalid) {
			t.Errorf("%v", err)
		}
	})
}
