package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var byUser = job.Failure{Code: "CANCELLED", Reason: "CANCELLED", Message: "cancelled by client_3"}

var cancelTests = tests{
	"a waiting execution ends at once": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		e := enqueue(t, s, j.ID, noon)
		at := noon.Add(time.Second)
		e.State, e.FinishedAt, e.Error, e.ReadyAt = job.StateCancelled, at, &byUser, time.Time{}
		same(t, "answer", must(s.CancelExecution(t.Context(), e.ID, at, byUser))(t), e)
		same(t, "read", must(s.Execution(t.Context(), e.ID))(t), e)
		if c := claimQueued(t, s, at); len(c) != 0 {
			t.Errorf("claimed %v", c)
		}
		_, err := s.CancelExecution(t.Context(), e.ID, at, byUser)
		refused(t, err, "ALREADY_ENDED")
	},
	"one between attempts keeps what it did": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		tasks := []job.TaskRecord{{Name: "a", Type: "util.noop", State: job.TaskFailed, StartedAt: noon, FinishedAt: noon}}
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, Tasks: tasks, LogBytes: 5,
			StartedAt: noon, FinishedAt: noon.Add(time.Second), RetryAt: noon.Add(time.Hour),
		}}))(t)
		e := must(s.CancelExecution(t.Context(), c.ExecutionID, noon.Add(time.Minute), byUser))(t)
		if e.State != job.StateCancelled || e.Attempt != 1 || e.StartedAt != noon || e.LogBytes != 5 || e.FinishedAt != noon.Add(time.Minute) {
			t.Errorf("got %+v", e)
		}
		same(t, "tasks", e.Tasks, tasks)
	},
	"a started one is asked to end": func(t *testing.T, s store.Store) {
		newJob(t, s)
		c := claimOne(t, s, noon, 0)
		start(t, s, c, noon)
		signals := listen(t, s)
		e := must(s.CancelExecution(t.Context(), c.ExecutionID, noon, byUser))(t)
		same(t, "state", e.State, job.StateCancelling)
		same(t, "reason", e.Error, &byUser)
		expect(t, signals, store.Signal{Kind: store.SignalCancel, ID: c.ExecutionID})
		same(t, "asked", must(s.Owned(t.Context(), owner))(t), []store.Owned{{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateCancelling}})
		_, cancelled, err := s.Progress(t.Context(), []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: noon}})
		ok(t, err)
		same(t, "told with the progress", cancelled, []int64{c.ExecutionID})

		again := must(s.CancelExecution(t.Context(), c.ExecutionID, noon, job.Failure{Message: "again"}))(t)
		same(t, "a second time", again.State, job.StateCancelling)
		finish(t, s, c, job.StateCancelled, noon, noon.Add(time.Second))
		_, err = s.CancelExecution(t.Context(), c.ExecutionID, noon, byUser)
		refused(t, err, "ALREADY_ENDED")
	},
	"only the one that was named": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		a, b := enqueue(t, s, j.ID, noon), enqueue(t, s, j.ID, noon.Add(time.Second))
		_ = must(s.CancelExecution(t.Context(), a.ID, noon, byUser))(t)
		same(t, "the other", must(s.Execution(t.Context(), b.ID))(t), b)
	},
	"also one of a deleted job": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		c := claimOne(t, s, noon, 0)
		start(t, s, c, noon)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		e := must(s.CancelExecution(t.Context(), c.ExecutionID, noon, byUser))(t)
		same(t, "state", e.State, job.StateCancelling)
		same(t, "the first reason", e.Error.Reason, "JOB_DELETED")
	},
}
