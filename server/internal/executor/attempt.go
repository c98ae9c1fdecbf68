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
	"github.com/pointscene/carillon/server/internal/workdir"
	"github.com/pointscene/carillon/server/internal/workflow"
)

// reportTasksEvery is how often the counters of a running task are told.
const reportTasksEvery = time.Second

// begin notes the start.
func (a *attempt) begin(now time.Time, log *executionlog.Writer, work *workdir.Dir) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.startedAt, a.log, a.work, a.changed = now, log, work, true
	a.leaveBatch()
	if a.TimeLimit > 0 {
		a.limit = time.AfterFunc(a.TimeLimit, func() { a.cancel(errTimeLimit) })
	}
}

// fail notes why there was nothing to run.
func (a *attempt) fail(f *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failure = f
}

func (a *attempt) setTasks(tasks []workflow.Task) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks = slices.Grow(a.first[:0], len(tasks))
	for i := range tasks {
		a.tasks = append(a.tasks, job.TaskRecord{Name: tasks[i].Name, Type: tasks[i].Type, State: job.TaskPending})
	}
}

// startTask notes that the n-th try of a task begins.
func (a *attempt) startTask(i, n int, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.tasks[i]
	if n == 1 {
		t.StartedAt = now
	}
	t.State, t.Attempt, t.NextAttemptAt, a.changed = job.TaskRunning, n, time.Time{}, true
}

// waitTask notes that a task failed and is tried again later.
func (a *attempt) waitTask(i int, next time.Time, f *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[i].NextAttemptAt, a.tasks[i].Error, a.changed = next, f, true
}

func (a *attempt) endTask(i int, state job.TaskState, now time.Time, f *job.Failure) {
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.tasks[i]
	if !t.StartedAt.IsZero() {
		t.FinishedAt = notBefore(now, t.StartedAt)
	}
	t.State, t.Error, t.NextAttemptAt, a.changed = state, f, time.Time{}, true
	if state == job.TaskFailed || state == job.TaskPartiallySucceeded {
		a.noteFailure(t)
	}
}

// reportTask notes how far a task is. It is told to others now and then.
func (a *attempt) reportTask(i int, report job.TaskReport, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[i].Report = &report
	if now.Sub(a.reported) >= reportTasksEvery {
		a.reported, a.changed = now, true
	}
}

// taskEnded tells whether a task has ended, or never starts.
func (a *attempt) taskEnded(i int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.tasks[i].State != job.TaskPending
}

// failedInput names an input that did not succeed, unless another one waits
// for approval: whatever needs that waits too.
func (a *attempt) failedInput(inputs []string) (failed string, waits bool) {
	if len(inputs) == 0 {
		return "", false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tasks {
		if t.State == job.TaskSucceeded || !slices.Contains(inputs, t.Name) {
			continue
		}
		if t.State == job.TaskAwaitingApproval || t.State == job.TaskPending {
			waits = true
		} else if failed == "" {
			failed = t.Name
		}
	}
	return failed, waits && failed == ""
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
	switch {
	case a.approval != nil:
		return job.StateAwaitingApproval, a.guard()
	case a.failure != nil:
		return job.StateFailed, a.failure
	case a.partial != nil:
		return job.StatePartiallySucceeded, a.partial
	}
	return job.StateSucceeded, nil
}

// guard is why the first task that waits for approval was stopped.
func (a *attempt) guard() *job.Failure {
	for _, t := range a.tasks {
		if t.State == job.TaskAwaitingApproval {
			return t.Error
		}
	}
	return nil
}

func (a *attempt) allSucceeded() bool {
	return len(a.tasks) > 0 && !slices.ContainsFunc(a.tasks, func(t job.TaskRecord) bool { return t.State != job.TaskSucceeded })
}

// logEnd writes why the attempt did not succeed, so that the log is never
// silent about it.
func (a *attempt) logEnd(state job.State, f *job.Failure) {
	log := slog.New(a.log.Handler())
	if state == job.StateAwaitingApproval {
		log.Warn("execution waits for approval", "reason", f.Reason, "error", f.Message, "plan", a.approval.Digest)
		return
	}
	log.Error("execution ended", "state", string(state), "reason", f.Reason, "error", f.Message)
}
