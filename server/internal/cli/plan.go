package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// action is what a plan does with one object.
type action string

const (
	create action = "create"
	update action = "update"
	remove action = "delete"
	keep   action = "keep"
)

// step is one object of a plan.
type step struct {
	action action
	kind   *kind
	// source is the file that defines the object; empty for a deletion.
	source string
	// object is what the service is asked for: for an update with the id and the
	// etag of the one that was read, for a deletion that one itself.
	object declarable
	// fields are the paths of an update's mask.
	fields []string
	// changes say what becomes different.
	changes []change
}

// change is one value of a definition that differs. A value that is not
// there is nil.
type change struct {
	path     string
	from, to any
}

// match finds the object that each manifest of a kind defines: the one with its
// id, or the only one with its key. nil stands for one that is not there. Two
// manifests for one object, and a key that several have, are refused.
func match(k *kind, manifests []manifest, live []declarable) ([]declarable, error) {
	byID, byKey := map[string]declarable{}, map[string][]declarable{}
	for _, d := range live {
		byID[d.GetId()] = d
		byKey[k.keyOf(d)] = append(byKey[k.keyOf(d)], d)
	}
	found := make([]declarable, len(manifests))
	keys, taken := map[string]string{}, map[string]string{}
	for i, m := range manifests {
		id, key := m.object.GetId(), k.keyOf(m.object)
		switch {
		case id != "" && byID[id] == nil:
			return nil, usage("%s: the instance has no %s %s; without id a new one is made", m.source, k.name, id)
		case id != "":
			found[i] = byID[id]
		case key == "":
			return nil, usage("%s: a %s needs a %s (or an id), by which it is found again", m.source, k.name, k.key)
		case keys[key] != "":
			return nil, usage("%s: %q is defined by %s already", m.source, key, keys[key])
		case len(byKey[key]) > 1:
			return nil, usage("%s: the instance has %d %ss with the %s %q: write the id of the one that is meant", m.source, len(byKey[key]), k.name, k.key, key)
		case len(byKey[key]) == 1:
			found[i] = byKey[key][0]
		}
		if id == "" {
			keys[key] = m.source
		}
		if d := found[i]; d != nil {
			if other := taken[d.GetId()]; other != "" {
				return nil, usage("%s: %s is defined by %s already", m.source, d.GetId(), other)
			}
			taken[d.GetId()] = m.source
		}
	}
	return found, nil
}

// unclaimed are the objects that have the labels and belong to the manager, and
// that no manifest defines. A kind without managers has none.
func unclaimed(k *kind, live, defined []declarable, labels map[string]string, manager string) []declarable {
	var rest []declarable
	for _, d := range live {
		if k.managerOf != nil && matches(d.GetLabels(), labels) && k.managerOf(d) == manager && !slices.Contains(defined, d) {
			rest = append(rest, d)
		}
	}
	return rest
}

// wanted is what to ask of the service so that the object is as its file says:
// every field that a file can define, but the one that is kept unless the file
// names it, so that a plan does not resume what somebody has paused.
func wanted(m manifest, manager string) (declarable, []string) {
	d := proto.CloneOf(m.object)
	if m.kind.manage != nil {
		m.kind.manage(d, manager)
	}
	fields := definable(m.kind)
	if !slices.Contains(m.fields, m.kind.kept) {
		fields = slices.DeleteFunc(fields, func(name string) bool { return name == m.kind.kept })
	}
	return d, fields
}

// difference lists what differs in the definition of two objects, in the order
// of its paths.
func difference(from, to declarable) ([]change, error) {
	before, err := definitionOf(from)
	if err != nil {
		return nil, err
	}
	after, err := definitionOf(to)
	if err != nil {
		return nil, err
	}
	var found []change
	compare("", before, after, &found)
	return found, nil
}

// definitionOf is an object's definition as JSON-like data.
func definitionOf(d declarable) (any, error) {
	text, err := protojson.Marshal(defined(d))
	if err != nil {
		return nil, err
	}
	var value any
	err = json.Unmarshal(text, &value)
	return value, err
}

// defined is an object without what only the service says of it.
func defined(d declarable) declarable {
	d = proto.CloneOf(d)
	message := d.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); answered(field) || slices.Contains(identity, field.Name()) {
			message.Clear(field)
		}
	}
	return d
}

func compare(path string, from, to any, found *[]change) {
	if reflect.DeepEqual(from, to) {
		return
	}
	switch before := from.(type) {
	case map[string]any:
		if after, ok := to.(map[string]any); ok {
			keys := maps.Clone(before)
			maps.Copy(keys, after)
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				compare(strings.TrimPrefix(path+"."+key, "."), before[key], after[key], found)
			}
			return
		}
	case []any:
		if after, ok := to.([]any); ok && len(before) == len(after) {
			for i := range before {
				compare(fmt.Sprintf("%s[%d]", path, i), before[i], after[i], found)
			}
			return
		}
	}
	*found = append(*found, change{path, from, to})
}

// show writes a plan for people.
func show(out io.Writer, steps []step) error {
	var text strings.Builder
	count := map[action]int{}
	for _, s := range steps {
		count[s.action]++
		what := s.what()
		switch s.action {
		case create:
			fmt.Fprintf(&text, "+ create %s (%s)\n", what, s.source)
		case remove:
			fmt.Fprintf(&text, "- delete %s, %s\n", what, s.object.GetId())
		case update:
			fmt.Fprintf(&text, "~ update %s, %s (%s)\n", what, s.object.GetId(), s.source)
			for _, c := range s.changes {
				fmt.Fprintf(&text, "    %s: %s -> %s\n", plain(c.path), value(c.from), value(c.to))
			}
		case keep:
		}
	}
	fmt.Fprintf(&text, "%d to create, %d to update, %d to delete, %d as they should be.\n", count[create], count[update], count[remove], count[keep])
	_, err := io.WriteString(out, text.String())
	return err
}

// what is the object of a step in words.
func (s step) what() string {
	return fmt.Sprintf("%s %q", s.kind.name, plain(s.kind.keyOf(s.object)))
}

// value is JSON-like data in one line.
func value(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return plain(string(text))
}
