package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

type graphqlDoor struct {
	*Caller
	literal bool
}

// GraphQLDoor is the GraphQL door, with the arguments as variables or written
// into the query as literals.
func (c *Caller) GraphQLDoor(literal bool) Door { return graphqlDoor{c, literal} }

func (d graphqlDoor) Name() string {
	if d.literal {
		return "graphql-literal"
	}
	return "graphql"
}

// Offers leaves out what GraphQL offers as a subscription.
func (graphqlDoor) Offers(rpc string) bool {
	_, ok := operations[rpc]
	return ok
}

func (d graphqlDoor) Call(ctx context.Context, rpc string, request Object) (Object, error) {
	op, ok := operations[rpc]
	if !ok {
		return nil, fmt.Errorf("GraphQL has no operation for %s", rpc)
	}
	known, err := d.server.schema(ctx)
	if err != nil {
		return nil, err
	}
	query, variables, err := op.write(known, request, d.literal)
	if err != nil {
		return nil, err
	}
	answer, err := d.GraphQL(ctx, query, variables)
	if err != nil {
		return nil, err
	}
	data, err := ReadGraphQL(answer)
	if err != nil {
		return nil, err
	}
	return op.read(data[op.field])
}

// ReadGraphQL returns the data of an answer without errors, and its first
// error as a *Refusal.
func ReadGraphQL(answer Answer) (Object, error) {
	var body struct {
		Errors []struct {
			Message    string
			Extensions struct {
				Code, Reason    string
				FieldViolations []struct{ Field, Reason string }
			}
		}
	}
	value, err := answer.JSON()
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(answer.Body, &body); err != nil {
		return nil, fmt.Errorf("no GraphQL answer: %w: %.200q", err, answer.Body)
	}
	if len(body.Errors) == 0 {
		object, _ := value.(Object)
		data, ok := object["data"].(Object)
		if !ok {
			return nil, fmt.Errorf("neither data nor errors: %.200q", answer.Body)
		}
		return data, nil
	}
	first := body.Errors[0]
	refusal := &Refusal{Code: first.Extensions.Code, Reason: first.Extensions.Reason, Message: first.Message}
	for _, e := range body.Errors {
		for _, v := range e.Extensions.FieldViolations {
			refusal.Violations = append(refusal.Violations, v.Field+"="+v.Reason)
		}
	}
	switch unauthenticated := refusal.Code == "UNAUTHENTICATED"; {
	case refusal.Code == "" || refusal.Reason == "":
		return nil, fmt.Errorf("an error without code or reason: %s", answer.Body)
	case unauthenticated != (answer.Status == http.StatusUnauthorized):
		return nil, fmt.Errorf("HTTP says %d and the error %s", answer.Status, refusal.Code)
	}
	return nil, refusal
}

// write makes the query and its variables; with literal the values stand in
// the query.
func (op operation) write(known *schema, request Object, literal bool) (query string, variables map[string]any, err error) {
	kind, field, ok := known.root(op.field)
	if !ok {
		return "", nil, fmt.Errorf("the schema has no %s", op.field)
	}
	variables = map[string]any{}
	var declared, given []string
	for _, a := range field.Args {
		value, ok := op.argument(a, request)
		switch {
		case !ok:
		case literal:
			given = append(given, a.Name+": "+Literal(value, a.Type.named().Kind == "ENUM"))
		default:
			declared = append(declared, "$"+a.Name+": "+a.Type.String())
			given = append(given, a.Name+": $"+a.Name)
			variables[a.Name] = value
		}
	}
	query = kind + parenthesised(declared) + " { " + op.field + parenthesised(given) + " " + known.selection(field.Type) + " }"
	return query, variables, nil
}

func parenthesised(parts []string) string {
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, ", ") + ")"
}

// argument finds an argument's value in the request of the RPC.
func (op operation) argument(a schemaField, request Object) (any, bool) {
	if a.Type.String() == "Page" {
		page := Object{}
		for name, from := range map[string]string{"first": "pageSize", "after": "pageToken"} {
			if value, ok := request[from]; ok {
				page[name] = value
			}
		}
		return page, len(page) > 0
	}
	if path, ok := op.paths[a.Name]; ok {
		object, name, inner := strings.Cut(path, ".")
		if !inner {
			value, ok := request[path]
			return value, ok
		}
		resource, _ := request[object].(Object)
		value, ok := resource[name]
		return value, ok
	}
	if value, ok := request[a.Name]; ok {
		return value, true
	}
	for _, object := range resources {
		resource, _ := request[object].(Object)
		if value, ok := resource[a.Name]; ok {
			return value, true
		}
	}
	return nil, false
}

// read brings the value of the root field into the shape of the RPC's answer.
func (op operation) read(value any) (Object, error) {
	switch {
	case op.list != "" && op.bare:
		return canonicalObject(Object{op.list: value}), nil
	case op.list != "":
		page, _ := value.(Object)
		out := Object{op.list: page["items"]}
		if page["hasNextPage"] == true {
			out["nextPageToken"] = page["cursor"]
		}
		return canonicalObject(out), nil
	case op.empty:
		if object, _ := value.(Object); object["success"] != true {
			return nil, fmt.Errorf("%s answered %v, want success", op.field, value)
		}
		return Object{}, nil
	}
	return canonicalObject(value), nil
}

// Literal writes a JSON value as GraphQL does. Keys must be GraphQL names.
func Literal(value any, enum bool) string {
	switch v := value.(type) {
	case Object:
		var parts []string
		for key, inner := range v {
			parts = append(parts, key+": "+Literal(inner, false))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case []any:
		var parts []string
		for _, inner := range v {
			parts = append(parts, Literal(inner, false))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		if enum {
			return v
		}
	}
	// What is left is written as in JSON, but for the escapes of a string,
	// where GraphQL knows all that Go makes.
	text, err := json.Marshal(value)
	if err != nil {
		return "null"
	}
	return string(text)
}
