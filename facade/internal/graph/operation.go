package graph

import (
	"context"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
)

// operation is a checked operation, ready to be executed.
type operation struct {
	*graphql.OperationContext
	ctx context.Context
	// close must be called when it was answered.
	close func()
}

func (o *operation) subscription() bool { return o.Operation.Operation == ast.Subscription }

// check makes an operation of a request's JSON. err is about what is no
// document, errs are about the document and its variables.
func (h *Handler) check(ctx context.Context, body []byte) (_ *operation, errs gqlerror.List, err error) {
	ctx = graphql.StartOperationTrace(ctx)
	checking, cancel := context.WithTimeout(ctx, door.CallTime)
	defer cancel()
	leave, err := h.admission.Enter(checking, len(body))
	if err != nil {
		return nil, nil, err
	}
	params, err := readJSON(body)
	if err != nil {
		leave()
		return nil, nil, err
	}
	prepared, errs := h.engine.CreateOperationContext(checking, params)
	if len(errs) > 0 {
		leave()
		return nil, errs, nil
	}
	o := &operation{OperationContext: prepared}
	if o.subscription() {
		leave() // else few of them would keep out everybody else
		o.ctx, o.close = context.WithCancel(ctx)
		return o, nil, nil
	}
	o.ctx, cancel = context.WithTimeout(ctx, door.CallTime)
	o.close = func() { cancel(); leave() }
	return o, nil, nil
}

// execute runs an operation and answers each response, until there are no more
// or its context ends. A subscription has any number, and maybe a last one that
// says why it ended; every other operation has one. What a response holds is
// overwritten by the next one.
func (h *Handler) execute(o *operation) func() *graphql.Response {
	end := &ending{}
	ctx := context.WithValue(o.ctx, endingKey{}, end)
	var next graphql.ResponseHandler
	over := false
	return func() (response *graphql.Response) {
		if over {
			return nil
		}
		defer func() {
			if value := recover(); value != nil {
				door.LogPanic(ctx, value)
				response, over = failed(ctx, errPanicked), true
			}
		}()
		if next == nil {
			next, ctx = h.engine.DispatchOperation(ctx, o.OperationContext)
		}
		if response = next(ctx); response != nil {
			return response
		}
		over = true
		if ctx.Err() != nil || end.err == nil { // in this order: only then the resolver has ended
			return nil
		}
		return failed(ctx, end.err)
	}
}

var errPanicked = door.Refuse(codes.Internal, "INTERNAL", "internal error")

// failed is the response to an operation that came to nothing.
func failed(ctx context.Context, err error) *graphql.Response {
	fault := door.FaultOf(err)
	door.LogHidden(ctx, fault, err)
	return &graphql.Response{Errors: gqlerror.List{refusal(fault, nil)}}
}
