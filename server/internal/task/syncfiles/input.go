package syncfiles

import (
	"context"
	_ "embed" // the schema
	"maps"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// Input is the task type resource.input.
type Input struct{}

var (
	_ task.Type    = Input{}
	_ task.Planner = Input{}
)

//go:embed input.schema.json
var inputSchema []byte

// Name implements task.Type.
func (Input) Name() string { return "resource.input" }

// Schema implements task.Type.
func (Input) Schema() []byte { return inputSchema }

// Check implements task.Type.
func (Input) Check(args task.Args) error {
	_, err := readInput(args)
	return err
}

// Resources implements task.Type.
func (Input) Resources(args task.Args) []task.ResourceRef { return resources(args, "id") }

// Do hands the filter on.
func (Input) Do(ctx context.Context, run task.Run) (task.Output, error) {
	out, err := readInput(run.Args)
	if err != nil {
		return nil, err
	}
	return out, context.Cause(ctx)
}

func readInput(args task.Args) (task.Output, error) {
	r := task.Read(args)
	out := task.Output{
		"resource": r.ID("id"),
		"filter":   map[string]any{"exclude": list(readPatterns(r, "exclude")), "include": list(readPatterns(r, "include"))},
	}
	return out, r.Done()
}

// Plan implements task.Planner: what the task hands on is known beforehand.
func (i Input) Plan(ctx context.Context, run task.Run) ([]job.Plan, task.Output, error) {
	out, err := i.Do(ctx, run)
	return nil, out, err
}

// list is a list as JSON decodes it, which is what outputs look like after
// they were stored.
func list(texts []string) []any {
	out := make([]any, len(texts))
	for i, text := range texts {
		out[i] = text
	}
	return out
}

// takeFilters adds the filters of the inputs.
func (o *options) takeFilters(inputs map[string]task.Output) {
	for _, name := range slices.Sorted(maps.Keys(inputs)) {
		filter, ok := inputs[name]["filter"].(map[string]any)
		if !ok {
			continue
		}
		o.exclude = append(o.exclude, texts(filter["exclude"])...)
		o.include = append(o.include, texts(filter["include"])...)
	}
}

func texts(v any) []string {
	values, _ := v.([]any)
	out := make([]string, 0, len(values))
	for _, value := range values {
		if text, ok := value.(string); ok {
			out = append(out, text)
		}
	}
	return out
}
