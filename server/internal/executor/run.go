package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/telemetry"
	"github.com/pointscene/carillon/server/internal/workflow"
)

// run takes an attempt from its start to its end.
func (e *Executor) run(a *attempt) {
	if a.ctx.Err() == nil {
		a.begin(e.o.Now(), e.o.Logs.Writer(executionlog.Ref{InstanceID: a.InstanceID, ExecutionID: a.ExecutionID}, a.Attempt), e.o.Work.New(a.ExecutionID))
		e.o.Metrics.Started(a.startedAt.Sub(a.NotBefore))
		e.runWorkflow(a)
	}
	e.end(a)
}

// runWorkflow runs the tasks; what went wrong is in their records, or, when
// there are none to run, in the failure of the attempt.
func (e *Executor) runWorkflow(a *attempt) {
	w, err := e.open(a)
	if err != nil {
		a.fail(asWorkflowFailure(err))
		return
	}
	a.setTasks(w.Tasks)
	r := &runner{e: e, a: a, w: w}
	r.steps = append(r.first[:0], make([]step, len(w.Tasks))...)
	if err := r.resume(); err != nil {
		a.fail(job.FailureOf(err))
		return
	}
	if len(w.Tasks) == 1 {
		r.runTask(0)
	} else {
		r.runAll()
	}
	a.approval = r.approval()
}

func asWorkflowFailure(err error) *job.Failure {
	var invalid *job.InvalidError
	if errors.As(err, &invalid) {
		return &job.Failure{Code: "INVALID_ARGUMENT", Reason: job.ReasonWorkflowInvalid, Message: "The workflow is no longer valid: " + invalid.Error()}
	}
	return job.FailureOf(err)
}

// runner runs the tasks of one attempt.
type runner struct {
	e *Executor
	a *attempt
	w *openWorkflow
	// steps are the tasks, by their places; first is room for one.
	steps []step
	first [1]step
}

// step is one task on its way.
type step struct {
	output task.Output
	// stopped is why a guard has stopped it, nil for not.
	stopped *task.Approval
	// approved is what it goes on with after an approval.
	approved json.RawMessage
}

// runAll starts each task when those it waits for have ended, and returns
// when all have. The first of several that are ready runs right here, so that
// a chain needs no goroutine.
func (r *runner) runAll() {
	graph := r.w.Graph()
	done := make(chan int, len(r.w.Tasks))
	ready := make([]int, 0, len(r.w.Tasks))
	for i, n := range graph.Waits {
		if n == 0 {
			ready = append(ready, i)
		}
	}
	for left := len(r.w.Tasks); left > 0; {
		if len(ready) > 0 {
			for _, i := range ready[1:] {
				go func() { r.runTask(i); done <- i }()
			}
			r.runTask(ready[0])
			done <- ready[0]
		}
		ready = release(graph, <-done, ready[:0])
		left--
		for len(done) > 0 {
			ready = release(graph, <-done, ready)
			left--
		}
	}
}

// release appends the tasks that waited for nothing but task i.
func release(graph *workflow.Graph, i int, ready []int) []int {
	for _, dependent := range graph.Dependents[i] {
		if graph.Waits[dependent]--; graph.Waits[dependent] == 0 {
			ready = append(ready, dependent)
		}
	}
	return ready
}

// runTask runs one task, unless one that it needs did not succeed or the
// execution is being ended.
func (r *runner) runTask(i int) {
	t := &r.w.Tasks[i]
	if r.a.taskEnded(i) {
		return // before the approval that this attempt goes on after
	}
	if r.a.ctx.Err() != nil {
		r.a.endTask(i, job.TaskCancelled, r.e.o.Now(), nil)
		return
	}
	failed, waits := r.a.failedInput(t.Inputs)
	if waits {
		return // for an approval
	}
	if failed != "" {
		r.a.endTask(i, job.TaskSkipped, r.e.o.Now(), &job.Failure{
			Code: "FAILED_PRECONDITION", Reason: job.ReasonDependency, Message: fmt.Sprintf("Not started: task %q did not succeed.", failed),
		})
		return
	}
	output, err := r.try(i)
	r.steps[i].output = output
	state, failure := job.TaskSucceeded, (*job.Failure)(nil)
	if err != nil {
		state, failure = r.failed(i, err)
	}
	r.a.endTask(i, state, r.e.o.Now(), failure)
}

// failed tells what an error makes of a task, also in the log.
func (r *runner) failed(i int, err error) (job.TaskState, *job.Failure) {
	s, log := &r.steps[i], r.a.log.Task(r.w.Tasks[i].Name)
	var partial *task.Partial
	switch {
	case errors.As(err, &s.stopped) && r.a.ctx.Err() == nil:
		failure := r.masked(s.stopped.Failure)
		log.Warn("waits for approval", "reason", failure.Reason, "error", failure.Message)
		return job.TaskAwaitingApproval, failure
	case errors.As(err, &partial) && r.a.ctx.Err() == nil:
		failure := r.masked(partial.Failure)
		log.Error("task succeeded partially", "code", failure.Code, "reason", failure.Reason, "error", failure.Message)
		return job.TaskPartiallySucceeded, failure
	case r.a.ctx.Err() != nil:
		failure := job.FailureOf(r.a.cause())
		log.Warn("task cancelled", "reason", failure.Reason, "cause", failure.Message)
		return job.TaskCancelled, failure
	default:
		failure := r.masked(job.FailureOf(err))
		log.Error("task failed", "code", failure.Code, "reason", failure.Reason, "error", failure.Message)
		return job.TaskFailed, failure
	}
}

// do calls the task type; a panic there is the task's failure.
func (r *runner) do(ctx context.Context, i int) (output task.Output, err error) {
	t := &r.w.Tasks[i]
	log := r.a.log.Task(t.Name)
	defer func() {
		if p := recover(); p != nil {
			text := telemetry.PanicText(p)
			r.e.o.Log.Error("a task panicked", "execution", r.a.ExecutionID, "task", t.Name, "type", t.Type, "panic", text, "stack", string(debug.Stack()))
			log.Error("task panicked", "panic", text)
			err = &job.Failure{Code: "INTERNAL", Reason: job.ReasonTaskPanicked, Message: "The task stopped by a fault in its code; the server's log has the details."}
		}
	}()
	files := &fileRecorder{e: r.e, a: r.a, task: t.Name}
	defer files.close()
	return r.w.kinds[i].Do(ctx, task.Run{
		ExecutionID:    r.a.ExecutionID,
		JobID:          r.a.JobID,
		InstanceID:     r.a.InstanceID,
		TaskName:       t.Name,
		Fence:          r.a.Fence,
		IdempotencyKey: idempotencyKey(r.a.ExecutionID, t.Name),
		Args:           t.Args,
		Inputs:         r.inputs(t.Inputs),
		Log:            log,
		Work:           r.a.work,
		Configs:        r.e.o.Configs(r.a.InstanceID, r.a.ExecutionID, r.a.log.Mask),
		Attempt:        r.a.Attempt,
		Report:         func(report job.TaskReport) { r.a.reportTask(i, report, r.e.o.Now()) },
		Files:          files,
		Memory:         memory{r},
		Approved:       r.steps[i].approved,
	})
}

// idempotencyKey is exec_5/fetch for a task of an execution.
func idempotencyKey(executionID int64, taskName string) string {
	key := job.KindExecution.Append(make([]byte, 0, 64), executionID)
	return string(append(append(key, '/'), taskName...))
}

func (r *runner) inputs(names []string) map[string]task.Output {
	if len(names) == 0 {
		return nil
	}
	inputs := make(map[string]task.Output, len(names))
	for i, t := range r.w.Tasks {
		if slices.Contains(names, t.Name) {
			inputs[t.Name] = r.steps[i].output
		}
	}
	return inputs
}

// masked keeps secrets out of an error that a library worded.
func (r *runner) masked(f *job.Failure) *job.Failure {
	text := r.a.log.Masked(f.Message)
	if text == f.Message {
		return f
	}
	return &job.Failure{Code: f.Code, Reason: f.Reason, Message: text, RetryAfter: f.RetryAfter}
}
