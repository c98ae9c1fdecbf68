package rest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// query checks the parameters of a request and returns them as the gateway
// takes them.
func (r *route) query(raw string) (url.Values, []door.Violation) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, []door.Violation{{Reason: door.ReasonInvalidValue, Description: "the query is not well formed"}}
	}
	var c checker
	given := map[protoreflect.Name]bool{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		field := fieldNamed(r.method.Input(), name)
		at := strictjson.Join("", name)
		switch {
		case field == nil || !r.isParameter(field):
			c.refuse(at, door.ReasonUnknownField, r.noSuchParameter())
			continue
		case len(values[name]) > 1 || given[field.Name()]:
			c.refuse(at, door.ReasonInvalidValue, "is given more than once")
			continue
		}
		given[field.Name()] = true
		values[name][0] = c.parameter(r, field, values[name][0], at)
	}
	return values, c.violations
}

// parameter returns the value as the gateway takes it.
func (c *checker) parameter(r *route, field protoreflect.FieldDescriptor, value, at string) string {
	switch {
	case !door.Keepable(value):
		c.refuse(at, door.ReasonInvalidText, "must be valid UTF-8 without NUL characters")
		return value
	case field.Kind() == protoreflect.BoolKind && value == "":
		return "true" // a flag: ?follow
	case field.Message() != nil && field.Message().Name() == "FieldMask":
		return c.mask(r.bodyMessage(), value, at)
	}
	if enum := field.Enum(); enum != nil && enum.Values().ByName(protoreflect.Name(value)) == nil {
		// The gateway takes numbers as well, which a body may not have either.
		c.refuse(at, door.ReasonInvalidValue, "must be "+wanted(field))
		return value
	}
	var parser runtime.DefaultQueryParser
	message := dynamicpb.NewMessage(r.method.Input())
	nothing := utilities.NewDoubleArray(nil)
	if parser.Parse(message, url.Values{string(field.Name()): {value}}, nothing) != nil {
		c.refuse(at, door.ReasonInvalidValue, "must be "+wanted(field))
	}
	return value
}

// mask turns the names of a field mask into those of the protos.
func (c *checker) mask(message protoreflect.MessageDescriptor, value, at string) string {
	if value == "*" || value == "" {
		return value
	}
	paths := strings.Split(value, ",")
	for i, path := range paths {
		names := strings.Split(path, ".")
		in := message
		for j, name := range names {
			var field protoreflect.FieldDescriptor
			if in != nil {
				field = fieldNamed(in, name)
			}
			if field == nil {
				c.refuse(at, door.ReasonUnknownField, fmt.Sprintf("a %s has no field %.64q", strings.ToLower(string(message.Name())), path))
				return value
			}
			names[j], in = string(field.Name()), field.Message()
			if in != nil && (wellKnown(in) || field.IsMap()) {
				in = nil
			}
		}
		paths[i] = strings.Join(names, ".")
	}
	return strings.Join(paths, ",")
}

// isParameter reports whether a field of the request stands in the query.
func (r *route) isParameter(field protoreflect.FieldDescriptor) bool {
	return !r.whole && field != r.body && !slices.Contains(r.params, string(field.Name()))
}

func (r *route) noSuchParameter() string {
	var known []string
	fields := r.method.Input().Fields()
	for i := range fields.Len() {
		if r.isParameter(fields.Get(i)) {
			known = append(known, fields.Get(i).JSONName())
		}
	}
	if known == nil {
		return "no such parameter; this call takes none"
	}
	return "no such parameter; known are " + strings.Join(known, ", ")
}
