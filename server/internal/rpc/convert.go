package rpc

import (
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pointscene/carillon/server/internal/job"
)

// idOf reads an identifier that the interceptor has looked up, or one that it
// does not know of.
func idOf(kind job.Kind, text string) (int64, error) {
	id, ok := kind.Parse(text)
	if !ok {
		return 0, kind.NotFound(text)
	}
	return id, nil
}

// optionalID is idOf for an identifier that may be left out; 0 for none.
func optionalID(kind job.Kind, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	return idOf(kind, text)
}

// textOf is the text form of an identifier; empty for 0, which means none.
func textOf(kind job.Kind, id int64) string {
	if id == 0 {
		return ""
	}
	return kind.Format(id)
}

// stamp is a time in a message; absent when zero.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// given is a time out of a message; zero only when absent. The one instant that
// Go calls zero becomes the next one.
func given(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	at := t.AsTime()
	if at.IsZero() {
		at = at.Add(time.Microsecond)
	}
	return at
}

// said is a pointer to text that says something; nil for the empty one.
func said(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func mapAll[A, B any](list []A, one func(A) B) []B {
	out := make([]B, len(list))
	for i, a := range list {
		out[i] = one(a)
	}
	return out
}

// object is a document as decoded JSON. Unlike Struct.AsMap it leaves NaN and
// infinities as the numbers that they are, to be refused.
func object(in *structpb.Struct) map[string]any {
	out := make(map[string]any, len(in.GetFields()))
	for key, value := range in.GetFields() {
		out[key] = decoded(value)
	}
	return out
}

func decoded(in *structpb.Value) any {
	switch kind := in.GetKind().(type) {
	case *structpb.Value_StructValue:
		return object(kind.StructValue)
	case *structpb.Value_ListValue:
		return mapAll(kind.ListValue.GetValues(), decoded)
	case *structpb.Value_NumberValue:
		return kind.NumberValue
	default:
		return in.AsInterface()
	}
}
