package interceptor

import (
	"context"
	"errors"
	"time"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// recheckEvery is how often the caller of a stream is verified again.
	recheckEvery = 30 * time.Second
	// sayWhy is how long a stream may take to tell its caller that it ends.
	sayWhy = 5 * time.Second
)

// whileValid ends the context of a stream when its token is not valid any
// more: it expired, or its client is gone or has a new secret. Whoever follows
// for days must not read on with it.
func (c *Chain) whileValid(ctx context.Context, call *call) (context.Context, context.CancelFunc) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil) }
	if call.rule.level == carillonv1.AccessRule_PUBLIC {
		return ctx, stop
	}
	go func() {
		tick := time.NewTicker(recheckEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			var refused *job.UnauthenticatedError
			// A database that does not answer now says nothing of the token.
			if _, err := c.identify(ctx); errors.As(err, &refused) {
				cancel(refused)
				abandon(outer)
				return
			}
		}
	}()
	return ctx, stop
}

// abandon ends a stream also when its handler waits for a caller who reads
// nothing: gRPC waits with it for as long as the connection lives.
func abandon(ctx context.Context) {
	a, ok := ctx.Value(arrivalKey{}).(*arrival)
	if !ok { // outside of a server
		return
	}
	patience := time.NewTimer(sayWhy)
	defer patience.Stop()
	select {
	case <-patience.C:
		a.cancel()
	case <-ctx.Done():
	}
}

// orRefused is what ended a stream: err, unless its token did.
func orRefused(ctx context.Context, err error) error {
	var refused *job.UnauthenticatedError
	if errors.As(context.Cause(ctx), &refused) {
		return refused
	}
	return err
}
