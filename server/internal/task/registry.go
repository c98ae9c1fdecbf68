package task

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
)

// Registry is the set of known task types.
type Registry struct{ types map[string]registered }

type registered struct {
	Type
	schema *schema
}

// Description is what callers are told of a type.
type Description struct {
	Name string
	// Text says in a sentence what the type does.
	Text string
	// Schema is the JSON Schema of the arguments, Example a set that fits; both
	// as JSON text.
	Schema, Example json.RawMessage
}

// NewRegistry returns a registry of the given types. A name given twice and a
// schema that is none are programming errors and panic at start.
func NewRegistry(types ...Type) *Registry {
	r := &Registry{types: make(map[string]registered, len(types))}
	for _, t := range types {
		if _, twice := r.types[t.Name()]; twice {
			panic("task: type registered twice: " + t.Name()) //nolint:forbidigo // a mistake in the program's own list
		}
		compiled, err := compile(t.Name(), t.Schema())
		if err != nil {
			panic(fmt.Sprintf("task: schema of %s: %v", t.Name(), err)) //nolint:forbidigo // likewise
		}
		r.types[t.Name()] = registered{t, compiled}
	}
	return r
}

// Lookup returns the type with this name.
func (r *Registry) Lookup(name string) (Type, bool) {
	t, ok := r.types[name]
	return t.Type, ok
}

// Names returns the known names in order.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.types)) }

// Describe tells of every type, in the order of the names.
func (r *Registry) Describe() []Description {
	all := make([]Description, 0, len(r.types))
	for _, name := range r.Names() {
		t := r.types[name]
		all = append(all, Description{Name: name, Text: t.schema.text, Schema: t.Schema(), Example: t.schema.example})
	}
	return all
}

// Check refuses wrong arguments of a known type with a *job.InvalidError that
// holds every violation: of the schema, and what the type itself finds in the
// rest. Any other error is a fault of the type, not of the input. An argument
// that is null counts as left out.
func (r *Registry) Check(name string, args Args) error {
	t := r.types[name]
	args = args.given()
	var errs job.InvalidError
	if refused := t.schema.check(args, &errs); len(refused) > 0 {
		args = maps.Clone(args)
		maps.DeleteFunc(args, func(key string, _ any) bool { return refused[key] })
	}
	if err := errs.Under("", t.Type.Check(args)); err != nil {
		return err
	}
	return errs.Err()
}

// given are the arguments that are not null.
func (a Args) given() Args {
	for _, v := range a {
		if v == nil {
			a = maps.Clone(a)
			maps.DeleteFunc(a, func(_ string, v any) bool { return v == nil })
			break
		}
	}
	return a
}
