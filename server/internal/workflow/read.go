package workflow

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// argsDepth is how deep a task's arguments lie in the document.
const argsDepth = 4

// Read reads a stored workflow: what Parse makes of its document, for a fraction
// of the time, which every execution pays. By itself it reads plain ones: ASCII
// without escapes, no exponents, no null for a field, nothing wrong. Any other
// goes the long way, which also words what is wrong.
func Read(text []byte) (*Workflow, error) {
	r := reader{text: string(text)}
	if w, ok := r.workflow(); ok {
		return w, nil
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("the stored workflow can't be read: %w", err)
	}
	object, _ := doc.(map[string]any) // what is none is refused as missing
	return Parse(object)
}

// reader reads from at on; all strings share the text. What a method answers
// false for is not plain, and so is what the parser refuses.
type reader struct {
	parser
	text string
	at   int
}

func (r *reader) workflow() (*Workflow, bool) {
	w := &Workflow{}
	ok := r.object(func(key string) (ok bool) {
		switch key {
		case "name":
			w.Name, ok = r.string()
		case "instanceId":
			var v any
			v, ok = r.value(2)
			w.InstanceID = r.instanceID(v)
		case "tasks":
			ok = r.tasks(w)
		}
		return ok
	})
	if r.next(); !ok || r.at < len(r.text) || len(w.Tasks) == 0 {
		return nil, false
	}
	r.links(w)
	return w, len(r.errs.Violations) == 0
}

func (r *reader) tasks(w *Workflow) bool {
	w.Tasks = nil // of two lists the last one counts
	return r.array(func() bool {
		i := len(w.Tasks)
		if i == MaxTasks {
			return false
		}
		w.Tasks = append(w.Tasks, Task{})
		return r.task(&w.Tasks[i], i)
	})
}

func (r *reader) task(t *Task, i int) bool {
	ok := r.object(func(key string) (ok bool) {
		switch key {
		case "name":
			t.Name, ok = r.string()
		case "type":
			t.Type, ok = r.string()
		default:
			ok = r.option(t, i, key)
		}
		return ok
	})
	return ok && t.Name != "" && len(t.Name) <= MaxNameBytes && t.Type != ""
}

// option reads a field that a task may have.
func (r *reader) option(t *Task, i int, key string) bool {
	v, ok := r.value(argsDepth)
	if !ok || v == nil {
		return false
	}
	switch key {
	case "args":
		t.Args, ok = v.(map[string]any)
	case "inputs":
		t.Inputs = r.inputs(v, i)
	case "timeout":
		t.Timeout = r.timeout(v, i)
	case "retry":
		t.Retry = r.retry(v, i)
	default:
		return false
	}
	return ok
}

// next passes over white space and answers the byte behind it, 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip passes over one byte, which must be the next.
func (r *reader) skip(c byte) bool {
	if r.next() != c {
		return false
	}
	r.at++
	return true
}

// value reads any value; an object or a list would be so deep.
func (r *reader) value(depth int) (any, bool) {
	switch c := r.next(); {
	case depth > MaxDepth:
		return nil, false
	case c == '{':
		object := make(map[string]any)
		ok := r.object(func(key string) (ok bool) {
			object[key], ok = r.value(depth + 1)
			return ok
		})
		return object, ok
	case c == '[':
		list := []any{}
		ok := r.array(func() bool {
			v, ok := r.value(depth + 1)
			list = append(list, v)
			return ok
		})
		return list, ok
	case c == '"':
		return r.string()
	case c == 't':
		return true, r.word("true")
	case c == 'f':
		return false, r.word("false")
	case c == 'n':
		return nil, r.word("null")
	}
	return r.number()
}

func (r *reader) word(word string) bool {
	if len(r.text)-r.at < len(word) || r.text[r.at:r.at+len(word)] != word {
		return false
	}
	r.at += len(word)
	return true
}

// object reads an object whose values field reads.
func (r *reader) object(field func(key string) bool) bool {
	if !r.skip('{') {
		return false
	}
	if r.skip('}') {
		return true
	}
	for {
		key, ok := r.string()
		if !ok || !r.skip(':') || !field(key) {
			return false
		}
		if !r.skip(',') {
			return r.skip('}')
		}
	}
}

// array reads a list whose elements element reads.
func (r *reader) array(element func() bool) bool {
	if !r.skip('[') {
		return false
	}
	if r.skip(']') {
		return true
	}
	for element() {
		if !r.skip(',') {
			return r.skip(']')
		}
	}
	return false
}

func (r *reader) string() (string, bool) {
	if !r.skip('"') {
		return "", false
	}
	for i := r.at; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			text := r.text[r.at:i]
			r.at = i + 1
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// number reads digits with at most a sign and a point: no exponent, no zero in
// front of others.
func (r *reader) number() (any, bool) {
	begin := r.at
	if r.at < len(r.text) && r.text[r.at] == '-' {
		r.at++
	}
	first := r.at
	if n := r.digits(); n == 0 || n > 1 && r.text[first] == '0' {
		return nil, false
	}
	if r.at < len(r.text) && r.text[r.at] == '.' {
		r.at++
		if r.digits() == 0 {
			return nil, false
		}
	}
	if r.at < len(r.text) && (r.text[r.at] == 'e' || r.text[r.at] == 'E') {
		return nil, false
	}
	n, err := strconv.ParseFloat(r.text[begin:r.at], 64)
	return n, err == nil && numberFault(n) == ""
}

func (r *reader) digits() (n int) {
	for ; r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9'; r.at++ {
		n++
	}
	return n
}
