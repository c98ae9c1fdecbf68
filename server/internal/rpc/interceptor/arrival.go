package interceptor

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc/tap"
)

// arrivalTime is how long a caller may take to send its request. gRPC itself
// waits for ever, and the chain begins only when a request is there.
const arrivalTime = 30 * time.Second

type arrivalKey struct{}

// Arrive gives a call its time to arrive; it is for grpc.InTapHandle. A call
// whose request has not come by then is cancelled.
func (c *Chain) Arrive(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancel(ctx)
	late := time.AfterFunc(c.ArrivalTime, cancel)
	// A caller may reset a million calls meanwhile: none may leave a timer.
	unwatch := context.AfterFunc(ctx, func() { late.Stop() })
	return context.WithValue(ctx, arrivalKey{}, func() { late.Stop(); unwatch() }), nil
}

// arrived says that the request is there.
func (call *call) arrived(ctx context.Context) {
	// Reflection needs no token, and nobody converses with it for long.
	if stop, ok := ctx.Value(arrivalKey{}).(func()); ok && !strings.HasPrefix(call.method, "/grpc.reflection.") {
		stop()
	}
}
