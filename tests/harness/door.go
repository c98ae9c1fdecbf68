package harness

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Object is a JSON object.
type Object = map[string]any

// Door is one way into the server.
type Door interface {
	// Name is grpc, rest, graphql or graphql-literal.
	Name() string
	// Offers tells whether the door has a call of its own for an RPC.
	Offers(rpc string) bool
	// Call calls an RPC with the JSON of its request and returns the JSON of
	// its answer in the canonical shape. A refusal is a *Refusal; any other
	// error means that nobody knows what became of the call.
	Call(ctx context.Context, rpc string, request Object) (Object, error)
}

// Doors are all ways in for one caller.
func (c *Caller) Doors() []Door {
	return []Door{c.GRPCDoor(), c.RESTDoor(), c.GraphQLDoor(false), c.GraphQLDoor(true)}
}

// Refusal is a verdict against a call, the same on every door.
type Refusal struct {
	// Code is the name of the google.rpc.Code: NOT_FOUND.
	Code string
	// Reason is the ErrorInfo's.
	Reason string
	// Violations are the wrong fields as path=reason.
	Violations []string
	// Message is for people.
	Message string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("%s %s %s: %s", r.Code, r.Reason, strings.Join(r.Violations, ","), r.Message)
}

// Must calls and fails the test on any error.
func Must(t testing.TB, d Door, rpc string, request Object) Object {
	t.Helper()
	answer, err := d.Call(t.Context(), rpc, request)
	if err != nil {
		t.Fatalf("%s by %s: %v", rpc, d.Name(), err)
	}
	return answer
}

// Refused calls and fails the test unless the call was refused.
func Refused(t testing.TB, d Door, rpc string, request Object) *Refusal {
	t.Helper()
	answer, err := d.Call(t.Context(), rpc, request)
	var refusal *Refusal
	switch {
	case err == nil:
		t.Fatalf("%s by %s was answered: %v", rpc, d.Name(), answer)
	case !errors.As(err, &refusal):
		t.Fatalf("%s by %s: %v", rpc, d.Name(), err)
	}
	return refusal
}

// Canonical drops what one door writes as null or empty and another leaves
// out: null, "", {}, [], and the zero of an enum.
func Canonical(value any) any {
	switch v := value.(type) {
	case Object:
		out := Object{}
		for key, inner := range v {
			if kept := Canonical(inner); kept != nil {
				out[key] = kept
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, inner := range v {
			out = append(out, Canonical(inner))
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case string:
		if v == "" || strings.HasSuffix(v, "_UNSPECIFIED") {
			return nil
		}
	}
	return value
}

// canonicalObject is Canonical for a whole answer, never nil.
func canonicalObject(value any) Object {
	if object, ok := Canonical(value).(Object); ok {
		return object
	}
	return Object{}
}

// Text is the text at a path of keys, "" when there is none.
func Text(object Object, path ...string) string {
	var value any = object
	for _, key := range path {
		inner, _ := value.(Object)
		value = inner[key]
	}
	text, _ := value.(string)
	return text
}

// List are the objects of a list.
func List(object Object, key string) []Object {
	var out []Object
	elements, _ := object[key].([]any)
	for _, element := range elements {
		inner, _ := element.(Object)
		out = append(out, inner)
	}
	return out
}
