package workflow_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workflow"
)

// copyType takes one resource.
type copyType struct{}

func (copyType) Name() string { return "copy" }

func (copyType) Schema() []byte {
	return []byte(`{"description": "Copies.", "type": "object", "properties": {
		"resourceId": {"type": ["string", "integer"]}, "remotes": {"type": "array", "items": {"type": "string"}}},
		"required": ["resourceId", "remotes"], "additionalProperties": false, "examples": [{"resourceId": "res_7", "remotes": []}]}`)
}

func (copyType) Check(task.Args) error { return nil }

func (copyType) Resources(args task.Args) []task.ResourceRef {
	id, _ := task.IDText(args["resourceId"])
	return []task.ResourceRef{{Path: "resourceId", ID: id}}
}

func (copyType) Do(context.Context, task.Run) (task.Output, error) { return nil, nil }

// brokenType fails at Check with an error that is not about the input.
type brokenType struct{ copyType }

var errBroken = errors.New("broken")

func (brokenType) Name() string          { return "broken" }
func (brokenType) Check(task.Args) error { return errBroken }

func TestCheck(t *testing.T) {
	t.Parallel()
	types := task.NewRegistry(copyType{}, brokenType{})
	tests := map[string]struct {
		doc  string
		want []string
	}{
		"right":        {`{"tasks":[{"name":"a","type":"copy","args":{"resourceId":7,"remotes":["x:/"]}}]}`, nil},
		"unknown type": {`{"tasks":[{"name":"a","type":"Copy"}]}`, []string{"workflow.tasks[0].type UNKNOWN_TASK_TYPE"}},
		"several": {`{"tasks":[{"name":"a","type":"x"},{"name":"b","type":"copy","args":{"remotes":["x:/",1],"more":1}},{"name":"c","type":"copy"}]}`,
			[]string{"workflow.tasks[0].type UNKNOWN_TASK_TYPE", "workflow.tasks[1].args.more UNKNOWN_FIELD",
				"workflow.tasks[1].args.remotes[1] WRONG_TYPE", "workflow.tasks[1].args.resourceId REQUIRED",
				"workflow.tasks[2].args.remotes REQUIRED", "workflow.tasks[2].args.resourceId REQUIRED"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := parse(t, test.doc)
			if diff := cmp.Diff(test.want, refusals(t, workflow.Check(w, types))); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("known types are named", func(t *testing.T) {
		t.Parallel()
		err := workflow.Check(parse(t, `{"tasks":[{"name":"a","type":"x"}]}`), types)
		if want := "workflow.tasks[0].type: unknown task type; known are broken, copy"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
	t.Run("a type's fault is not the input's", func(t *testing.T) {
		t.Parallel()
		if err := workflow.Check(parse(t, `{"tasks":[{"name":"a","type":"broken"}]}`), types); !errors.Is(err, errBroken) {
			t.Errorf("%v, want %v", err, errBroken)
		}
	})
	t.Run("at most 50 violations", func(t *testing.T) {
		t.Parallel()
		w := &workflow.Workflow{Tasks: make([]workflow.Task, workflow.MaxTasks)}
		if got := len(refusals(t, workflow.Check(w, types))); got != workflow.MaxViolations {
			t.Errorf("%d violations, want %d", got, workflow.MaxViolations)
		}
	})
}

func TestResources(t *testing.T) {
	t.Parallel()
	w := parse(t, `{"tasks":[{"name":"a","type":"copy","args":{"resourceId":7}},{"name":"b","type":"x"},{"name":"c","type":"copy","args":{"resourceId":"res_8"}}]}`)
	want := []task.ResourceRef{
		{Path: "workflow.tasks[0].args.resourceId", ID: "7"},
		{Path: "workflow.tasks[2].args.resourceId", ID: "res_8"},
	}
	if diff := cmp.Diff(want, w.Resources(task.NewRegistry(copyType{}))); diff != "" {
		t.Errorf("resources (-want +got):\n%s", diff)
	}
}

func TestGraph(t *testing.T) {
	t.Parallel()
	diamond := parse(t, `{"tasks":[{"name":"d","type":"t","inputs":["b","c"]},{"name":"b","type":"t","inputs":"a"},{"name":"c","type":"t","inputs":["a"]},{"name":"a","type":"t"},{"name":"e","type":"t"}]}`)
	g := diamond.Graph()
	want := &workflow.Graph{Waits: []int{2, 1, 1, 0, 0}, Dependents: [][]int{nil, {0}, {0}, {1, 2}, nil}}
	if diff := cmp.Diff(want, g); diff != "" {
		t.Errorf("graph (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{3, 4, 1, 2, 0}, g.Order()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{2, 1, 1, 0, 0}, g.Waits); diff != "" {
		t.Errorf("Order changed the graph (-want +got):\n%s", diff)
	}
}

func parse(t testing.TB, text string) *workflow.Workflow {
	t.Helper()
	w, err := workflow.Parse(decode(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func BenchmarkParse(b *testing.B) {
	documents := map[string]map[string]any{
		"one task": decode(b, `{"tasks":[{"name":"wait","type":"util.noop"}]}`),
		"sync":     decode(b, `{"instanceId":"42","tasks":[{"name":"input","type":"resource.input","args":{"id":"7","exclude":["sync/**"]}},{"name":"sync","type":"rclone.sync","args":{"id":"7","remotes":["drive:/a","s3:/b"]},"inputs":["input"]}]}`),
	}
	chain := make([]any, workflow.MaxTasks)
	for i := range chain {
		chain[i] = map[string]any{"name": fmt.Sprint(i), "type": "util.noop", "inputs": []any{fmt.Sprint(max(i-1, 0))}}
	}
	delete(chain[0].(map[string]any), "inputs")
	documents["chain of 100"] = map[string]any{"tasks": chain}
	for name, doc := range documents {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := workflow.Parse(doc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
