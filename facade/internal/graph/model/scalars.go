package model

import (
	"encoding/json"
	"io"
	"math"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pointscene/carillon/facade/internal/door"
)

// InputError refuses an argument or a part of it.
type InputError struct {
	// Path continues that of the argument: .tasks[0].
	Path        string
	Reason      string
	Description string
}

func (e *InputError) Error() string { return e.Description }

func wrongType(wanted string) error {
	return &InputError{Reason: door.ReasonWrongType, Description: "must be " + wanted}
}

// text is what a value of the input is as text, if it is.
func text(v any, wanted string) (string, error) {
	s, ok := v.(string)
	if !ok {
		return "", wrongType(wanted)
	}
	return s, nil
}

// Integer is what a value of the input is as an integer: int64 from a literal,
// json.Number from a variable.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		return n, err == nil
	}
	return 0, false
}

// MarshalID writes an identifier.
func MarshalID(id string) graphql.Marshaler { return graphql.MarshalString(id) }

// UnmarshalID reads an identifier: text or an integer.
func UnmarshalID(v any) (string, error) {
	if n, ok := Integer(v); ok {
		return strconv.FormatInt(n, 10), nil
	}
	return text(v, "an identifier: text such as job_19, or an integer")
}

// MarshalInt64 writes an integer as text: not every client reads 64 bits.
func MarshalInt64(n int64) graphql.Marshaler { return graphql.MarshalString(strconv.FormatInt(n, 10)) }

// UnmarshalInt64 reads an integer. No input has it yet, but gqlgen wants it.
func UnmarshalInt64(v any) (int64, error) {
	if n, ok := Integer(v); ok {
		return n, nil
	}
	s, err := text(v, "an integer of at most 64 bits, as text")
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, wrongType("an integer of at most 64 bits, as text")
	}
	return n, nil
}

// MarshalInt writes an integer.
func MarshalInt(n int32) graphql.Marshaler { return graphql.MarshalInt32(n) }

// UnmarshalInt reads an integer of at most 32 bits.
func UnmarshalInt(v any) (int32, error) {
	n, ok := Integer(v)
	if !ok {
		return 0, wrongType("an integer of at most 32 bits")
	}
	if n < math.MinInt32 || n > math.MaxInt32 {
		return 0, &InputError{Reason: "OUT_OF_RANGE", Description: "must be an integer of at most 32 bits"}
	}
	return int32(n), nil
}

// MarshalIntValue writes an optional integer.
func MarshalIntValue(n *wrapperspb.Int32Value) graphql.Marshaler {
	if n == nil {
		return graphql.Null
	}
	return graphql.MarshalInt32(n.GetValue())
}

// UnmarshalIntValue reads an optional integer.
func UnmarshalIntValue(v any) (*wrapperspb.Int32Value, error) {
	n, err := UnmarshalInt(v)
	return wrapperspb.Int32(n), err
}

// MarshalString writes text.
func MarshalString(s string) graphql.Marshaler { return graphql.MarshalString(s) }

// UnmarshalString reads text.
func UnmarshalString(v any) (string, error) { return text(v, "text") }

// MarshalStringValue writes optional text.
func MarshalStringValue(s *wrapperspb.StringValue) graphql.Marshaler {
	if s == nil {
		return graphql.Null
	}
	return graphql.MarshalString(s.GetValue())
}

// UnmarshalStringValue reads optional text.
func UnmarshalStringValue(v any) (*wrapperspb.StringValue, error) {
	s, err := UnmarshalString(v)
	return wrapperspb.String(s), err
}

// MarshalBoolean writes true or false.
func MarshalBoolean(b bool) graphql.Marshaler { return graphql.MarshalBoolean(b) }

// UnmarshalBoolean reads true or false.
func UnmarshalBoolean(v any) (bool, error) {
	b, ok := v.(bool)
	if !ok {
		return false, wrongType("true or false")
	}
	return b, nil
}

// MarshalBoolValue writes true, false or null.
func MarshalBoolValue(b *wrapperspb.BoolValue) graphql.Marshaler {
	if b == nil {
		return graphql.Null
	}
	return graphql.MarshalBoolean(b.GetValue())
}

// UnmarshalBoolValue reads true or false.
func UnmarshalBoolValue(v any) (*wrapperspb.BoolValue, error) {
	b, err := UnmarshalBoolean(v)
	return wrapperspb.Bool(b), err
}

// MarshalCursor writes a page's cursor.
func MarshalCursor(cursor string) graphql.Marshaler { return graphql.MarshalString(cursor) }

// UnmarshalCursor reads a page's cursor.
func UnmarshalCursor(v any) (string, error) { return text(v, "a cursor of an earlier answer") }

// MarshalDate writes a time as RFC 3339 in UTC.
func MarshalDate(t *timestamppb.Timestamp) graphql.Marshaler {
	if t == nil {
		return graphql.Null
	}
	return protoJSON(t)
}

// UnmarshalDate reads a time as RFC 3339, in any zone.
func UnmarshalDate(v any) (*timestamppb.Timestamp, error) {
	t := &timestamppb.Timestamp{}
	return t, fromProtoJSON(v, t, "a time as RFC 3339 writes it: 2026-01-31T09:30:00Z")
}

// MarshalDuration writes seconds.
func MarshalDuration(d *durationpb.Duration) graphql.Marshaler {
	if d == nil {
		return graphql.Null
	}
	return protoJSON(d)
}

// UnmarshalDuration reads seconds.
func UnmarshalDuration(v any) (*durationpb.Duration, error) {
	d := &durationpb.Duration{}
	return d, fromProtoJSON(v, d, "seconds with the suffix s: 86400s")
}

// protoJSON writes a message that proto JSON writes as text. One that it
// can't write is null: the service never sends it.
func protoJSON(message proto.Message) graphql.Marshaler {
	written, err := protojson.Marshal(message)
	if err != nil {
		return graphql.Null
	}
	return raw(written)
}

func fromProtoJSON(v any, into proto.Message, wanted string) error {
	s, err := text(v, wanted)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(s)
	if err == nil {
		err = protojson.Unmarshal(quoted, into)
	}
	if err != nil {
		return &InputError{Reason: door.ReasonInvalidValue, Description: "must be " + wanted}
	}
	return nil
}

func raw(written []byte) graphql.Marshaler {
	return graphql.WriterFunc(func(w io.Writer) { _, _ = w.Write(written) })
}
