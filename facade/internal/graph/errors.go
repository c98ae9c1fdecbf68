package graph

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/graph/model"
)

const (
	reasonSyntax     = "GRAPHQL_SYNTAX"
	reasonValidation = "GRAPHQL_VALIDATION"
)

// maxErrors is how many faults of a document are told.
const maxErrors = 20

// refusal is a fault as a GraphQL error.
func refusal(fault *door.Fault, locations []gqlerror.Location) *gqlerror.Error {
	extensions := map[string]any{
		"code":            fault.Code(),
		"reason":          fault.Reason(),
		"fieldViolations": fault.Violations(),
	}
	if facts := fault.Metadata(); len(facts) > 0 {
		extensions["metadata"] = facts
	}
	if wait := fault.RetryAfter(); wait > 0 {
		extensions["retryAfterSeconds"] = wait.Seconds()
	}
	return &gqlerror.Error{Err: fault, Message: fault.Status.Message(), Locations: locations, Extensions: extensions}
}

// syntaxError tells where a query ends to be one. What stands there may be a
// part of a value, so that it isn't repeated.
func syntaxError(err error) *gqlerror.Error {
	var located *gqlerror.Error
	message := "the query is not well formed"
	if !errors.As(err, &located) {
		return refusal(door.Refuse(codes.InvalidArgument, reasonSyntax, message), nil)
	}
	if wanted, found := strings.CutPrefix(located.Message, "Expected "); found {
		wanted, _, _ = strings.Cut(wanted, ", found")
		message += ": expected " + wanted
	}
	for _, at := range located.Locations {
		message += " at line " + strconv.Itoa(at.Line) + ", column " + strconv.Itoa(at.Column)
	}
	return refusal(door.Refuse(codes.InvalidArgument, reasonSyntax, message), located.Locations)
}

func invalidDocument(message string, locations []gqlerror.Location) *gqlerror.Error {
	return refusal(door.Refuse(codes.InvalidArgument, reasonValidation, message), locations)
}

// validationErrors keeps gqlparser's messages, which name fields and types, but
// for those about arguments: one of them repeats values, and clients want the
// argument's name as a field.
func validationErrors(document *ast.QueryDocument, errs gqlerror.List) gqlerror.List {
	var out gqlerror.List
	for _, err := range errs[:min(len(errs), maxErrors)] {
		named := argumentName.FindStringSubmatch(err.Message)
		switch {
		case err.Rule == "ValuesOfCorrectType" && len(err.Locations) > 0:
			out = append(out, refusal(door.Invalid(wrongValue(document, err.Locations[0])), err.Locations))
		case err.Rule == "ProvidedRequiredArguments" && named != nil:
			violation := door.Violation{Field: named[1], Reason: door.ReasonRequired, Description: "is required"}
			out = append(out, refusal(door.Invalid(violation), err.Locations))
		case err.Rule == "KnownArgumentNames" && named != nil:
			violation := door.Violation{Field: named[1], Reason: door.ReasonUnknownField, Description: "no such argument"}
			out = append(out, refusal(door.Invalid(violation), err.Locations))
		case err.Rule == "ValuesOfCorrectType":
			out = append(out, invalidDocument("a value is not of the type that stands there", nil))
		default:
			out = append(out, invalidDocument(err.Message, err.Locations))
		}
	}
	return out
}

// argumentName finds the name of an argument in gqlparser's messages.
var argumentName = regexp.MustCompile(`argument "(\w+)"`)

// wrongValue finds the value at a place and says what it should be.
func wrongValue(document *ast.QueryDocument, at gqlerror.Location) door.Violation {
	found := door.Violation{Reason: door.ReasonWrongType, Description: "is not of the type that stands here"}
	eachValue(document, func(name string, value *ast.Value) bool {
		path, value := locate(name, value, at)
		if value != nil {
			found.Field = path
			describe(&found, value)
		}
		return value == nil
	})
	return found
}

// locate finds the innermost value that begins at a place.
func locate(path string, value *ast.Value, at gqlerror.Location) (string, *ast.Value) {
	for i, child := range value.Children {
		step := "[" + strconv.Itoa(i) + "]"
		if value.Kind == ast.ObjectValue {
			step = child.Name
		}
		if path, found := locate(under(path, step), child.Value, at); found != nil {
			return path, found
		}
	}
	if value.Position != nil && value.Position.Line == at.Line && value.Position.Column == at.Column {
		return path, value
	}
	return "", nil
}

func describe(violation *door.Violation, value *ast.Value) {
	definition := value.Definition
	switch {
	case definition == nil || value.ExpectedType == nil:
	case value.Kind == ast.NullValue:
		violation.Reason, violation.Description = door.ReasonRequired, "must not be null"
	case definition.Kind == ast.Enum:
		var names []string
		for _, one := range definition.EnumValues {
			names = append(names, one.Name)
		}
		violation.Reason, violation.Description = door.ReasonInvalidValue, "must be one of "+strings.Join(names, ", ")
	case definition.Kind == ast.InputObject && value.Kind == ast.ObjectValue:
		violation.Description = "has a field that " + definition.Name + " lacks, or lacks one that it needs"
	default:
		violation.Description = "must be of type " + value.ExpectedType.String()
	}
}

// variableErrors names the argument that a refused variable stands for.
func variableErrors(document *ast.QueryDocument, errs gqlerror.List) gqlerror.List {
	var out gqlerror.List
	for _, err := range errs {
		reason, description := door.ReasonWrongType, err.Message
		switch {
		case strings.Contains(err.Message, "must be defined"), strings.Contains(err.Message, "cannot be null"):
			reason = door.ReasonRequired
		case strings.Contains(err.Message, "unknown field"):
			reason = door.ReasonUnknownField
		case strings.Contains(err.Message, " is not a valid "): // begins with the value
			_, kind, _ := strings.Cut(err.Message, " is not a valid ")
			reason, description = door.ReasonInvalidValue, "is not a valid "+kind
		}
		path := err.Path
		if len(path) > 0 && path[0] == ast.PathName("variable") {
			path = path[1:]
		}
		field := argumentPath(document, pathText(path))
		out = append(out, refusal(door.Invalid(door.Violation{Field: field, Reason: reason, Description: description}), nil))
	}
	return out
}

// argumentPath turns the path of a variable into that of the argument that it
// is given to: clients name their variables as they like.
func argumentPath(document *ast.QueryDocument, path string) string {
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		end = len(path)
	}
	name, rest := path[:end], path[end:]
	found := ""
	eachValue(document, func(argument string, value *ast.Value) bool {
		found = use(argument, value, name)
		return found == ""
	})
	if found == "" {
		return path
	}
	return found + rest
}

// use returns the path at which a value uses a variable, "" for nowhere.
func use(path string, value *ast.Value, variable string) string {
	if value.Kind == ast.Variable && value.Raw == variable {
		return path
	}
	for i, child := range value.Children {
		step := "[" + strconv.Itoa(i) + "]"
		if value.Kind == ast.ObjectValue {
			step = child.Name
		}
		if found := use(under(path, step), child.Value, variable); found != "" {
			return found
		}
	}
	return ""
}

func pathText(path ast.Path) string {
	text := ""
	for _, step := range path {
		switch step := step.(type) {
		case ast.PathName:
			text = under(text, string(step))
		case ast.PathIndex:
			text += "[" + strconv.Itoa(int(step)) + "]"
		}
	}
	return text
}

// present turns what a resolver or an argument fails with into what the caller
// is told.
func (e *engine) present(ctx context.Context, err error) *gqlerror.Error {
	presented := graphql.DefaultErrorPresenter(ctx, err)
	fault := renamed(door.FaultOf(err))
	var input *model.InputError
	if errors.As(err, &input) {
		violation := door.Violation{Field: argumentOf(ctx, presented.Path) + input.Path, Reason: input.Reason, Description: input.Description}
		fault = door.Invalid(violation)
		if root := graphql.GetRootFieldContext(ctx); root != nil {
			o := graphql.GetOperationContext(ctx)
			fault = e.before(ctx, o.Operation.Operation, root.Field.Field, o.Variables, fault)
		}
	}
	door.LogHidden(ctx, fault, err)
	out := refusal(fault, presented.Locations)
	out.Path = presented.Path
	if field := graphql.GetFieldContext(ctx); input != nil && field != nil {
		out.Path = field.Path()
		out.Locations = []gqlerror.Location{{Line: field.Field.Position.Line, Column: field.Field.Position.Column}}
	}
	return out
}

// argumentOf is what the path of a refused argument says beyond that of its
// field.
func argumentOf(ctx context.Context, path ast.Path) string {
	if field := graphql.GetFieldContext(ctx); field != nil {
		path = path[min(len(field.Path()), len(path)):]
	}
	return pathText(path)
}

// argumentNames are the arguments whose names differ from those of the fields
// that the service speaks of.
var argumentNames = map[string]string{
	"pageSize": "page.first", "pageToken": "page.after", "executionId": "jobHistoryId",
}

// renamed speaks of arguments.
func renamed(fault *door.Fault) *door.Fault {
	violations := fault.Violations()
	change := false
	for i, v := range violations {
		if name, other := argumentNames[v.Field]; other {
			violations[i].Field, change = name, true
		}
	}
	if !change {
		return fault
	}
	return door.Invalid(violations...)
}
