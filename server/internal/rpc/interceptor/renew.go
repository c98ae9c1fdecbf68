package interceptor

import (
	"context"
	"errors"
	"time"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
)

// recheckEvery is how often the caller of a stream is verified again.
const recheckEvery = 30 * time.Second

// whileValid ends the context of a stream when its token is not valid any
// more: it expired, or its client is gone or has a new secret. Whoever follows
// for days must not read on with it.
func (c *Chain) whileValid(ctx context.Context, call *call) (context.Context, context.CancelFunc) {
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
				return
			}
		}
	}()
	return ctx, stop
}

// orRefused is what ended a stream: err, unless its token did.
func orRefused(ctx context.Context, err error) error {
	var refused *job.UnauthenticatedError
	if errors.As(context.Cause(ctx), &refused) {
		return refused
	}
	return err
}
