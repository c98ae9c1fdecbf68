package executor

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
)

// checked counts how often arguments are checked.
type checked struct {
	util.Noop
	times *int
}

func (c checked) Check(task.Args) error {
	*c.times++
	return nil
}

func TestWorkflowsAreKept(t *testing.T) {
	t.Parallel()
	var times int
	w := newWorkflows(task.NewRegistry(checked{times: &times}))
	open := func(text string, want int) *openWorkflow {
		t.Helper()
		opened, err := w.open(json.RawMessage(text))
		if err != nil {
			t.Fatal(err)
		}
		if times != want {
			t.Errorf("checked %d times, want %d", times, want)
		}
		return opened
	}
	const one = `{"name": "one", "tasks": [{"name": "a", "type": "util.noop"}]}`
	two := strings.ReplaceAll(one, "one", "two")
	open(one, 1)
	second := open(one, 2)
	open(two, 3)
	if open(one, 3) != second {
		t.Error("a text that had come again was opened once more")
	}
	long := strings.ReplaceAll(one, "{", "{"+strings.Repeat(" ", keptBytes))
	for n := range 3 {
		open(long, 4+n)
	}
	for range 2 {
		if _, err := w.open(json.RawMessage(`{"tasks": []}`)); err == nil {
			t.Error("a refusal was forgotten")
		}
	}
}

// BenchmarkOpen opens workflows that never come again, and one that does.
func BenchmarkOpen(b *testing.B) {
	for name, n := range map[string]int{"distinct": 100_000, "same": 1} {
		b.Run(name, func(b *testing.B) {
			texts := make([]json.RawMessage, n)
			for i := range texts {
				texts[i] = json.RawMessage(fmt.Sprintf(`{"name":"bench %d","tasks":[{"name":"only","type":"util.noop"}]}`, i))
			}
			w := newWorkflows(task.NewRegistry(util.Noop{}))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := w.open(texts[i%n]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
