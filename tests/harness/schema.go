package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// schema is what the GraphQL door says of itself.
type schema struct {
	types map[string]schemaType
}

type schemaType struct {
	Kind, Name string
	Fields     []schemaField
}

type schemaField struct {
	Name string
	Args []schemaField
	Type typeRef
}

// typeRef is a type as introspection tells it.
type typeRef struct {
	Kind, Name string
	OfType     *typeRef
}

// String is the type as a query writes it: [ID!]!.
func (r typeRef) String() string {
	switch r.Kind {
	case "NON_NULL":
		return r.OfType.String() + "!"
	case "LIST":
		return "[" + r.OfType.String() + "]"
	}
	return r.Name
}

// named is the type without lists and marks.
func (r typeRef) named() typeRef {
	for r.OfType != nil {
		r = *r.OfType
	}
	return r
}

const introspection = `{ __schema { types { kind name
	fields { name args { name type { ...ref } } type { ...ref } } } } }
	fragment ref on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }`

// askSchema asks the server, without a token.
func (s *Server) askSchema(ctx context.Context) (*schema, error) {
	answer, err := s.As("").GraphQL(ctx, introspection, nil)
	if err != nil {
		return nil, err
	}
	var body struct {
		Data struct {
			Schema struct{ Types []schemaType } `json:"__schema"`
		}
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return nil, fmt.Errorf("read the schema: %w: %.200q", err, answer.Body)
	}
	out := &schema{types: map[string]schemaType{}}
	for _, t := range body.Data.Schema.Types {
		out.types[t.Name] = t
	}
	if len(out.types) == 0 {
		return nil, fmt.Errorf("no schema: %.300q", answer.Body)
	}
	return out, nil
}

// root finds a root field and the word that its operation begins with.
func (s *schema) root(name string) (kind string, field schemaField, ok bool) {
	for _, root := range []string{"Query", "Mutation"} {
		fields := s.types[root].Fields
		if i := slices.IndexFunc(fields, func(f schemaField) bool { return f.Name == name }); i >= 0 {
			return strings.ToLower(root), fields[i], true
		}
	}
	return "", schemaField{}, false
}

// selection selects everything below a type but what needs another call: a
// job's history.
func (s *schema) selection(of typeRef) string {
	fields := s.types[of.named().Name].Fields
	if len(fields) == 0 {
		return ""
	}
	var parts []string
	for _, f := range fields {
		if len(f.Args) == 0 && f.Name != "history" {
			parts = append(parts, strings.TrimSpace(f.Name+" "+s.selection(f.Type)))
		}
	}
	return "{ " + strings.Join(parts, " ") + " }"
}
