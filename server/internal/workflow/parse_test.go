package workflow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workflow"
)

func decode(t testing.TB, text string) map[string]any {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// refusals lists what an error refuses as "path REASON"; any error that is no
// InvalidError fails the test.
func refusals(t testing.TB, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *job.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error is %T, want *job.InvalidError: %v", err, err)
	}
	var out []string
	for _, v := range invalid.Violations {
		out = append(out, v.Field+" "+v.Reason)
	}
	return out
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		doc  string
		want workflow.Workflow
	}{
		"least": {`{"tasks":[{"name":"a","type":"t"}]}`,
			workflow.Workflow{Tasks: []workflow.Task{{Name: "a", Type: "t"}}}},
		"nulls count as absent": {`{"name":null,"instanceId":null,"tasks":[{"name":"a","type":"t","args":null,"inputs":null}]}`,
			workflow.Workflow{Tasks: []workflow.Task{{Name: "a", Type: "t"}}}},
		"all": {`{"name":"n","instanceId":"inst_42","tasks":[
				{"name":"a","type":"t","args":{"k":[1,null,true,{"x":"y"}]},"inputs":[]},
				{"name":"b","type":"u","inputs":"a"},{"name":"c","type":"u","inputs":["b","a"]}]}`,
			workflow.Workflow{Name: "n", InstanceID: "inst_42", Tasks: []workflow.Task{
				{Name: "a", Type: "t", Args: task.Args{"k": []any{1.0, nil, true, map[string]any{"x": "y"}}}},
				{Name: "b", Type: "u", Inputs: []string{"a"}},
				{Name: "c", Type: "u", Inputs: []string{"b", "a"}}}}},
		"time limit and tries": {`{"tasks":[{"name":"a","type":"t","timeout":"10m","retry":{"maxAttempts":3,"minBackoff":2,"maxBackoff":"5s"}},
				{"name":"b","type":"t","timeout":null,"retry":null},{"name":"c","type":"t","timeout":0.5,"retry":{"maxAttempts":20,"minBackoff":"10m","maxBackoff":null}},
				{"name":"d","type":"t","retry":{"maxAttempts":1}}]}`,
			workflow.Workflow{Tasks: []workflow.Task{
				{Name: "a", Type: "t", Timeout: 10 * time.Minute, Retry: &task.Retry{MaxAttempts: 3, MinBackoff: 2 * time.Second, MaxBackoff: 5 * time.Second}},
				{Name: "b", Type: "t"},
				{Name: "c", Type: "t", Timeout: time.Second / 2, Retry: &task.Retry{MaxAttempts: 20, MinBackoff: 10 * time.Minute, MaxBackoff: 10 * time.Minute}},
				{Name: "d", Type: "t", Retry: &task.Retry{MaxAttempts: 1, MinBackoff: time.Second, MaxBackoff: time.Minute}}}}},
		"number as instance": {`{"instanceId":42,"tasks":[{"name":"a","type":"t"}]}`,
			workflow.Workflow{InstanceID: "42", Tasks: []workflow.Task{{Name: "a", Type: "t"}}}},
		"later tasks may be inputs": {`{"tasks":[{"name":"a","type":"t","inputs":"b"},{"name":"b","type":"t"}]}`,
			workflow.Workflow{Tasks: []workflow.Task{{Name: "a", Type: "t", Inputs: []string{"b"}}, {Name: "b", Type: "t"}}}},
		"extremes": {`{"tasks":[{"name":"` + strings.Repeat("é", 64) + `","type":"t","args":{"n":[9007199254740991,-9007199254740991,1e308,5e-324,-0.0]}}]}`,
			workflow.Workflow{Tasks: []workflow.Task{{Name: strings.Repeat("é", 64), Type: "t",
				Args: task.Args{"n": []any{9007199254740991.0, -9007199254740991.0, 1e308, 5e-324, math.Copysign(0, -1)}}}}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := workflow.Parse(decode(t, test.doc))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Errorf("workflow (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	oneTask := func(rest string) string { return `{"tasks":[{"name":"a","type":"t"` + rest + `}]}` }
	tests := map[string]struct {
		doc  string
		want []string
	}{
		"no tasks":     {`{}`, []string{"workflow.tasks REQUIRED"}},
		"tasks null":   {`{"tasks":null}`, []string{"workflow.tasks REQUIRED"}},
		"tasks empty":  {`{"tasks":[]}`, []string{"workflow.tasks REQUIRED"}},
		"tasks object": {`{"tasks":{}}`, []string{"workflow.tasks WRONG_TYPE"}},
		"task string":  {`{"tasks":["a"]}`, []string{"workflow.tasks[0] WRONG_TYPE"}},
		"task null":    {`{"tasks":[null]}`, []string{"workflow.tasks[0] WRONG_TYPE"}},
		"task empty":   {`{"tasks":[{}]}`, []string{"workflow.tasks[0].name REQUIRED", "workflow.tasks[0].type REQUIRED"}},
		"bad time limits": {`{"tasks":[{"name":"a","type":"t","timeout":"soon"},{"name":"b","type":"t","timeout":0},{"name":"c","type":"t","timeout":"721h"},{"name":"d","type":"t","timeout":true}]}`,
			[]string{"workflow.tasks[0].timeout WRONG_TYPE", "workflow.tasks[1].timeout OUT_OF_RANGE", "workflow.tasks[2].timeout OUT_OF_RANGE", "workflow.tasks[3].timeout WRONG_TYPE"}},
		"bad retries": {`{"tasks":[{"name":"a","type":"t","retry":3},{"name":"b","type":"t","retry":{}},{"name":"c","type":"t","retry":{"maxAttempts":1.5,"minBackoff":"1m","maxBackoff":"1s","max":1}},
				{"name":"d","type":"t","retry":{"maxAttempts":21,"minBackoff":0,"maxBackoff":"2h"}}]}`,
			[]string{"workflow.tasks[0].retry WRONG_TYPE", "workflow.tasks[1].retry.maxAttempts REQUIRED",
				"workflow.tasks[2].retry.max UNKNOWN_FIELD", "workflow.tasks[2].retry.maxBackoff OUT_OF_RANGE", "workflow.tasks[2].retry.maxAttempts WRONG_TYPE",
				"workflow.tasks[3].retry.minBackoff OUT_OF_RANGE", "workflow.tasks[3].retry.maxBackoff OUT_OF_RANGE", "workflow.tasks[3].retry.maxAttempts OUT_OF_RANGE"}},
		"empty names":    {`{"tasks":[{"name":"","type":""}]}`, []string{"workflow.tasks[0].name REQUIRED", "workflow.tasks[0].type REQUIRED"}},
		"wrong types":    {`{"name":1,"instanceId":true,"tasks":[{"name":1,"type":[],"args":[],"inputs":1}]}`, []string{"workflow.name WRONG_TYPE", "workflow.instanceId WRONG_TYPE", "workflow.tasks[0].name WRONG_TYPE", "workflow.tasks[0].type WRONG_TYPE", "workflow.tasks[0].inputs WRONG_TYPE", "workflow.tasks[0].args WRONG_TYPE"}},
		"fraction as id": {`{"instanceId":4.5,"tasks":[{"name":"a","type":"t"}]}`, []string{"workflow.instanceId WRONG_TYPE"}},
		"empty id":       {`{"instanceId":"","tasks":[{"name":"a","type":"t"}]}`, []string{"workflow.instanceId REQUIRED"}},
		"unknown keys":   {`{"Name":"n","on":1,"tasks":[{"name":"a","type":"t","retries":3,"a b":0}]}`, []string{"workflow.Name UNKNOWN_FIELD", "workflow.on UNKNOWN_FIELD", `workflow.tasks[0]["a b"] UNKNOWN_FIELD`, "workflow.tasks[0].retries UNKNOWN_FIELD"}},
		"long name":      {`{"tasks":[{"name":"` + strings.Repeat("é", 65) + `","type":"t"}]}`, []string{"workflow.tasks[0].name INVALID_NAME"}},
		"control":        {`{"tasks":[{"name":"a\nb","type":"t"}]}`, []string{"workflow.tasks[0].name INVALID_NAME"}},
		"C1 control":     {`{"tasks":[{"name":"a\u0085b","type":"t"}]}`, []string{"workflow.tasks[0].name INVALID_NAME"}},
		"duplicate": {`{"tasks":[{"name":"a","type":"t"},{"name":"b","type":"t"},{"name":"a","type":"t"}]}`,
			[]string{"workflow.tasks[2].name DUPLICATE_TASK_NAME"}},
		"unknown input":      {oneTask(`,"inputs":["b"]`), []string{"workflow.tasks[0].inputs[0] UNKNOWN_INPUT"}},
		"unknown bare input": {oneTask(`,"inputs":"b"`), []string{"workflow.tasks[0].inputs UNKNOWN_INPUT"}},
		"empty input":        {oneTask(`,"inputs":[""]`), []string{"workflow.tasks[0].inputs[0] UNKNOWN_INPUT"}},
		"empty bare input":   {oneTask(`,"inputs":""`), []string{"workflow.tasks[0].inputs UNKNOWN_INPUT"}},
		"input object":       {oneTask(`,"inputs":{}`), []string{"workflow.tasks[0].inputs WRONG_TYPE"}},
		"input elements":     {oneTask(`,"inputs":[null,"x",1]`), []string{"workflow.tasks[0].inputs[0] WRONG_TYPE", "workflow.tasks[0].inputs[2] WRONG_TYPE", "workflow.tasks[0].inputs[1] UNKNOWN_INPUT"}},
		"input twice": {`{"tasks":[{"name":"a","type":"t"},{"name":"b","type":"t","inputs":["a","a"]}]}`,
			[]string{"workflow.tasks[1].inputs[1] DUPLICATE_INPUT"}},
		"itself":      {oneTask(`,"inputs":["a"]`), []string{"workflow.tasks[0].inputs[0] CYCLE"}},
		"itself bare": {oneTask(`,"inputs":"a"`), []string{"workflow.tasks[0].inputs CYCLE"}},
		"cycle beside a root": {`{"tasks":[{"name":"r","type":"t"},{"name":"a","type":"t","inputs":["r","c"]},{"name":"b","type":"t","inputs":"a"},{"name":"c","type":"t","inputs":["b"]},{"name":"d","type":"t","inputs":["c"]}]}`,
			[]string{"workflow.tasks[1].inputs[1] CYCLE"}},
		"integer":  {oneTask(`,"args":{"n":[1,9007199254740992]}`), []string{"workflow.tasks[0].args.n[1] NUMBER_RANGE"}},
		"negative": {oneTask(`,"args":{"n":-9007199254740992}`), []string{"workflow.tasks[0].args.n NUMBER_RANGE"}},
		"instance": {`{"instanceId":1e16,"tasks":[{"name":"a","type":"t"}]}`, []string{"workflow.instanceId NUMBER_RANGE"}},
		"NUL":      {oneTask(`,"args":{"a\u0000":"\u0000"}`), []string{`workflow.tasks[0].args["a\x00"] INVALID_TEXT`, `workflow.tasks[0].args["a\x00"] INVALID_TEXT`}},
		"too many": {`{"tasks":[` + strings.TrimSuffix(strings.Repeat(`{"name":"a"},`, 101), ",") + `]}`, []string{"workflow.tasks TOO_MANY_TASKS"}},
		"too deep": {oneTask(`,"args":{"x":` + strings.Repeat("[", 97) + strings.Repeat("]", 97) + `}`),
			[]string{"workflow.tasks[0].args.x" + strings.Repeat("[0]", 96) + " TOO_DEEP"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, err := workflow.Parse(decode(t, test.doc))
			if diff := cmp.Diff(test.want, refusals(t, err)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if w != nil {
				t.Error("a workflow came with the error")
			}
		})
	}
}

func TestParseRefusesWhatNoTextCanHold(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value any
		want  string
	}{
		"NaN":           {math.NaN(), "workflow.tasks[0].args.v NUMBER_RANGE"},
		"infinity":      {math.Inf(-1), "workflow.tasks[0].args.v NUMBER_RANGE"},
		"broken text":   {"\xff", "workflow.tasks[0].args.v INVALID_TEXT"},
		"broken key":    {map[string]any{"\xff": 1.0}, `workflow.tasks[0].args.v["\xff"] INVALID_TEXT`},
		"foreign value": {42, "workflow.tasks[0].args.v WRONG_TYPE"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := decode(t, `{"tasks":[{"name":"a","type":"t","args":{}}]}`)
			doc["tasks"].([]any)[0].(map[string]any)["args"] = map[string]any{"v": test.value}
			_, err := workflow.Parse(doc)
			if diff := cmp.Diff([]string{test.want}, refusals(t, err)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
			if !utf8.ValidString(err.Error()) {
				t.Errorf("error is not valid UTF-8: %q", err)
			}
		})
	}
	_, err := workflow.Parse(nil)
	if diff := cmp.Diff([]string{"workflow REQUIRED"}, refusals(t, err)); diff != "" {
		t.Errorf("nil document (-want +got):\n%s", diff)
	}
}

func TestParseLimits(t *testing.T) {
	t.Parallel()
	t.Run("100 tasks and 100 levels pass", func(t *testing.T) {
		t.Parallel()
		tasks := make([]any, workflow.MaxTasks)
		for i := range tasks {
			tasks[i] = map[string]any{"name": fmt.Sprint(i), "type": "t"}
			if i > 0 {
				tasks[i].(map[string]any)["inputs"] = fmt.Sprint(i - 1)
			}
		}
		deep := any("bottom")
		for range workflow.MaxDepth - 4 {
			deep = []any{deep}
		}
		tasks[0].(map[string]any)["args"] = map[string]any{"x": deep}
		w, err := workflow.Parse(map[string]any{"tasks": tasks})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(w.Graph().Order()); got != workflow.MaxTasks {
			t.Errorf("order holds %d tasks", got)
		}
	})
	for name, element := range map[string]any{"objects": map[string]any{}, "texts": "x", "faults": "\x00"} {
		t.Run("at most 50 violations of "+name, func(t *testing.T) {
			t.Parallel()
			tasks := make([]any, workflow.MaxTasks)
			for i := range tasks {
				tasks[i] = element
			}
			_, err := workflow.Parse(map[string]any{"tasks": tasks})
			if got := len(refusals(t, err)); got != workflow.MaxViolations {
				t.Errorf("%d violations, want %d", got, workflow.MaxViolations)
			}
		})
	}
}

func TestCycleIsDescribed(t *testing.T) {
	t.Parallel()
	ring := func(n int) string {
		var tasks []string
		for i := range n {
			tasks = append(tasks, fmt.Sprintf(`{"name":"t%d","type":"t","inputs":["t%d"]}`, i, (i+n-1)%n))
		}
		return `{"tasks":[` + strings.Join(tasks, ",") + `]}`
	}
	for n, want := range map[int]string{
		1:  "t0 → t0",
		3:  "t0 → t1 → t2 → t0",
		20: "t0 → t1 → t2 → t3 → t4 → t5 → t6 → t7 → t8 → t9 → … → t0",
	} {
		_, err := workflow.Parse(decode(t, ring(n)))
		if err == nil || !strings.HasSuffix(err.Error(), ": "+want) {
			t.Errorf("ring of %d: %v, want …: %s", n, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"tasks":[{"name":"a","type":"util.noop"}]}`,
		`{"name":"n","instanceId":42,"tasks":[{"name":"a","type":"t","args":{"x":[1e16,"\u0000"]}},{"name":"b","type":"t","inputs":["a","a"]}]}`,
		`{"tasks":[{"name":"a","type":"t","inputs":"b"},{"name":"b","type":"t","inputs":["a"]}]}`,
		`{"tasks":[{"name":"a","type":"t","inputs":[null,1,""]},1,null,[]]}`,
		`{"tasks":[{"name":"a","type":"t"},{"name":"a","type":"t"}],"x":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var doc map[string]any
		if json.Unmarshal(raw, &doc) != nil {
			return
		}
		w, err := workflow.Parse(doc)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		checkWorkflow(t, w)
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	all := refusals(t, err)
	if len(all) == 0 || len(all) > workflow.MaxViolations {
		t.Errorf("%d violations", len(all))
	}
	for _, refusal := range all {
		if !strings.HasPrefix(refusal, "workflow") {
			t.Errorf("path outside the workflow: %s", refusal)
		}
	}
	if !utf8.ValidString(err.Error()) {
		t.Errorf("error is not valid UTF-8: %q", err)
	}
}

func checkWorkflow(t *testing.T, w *workflow.Workflow) {
	t.Helper()
	position := map[string]int{}
	for place, i := range w.Graph().Order() {
		position[w.Tasks[i].Name] = place
	}
	if len(position) != len(w.Tasks) || len(w.Tasks) == 0 || len(w.Tasks) > workflow.MaxTasks {
		t.Fatalf("%d tasks, %d distinct in order", len(w.Tasks), len(position))
	}
	for _, task := range w.Tasks {
		for _, input := range task.Inputs {
			if before, known := position[input]; !known || before >= position[task.Name] {
				t.Errorf("task %q runs before its input %q", task.Name, input)
			}
		}
	}
}
