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

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// action is what a plan does with one job.
type action string

const (
	create action = "create"
	update action = "update"
	remove action = "delete"
	keep   action = "keep"
)

// step is one job of a plan.
type step struct {
	action action
	// source is the file that defines the job; empty for a deletion.
	source string
	// job is what the service is asked for: for an update with the id and the
	// etag of the job that was read, for a deletion the job itself.
	job *carillonv1.Job
	// fields are the paths of an update's mask.
	fields []string
	// changes say what becomes different.
	changes []change
}

// change is one value of a job's definition that differs. A value that is not
// there is nil.
type change struct {
	path     string
	from, to any
}

// match finds the job that each manifest defines: the one with its id, or the
// only one with its name. nil stands for a job that is not there. Two manifests
// for one job, and a name that several jobs have, are refused.
func match(manifests []manifest, live []*carillonv1.Job) ([]*carillonv1.Job, error) {
	byID, byName := map[string]*carillonv1.Job{}, map[string][]*carillonv1.Job{}
	for _, j := range live {
		byID[j.GetId()] = j
		byName[j.GetName()] = append(byName[j.GetName()], j)
	}
	found := make([]*carillonv1.Job, len(manifests))
	names, taken := map[string]string{}, map[string]string{}
	for i, m := range manifests {
		id, name := m.job.GetId(), m.job.GetName()
		switch {
		case id != "" && byID[id] == nil:
			return nil, usage("%s: the instance has no job %s; without id a new one is made", m.source, id)
		case id != "":
			found[i] = byID[id]
		case name == "":
			return nil, usage("%s: a job needs a name (or an id), by which it is found again", m.source)
		case names[name] != "":
			return nil, usage("%s: %q is defined by %s already", m.source, name, names[name])
		case len(byName[name]) > 1:
			return nil, usage("%s: the instance has %d jobs named %q: write the id of the one that is meant", m.source, len(byName[name]), name)
		case len(byName[name]) == 1:
			found[i] = byName[name][0]
		}
		if id == "" {
			names[name] = m.source
		}
		if j := found[i]; j != nil {
			if other := taken[j.GetId()]; other != "" {
				return nil, usage("%s: %s is defined by %s already", m.source, j.GetId(), other)
			}
			taken[j.GetId()] = m.source
		}
	}
	return found, nil
}

// unclaimed are the jobs that have the labels and belong to the manager, and
// that no manifest defines.
func unclaimed(live, defined []*carillonv1.Job, labels map[string]string, manager string) []*carillonv1.Job {
	var rest []*carillonv1.Job
	for _, j := range live {
		if matches(j.GetLabels(), labels) && j.GetManagedBy() == manager && !slices.Contains(defined, j) {
			rest = append(rest, j)
		}
	}
	return rest
}

// wanted is what to ask of the service so that the job is as its file says:
// every field that a file can define, but active, which is left alone unless the
// file names it, so that a plan does not resume what somebody has paused.
func wanted(m manifest, manager string) (*carillonv1.Job, []string) {
	j := proto.CloneOf(m.job)
	j.ManagedBy = manager
	fields := definable()
	if !slices.Contains(m.fields, "active") {
		fields = slices.DeleteFunc(fields, func(name string) bool { return name == "active" })
	}
	return j, fields
}

// difference lists what differs in the definition of two jobs, in the order of
// its paths.
func difference(from, to *carillonv1.Job) ([]change, error) {
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

// definitionOf is a job's definition as JSON-like data.
func definitionOf(j *carillonv1.Job) (any, error) {
	j = proto.CloneOf(j)
	message := j.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); answered(field) || slices.Contains(identity, field.Name()) {
			message.Clear(field)
		}
	}
	text, err := protojson.Marshal(j)
	if err != nil {
		return nil, err
	}
	var value any
	return value, json.Unmarshal(text, &value)
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
		switch s.action {
		case create:
			fmt.Fprintf(&text, "+ create %q (%s)\n", plain(s.job.GetName()), s.source)
		case remove:
			fmt.Fprintf(&text, "- delete %q, %s\n", plain(s.job.GetName()), s.job.GetId())
		case update:
			fmt.Fprintf(&text, "~ update %q, %s (%s)\n", plain(s.job.GetName()), s.job.GetId(), s.source)
			for _, c := range s.changes {
				fmt.Fprintf(&text, "    %s: %s -> %s\n", plain(c.path), value(c.from), value(c.to))
			}
		case keep:
		}
	}
	fmt.Fprintf(&text, "%s to create, %d to update, %d to delete, %d as they should be.\n", counted(count[create], "job"), count[update], count[remove], count[keep])
	_, err := io.WriteString(out, text.String())
	return err
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
