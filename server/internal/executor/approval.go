package executor

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// ErrApprovalExpired is the error of an execution that nobody approved in time.
var ErrApprovalExpired = job.Failure{
	Code: "DEADLINE_EXCEEDED", Reason: job.ReasonApprovalExpired,
	Message: "Nobody approved or rejected the plan in time; nothing of it was done.",
}

var errWorkflowChanged = &job.Failure{
	Code: "FAILED_PRECONDITION", Reason: job.ReasonPlanChanged,
	Message: "The job's workflow was changed after the plan was made, so nothing of the plan was done; run the job again.",
}

// snapshot is what the attempt that goes on after an approval must know of the
// one that was stopped.
type snapshot struct {
	// Workflow is the digest of the workflow that the plans belong to.
	Workflow string           `json:"workflow"`
	Tasks    []job.TaskRecord `json:"tasks"`
	// Outputs are by the tasks' places, as are States: what each task that was
	// stopped is given when it goes on.
	Outputs []task.Output           `json:"outputs"`
	States  map[int]json.RawMessage `json:"states"`
	// Decided is how many approvals the execution went on after before, Waited
	// how long it had waited for them.
	Decided int           `json:"decided,omitempty"`
	Waited  time.Duration `json:"waited,omitempty"`
}

func workflowDigest(workflow []byte) string {
	sum := sha256.Sum256(workflow)
	return hex.EncodeToString(sum[:])
}

// approval is what the attempt waits for, nil when it waits for nothing.
func (r *runner) approval() *job.Approval {
	if !slices.ContainsFunc(r.steps, func(s step) bool { return s.stopped != nil }) {
		return nil
	}
	s := snapshot{Workflow: workflowDigest(r.a.Workflow), Tasks: r.a.tasks, Outputs: make([]task.Output, len(r.steps)), States: map[int]json.RawMessage{}, Decided: r.a.decided, Waited: r.a.waited}
	a := &job.Approval{ExecutionID: r.a.ExecutionID, Attempt: r.a.Attempt, State: job.ApprovalPending}
	for i, step := range r.steps {
		s.Outputs[i] = step.output
		if step.stopped != nil && r.a.tasks[i].State == job.TaskAwaitingApproval {
			s.States[i] = step.stopped.State
			a.Plans = append(a.Plans, step.stopped.Plans...)
		}
	}
	if len(a.Plans) == 0 {
		return nil
	}
	a.Digest = plansDigest(s.Workflow, a.Plans)
	a.Snapshot, _ = json.Marshal(s) // it can't fail: outputs are JSON by contract
	return a
}

// plansDigest stands for several plans of one workflow.
func plansDigest(workflow string, plans []job.Plan) string {
	sum := sha256.New()
	for _, part := range append([]string{workflow}, planTexts(plans)...) {
		sum.Write([]byte(part))
		sum.Write([]byte{0})
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func planTexts(plans []job.Plan) (texts []string) {
	for _, p := range plans {
		texts = append(texts, p.Task, p.Remote, p.Digest)
	}
	return texts
}

// resume prepares an attempt that may go on after an approval: the tasks that
// have ended are not run again. Any other attempt begins from the start.
func (r *runner) resume() error {
	if r.a.Attempt <= 1 {
		return nil
	}
	approved, err := r.e.readApproval(r.a)
	if err != nil || approved == nil {
		return err
	}
	var s snapshot
	if err := json.Unmarshal(approved.Snapshot, &s); err != nil {
		return err
	}
	r.a.decided, r.a.waited = s.after(approved)
	if approved.Attempt+1 != r.a.Attempt {
		return nil // it was that of an earlier attempt
	}
	if s.Workflow != workflowDigest(r.a.Workflow) || len(s.Tasks) != len(r.w.Tasks) || len(s.Outputs) != len(r.w.Tasks) {
		return errWorkflowChanged
	}
	slog.New(r.a.log.Handler()).Info("goes on after approval", "approvedBy", approved.DecidedBy, "plan", approved.Digest)
	for i := range r.steps {
		r.steps[i].output, r.steps[i].approved = s.Outputs[i], s.States[i]
	}
	r.a.takeUp(s.Tasks)
	return nil
}

// after counts the approval that the snapshot was kept for.
func (s snapshot) after(a *job.Approval) (decided int, waited time.Duration) {
	return s.Decided + 1, s.Waited + a.DecidedAt.Sub(a.RequestedAt)
}

// unwaited is a claim without what approvals took: for the retry policy they
// are neither attempts nor time.
func unwaited(c store.Claimed, decided int, waited time.Duration) store.Claimed {
	c.Attempt -= decided
	if !c.FirstStartedAt.IsZero() {
		c.FirstStartedAt = c.FirstStartedAt.Add(waited)
	}
	return c
}

// readApproval answers the last approval that the execution was given, nil when
// there is none. It asks until the store answers: an attempt must not begin
// from the start because the database was away.
func (e *Executor) readApproval(a *attempt) (*job.Approval, error) {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		approval, err := e.o.Store.Approval(a.ctx, a.ExecutionID)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return nil, nil //nolint:nilnil // most attempts have none
		case err == nil && approval.State != job.ApprovalApproved:
			return nil, nil //nolint:nilnil // nobody has approved it
		case err == nil:
			return &approval, nil
		case a.ctx.Err() != nil:
			return nil, a.cause()
		}
		e.o.Log.WarnContext(a.ctx, "can't read an approval; trying again", "execution", a.ExecutionID, "error", err)
		pause(a.ctx, delay)
	}
}

// takeUp continues with the records of the attempt that was stopped.
func (a *attempt) takeUp(records []job.TaskRecord) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks, a.changed = slices.Clone(records), true
	for i := range a.tasks {
		t := &a.tasks[i]
		switch t.State {
		case job.TaskAwaitingApproval:
			t.State, t.Error = job.TaskPending, nil
		case job.TaskFailed, job.TaskPartiallySucceeded:
			a.noteFailure(t)
		}
	}
}

// noteFailure keeps the first failure; a.mu is held.
func (a *attempt) noteFailure(t *job.TaskRecord) {
	first := &a.failure
	if t.State == job.TaskPartiallySucceeded {
		first = &a.partial
	}
	if *first == nil && t.Error != nil {
		*first = &job.Failure{Code: t.Error.Code, Reason: t.Error.Reason, Message: "Task " + t.Name + ": " + t.Error.Message}
	}
}

// expireApprovals ends executions that waited too long.
func (e *Executor) expireApprovals() {
	expired, err := e.o.Store.ExpireApprovals(e.ctx, e.o.Now(), maxGroup, ErrApprovalExpired)
	if len(expired) > 0 {
		e.o.Log.InfoContext(e.ctx, "approvals have expired", "executions", expired)
	}
	if err != nil && e.ctx.Err() == nil {
		e.o.Log.WarnContext(e.ctx, "can't expire approvals; trying again", "error", err)
	}
}
