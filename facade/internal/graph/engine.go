package graph

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/graph/exec"
	"github.com/pointscene/carillon/facade/internal/graph/model"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// engine is gqlgen's executor behind the limits. It is a
// graphql.GraphExecutor, as gqlgen's transports take it.
type engine struct {
	*executor.Executor
	schema *ast.Schema
	rules  *rules.Rules
	access *door.Access
}

func newEngine(resolvers exec.ResolverRoot, access *door.Access) *engine {
	schema := *exec.NewExecutableSchema(exec.Config{}).Schema()
	schema.Directives = maps.Clone(schema.Directives)
	// Incremental delivery needs a transport that answers in parts.
	delete(schema.Directives, "defer")
	executable := exec.NewExecutableSchema(exec.Config{Schema: &schema, Resolvers: resolvers})
	e := &engine{Executor: executor.New(executable), schema: &schema, rules: rules.NewDefaultRules(), access: access}
	e.SetQueryCache(prepared{})
	e.SetErrorPresenter(e.present)
	e.SetRecoverFunc(func(ctx context.Context, value any) error {
		door.LogPanic(ctx, value)
		return door.Refuse(codes.Internal, "INTERNAL", "internal error")
	})
	return e
}

// CreateOperationContext checks a request and makes it ready to be executed.
func (e *engine) CreateOperationContext(ctx context.Context, params *graphql.RawParams) (*graphql.OperationContext, gqlerror.List) {
	document, errs := e.prepare(ctx, params)
	if len(errs) > 0 {
		return &graphql.OperationContext{}, errs
	}
	operation, errs := e.Executor.CreateOperationContext(context.WithValue(ctx, preparedKey{}, document), params)
	if len(errs) > 0 {
		// They are about variables: the document is valid and has the operation.
		return operation, e.beforeAll(ctx, document, params, variableErrors(document, errs))
	}
	operation.DisableIntrospection = false
	if fault := checkCost(operation.Operation, operation.Variables); fault != nil {
		return operation, gqlerror.List{refusal(fault, nil)}
	}
	// The document and the request are larger than what they say.
	settle(operation)
	params.Variables = nil
	return operation, nil
}

// settle turns the JSON objects among an operation's variables and literals
// into what the resolvers take, so that a large one lies in memory once. What
// is no object stays, and is refused where it stands.
func settle(operation *graphql.OperationContext) {
	for _, variable := range operation.Operation.VariableDefinitions {
		if variable.Type.NamedType != jsonScalar {
			continue
		}
		if object, err := model.UnmarshalObject(operation.Variables[variable.Variable]); err == nil {
			operation.Variables[variable.Variable] = object
		}
	}
	for _, selection := range operation.Operation.SelectionSet {
		field, ok := selection.(*ast.Field)
		if !ok {
			continue
		}
		for _, argument := range field.Arguments {
			if argument.Value.Kind != ast.ObjectValue || argument.Value.Definition.Name != jsonScalar {
				continue
			}
			value, err := argument.Value.Value(operation.Variables)
			if err != nil {
				continue
			}
			if object, err := model.UnmarshalObject(value); err == nil {
				name := "literal " + strconv.Itoa(len(operation.Variables)) // no variable has a space
				operation.Variables[name] = object
				argument.Value = &ast.Value{Kind: ast.Variable, Raw: name, Position: argument.Value.Position}
			}
		}
	}
}

// jsonScalar is the scalar whose values may be large.
const jsonScalar = "JSON"

// prepare parses and validates a document.
func (e *engine) prepare(ctx context.Context, params *graphql.RawParams) (*ast.QueryDocument, gqlerror.List) {
	if fault := checkTokens(params.Query); fault != nil {
		return nil, gqlerror.List{refusal(fault, nil)}
	}
	document, err := parser.ParseQuery(&ast.Source{Input: params.Query})
	if err != nil {
		return nil, gqlerror.List{syntaxError(err)}
	}
	if fault := checkSize(document); fault != nil {
		return nil, gqlerror.List{refusal(fault, nil)}
	}
	if fault := checkLiterals(document); fault != nil {
		return nil, e.beforeAll(ctx, document, params, gqlerror.List{refusal(fault, nil)})
	}
	if errs := validator.ValidateWithRules(e.schema, document, e.rules); len(errs) > 0 {
		return nil, e.beforeAll(ctx, document, params, validationErrors(document, errs))
	}
	if document.Operations.ForName(params.OperationName) == nil {
		return nil, gqlerror.List{invalidDocument("operationName must be that of one of the document's operations", nil)}
	}
	return document, nil
}

// beforeAll replaces errors about values by what the service says of the
// caller, if that comes first. Errors about the document stay: what the schema
// is, everybody may know.
func (e *engine) beforeAll(ctx context.Context, document *ast.QueryDocument, params *graphql.RawParams, errs gqlerror.List) gqlerror.List {
	operation := document.Operations.ForName(params.OperationName)
	aboutDocument := func(err *gqlerror.Error) bool { return err.Extensions["reason"] == reasonValidation }
	if operation == nil || slices.ContainsFunc(errs, aboutDocument) {
		return errs
	}
	for _, selection := range operation.SelectionSet {
		if field, ok := selection.(*ast.Field); ok {
			if fault := e.before(ctx, operation.Operation, field, params.Variables, nil); fault != nil {
				return gqlerror.List{refusal(fault, nil)}
			}
		}
	}
	return errs
}

// objects are the arguments that name what an operation acts on, the innermost
// first.
var objects = []struct {
	argument string
	kind     carillonv1.AccessObject_Kind
}{
	{"jobId", carillonv1.AccessObject_JOB},
	{"id", carillonv1.AccessObject_JOB},
	{"jobHistoryId", carillonv1.AccessObject_EXECUTION},
	{"executionId", carillonv1.AccessObject_EXECUTION},
	{"backfillId", carillonv1.AccessObject_BACKFILL},
	{"webhookId", carillonv1.AccessObject_WEBHOOK},
	{"deliveryId", carillonv1.AccessObject_DELIVERY},
	{"resourceId", carillonv1.AccessObject_RESOURCE},
	{"instanceId", carillonv1.AccessObject_INSTANCE},
}

// levels are what operations need whose level is not READ for a query or a
// subscription and WRITE for a mutation.
var levels = map[string]carillonv1.AccessRule_Level{
	"planJob":        carillonv1.AccessRule_WRITE,
	"getAuditEvents": carillonv1.AccessRule_WRITE,
	"createInstance": carillonv1.AccessRule_INSTANCE_CREATE,

	"getClients":        carillonv1.AccessRule_OPERATOR,
	"createClient":      carillonv1.AccessRule_OPERATOR,
	"deleteClient":      carillonv1.AccessRule_OPERATOR,
	"resetClientSecret": carillonv1.AccessRule_OPERATOR,
	"setQuota":          carillonv1.AccessRule_OPERATOR,
	"getKeys":           carillonv1.AccessRule_OPERATOR,
	"getSigningKeys":    carillonv1.AccessRule_OPERATOR,
	"addKey":            carillonv1.AccessRule_OPERATOR,
	"promoteKey":        carillonv1.AccessRule_OPERATOR,
	"rewrapKeys":        carillonv1.AccessRule_OPERATOR,
	"disableKey":        carillonv1.AccessRule_OPERATOR,
	"destroyKey":        carillonv1.AccessRule_OPERATOR,
	"rotateSigningKey":  carillonv1.AccessRule_OPERATOR,
}

func levelOf(kind ast.Operation, field string) carillonv1.AccessRule_Level {
	level, special := levels[field]
	switch {
	case special:
		return level
	case kind == ast.Mutation:
		return carillonv1.AccessRule_WRITE
	default:
		return carillonv1.AccessRule_READ
	}
}

// before returns what the service says of the caller of a root field, if it
// comes before fault, and fault otherwise.
func (e *engine) before(ctx context.Context, kind ast.Operation, root *ast.Field, variables map[string]any, fault *door.Fault) *door.Fault {
	if strings.HasPrefix(root.Name, "__") {
		return fault
	}
	if first := e.access.Verdict(ctx, e.need(kind, root, variables)); first != nil {
		return door.FaultOf(first)
	}
	return fault
}

// need is what a root field needs of its caller. The object is named by an
// argument that is required, where there is one: others narrow down.
func (e *engine) need(kind ast.Operation, root *ast.Field, variables map[string]any) door.Need {
	need := door.Need{Level: levelOf(kind, root.Name)}
	definition := e.root(kind).Fields.ForName(root.Name)
	onObject := need.Level == carillonv1.AccessRule_READ || need.Level == carillonv1.AccessRule_WRITE
	if definition == nil || !onObject {
		return need
	}
	for _, required := range []bool{true, false} {
		for _, object := range objects {
			declared, argument := definition.Arguments.ForName(object.argument), root.Arguments.ForName(object.argument)
			if argument == nil || declared == nil || declared.Type.NonNull != required {
				continue
			}
			value, err := argument.Value.Value(variables)
			if err != nil {
				continue
			}
			if id, err := model.UnmarshalID(value); err == nil && id != "" {
				need.Kind, need.ID = object.kind, id
				return need
			}
		}
	}
	return need
}

func (e *engine) root(kind ast.Operation) *ast.Definition {
	switch kind {
	case ast.Mutation:
		return e.schema.Mutation
	case ast.Subscription:
		return e.schema.Subscription
	default:
		return e.schema.Query
	}
}

type preparedKey struct{}

// prepared hands gqlgen the document that prepare made, in the place of a
// cache: else it would parse and validate a second time.
type prepared struct{}

func (prepared) Get(ctx context.Context, _ string) (*ast.QueryDocument, bool) {
	document, ok := ctx.Value(preparedKey{}).(*ast.QueryDocument)
	return document, ok
}

func (prepared) Add(context.Context, string, *ast.QueryDocument) {}
