package workflow

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// root is the workflow's own path in the job.
const root = "workflow"

// linearNames is the number of tasks up to which names are compared one by
// one, which for the usual small workflow is faster than a map.
const linearNames = 8

// Parse reads a decoded JSON document (nil, bool, float64, string, []any,
// map[string]any) and refuses it with a *job.InvalidError that holds up to
// MaxViolations violations. Values that JSON can't carry faithfully (broken
// text, numbers out of range, too deep nesting) are told of first and alone.
// The result shares the arguments with doc.
func Parse(doc map[string]any) (*Workflow, error) {
	if doc == nil {
		return nil, job.Invalid(root, task.ReasonRequired, "is required")
	}
	if err := checkValues(doc); err != nil {
		return nil, err
	}
	var p parser
	w := p.workflow(doc)
	if err := p.errs.Err(); err != nil {
		return nil, err
	}
	return w, nil
}

// parser collects violations while it reads.
type parser struct {
	errs job.InvalidError
	// bare are the tasks whose inputs are one name and no list.
	bare [MaxTasks]bool
}

func (p *parser) full() bool { return len(p.errs.Violations) >= MaxViolations }

func (p *parser) refuse(path, reason, format string, args ...any) {
	if !p.full() {
		p.errs.Add(path, reason, format, args...)
	}
}

func (p *parser) workflow(doc map[string]any) *Workflow {
	w := &Workflow{}
	seen := 0
	if v, there := doc["name"]; there {
		seen++
		name, ok := v.(string)
		if !ok && v != nil {
			p.refuse(root+".name", task.ReasonWrongType, "must be a string")
		}
		w.Name = name
	}
	if v, there := doc["instanceId"]; there {
		seen++
		w.InstanceID = p.instanceID(v)
	}
	v, there := doc["tasks"]
	if there {
		seen++
	}
	if seen < len(doc) {
		p.unknown(root, doc, "name", "instanceId", "tasks")
	}
	p.tasks(w, v)
	return w
}

func (p *parser) instanceID(v any) string {
	if v == nil {
		return ""
	}
	id, ok := task.IDText(v)
	switch {
	case !ok:
		p.refuse(root+".instanceId", task.ReasonWrongType, "must be a string or a positive whole number")
	case id == "":
		p.refuse(root+".instanceId", task.ReasonRequired, "must not be empty; leave it out instead")
	}
	return id
}

func (p *parser) tasks(w *Workflow, v any) {
	const path = root + ".tasks"
	list, ok := v.([]any)
	switch {
	case !ok && v != nil:
		p.refuse(path, task.ReasonWrongType, "must be a list of tasks")
		return
	case len(list) == 0:
		p.refuse(path, task.ReasonRequired, "at least one task is required")
		return
	case len(list) > MaxTasks:
		p.refuse(path, ReasonTooManyTasks, "has %d tasks; at most %d are allowed", len(list), MaxTasks)
		return
	}
	w.Tasks = make([]Task, len(list))
	for i, element := range list {
		p.task(&w.Tasks[i], i, element)
	}
	p.links(w)
}

func (p *parser) task(t *Task, i int, v any) {
	object, ok := v.(map[string]any)
	if !ok {
		p.refuse(taskPath(i), task.ReasonWrongType, "must be an object")
		return
	}
	name, hasName := object["name"]
	kind, hasType := object["type"]
	args, hasArgs := object["args"]
	inputs, hasInputs := object["inputs"]
	timeout, hasTimeout := object["timeout"]
	retry, hasRetry := object["retry"]
	if count(hasName, hasType, hasArgs, hasInputs, hasTimeout, hasRetry) < len(object) {
		p.unknown(taskPath(i), object, "name", "type", "args", "inputs", "timeout", "retry")
	}
	t.Name = p.name(name, i)
	t.Type = p.required(kind, i, "type")
	t.Inputs = p.inputs(inputs, i)
	t.Timeout = p.timeout(timeout, i)
	t.Retry = p.retry(retry, i)
	if args != nil {
		object, ok := args.(map[string]any)
		if !ok {
			p.refuse(taskPath(i)+".args", task.ReasonWrongType, "must be an object")
		}
		t.Args = object
	}
}

func (p *parser) name(v any, i int) string {
	name := p.required(v, i, "name")
	switch {
	case len(name) > MaxNameBytes:
		p.refuse(taskPath(i)+".name", ReasonInvalidName, "is %d bytes long; at most %d are allowed", len(name), MaxNameBytes)
	case strings.ContainsFunc(name, unicode.IsControl):
		p.refuse(taskPath(i)+".name", ReasonInvalidName, "must not hold control characters")
	}
	return name
}

// required reads a string that must be there and not be empty.
func (p *parser) required(v any, i int, field string) string {
	text, ok := v.(string)
	switch {
	case v == nil || ok && text == "":
		p.refuse(taskPath(i)+"."+field, task.ReasonRequired, "is required")
	case !ok:
		p.refuse(taskPath(i)+"."+field, task.ReasonWrongType, "must be a string")
	}
	return text
}

// inputs reads a list of names, one name, or nothing.
func (p *parser) inputs(v any, i int) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case string:
		if v == "" {
			p.refuse(taskPath(i)+".inputs", ReasonUnknownInput, "must be the name of a task")
		}
		p.bare[i] = true
		return []string{v}
	case []any:
		if len(v) == 0 {
			return nil
		}
		// What is refused here stays in the list as an empty name, so that
		// positions keep their meaning; links passes over it.
		names := make([]string, len(v))
		for k, element := range v {
			name, ok := element.(string)
			switch {
			case !ok:
				p.refuse(task.Index(taskPath(i)+".inputs", k), task.ReasonWrongType, "must be the name of a task")
			case name == "":
				p.refuse(task.Index(taskPath(i)+".inputs", k), ReasonUnknownInput, "must be the name of a task")
			}
			names[k] = name
		}
		return names
	}
	p.refuse(taskPath(i)+".inputs", task.ReasonWrongType, "must be a list of task names, or one name")
	return nil
}

func (p *parser) timeout(v any, i int) time.Duration {
	if v == nil {
		return 0
	}
	return p.duration(taskPath(i)+".timeout", v, MinTimeout, MaxTimeout)
}

// duration reads a length of time, 0 when there is none.
func (p *parser) duration(path string, v any, lowest, highest time.Duration) time.Duration {
	if v == nil {
		return 0
	}
	d, reason, text := task.ParseDuration(v, lowest, highest)
	if reason != "" {
		p.refuse(path, reason, "%s", text)
	}
	return d
}

// retry reads how a task is tried again, nil when that is not said.
func (p *parser) retry(v any, i int) *task.Retry {
	if v == nil {
		return nil
	}
	path := taskPath(i) + ".retry"
	object, ok := v.(map[string]any)
	if !ok {
		p.refuse(path, task.ReasonWrongType, "must be an object")
		return nil
	}
	p.unknown(path, object, "maxAttempts", "minBackoff", "maxBackoff")
	retry := &task.Retry{
		MinBackoff: cmp.Or(p.duration(path+".minBackoff", object["minBackoff"], MinBackoff, MaxBackoff), task.DefaultMinBackoff),
		MaxBackoff: p.duration(path+".maxBackoff", object["maxBackoff"], MinBackoff, MaxBackoff),
	}
	if retry.MaxBackoff == 0 {
		retry.MaxBackoff = max(task.DefaultMaxBackoff, retry.MinBackoff)
	}
	if retry.MaxBackoff < retry.MinBackoff {
		p.refuse(path+".maxBackoff", task.ReasonOutOfRange, "must not be less than minBackoff")
	}
	switch n, ok := task.WholeNumber(object["maxAttempts"]); {
	case object["maxAttempts"] == nil:
		p.refuse(path+".maxAttempts", task.ReasonRequired, "is required")
	case !ok:
		p.refuse(path+".maxAttempts", task.ReasonWrongType, "must be a whole number")
	case n < 1 || n > MaxAttempts:
		p.refuse(path+".maxAttempts", task.ReasonOutOfRange, "must be from 1 to %d", MaxAttempts)
	default:
		retry.MaxAttempts = int(n)
	}
	return retry
}

// links checks what tasks say of each other: names and inputs.
func (p *parser) links(w *Workflow) {
	if len(w.Tasks) == 1 && len(w.Tasks[0].Inputs) == 0 {
		return
	}
	find := w.finder()
	for i := range w.Tasks {
		if p.full() {
			return
		}
		t := &w.Tasks[i]
		if first := find(t.Name); t.Name != "" && first != i {
			p.refuse(taskPath(i)+".name", ReasonDuplicateTask, "%s has the same name", task.Index("tasks", first))
		}
		for k, input := range t.Inputs {
			switch {
			case input == "": // refused before
			case find(input) < 0:
				p.refuse(p.inputPath(i, k), ReasonUnknownInput, "no task of this workflow has this name")
			case slices.Contains(t.Inputs[:k], input):
				p.refuse(p.inputPath(i, k), ReasonDuplicateInput, "is named twice")
			}
		}
	}
	if len(p.errs.Violations) == 0 {
		p.cycle(w)
	}
}

func (p *parser) cycle(w *Workflow) {
	cycle := w.Graph().cycle()
	if cycle == nil {
		return
	}
	last, first := w.Tasks[cycle[len(cycle)-1]].Name, cycle[0]
	k := slices.Index(w.Tasks[first].Inputs, last)
	p.refuse(p.inputPath(first, k), ReasonCycle, "the tasks wait for each other: %s", w.describe(cycle))
}

// unknown refuses the keys of object that are not known, in order.
func (p *parser) unknown(path string, object map[string]any, known ...string) {
	for _, key := range sortedKeys(object) {
		if p.full() {
			return
		}
		if !slices.Contains(known, key) {
			p.refuse(job.JoinPath(path, task.Field(key)), task.ReasonUnknownField,
				"unknown field; known are %s", strings.Join(known, ", "))
		}
	}
}

// inputPath is the path of an input as it was written: an element of a list,
// or the field itself.
func (p *parser) inputPath(i, k int) string {
	path := taskPath(i) + ".inputs"
	if p.bare[i] {
		return path
	}
	return task.Index(path, k)
}

// finder returns a function from a name to the first task with that name, or
// -1.
func (w *Workflow) finder() func(name string) int {
	if len(w.Tasks) <= linearNames {
		return func(name string) int {
			return slices.IndexFunc(w.Tasks, func(t Task) bool { return t.Name == name })
		}
	}
	byName := make(map[string]int, len(w.Tasks))
	for i := range w.Tasks {
		if _, there := byName[w.Tasks[i].Name]; !there {
			byName[w.Tasks[i].Name] = i
		}
	}
	return func(name string) int {
		if i, there := byName[name]; there {
			return i
		}
		return -1
	}
}

func count(flags ...bool) int {
	n := 0
	for _, flag := range flags {
		if flag {
			n++
		}
	}
	return n
}
