package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/pointscene/carillon/gen/carillon/v1" // registers the API
)

// Methods are the API's methods by name: CreateJob.
func Methods() map[string]protoreflect.MethodDescriptor {
	methods := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("carillon.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i).Methods()
			for k := range service.Len() {
				methods[string(service.Get(k).Name())] = service.Get(k)
			}
		}
		return true
	})
	return methods
}

func methodOf(rpc string) (protoreflect.MethodDescriptor, error) {
	method, ok := Methods()[rpc]
	if !ok {
		return nil, fmt.Errorf("the API has no method %s", rpc)
	}
	return method, nil
}

type grpcDoor struct{ *Caller }

// GRPCDoor is the gRPC door.
func (c *Caller) GRPCDoor() Door { return grpcDoor{c} }

func (grpcDoor) Name() string { return "grpc" }

func (grpcDoor) Offers(rpc string) bool { return Methods()[rpc] != nil }

func (d grpcDoor) Call(ctx context.Context, rpc string, request Object) (Object, error) {
	method, err := methodOf(rpc)
	if err != nil {
		return nil, err
	}
	in, err := newMessage(method.Input())
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(text, in); err != nil {
		return nil, fmt.Errorf("a request that gRPC can't carry: %w", err)
	}
	return d.Send(ctx, method, in)
}

// Send calls a method with a message and returns its answer; the lines of a
// stream as {"lines": […]}.
func (c *Caller) Send(ctx context.Context, method protoreflect.MethodDescriptor, in proto.Message) (Object, error) {
	conn, err := c.Conn()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(c.Outgoing(ctx), callLimit)
	defer cancel()
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	if method.IsStreamingServer() {
		return sendStream(ctx, conn, path, method, in)
	}
	out, err := newMessage(method.Output())
	if err != nil {
		return nil, err
	}
	if err := conn.Invoke(ctx, path, in, out); err != nil {
		return nil, refusalOfStatus(err)
	}
	value, err := asJSON(out)
	return canonicalObject(value), err
}

func sendStream(ctx context.Context, conn *grpc.ClientConn, path string, method protoreflect.MethodDescriptor, in proto.Message) (Object, error) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return nil, refusalOfStatus(err)
	}
	if err := errors.Join(stream.SendMsg(in), stream.CloseSend()); err != nil {
		return nil, refusalOfStatus(err)
	}
	lines := []any{}
	for {
		out, err := newMessage(method.Output())
		if err != nil {
			return nil, err
		}
		switch err := stream.RecvMsg(out); {
		case errors.Is(err, io.EOF):
			return Object{"lines": lines}, nil
		case err != nil:
			return nil, refusalOfStatus(err)
		}
		line, err := asJSON(out)
		if err != nil {
			return nil, err
		}
		lines = append(lines, Canonical(line))
	}
}

func newMessage(descriptor protoreflect.MessageDescriptor) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
	if err != nil {
		return nil, err
	}
	return kind.New().Interface(), nil
}

func asJSON(message proto.Message) (value any, err error) {
	text, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(message)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&value)
	return value, err
}

// refusalOfStatus turns a status with an ErrorInfo, which the service always
// gives, into a refusal; others are what gRPC itself says.
func refusalOfStatus(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	refusal := &Refusal{Code: code.Code(s.Code()).String(), Message: s.Message()}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			refusal.Reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				refusal.Violations = append(refusal.Violations, v.GetField()+"="+v.GetReason())
			}
		}
	}
	if refusal.Reason == "" {
		return err
	}
	return refusal
}
