package interceptor

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pointscene/carillon/server/internal/job"
)

// gRPC decodes a unary request before it asks the interceptors, and answers
// INTERNAL for bytes that are no message. Registrar moves that verdict into
// the chain: after the token, and as the caller's mistake, which it is.

type decodeKey struct{}

// Registrar returns a registrar of services whose undecodable requests are
// told of by the chain.
func Registrar(to grpc.ServiceRegistrar) grpc.ServiceRegistrar { return registrar{to} }

type registrar struct{ to grpc.ServiceRegistrar }

func (r registrar) RegisterService(desc *grpc.ServiceDesc, service any) {
	lenient := *desc
	lenient.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, method := range desc.Methods {
		lenient.Methods[i] = grpc.MethodDesc{MethodName: method.MethodName, Handler: lenientHandler(method.Handler)}
	}
	r.to.RegisterService(&lenient, service)
}

func lenientHandler(handler grpc.MethodHandler) grpc.MethodHandler {
	return func(service any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		if interceptor == nil {
			return handler(service, ctx, decode, nil)
		}
		failure := new(error)
		later := func(request any) error {
			*failure = decode(request)
			return nil
		}
		return handler(service, context.WithValue(ctx, decodeKey{}, failure), later, interceptor)
	}
}

// decoded returns why the request of a unary call could not be decoded.
func decoded(ctx context.Context) error {
	if failure, ok := ctx.Value(decodeKey{}).(*error); ok {
		return undecoded(*failure)
	}
	return nil
}

// undecoded tells a request that is no message from a client that is gone.
func undecoded(err error) error {
	if err == nil || errors.Is(err, io.EOF) || status.Code(err) != codes.Internal {
		return err
	}
	return job.Invalid("", "MALFORMED_REQUEST", "the request is no message of this method; text must be valid UTF-8")
}
