package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// begin notes the start.
func (a *attempt) begin(now time.Time, log *executionlog.Writer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.startedAt, a.log, a.changed = now, log, true
	if limit := a.Policies.TimeLimit; limit > 0 {
		a.limit = time.AfterFunc(limit, func() { a.cancel(errTimeLimit) })
	}
}

// fail notes why there was nothing to run.
func (a *attempt) fail(f *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = f
}

func (a *attempt) setTasks(records []job.TaskRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks = records
}

func (a *attempt) startTask(i int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[i].State, a.tasks[i].StartedAt, a.changed = job.TaskRunning, now, true
}

func (a *attempt) endTask(i int, state job.TaskState, now time.Time, f *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.tasks[i]
	if !t.StartedAt.IsZero() {
		t.FinishedAt = notBefore(now, t.StartedAt)
	}
	t.State, t.Error, a.changed = state, f, true
	if state == job.TaskFailed && a.failure == nil {
		a.failure = &job.Failure{Code: f.Code, Reason: f.Reason, Message: "Task " + t.Name + ": " + f.Message}
	}
}

// failedInput names an input that did not succeed.
func (a *attempt) failedInput(inputs []string) string {
	if len(inputs) == 0 {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tasks {
		if t.State != job.TaskSucceeded && slices.Contains(inputs, t.Name) {
			return t.Name
		}
	}
	return ""
}

// cause is why the attempt was ended from outside.
func (a *attempt) cause() error { return context.Cause(a.ctx) }

// report is what to tell of an attempt that has run for a while, if anything
// changed.
func (a *attempt) report(startedBefore time.Time) (p store.Progress, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.changed || a.startedAt.IsZero() || a.startedAt.After(startedBefore) {
		return p, false
	}
	a.changed = false
	return store.Progress{
		ExecutionID: a.ExecutionID, Fence: a.Fence, StartedAt: a.startedAt,
		Tasks: slices.Clone(a.tasks), LogBytes: a.log.Bytes(),
	}, true
}

// reportAgain makes the next round tell it again.
func (a *attempt) reportAgain() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.changed = true
}

// outcome is the state and error with which the attempt ends.
func (a *attempt) outcome() (job.State, *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ctx.Err() != nil && !a.allSucceeded() {
		cause := a.cause()
		switch {
		case errors.Is(cause, errDrained):
			return job.StateWorkerLost, errDrained
		case errors.Is(cause, errTimeLimit):
			return job.StateFailed, errTimeLimit
		case errors.Is(cause, errFenced):
			return job.StateWorkerLost, errTaken
		}
		return job.StateCancelled, job.FailureOf(cause)
	}
	if a.failure != nil {
		return job.StateFailed, a.failure
	}
	return job.StateSucceeded, nil
}

func (a *attempt) allSucceeded() bool {
	return len(a.tasks) > 0 && !slices.ContainsFunc(a.tasks, func(t job.TaskRecord) bool { return t.State != job.TaskSucceeded })
}

// logEnd writes why the attempt did not succeed, so that the log is never
// silent about it.
func (a *attempt) logEnd(state job.State, f *job.Failure) {
	slog.New(a.log.Handler()).Error("execution ended", "state", string(state), "reason", f.Reason, "error", f.Message)
}
