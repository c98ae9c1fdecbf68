package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var guarded = job.Failure{Code: "FAILED_PRECONDITION", Reason: "MAX_DELETE_EXCEEDED", Message: "too many"}

// awaiting makes an execution that waits for approval until noon plus an hour.
func awaiting(t *testing.T, s store.Store) (store.Claimed, job.Approval) {
	t.Helper()
	newJob(t, s)
	c := claimOne(t, s, noon, 0)
	start(t, s, c, noon)
	a := job.Approval{
		ExecutionID: c.ExecutionID, Attempt: c.Attempt, State: job.ApprovalPending, Digest: "d1",
		Plans:       []job.Plan{{Task: "a", Remote: "b:/", Digest: "p", Delete: job.PlanPart{Files: 3, Samples: []string{"x"}}, Guard: &guarded}},
		RequestedAt: noon.Add(time.Second), ExpiresAt: noon.Add(time.Hour), Snapshot: json.RawMessage(`{"tasks":[]}`),
	}
	stale := must(s.Finish(t.Context(), []store.Finish{{
		ExecutionID: c.ExecutionID, JobID: c.JobID, Fence: c.Fence, State: job.StateAwaitingApproval, Error: &guarded,
		Tasks: []job.TaskRecord{
			{Name: `"state":"PENDING"`, Type: "sync.files", State: job.TaskAwaitingApproval, StartedAt: noon, Error: &guarded},
			{Name: "next", Type: "util.noop", State: job.TaskPending},
		},
		StartedAt: noon, FinishedAt: noon.Add(time.Second), RetryAt: a.ExpiresAt, Approval: &a,
	}}))(t)
	if len(stale) > 0 {
		t.Fatal("stale")
	}
	return c, a
}

func taskStates(e job.Execution) (states []job.TaskState) {
	for _, task := range e.Tasks {
		states = append(states, task.State)
	}
	return states
}

var approvalTests = tests{
	"an execution waits without an owner": func(t *testing.T, s store.Store) {
		c, a := awaiting(t, s)
		e := must(s.Execution(t.Context(), c.ExecutionID))(t)
		same(t, "state", e.State, job.StateAwaitingApproval)
		same(t, "error", e.Error, &guarded)
		same(t, "approval", must(s.Approval(t.Context(), c.ExecutionID))(t), a)
		same(t, "owned", must(s.Owned(t.Context(), owner))(t), []store.Owned{})
		for _, at := range []time.Time{noon.Add(time.Minute), noon.Add(2 * time.Hour)} {
			if claimed := claimQueued(t, s, at); len(claimed) > 0 {
				t.Errorf("claimed %+v", claimed)
			}
		}
		_, err := s.Approval(t.Context(), c.ExecutionID+1)
		missing(t, "another execution's approval", err)
	},
	"it counts as running": func(t *testing.T, s store.Store) {
		c, _ := awaiting(t, s)
		_, err := s.EnqueueManual(t.Context(), store.Manual{JobID: c.JobID, TriggerID: "x", Now: store.At(noon.Add(time.Minute)), Overlap: job.OverlapSkip})
		refused(t, err, job.SkipOverlap)
		_ = must(s.EnqueueManual(t.Context(), store.Manual{JobID: c.JobID, TriggerID: "y", Now: store.At(noon.Add(time.Minute)), Overlap: job.OverlapBufferAll}))(t)
		if claimed := claimQueued(t, s, noon.Add(2*time.Minute)); len(claimed) > 0 {
			t.Errorf("claimed %+v beside it", claimed)
		}
	},
	"approval lets exactly one plan go on": func(t *testing.T, s store.Store) {
		c, _ := awaiting(t, s)
		_, err := s.Approve(t.Context(), c.ExecutionID, noon.Add(time.Minute), "d0", "ann")
		if e := refused(t, err, job.ReasonPlanChanged); e.Metadata["digest"] != "d1" {
			t.Errorf("metadata %v", e.Metadata)
		}
		signals := listen(t, s)
		e := must(s.Approve(t.Context(), c.ExecutionID, noon.Add(time.Minute), "d1", "ann"))(t)
		same(t, "state", e.State, job.StateQueued)
		expect(t, signals, store.Signal{Kind: store.SignalDue})
		again := must(s.Approve(t.Context(), c.ExecutionID, noon.Add(2*time.Minute), "d1", "bob"))(t)
		same(t, "a second time", again.State, job.StateQueued)
		_, err = s.Reject(t.Context(), c.ExecutionID, noon.Add(2*time.Minute), "bob", guarded)
		refused(t, err, job.ReasonNotAwaiting)
		a := must(s.Approval(t.Context(), c.ExecutionID))(t)
		if a.State != job.ApprovalApproved || a.DecidedBy != "ann" || a.DecidedAt != noon.Add(time.Minute) || string(a.Snapshot) != `{"tasks":[]}` {
			t.Errorf("approval %+v", a)
		}
		claimed := claimQueued(t, s, noon.Add(3*time.Minute))
		if len(claimed) != 1 || claimed[0].Attempt != 2 || claimed[0].Fence <= c.Fence {
			t.Fatalf("claimed %+v", claimed)
		}
		end := store.Finish{
			ExecutionID: c.ExecutionID, JobID: c.JobID, Fence: c.Fence, State: job.StateSucceeded,
			StartedAt: noon, FinishedAt: noon.Add(4 * time.Minute), Decided: true,
		}
		same(t, "stale", must(s.Finish(t.Context(), []store.Finish{end}))(t), []int64{c.ExecutionID})
		if a := must(s.Approval(t.Context(), c.ExecutionID))(t); len(a.Snapshot) == 0 {
			t.Error("a stale end has taken what the living attempt needs")
		}
		end.Fence = claimed[0].Fence
		_ = must(s.Finish(t.Context(), []store.Finish{end}))(t)
		if a := must(s.Approval(t.Context(), c.ExecutionID))(t); len(a.Snapshot) > 0 || a.State != job.ApprovalApproved {
			t.Errorf("after its end the approval is %+v", a)
		}
		// Whoever did not get the answer asks again, also when it has ended.
		again = must(s.Approve(t.Context(), c.ExecutionID, noon.Add(5*time.Minute), "d1", "ann"))(t)
		same(t, "after its end", again.State, job.StateSucceeded)
		_, err = s.Approve(t.Context(), c.ExecutionID, noon.Add(5*time.Minute), "d0", "ann")
		refused(t, err, job.ReasonNotAwaiting)
		_, err = s.Approve(t.Context(), 999, noon, "d1", "ann")
		missing(t, "approve", err)
	},
	"rejection ends it": func(t *testing.T, s store.Store) {
		c, _ := awaiting(t, s)
		why := job.Failure{Code: "FAILED_PRECONDITION", Reason: job.ReasonPlanRejected, Message: "rejected by ann"}
		e := must(s.Reject(t.Context(), c.ExecutionID, noon.Add(time.Minute), "ann", why))(t)
		same(t, "error", e.Error, &why)
		if e.State != job.StateFailed || e.FinishedAt != noon.Add(time.Minute) {
			t.Errorf("execution %+v", e)
		}
		same(t, "tasks", taskStates(e), []job.TaskState{job.TaskFailed, job.TaskCancelled})
		a := must(s.Approval(t.Context(), c.ExecutionID))(t)
		if a.State != job.ApprovalRejected || a.DecidedBy != "ann" || len(a.Snapshot) > 0 {
			t.Errorf("approval %+v", a)
		}
		_, err := s.Approve(t.Context(), c.ExecutionID, noon.Add(2*time.Minute), "d1", "ann")
		refused(t, err, job.ReasonNotAwaiting)
	},
	"it expires": func(t *testing.T, s store.Store) {
		c, a := awaiting(t, s)
		why := job.Failure{Code: "DEADLINE_EXCEEDED", Reason: job.ReasonApprovalExpired, Message: "too late"}
		same(t, "too early", must(s.ExpireApprovals(t.Context(), a.ExpiresAt.Add(-time.Second), 10, why))(t), []int64(nil))
		_, err := s.Approve(t.Context(), c.ExecutionID, a.ExpiresAt, "d1", "ann")
		refused(t, err, job.ReasonApprovalExpired)
		same(t, "expired", must(s.ExpireApprovals(t.Context(), a.ExpiresAt, 10, why))(t), []int64{c.ExecutionID})
		e := must(s.Execution(t.Context(), c.ExecutionID))(t)
		if e.State != job.StateFailed || e.Error == nil || *e.Error != why {
			t.Errorf("execution %+v", e)
		}
		same(t, "approval", must(s.Approval(t.Context(), c.ExecutionID))(t).State, job.ApprovalExpired)
		same(t, "again", must(s.ExpireApprovals(t.Context(), a.ExpiresAt, 10, why))(t), []int64(nil))
	},
	"a cancel ends it at once": func(t *testing.T, s store.Store) {
		c, _ := awaiting(t, s)
		e := must(s.CancelExecution(t.Context(), c.ExecutionID, noon.Add(time.Minute), byUser))(t)
		same(t, "state", e.State, job.StateCancelled)
		same(t, "tasks", taskStates(e), []job.TaskState{job.TaskCancelled, job.TaskCancelled})
		same(t, "a name that looks like a state", e.Tasks[0].Name, `"state":"PENDING"`)
		a := must(s.Approval(t.Context(), c.ExecutionID))(t)
		if a.State != job.ApprovalCancelled || len(a.Snapshot) > 0 || a.DecidedAt != noon.Add(time.Minute) {
			t.Errorf("approval %+v", a)
		}
		_, err := s.Approve(t.Context(), c.ExecutionID, noon.Add(2*time.Minute), "d1", "ann")
		refused(t, err, job.ReasonNotAwaiting)
	},
	"a cancel after the approval keeps who approved": func(t *testing.T, s store.Store) {
		c, _ := awaiting(t, s)
		_ = must(s.Approve(t.Context(), c.ExecutionID, noon.Add(time.Minute), "d1", "ann"))(t)
		_ = must(s.CancelExecution(t.Context(), c.ExecutionID, noon.Add(2*time.Minute), byUser))(t)
		a := must(s.Approval(t.Context(), c.ExecutionID))(t)
		if a.State != job.ApprovalApproved || len(a.Snapshot) > 0 || a.DecidedBy != "ann" || a.DecidedAt != noon.Add(time.Minute) {
			t.Errorf("approval %+v", a)
		}
	},
	"one that was asked to end does not wait": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		start(t, s, c, noon)
		_ = must(s.CancelExecution(t.Context(), c.ExecutionID, noon, byUser))(t)
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, JobID: c.JobID, Fence: c.Fence, State: job.StateAwaitingApproval, Error: &guarded,
			Tasks:     []job.TaskRecord{{Name: "a", State: job.TaskAwaitingApproval}},
			StartedAt: noon, FinishedAt: noon, RetryAt: noon.Add(time.Hour), Approval: &job.Approval{Digest: "d1"},
		}}))(t)
		e := must(s.Execution(t.Context(), c.ExecutionID))(t)
		same(t, "state", e.State, job.StateCancelled)
		same(t, "tasks", taskStates(e), []job.TaskState{job.TaskCancelled})
		_, err := s.Approval(t.Context(), c.ExecutionID)
		missing(t, "approval", err)
	},
}
