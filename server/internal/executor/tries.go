package executor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/task"
)

// longestWait is how long a server may ask a task to wait for its next try;
// one that asks for more has failed the task.
const longestWait = time.Hour

// try runs a task until it succeeds, or another try is of no use, or its time
// is over. Each failure is in the task's record before the wait for the next
// try begins.
func (r *runner) try(i int) (task.Output, error) {
	t := &r.w.Tasks[i]
	ctx, cancel := r.a.ctx, func() {}
	if t.Timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, t.Timeout, &job.Failure{
			Code: "DEADLINE_EXCEEDED", Reason: job.ReasonTaskTimeout, Message: fmt.Sprintf("The task ran longer than its timeout, %s.", t.Timeout),
		})
	}
	defer cancel()
	retry := r.retry(i)
	var last *job.Failure
	for n := 1; ; n++ {
		r.a.startTask(i, n, r.e.o.Now())
		output, err := r.do(ctx, i)
		if err == nil || r.a.ctx.Err() != nil {
			return output, err
		}
		if ctx.Err() != nil {
			return output, timedOut(ctx, last)
		}
		last = r.masked(job.FailureOf(err))
		wait, again := waitAfter(retry, last, n)
		if !again || r.final(i, err) {
			return output, err
		}
		at := r.e.o.Now().Add(wait)
		r.a.log.Task(t.Name).Warn("task failed; trying again", "attempt", n, "code", last.Code, "reason", last.Reason, "error", last.Message, "wait", wait.String())
		r.a.waitTask(i, at, last)
		pause(ctx, wait)
		if r.a.ctx.Err() != nil {
			return output, last
		}
		if ctx.Err() != nil {
			return output, timedOut(ctx, last)
		}
	}
}

// final tells whether a failure must be told as it is: a task that waits for
// somebody, or that has done a part of what somebody has approved, which is
// another plan from then on.
func (r *runner) final(i int, err error) bool {
	var waits *task.Approval
	var partial *task.Partial
	return errors.As(err, &waits) || errors.As(err, &partial) && r.steps[i].approved != nil
}

// retry is what the workflow says, or else the type's own way.
func (r *runner) retry(i int) task.Retry {
	t := &r.w.Tasks[i]
	if t.Retry != nil {
		return *t.Retry
	}
	if retrier, ok := r.w.kinds[i].(task.Retrier); ok {
		return retrier.DefaultRetry()
	}
	return task.Retry{MaxAttempts: 1}
}

// timedOut is why a task ended at its timeout; what failed before is worth
// knowing too.
func timedOut(ctx context.Context, last *job.Failure) error {
	f := *job.FailureOf(context.Cause(ctx))
	if last != nil {
		f.Message += " Before that: " + last.Message
	}
	return &f
}

// waitAfter tells how long to wait after the n-th try failed, or that there is
// no other: refused credentials and wrong input are never tried again, a server
// that asks for a pause gets it, everything else is tried at growing intervals,
// a little shortened by chance so that many tasks don't come back at once.
func waitAfter(retry task.Retry, f *job.Failure, n int) (time.Duration, bool) {
	if n >= retry.MaxAttempts || f.Permanent() || f.RetryAfter > longestWait {
		return 0, false
	}
	backoff := policy.Backoff(job.RetryPolicy{MinBackoff: retry.MinBackoff, MaxBackoff: retry.MaxBackoff, MaxDoublings: n}, n)
	return max(backoff-rand.N(backoff/5+1), f.RetryAfter), true
}
