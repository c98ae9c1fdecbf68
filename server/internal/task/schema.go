package task

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/pointscene/carillon/server/internal/job"
)

// schema is the compiled JSON Schema of a type's arguments.
type schema struct {
	compiled *jsonschema.Schema
	document any
	text     string
	example  json.RawMessage
	// fitsNone: no arguments at all are right, which needs no look at them.
	fitsNone bool
}

// compile reads a type's schema and proves that its example fits.
func compile(name string, text []byte) (*schema, error) {
	var head struct {
		Description          string            `json:"description"`
		Examples             []json.RawMessage `json:"examples"`
		AdditionalProperties *bool             `json:"additionalProperties"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return nil, err
	}
	if head.Description == "" || len(head.Examples) == 0 || head.AdditionalProperties == nil || *head.AdditionalProperties {
		return nil, errors.New("needs a description, examples, and additionalProperties: false")
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	url := "carillon:" + name
	if err := compiler.AddResource(url, document); err != nil {
		return nil, err
	}
	s := &schema{document: document, text: head.Description, example: head.Examples[0]}
	if s.compiled, err = compiler.Compile(url); err != nil {
		return nil, err
	}
	s.fitsNone = s.compiled.Validate(map[string]any{}) == nil
	var example any
	if err := json.Unmarshal(s.example, &example); err != nil {
		return nil, err
	}
	return s, s.compiled.Validate(example)
}

// check adds what the schema refuses and returns the names of the arguments
// that are concerned.
func (s *schema) check(args Args, errs *job.InvalidError) (refused map[string]bool) {
	if len(args) == 0 {
		if s.fitsNone {
			return nil
		}
		args = Args{}
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(map[string]any(args)), &invalid) {
		return nil
	}
	c := checker{schema: s, args: map[string]any(args), refused: map[string]bool{}}
	c.walk(invalid)
	slices.SortStableFunc(c.errs.Violations, func(a, b job.Violation) int { return strings.Compare(a.Field, b.Field) })
	errs.Violations = append(errs.Violations, c.errs.Violations...)
	return c.refused
}

// checker turns the library's errors into violations. Its texts never repeat
// a value, which the library's own do.
type checker struct {
	*schema
	args    map[string]any
	errs    job.InvalidError
	refused map[string]bool
}

func (c *checker) walk(e *jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.AllOf, *kind.Reference:
		for _, cause := range e.Causes {
			c.walk(cause)
		}
		return
	}
	if len(e.InstanceLocation) > 0 {
		c.refused[e.InstanceLocation[0]] = true
	}
	path := c.path(e.InstanceLocation)
	part, _ := at(c.document, pointer(e.SchemaURL)).(map[string]any)
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			c.errs.Add(job.JoinPath(path, Field(name)), ReasonRequired, "is required")
		}
	case *kind.AdditionalProperties:
		c.unknown(path, k.Properties, part)
	default:
		reason, text := describe(e.ErrorKind, part)
		c.errs.Add(path, reason, "%s", text)
	}
}

// unknown refuses properties that the schema does not know.
func (c *checker) unknown(path string, names []string, part map[string]any) {
	what := "argument"
	if path != "" {
		what = "field"
	}
	text := fmt.Sprintf("unknown %s: there are none", what)
	if known, _ := part["properties"].(map[string]any); len(known) > 0 {
		text = fmt.Sprintf("unknown %s; known are %s", what, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	names = slices.Sorted(slices.Values(names))
	for _, name := range names[:min(len(names), maxUnknown)] {
		c.errs.Add(job.JoinPath(path, Field(name)), ReasonUnknownField, "%s", text)
	}
}

// describe words one refusal, given the part of the schema that refuses.
func describe(k jsonschema.ErrorKind, part map[string]any) (reason, text string) {
	switch k := k.(type) {
	case *kind.Type:
		return ReasonWrongType, "must be " + typeNames(k.Want)
	case *kind.Enum:
		known := make([]string, len(k.Want))
		for i, v := range k.Want {
			known[i] = fmt.Sprint(v)
		}
		return ReasonInvalidValue, "must be one of " + strings.Join(known, ", ")
	case *kind.MinLength:
		return tooFew(k.Got, k.Want, "characters")
	case *kind.MinItems:
		return tooFew(k.Got, k.Want, "entries")
	case *kind.MaxLength:
		return ReasonOutOfRange, fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MaxItems:
		return ReasonOutOfRange, fmt.Sprintf("must have at most %d entries", k.Want)
	case *kind.MaxProperties:
		return ReasonOutOfRange, fmt.Sprintf("must have at most %d fields", k.Want)
	case *kind.Minimum, *kind.Maximum:
		return ReasonOutOfRange, "must be " + bounds(part)
	}
	if text, ok := part["description"].(string); ok {
		return ReasonInvalidValue, "does not fit: " + text
	}
	return ReasonInvalidValue, "does not fit the schema of this task type"
}

func tooFew(got, want int, unit string) (reason, text string) {
	if got == 0 {
		return ReasonRequired, "must not be empty"
	}
	return ReasonOutOfRange, fmt.Sprintf("must have at least %d %s", want, unit)
}

func bounds(part map[string]any) string {
	lowest, highest := part["minimum"], part["maximum"]
	switch {
	case lowest == nil:
		return fmt.Sprintf("at most %v", highest)
	case highest == nil:
		return fmt.Sprintf("at least %v", lowest)
	}
	return fmt.Sprintf("from %v to %v", lowest, highest)
}

// typeNames are JSON Schema's types in words.
func typeNames(types []string) string {
	words := map[string]string{
		"string": "a string", "integer": "a whole number", "number": "a number", "boolean": "true or false",
		"array": "a list", "object": "an object",
	}
	names := make([]string, 0, len(types))
	for _, t := range types {
		names = append(names, words[t])
	}
	return strings.Join(names, " or ")
}

// path is where a value stands in the arguments, in the form of field paths.
func (c *checker) path(location []string) string {
	path := ""
	var value any = c.args
	for _, token := range location {
		switch v := value.(type) {
		case []any:
			i, _ := strconv.Atoi(token) // the library counts right
			path, value = Index(path, i), v[i]
		case map[string]any:
			path, value = job.JoinPath(path, Field(token)), v[token]
		}
	}
	return path
}

// pointer is the JSON pointer of a schema's URL, in parts.
func pointer(url string) []string {
	_, fragment, _ := strings.Cut(url, "#/")
	if fragment == "" {
		return nil
	}
	return strings.Split(fragment, "/")
}

// at is the part of a document that a pointer names, nil for none. Our schemas
// have no name that a pointer would have to escape.
func at(document any, pointer []string) any {
	for _, token := range pointer {
		object, ok := document.(map[string]any)
		if !ok {
			return nil
		}
		document = object[token]
	}
	return document
}
