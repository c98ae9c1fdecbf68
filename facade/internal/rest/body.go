package rest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// checker compares a body with the message that it must be, and rewrites it to
// what protojson takes. It notes every violation, in a fixed order.
type checker struct {
	violations []door.Violation
}

func (c *checker) refuse(path, reason, description string) {
	c.violations = append(c.violations, door.Violation{Field: path, Reason: reason, Description: description})
}

func (c *checker) message(message protoreflect.MessageDescriptor, object map[string]any, path string) {
	given := map[protoreflect.Name]bool{}
	for _, key := range slices.Sorted(maps.Keys(object)) {
		at := strictjson.Join(path, key)
		field := fieldNamed(message, key)
		switch {
		case field == nil:
			c.refuse(at, door.ReasonUnknownField, "no such field; known are "+strings.Join(fieldNames(message), ", "))
		case given[field.Name()]:
			c.refuse(at, door.ReasonDuplicateKey, "is given twice, under both spellings of its name")
		case object[key] == nil:
			delete(object, key)
		case field.IsMap():
			c.dictionary(field, object[key], at)
		case field.IsList():
			c.list(field, object[key], at)
		default:
			object[key] = c.value(field, object[key], at)
		}
		if field != nil {
			given[field.Name()] = true
		}
	}
}

func (c *checker) dictionary(field protoreflect.FieldDescriptor, value any, path string) {
	entries, ok := value.(map[string]any)
	if !ok {
		c.refuse(path, door.ReasonWrongType, "must be an object")
		return
	}
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		entries[key] = c.value(field.MapValue(), entries[key], strictjson.Join(path, key))
	}
}

func (c *checker) list(field protoreflect.FieldDescriptor, value any, path string) {
	elements, ok := value.([]any)
	if !ok {
		c.refuse(path, door.ReasonWrongType, "must be a list")
		return
	}
	for i, element := range elements {
		elements[i] = c.value(field, element, path+"["+strconv.Itoa(i)+"]")
	}
}

// value returns what stands for value in the rewritten body.
func (c *checker) value(field protoreflect.FieldDescriptor, value any, path string) any {
	if value == nil { // an element; an absent field never gets here
		c.refuse(path, door.ReasonWrongType, "must not be null")
		return nil
	}
	if text, ok := value.(json.RawMessage); ok { // an object, as its field must be
		return text
	}
	if message := field.Message(); message != nil && !wellKnown(message) {
		object, ok := value.(map[string]any)
		if !ok {
			c.refuse(path, door.ReasonWrongType, "must be an object")
			return nil
		}
		c.message(message, object, path)
		return object
	}
	if number, ok := value.(json.Number); ok && isIdentifier(field) && isInteger(number) {
		return number.String()
	}
	if !accepts(field, value) {
		c.refuse(path, reasonFor(field, value), "must be "+wanted(field))
	}
	return value
}

// accepts asks protojson about one value, and is stricter where proto JSON
// takes several spellings of one thing.
func accepts(field protoreflect.FieldDescriptor, value any) bool {
	_, isNumber := value.(json.Number)
	if isNumber && field.Kind() == protoreflect.EnumKind || !isNumber && isIntegerField(field) {
		return false
	}
	if field.IsList() {
		value = []any{value}
	}
	text, err := json.Marshal(map[string]any{field.JSONName(): value})
	if err != nil {
		return false
	}
	return protojson.Unmarshal(text, dynamicpb.NewMessage(field.ContainingMessage())) == nil
}

func reasonFor(field protoreflect.FieldDescriptor, value any) string {
	switch value := value.(type) {
	case json.Number:
		if isIntegerField(field) && isInteger(value) {
			return "OUT_OF_RANGE"
		}
	case string:
		if field.Kind() == protoreflect.EnumKind || field.Message() != nil && !isIntegerField(field) && !isStruct(field) {
			return door.ReasonInvalidValue
		}
	}
	return door.ReasonWrongType
}

// wanted says what a field takes.
func wanted(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.EnumKind:
		return "one of " + strings.Join(enumNames(field.Enum()), ", ")
	case protoreflect.MessageKind:
		return wantedMessage(field.Message().Name())
	case protoreflect.Int32Kind:
		return "an integer of at most 32 bits"
	case protoreflect.Int64Kind:
		return "an integer"
	}
	if isIdentifier(field) {
		return "an identifier: text such as job_19, or an integer"
	}
	return "text"
}

func wantedMessage(name protoreflect.Name) string {
	switch name {
	case "Timestamp":
		return "a time as RFC 3339 writes it: 2026-01-31T09:30:00Z"
	case "Duration":
		return "seconds with the suffix s: 86400s"
	case "Struct":
		return "an object"
	case "Int32Value":
		return "an integer of at most 32 bits"
	case "BoolValue":
		return "true or false"
	case "FieldMask":
		return "field names, separated by commas"
	}
	return "text"
}

func enumNames(enum protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range enum.Values().Len() {
		if value := enum.Values().Get(i); value.Number() != 0 { // 0 means not given
			names = append(names, string(value.Name()))
		}
	}
	return names
}

func wellKnown(message protoreflect.MessageDescriptor) bool {
	return message.ParentFile().Package() == "google.protobuf"
}

func isStruct(field protoreflect.FieldDescriptor) bool {
	return field.Message() != nil && field.Message().Name() == "Struct"
}

func isIntegerField(field protoreflect.FieldDescriptor) bool {
	return field.Kind() == protoreflect.Int32Kind || field.Message() != nil && field.Message().Name() == "Int32Value"
}

// isIdentifier goes by the naming of the protos. A request_id is the caller's
// own text.
func isIdentifier(field protoreflect.FieldDescriptor) bool {
	name := string(field.Name())
	if field.Kind() != protoreflect.StringKind || name == "request_id" {
		return false
	}
	return name == "id" || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, "_ids")
}

// isInteger reports whether a number is written as an integer.
func isInteger(n json.Number) bool { return !strings.ContainsAny(n.String(), ".eE") }

// fieldNamed takes both spellings, as protojson does.
func fieldNamed(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := message.Fields().ByJSONName(name); field != nil {
		return field
	}
	return message.Fields().ByTextName(name)
}

func fieldNames(message protoreflect.MessageDescriptor) []string {
	var names []string
	for i := range message.Fields().Len() {
		names = append(names, message.Fields().Get(i).JSONName())
	}
	return names
}
