package executor

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

// abandonFor is how long AbandonAll waits for tasks to let go.
const abandonFor = time.Second

// AbandonAll ends everything without a word: the lease is lost, and whatever
// is still written will be refused. It returns when nothing runs any more, or
// after a moment: a task that doesn't let go holds its place and nothing else.
func (e *Executor) AbandonAll(cause error) {
	e.cancelAll(errors.Join(errFenced, cause))
	e.starts.launchCancelled()
	ctx, cancel := context.WithTimeout(context.Background(), abandonFor)
	defer cancel()
	if !e.workers.wait(ctx) {
		e.o.Log.Error("some tasks don't let go of an execution that was taken away; what they still do is not recorded")
	}
}

// Drain stops taking executions, gives back what has not started, waits for
// what runs until ctx ends, then ends it, and stores every end. It returns
// when nothing is left, or when the ends could not be stored in time.
func (e *Executor) Drain(ctx context.Context, storing time.Duration) {
	e.mu.Lock()
	e.draining = true
	e.mu.Unlock()
	e.giveBack(ctx)
	if !e.workers.wait(ctx) {
		e.cancelAll(errDrained)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storing)
	defer cancel()
	e.await(ctx, func() bool { return e.taken == 0 })
	e.stop()
	e.loops.Wait()
	if n := e.ends.unstored.Load(); n > 0 {
		e.o.Log.Error("the database did not take the ends of executions in time; they will be told as lost", "executions", n)
	}
}

// Settle waits until every end that is known is stored, or ctx ends.
func (e *Executor) Settle(ctx context.Context) {
	e.await(ctx, func() bool { return e.ends.unstored.Load() == 0 })
}

// await waits until the counts are as reached wants, which is asked with e.mu
// held, or ctx ends.
func (e *Executor) await(ctx context.Context, reached func() bool) {
	for {
		e.mu.Lock()
		done, room := reached(), e.room
		e.mu.Unlock()
		if done {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-room:
		}
	}
}

func (e *Executor) cancelAll(cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.attempts {
		a.cancel(cause)
	}
}

// giveBack releases what has not started.
func (e *Executor) giveBack(ctx context.Context) {
	waiting := e.starts.take(func(*attempt) bool { return true })
	if len(waiting) == 0 {
		return
	}
	claims := make([]store.Claimed, len(waiting))
	for i, a := range waiting {
		claims[i] = *a.Whole
	}
	if err := e.o.Store.Release(context.WithoutCancel(ctx), claims); err != nil {
		e.o.Log.WarnContext(ctx, "can't give executions back; another replica takes them over", "executions", len(claims), "error", err)
	}
	e.free(waiting...)
}
