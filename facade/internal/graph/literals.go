package graph

import (
	"errors"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/strictjson"
)

// checkLiterals refuses values in the query text that JSON could not carry
// either. It also keeps integers away from the code behind that panics when
// they don't fit.
func checkLiterals(document *ast.QueryDocument) *door.Fault {
	var found *door.Fault
	eachValue(document, func(name string, value *ast.Value) bool {
		err := strictjson.Check(appendJSON(nil, value), strictjson.DefaultMaxDepth)
		var fault *strictjson.Error
		if errors.As(err, &fault) {
			found = door.Invalid(door.Violation{Field: under(name, fault.Path), Reason: fault.Reason, Description: fault.Message})
		}
		return found == nil
	})
	return found
}

// eachValue calls visit with every argument of a field or directive and every
// default of a variable, by name, until it returns false.
func eachValue(document *ast.QueryDocument, visit func(name string, value *ast.Value) bool) {
	w := values{visit: visit}
	for _, operation := range document.Operations {
		for _, variable := range operation.VariableDefinitions {
			if variable.DefaultValue != nil {
				w.value(variable.Variable, variable.DefaultValue)
			}
			w.directives(variable.Directives)
		}
		w.directives(operation.Directives)
		w.selections(operation.SelectionSet)
	}
	for _, fragment := range document.Fragments {
		w.directives(fragment.Directives)
		w.selections(fragment.SelectionSet)
	}
}

// values walks a document without following its spreads.
type values struct {
	visit func(name string, value *ast.Value) bool
	done  bool
}

func (w *values) value(name string, value *ast.Value) {
	if !w.done {
		w.done = !w.visit(name, value)
	}
}

func (w *values) directives(list ast.DirectiveList) {
	for _, directive := range list {
		for _, argument := range directive.Arguments {
			w.value(argument.Name, argument.Value)
		}
	}
}

func (w *values) selections(list ast.SelectionSet) {
	for _, selection := range list {
		if w.done {
			return
		}
		switch selection := selection.(type) {
		case *ast.Field:
			for _, argument := range selection.Arguments {
				w.value(argument.Name, argument.Value)
			}
			w.directives(selection.Directives)
			w.selections(selection.SelectionSet)
		case *ast.InlineFragment:
			w.directives(selection.Directives)
			w.selections(selection.SelectionSet)
		case *ast.FragmentSpread:
			w.directives(selection.Directives)
		}
	}
}

// appendJSON writes a value as JSON text. A variable is null here: its own
// value is checked where it comes from.
func appendJSON(text []byte, value *ast.Value) []byte {
	switch value.Kind {
	case ast.IntValue, ast.FloatValue, ast.BooleanValue:
		return append(text, value.Raw...)
	case ast.StringValue, ast.BlockValue, ast.EnumValue:
		return appendString(text, value.Raw)
	case ast.ListValue:
		text = append(text, '[')
		for i, element := range value.Children {
			if i > 0 {
				text = append(text, ',')
			}
			text = appendJSON(text, element.Value)
		}
		return append(text, ']')
	case ast.ObjectValue:
		text = append(text, '{')
		for i, member := range value.Children {
			if i > 0 {
				text = append(text, ',')
			}
			text = append(appendString(text, member.Name), ':')
			text = appendJSON(text, member.Value)
		}
		return append(text, '}')
	default:
		return append(text, "null"...)
	}
}

// appendString quotes text without mending it: what is no UTF-8 is refused.
func appendString(text []byte, s string) []byte {
	const hex = "0123456789abcdef"
	text = append(text, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			text = append(text, '\\', c)
		case c < ' ':
			text = append(text, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			text = append(text, c)
		}
	}
	return append(text, '"')
}

// under continues the path of an argument.
func under(name, path string) string {
	if path == "" || path[0] == '[' {
		return name + path
	}
	return strings.TrimPrefix(name+"."+path, ".")
}
