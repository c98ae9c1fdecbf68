// Package facadetest is the service as the facade's tests see it: a gRPC
// connection whose methods answer what a test tells them to, and which notes
// every call.
//
// A call without the token [Token] is UNAUTHENTICATED, as with the real service;
// a method that a test says nothing of answers an empty message.
package facadetest

import (
	"context"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Token is the bearer token that the service accepts.
const Token = "good"

// Handler answers one method.
type Handler func(ctx context.Context, in proto.Message) (proto.Message, error)

// StreamHandler answers one streaming method.
type StreamHandler func(ctx context.Context, in proto.Message, send func(proto.Message) error) error

// Call is a call that reached the service.
type Call struct {
	// Method is the method's name: CreateJob.
	Method   string
	Request  proto.Message
	Metadata metadata.MD
}

// Service is a service whose answers a test decides.
type Service struct {
	Conn   *grpc.ClientConn
	Health *health.Server

	mu      sync.Mutex
	unary   map[string]Handler
	streams map[string]StreamHandler
	calls   []Call
}

// New starts a service that ends with the test.
func New(t testing.TB) *Service {
	t.Helper()
	s := &Service{unary: map[string]Handler{}, streams: map[string]StreamHandler{}, Health: health.NewServer()}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.UnknownServiceHandler(s.serve), grpc.MaxRecvMsgSize(4<<20))
	healthv1.RegisterHealthServer(server, s.Health)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener) // ends with the server
	}()
	conn, err := grpc.NewClient("passthrough:///service",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-ended
	})
	s.Conn = conn
	return s
}

// On sets what a unary method answers.
func (s *Service) On(method string, handler Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unary[method] = handler
}

// Answer makes a unary method answer one message always.
func (s *Service) Answer(method string, answer proto.Message) {
	s.On(method, func(context.Context, proto.Message) (proto.Message, error) { return answer, nil })
}

// Fail makes a unary method fail always.
func (s *Service) Fail(method string, err error) {
	s.On(method, func(context.Context, proto.Message) (proto.Message, error) { return nil, err })
}

// OnStream sets what a streaming method answers.
func (s *Service) OnStream(method string, handler StreamHandler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[method] = handler
}

// Calls are the calls so far, those of the named methods if any are named.
func (s *Service) Calls(methods ...string) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Call
	for _, call := range s.calls {
		if len(methods) == 0 || slices.Contains(methods, call.Method) {
			found = append(found, call)
		}
	}
	return found
}

// serve answers every method of carillon.v1.
func (s *Service) serve(_ any, stream grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(stream)
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(full, "/"), "/", "."))
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return status.Error(codes.Unimplemented, "unknown method "+full)
	}
	method := found.(protoreflect.MethodDescriptor)
	in, err := newMessage(method.Input())
	if err != nil {
		return err
	}
	if err := stream.RecvMsg(in); err != nil {
		return err
	}
	md, _ := metadata.FromIncomingContext(stream.Context())
	if level := access(method); level != carillonv1.AccessRule_PUBLIC && strings.Join(md["authorization"], ",") != "Bearer "+Token {
		return Error(codes.Unauthenticated, "UNAUTHENTICATED", "the call needs a bearer token")
	}
	s.mu.Lock()
	s.calls = append(s.calls, Call{string(method.Name()), in, md})
	unary, streaming := s.unary[string(method.Name())], s.streams[string(method.Name())]
	s.mu.Unlock()
	if method.IsStreamingServer() {
		if streaming == nil {
			return nil
		}
		return streaming(stream.Context(), in, func(m proto.Message) error { return stream.SendMsg(m) })
	}
	out, err := newMessage(method.Output())
	if unary != nil && err == nil {
		out, err = unary(stream.Context(), in)
	}
	if err != nil {
		return err
	}
	return stream.SendMsg(out)
}

func newMessage(of protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(of.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

func access(method protoreflect.MethodDescriptor) carillonv1.AccessRule_Level {
	rule, _ := proto.GetExtension(method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
	return rule.GetLevel()
}

// Error is an error as the service's interceptor makes it.
func Error(code codes.Code, reason, message string, violations ...*errdetails.BadRequest_FieldViolation) error {
	s, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "carillon"})
	if err == nil && len(violations) > 0 {
		s, err = s.WithDetails(&errdetails.BadRequest{FieldViolations: violations})
	}
	if err != nil {
		return err
	}
	return s.Err()
}

// Lines reads a body to its end.
func Lines(body io.Reader) ([]string, error) {
	text, err := io.ReadAll(body)
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"), err
}
