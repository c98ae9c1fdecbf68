package rest

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// answers is how messages are written, in streams too: by answerText.
var answers = protojson.MarshalOptions{EmitUnpopulated: true}

// marshaler writes the gateway's answers.
type marshaler struct{ *runtime.JSONPb }

func (m marshaler) Marshal(v any) ([]byte, error) {
	if message, ok := v.(proto.Message); ok {
		return answerText(message)
	}
	return m.JSONPb.Marshal(v)
}

// unspecified ends the name of every enum's zero value.
var unspecified = []byte(`_UNSPECIFIED"`)

// answerText is a message as JSON with all of its fields but the enums that are
// not set: their zero value is a name that means nothing to people.
func answerText(m proto.Message) ([]byte, error) {
	text, err := answers.Marshal(m)
	if err != nil || !bytes.Contains(text, unspecified) {
		return text, err
	}
	var out bytes.Buffer
	if err := prune(&out, text, m.ProtoReflect().Descriptor()); err != nil {
		return nil, fmt.Errorf("write a %s: %w", m.ProtoReflect().Descriptor().FullName(), err)
	}
	return out.Bytes(), nil
}

// prune copies the JSON of a message without the enums that are not set.
func prune(out *bytes.Buffer, text []byte, message protoreflect.MessageDescriptor) error {
	in := json.NewDecoder(bytes.NewReader(text))
	if _, err := in.Token(); err != nil { // the brace
		return err
	}
	separator := byte('{')
	for in.More() {
		key, err := in.Token()
		if err != nil {
			return err
		}
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return err
		}
		name := key.(string)
		field := message.Fields().ByJSONName(name)
		if field != nil && unset(field, value) {
			continue
		}
		out.WriteByte(separator)
		separator = ','
		fmt.Fprintf(out, `"%s":`, name)
		if err := pruneValue(out, value, field); err != nil {
			return err
		}
	}
	if separator == '{' {
		out.WriteByte(separator)
	}
	return out.WriteByte('}')
}

// unset tells whether a field is an enum that says nothing.
func unset(field protoreflect.FieldDescriptor, value json.RawMessage) bool {
	if field.Enum() == nil || field.IsList() || field.IsMap() || field.HasPresence() {
		return false
	}
	zero := field.Enum().Values().ByNumber(0)
	return zero != nil && string(value) == `"`+string(zero.Name())+`"`
}

// pruneValue copies what is no message of this API as it is: a workflow and
// labels may hold anything.
func pruneValue(out *bytes.Buffer, value json.RawMessage, field protoreflect.FieldDescriptor) error {
	if field == nil || field.Message() == nil || field.IsMap() || field.Message().ParentFile().Package() == "google.protobuf" {
		out.Write(value)
		return nil
	}
	if value[0] == '{' {
		return prune(out, value, field.Message())
	}
	if value[0] != '[' {
		out.Write(value)
		return nil
	}
	var all []json.RawMessage
	if err := json.Unmarshal(value, &all); err != nil {
		return err
	}
	out.WriteByte('[')
	for i, one := range all {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := prune(out, one, field.Message()); err != nil {
			return err
		}
	}
	return out.WriteByte(']')
}
