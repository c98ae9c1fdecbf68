package task_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// sample is a type whose schema has one property of each kind.
type sample struct{ schema string }

const sampleSchema = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"description": "Has one of each.",
	"type": "object",
	"properties": {
		"id": {"description": "Names it.", "type": ["string", "integer"], "minLength": 1, "minimum": 1, "maximum": 9007199254740991},
		"mode": {"description": "How.", "type": "string", "enum": ["mirror", "copy"]},
		"n": {"description": "How many.", "type": "integer", "minimum": 1, "maximum": 9},
		"least": {"description": "At least.", "type": "integer", "minimum": 3},
		"on": {"description": "Whether.", "type": "boolean"},
		"list": {"description": "Some.", "type": ["array", "string"], "minItems": 1, "maxItems": 3, "items": {"description": "One.", "type": "string", "maxLength": 3}},
		"map": {"description": "By name.", "type": "object", "additionalProperties": {"type": "string"}},
		"sum": {"description": "64 hexadecimal digits.", "type": "string", "pattern": "^[0-9a-f]{64}$"},
		"files": {"description": "Files.", "type": "array", "items": {"description": "A file.", "type": "object", "properties": {"url": {"description": "Where.", "type": "string"}}, "required": ["url"], "additionalProperties": false}}
	},
	"required": ["id"],
	"additionalProperties": false,
	"examples": [{"id": 7}]
}`

func (sample) Name() string     { return "test.sample" }
func (s sample) Schema() []byte { return []byte(s.schema) }

// Check refuses one thing, and proves that it never sees what was refused.
func (sample) Check(args task.Args) error {
	r := task.Read(args)
	if n, there := args["n"]; there && n != 5.0 && n != 1.0 {
		r.Refuse("n", "SEEN_AFTER_REFUSAL", "was refused by the schema")
	}
	if r.String("mode") == "mirror" {
		r.Refuse("mode", "NOT_TODAY", "only copy")
	}
	return r.Done()
}

func (sample) Resources(task.Args) []task.ResourceRef { return nil }

func (sample) Do(context.Context, task.Run) (task.Output, error) { return nil, nil }

func TestCheckBySchema(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		args task.Args
		want []string
	}{
		"least":                {task.Args{"id": 7.0}, nil},
		"all":                  {task.Args{"id": "res_7", "mode": "copy", "n": 5.0, "on": false, "list": "a", "map": map[string]any{"k": "v"}, "files": []any{}}, nil},
		"null is left out":     {task.Args{"id": 7.0, "n": nil, "unknown": nil}, nil},
		"nothing":              {nil, []string{"id: is required REQUIRED"}},
		"null is not given":    {task.Args{"id": nil}, []string{"id: is required REQUIRED"}},
		"empty":                {task.Args{"id": "", "list": []any{}}, []string{"id: must not be empty REQUIRED", "list: must not be empty REQUIRED"}},
		"id 0":                 {task.Args{"id": 0.0}, []string{"id: must be from 1 to 9007199254740991 OUT_OF_RANGE"}},
		"fraction":             {task.Args{"id": 1.5, "n": 1.5}, []string{"id: must be a whole number or a string WRONG_TYPE", "n: must be a whole number WRONG_TYPE"}},
		"beyond 2^53":          {task.Args{"id": 1e300}, []string{"id: must be from 1 to 9007199254740991 OUT_OF_RANGE"}},
		"one of":               {task.Args{"id": 7.0, "mode": "move"}, []string{"mode: must be one of mirror, copy INVALID_VALUE"}},
		"types":                {task.Args{"id": true, "mode": 1.0, "n": "1", "on": "true", "list": 1.0, "map": "x"}, []string{"id: must be a whole number or a string WRONG_TYPE", "list: must be a string or a list WRONG_TYPE", "map: must be an object WRONG_TYPE", "mode: must be a string WRONG_TYPE", "n: must be a whole number WRONG_TYPE", "on: must be true or false WRONG_TYPE"}},
		"ranges":               {task.Args{"id": 7.0, "n": 10.0, "least": 2.0, "list": []any{"1", "2", "3", "4"}}, []string{"least: must be at least 3 OUT_OF_RANGE", "list: must have at most 3 entries OUT_OF_RANGE", "n: must be from 1 to 9 OUT_OF_RANGE"}},
		"elements":             {task.Args{"id": 7.0, "list": []any{"a", 1.0, "long"}, "map": map[string]any{"x.y": 1.0}}, []string{"list[1]: must be a string WRONG_TYPE", "list[2]: must have at most 3 characters OUT_OF_RANGE", `map["x.y"]: must be a string WRONG_TYPE`}},
		"inner objects":        {task.Args{"id": 7.0, "files": []any{map[string]any{"url": "a"}, map[string]any{"uri": "b"}}}, []string{"files[1].uri: unknown field; known are url UNKNOWN_FIELD", "files[1].url: is required REQUIRED"}},
		"pattern":              {task.Args{"id": 7.0, "sum": "hunter2"}, []string{"sum: does not fit: 64 hexadecimal digits. INVALID_VALUE"}},
		"unknown":              {task.Args{"id": 7.0, "a.c": 1.0, "Mode": "copy"}, []string{`Mode: unknown argument; known are files, id, least, list, map, mode, n, on, sum UNKNOWN_FIELD`, `["a.c"]: unknown argument; known are files, id, least, list, map, mode, n, on, sum UNKNOWN_FIELD`}},
		"the type's own":       {task.Args{"id": 7.0, "mode": "mirror"}, []string{"mode: only copy NOT_TODAY"}},
		"both, and each once":  {task.Args{"mode": "mirror", "n": 10.0}, []string{"id: is required REQUIRED", "n: must be from 1 to 9 OUT_OF_RANGE", "mode: only copy NOT_TODAY"}},
		"an element of a list": {task.Args{"id": 7.0, "files": []any{nil}}, []string{"files[0]: must be an object WRONG_TYPE"}},
	}
	types := task.NewRegistry(sample{sampleSchema})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, v := range refused(t, types.Check("test.sample", test.args)) {
				got = append(got, v.Field+": "+v.Description+" "+v.Reason)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckNamesFewUnknownArguments(t *testing.T) {
	t.Parallel()
	args := task.Args{"id": 7.0}
	for range 1000 {
		args[strings.Repeat("k", len(args)+1)] = true
	}
	err := task.NewRegistry(sample{sampleSchema}).Check("test.sample", args)
	if got := len(refused(t, err)); got != 10 {
		t.Errorf("%d violations, want 10", got)
	}
	if len(err.Error()) > 10_000 {
		t.Errorf("message of %d bytes", len(err.Error()))
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	got := task.NewRegistry(sample{sampleSchema}).Describe()
	want := []task.Description{{Name: "test.sample", Text: "Has one of each.", Schema: []byte(sampleSchema), Example: []byte(`{"id": 7}`)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What is wrong with a type's schema stops the program at its start.
func TestNewRegistryRefusesSchemas(t *testing.T) {
	t.Parallel()
	for name, change := range map[string][2]string{
		"no JSON":                   {`{`, ``},
		"no description":            {`"description": "Has one of each.",`, ``},
		"no example":                {`"examples": [{"id": 7}]`, `"examples": []`},
		"example that does not fit": {`"examples": [{"id": 7}]`, `"examples": [{"id": true}]`},
		"open": {`"required": ["id"],
	"additionalProperties": false,`, ``},
		"no schema": {`"minItems": 1`, `"minItems": "1"`},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted", name)
				}
			}()
			task.NewRegistry(sample{strings.Replace(sampleSchema, change[0], change[1], 1)})
		}()
	}
}

func refused(t *testing.T, err error) []job.Violation {
	t.Helper()
	if err == nil {
		return nil
	}
	invalid, ok := err.(*job.InvalidError) //nolint:errorlint // exactly this type is promised
	if !ok {
		t.Fatalf("error is %T, want *job.InvalidError: %v", err, err)
	}
	return invalid.Violations
}
