package grpccall

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jhump/protoreflect/v2/grpcreflect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pointscene/carillon/server/internal/job"
)

// method is a method with the types that its messages may hold.
type method struct {
	protoreflect.MethodDescriptor
	types *dynamicpb.Types
}

// The faults of a method, by which callers choose a reason.
var (
	errUnknownMethod = errors.New("has no such method")
	errStreaming     = errors.New("is a streaming method; only unary ones can be called")
)

// readSet reads a FileDescriptorSet.
func readSet(raw []byte) (*protoregistry.Files, error) {
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		return nil, errors.New("is not a FileDescriptorSet in base64")
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, errors.New("lacks imports, or is not valid: make it with protoc --include_imports")
	}
	return files, nil
}

// find returns the unary method of a name such as a.b.Service/Method.
func find(files *protoregistry.Files, name string) (*method, error) {
	service, short, _ := strings.Cut(name, "/")
	found, err := files.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return nil, errUnknownMethod
	}
	described, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, errUnknownMethod
	}
	m := described.Methods().ByName(protoreflect.Name(short))
	switch {
	case m == nil:
		return nil, errUnknownMethod
	case m.IsStreamingClient() || m.IsStreamingServer():
		return nil, errStreaming
	}
	return &method{m, dynamicpb.NewTypes(files)}, nil
}

// request is the body as the method's message. The error does not repeat it.
func (m *method) request(body any) (proto.Message, error) {
	message := dynamicpb.NewMessage(m.Input())
	if body == nil {
		return message, nil
	}
	text, err := json.Marshal(body)
	if err == nil {
		err = protojson.UnmarshalOptions{Resolver: m.types}.Unmarshal(text, message)
	}
	if err != nil {
		return nil, fmt.Errorf("does not fit the message %s", m.Input().FullName())
	}
	return message, nil
}

// reflectMethod asks the server what the method looks like.
func reflectMethod(ctx context.Context, c *call, conn *connection) (*method, error) {
	client := grpcreflect.NewClientAuto(ctx, conn)
	defer client.Reset()
	service, _, _ := strings.Cut(c.method, "/")
	file, err := client.FileContainingSymbol(protoreflect.FullName(service))
	switch {
	case err == nil:
	case ctx.Err() != nil || conn.broken() != nil:
		return nil, conn.explain(ctx, c)
	case grpcreflect.IsElementNotFoundError(err):
		return nil, methodFailure(c, errUnknownMethod)
	default:
		return nil, &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonNoReflection,
			Message: c.String() + ": the server does not say by reflection what the method looks like; give a descriptorSet"}
	}
	files := &protoregistry.Files{}
	if err := register(files, file); err != nil {
		return nil, methodFailure(c, errUnknownMethod)
	}
	m, err := find(files, c.method)
	if err != nil {
		return nil, methodFailure(c, err)
	}
	return m, nil
}

// register adds a file and what it imports.
func register(files *protoregistry.Files, file protoreflect.FileDescriptor) error {
	if _, err := files.FindFileByPath(file.Path()); err == nil {
		return nil
	}
	for i := range file.Imports().Len() {
		imported := file.Imports().Get(i)
		if imported.IsPlaceholder() {
			continue
		}
		if err := register(files, imported.FileDescriptor); err != nil {
			return err
		}
	}
	return files.RegisterFile(file)
}

func methodFailure(c *call, err error) *job.Failure {
	if errors.Is(err, errStreaming) {
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonStreaming, Message: c.String() + ": " + err.Error()}
	}
	return &job.Failure{Code: "NOT_FOUND", Reason: ReasonUnknownMethod, Message: c.String() + ": the service " + err.Error()}
}
