package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// document is one YAML or JSON document of a file, as JSON.
type document struct {
	// source is the file and, where it holds several, which one.
	source string
	json   []byte
}

// manifest is an object as a file defines it.
type manifest struct {
	source string
	kind   *kind
	object declarable
	// fields are those that the file names, as paths of a field mask.
	fields []string
}

// readDocuments reads a file, or every .yaml, .yml and .json file below a
// folder, or standard input for "-".
func readDocuments(stdin io.Reader, path string) ([]document, error) {
	if path == "-" {
		return decodeDocuments("standard input", stdin)
	}
	var found []document
	err := filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if file != path && !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)) {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		documents, err := decodeDocuments(file, bytes.NewReader(text))
		found = append(found, documents...)
		return err
	})
	var exit *Exit
	var lost *fs.PathError
	switch {
	case errors.As(err, &lost):
		err = usage("%s: %w", lost.Path, lost.Err)
	case err != nil && !errors.As(err, &exit):
		err = usage("%w", err)
	}
	return found, err
}

func decodeDocuments(source string, text io.Reader) ([]document, error) {
	var found []document
	decoder := yaml.NewDecoder(text)
	for i := 1; ; i++ {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		name := source
		if i > 1 {
			name = fmt.Sprintf("%s, document %d", source, i)
		}
		if err != nil {
			return nil, usage("%s: %w", name, err)
		}
		value, err := fromYAML(&node, 0)
		if err != nil {
			return nil, usage("%s: %w", name, err)
		}
		if value == nil {
			continue // an empty document
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, usage("%s: %w", name, err)
		}
		found = append(found, document{name, text})
	}
}

// fromYAML is a node as JSON-like data. Times and dates stay the text that they
// were written as. Aliases are refused: they can make much of little.
func fromYAML(n *yaml.Node, depth int) (any, error) {
	if depth > 200 {
		return nil, fmt.Errorf("line %d: nested too deep", n.Line)
	}
	switch n.Kind {
	case yaml.DocumentNode:
		return fromYAML(n.Content[0], depth)
	case yaml.MappingNode:
		object := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if _, twice := object[key.Value]; twice {
				return nil, fmt.Errorf("line %d: %q is there twice", key.Line, key.Value)
			}
			value, err := fromYAML(n.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			object[key.Value] = value
		}
		return object, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			value, err := fromYAML(child, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case yaml.ScalarNode:
		return scalar(n)
	default:
		return nil, fmt.Errorf("line %d: anchors and aliases are not supported", n.Line)
	}
}

func scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil
	case "!!bool":
		var value bool
		err := n.Decode(&value)
		return value, err
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value), nil // keeps every digit
		}
		var value float64
		err := n.Decode(&value)
		return value, err
	default:
		return n.Value, nil
	}
}

// manifest reads a document as the definition of an object. What only the
// service can say (state, next run, …) is left out, so that what it answers can
// be given back to it.
func (d document) manifest() (manifest, error) {
	m := manifest{source: d.source}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(d.json, &named); err != nil {
		return m, usage("%s: write an object", d.source)
	}
	var err error
	if m.kind, err = d.kind(named); err != nil {
		return m, err
	}
	text, err := json.Marshal(named)
	if err != nil {
		return m, usage("%s: %w", d.source, err)
	}
	m.object = m.kind.message()
	if err := protojson.Unmarshal(text, m.object); err != nil {
		// The library varies its wording's white space on purpose, and its lines are
		// not those of the file.
		return m, usage("%s: %s", d.source, prefix.ReplaceAllString(strings.ReplaceAll(err.Error(), "\u00a0", " "), ""))
	}
	message := m.object.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		_, inJSON := named[field.JSONName()]
		_, inProto := named[field.TextName()]
		switch {
		case slices.Contains(identity, field.Name()):
		case answered(field):
			message.Clear(field)
		case inJSON || inProto:
			m.fields = append(m.fields, string(field.Name()))
		}
	}
	return m, nil
}

// kind takes what a document says of its kind out of its fields.
func (d document) kind(named map[string]json.RawMessage) (*kind, error) {
	var name string
	text, given := named["kind"]
	if !given {
		return kinds[0], nil
	}
	delete(named, "kind")
	if json.Unmarshal(text, &name) == nil {
		for _, k := range kinds {
			if k.name == name {
				return k, nil
			}
		}
	}
	return nil, usage("%s: the kind is job, which may be left out, or webhook", d.source)
}

// job is a manifest for commands that know only jobs.
func (m manifest) job() (*carillonv1.Job, error) {
	j, ok := m.object.(*carillonv1.Job)
	if !ok {
		return nil, usage("%s defines a %s, not a job", m.source, m.kind.name)
	}
	return j, nil
}

// identity are fields that say which object it is, and are no part of its
// definition.
var identity = []protoreflect.Name{"id", "instance_id", "etag"}

// prefix is what begins the errors of protojson.
var prefix = regexp.MustCompile(`^proto: *(\(line \d+:\d+\): )?`)

// answered says whether only the service sets a field.
func answered(field protoreflect.FieldDescriptor) bool {
	behaviour, _ := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
	return slices.Contains(behaviour, annotations.FieldBehavior_OUTPUT_ONLY)
}

// definable are the fields that a file can define, as paths of a field mask.
func definable(k *kind) []string {
	var names []string
	fields := k.message().ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if field := fields.Get(i); !answered(field) && !slices.Contains(identity, field.Name()) {
			names = append(names, string(field.Name()))
		}
	}
	return names
}

func wholeMinutes(text string) (int32, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Minute != 0 || d < time.Minute || d > 525600*time.Minute {
		return 0, usage("--interval: %q is not a duration of whole minutes from 1m to 8760h", text)
	}
	return int32(d / time.Minute), nil
}
