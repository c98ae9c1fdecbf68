package interceptor

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protopath"
	"google.golang.org/protobuf/reflect/protorange"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// validate refuses a request with every field that breaks a rule of the proto
// or holds a value that can't be kept.
func (c *Chain) validate(r *rule, request proto.Message) error {
	var invalid job.InvalidError
	if err := r.unkeepable(request, &invalid); err != nil {
		return err
	}
	err := c.validator.Validate(request)
	var broken *protovalidate.ValidationError
	if err != nil && !errors.As(err, &broken) {
		return fmt.Errorf("validate a request: %w", err)
	}
	if broken != nil {
		for _, v := range broken.Violations {
			field := r.elementPath(request.ProtoReflect().Descriptor(), v.Proto.GetField().GetElements())
			reason := strings.ToUpper(strings.ReplaceAll(v.Proto.GetRuleId(), ".", "_"))
			invalid.Add(field, reason, "%s", v.Proto.GetMessage())
		}
	}
	return invalid.Err()
}

// elementPath writes protovalidate's path in JSON names.
func (r *rule) elementPath(message protoreflect.MessageDescriptor, elements []*validate.FieldPathElement) string {
	path := ""
	for i, e := range elements {
		var field protoreflect.FieldDescriptor
		if message != nil {
			field = message.Fields().ByNumber(protoreflect.FieldNumber(e.GetFieldNumber()))
		}
		if field == nil { // a wrapper's value: its field is enough
			break
		}
		if i > 0 || field != r.resource || len(elements) == 1 {
			path = job.JoinPath(path, field.JSONName())
		}
		switch e.WhichSubscript() {
		case validate.FieldPathElement_Index_case:
			path = task.Index(path, int(e.GetIndex()))
		case validate.FieldPathElement_StringKey_case:
			path = job.JoinPath(path, task.Field(e.GetStringKey()))
		}
		message = field.Message()
	}
	return path
}

// unkeepable refuses NUL characters, which PostgreSQL can't store, and times
// outside of what the format can say. Free-form documents have checks of
// their own; what is inside of one is passed over by counting, since
// protorange.Break would leave out what follows it too.
func (r *rule) unkeepable(request proto.Message, invalid *job.InvalidError) error {
	documents := 0
	return protorange.Options{Stable: true}.Range(request.ProtoReflect(), func(at protopath.Values) error {
		last := at.Index(-1)
		if isDocument(last.Value) {
			documents++
		}
		if documents > 0 {
			return nil
		}
		switch value := last.Value.Interface().(type) {
		case string:
			if strings.IndexByte(value, 0) >= 0 {
				invalid.Add(r.stepPath(at.Path), "INVALID_TEXT", "must not hold a NUL character")
			} else if !utf8.ValidString(value) {
				invalid.Add(r.stepPath(at.Path), "INVALID_TEXT", "must be valid UTF-8")
			}
		case protoreflect.Message:
			r.unkeepableMessage(value.Interface(), at.Path, invalid)
		}
		return nil
	}, func(at protopath.Values) error {
		if isDocument(at.Index(-1).Value) {
			documents--
		}
		return nil
	})
}

func isDocument(value protoreflect.Value) bool {
	message, ok := value.Interface().(protoreflect.Message)
	if !ok {
		return false
	}
	_, ok = message.Interface().(*structpb.Struct)
	return ok
}

func (r *rule) unkeepableMessage(message proto.Message, at protopath.Path, invalid *job.InvalidError) {
	var err error
	switch message := message.(type) {
	case *timestamppb.Timestamp:
		err = message.CheckValid()
	case *durationpb.Duration:
		err = message.CheckValid()
	}
	if err != nil {
		invalid.Add(r.stepPath(at), task.ReasonOutOfRange, "is no time that RFC 3339 can write, or no possible duration")
	}
}

// stepPath writes a path of package protopath in JSON names.
func (r *rule) stepPath(steps protopath.Path) string {
	path := ""
	for _, step := range steps {
		switch step.Kind() {
		case protopath.FieldAccessStep:
			if field := step.FieldDescriptor(); field != r.resource {
				path = job.JoinPath(path, field.JSONName())
			}
		case protopath.ListIndexStep:
			path = task.Index(path, step.ListIndex())
		case protopath.MapIndexStep:
			path = job.JoinPath(path, task.Field(step.MapIndex().String()))
		}
	}
	return path
}
