package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var executionTests = tests{
	"an execution is told at every stage": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		e := must(s.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "req-1", Now: store.At(noon)}))(t)
		want := job.Execution{
			ID: e.ID, JobID: j.ID, InstanceID: j.InstanceID, Trigger: job.TriggerManual, TriggerID: "req-1",
			ScheduledFor: noon, CreatedAt: noon, State: job.StateQueued, ReadyAt: noon,
		}
		is := func(stage string) {
			t.Helper()
			same(t, stage, must(s.Execution(t.Context(), e.ID))(t), want)
			same(t, stage+" in the list", must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t), []job.Execution{want})
		}
		same(t, "answer", e, want)
		is("waiting")

		c := claimQueued(t, s, noon)[0]
		want.Attempt, want.Fence, want.ReadyAt = 1, c.Fence, time.Time{}
		is("claimed")

		started := noon.Add(3 * time.Millisecond)
		tasks := []job.TaskRecord{{Name: "a", Type: "util.noop", State: job.TaskRunning, StartedAt: started, Attempt: 2, NextAttemptAt: started.Add(time.Minute),
			Error: &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY", Message: "away"}}}
		stale, _, err := s.Progress(t.Context(), []store.Progress{{ExecutionID: e.ID, Fence: c.Fence, StartedAt: started, Tasks: tasks, LogBytes: 12}})
		if err != nil || len(stale) > 0 {
			t.Fatalf("progress: stale %v, error %v", stale, err)
		}
		want.State, want.StartedAt, want.Tasks, want.LogBytes = job.StateRunning, started, tasks, 12
		is("running")

		ended := noon.Add(time.Second)
		failure := &job.Failure{Code: "UNKNOWN", Reason: "TASK_FAILED", Message: "“no”\x00\n"}
		tasks[0].State, tasks[0].FinishedAt, tasks[0].Error = job.TaskFailed, ended, failure
		stale, err = s.Finish(t.Context(), []store.Finish{{
			ExecutionID: e.ID, Fence: c.Fence, State: job.StateFailed, Error: failure, Tasks: tasks,
			StartedAt: started, FinishedAt: ended, LogBytes: 34,
		}})
		if err != nil || len(stale) > 0 {
			t.Fatalf("finish: stale %v, error %v", stale, err)
		}
		want.State, want.FinishedAt, want.Error, want.LogBytes = job.StateFailed, ended, failure, 34
		is("ended")
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.Execution(t.Context(), 99)
		missing(t, "Execution", err)
		_, err = s.CancelExecution(t.Context(), 99, noon, job.Failure{})
		missing(t, "CancelExecution", err)
		same(t, "list", must(s.ExecutionsOfJob(t.Context(), 99, firstPage))(t), []job.Execution(nil))
	},
	"lists go through both tables by pages": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		other := must(s.CreateJob(t.Context(), hourly(j.InstanceID), noRequest))(t)
		newer := enqueue(t, s, j.ID, noon.Add(-time.Hour)).ID // stays while later ones end
		_ = claimQueued(t, s, noon)
		ids := append([]int64{newer}, history(t, s, j.ID, 4)...)
		ids = append(ids, history(t, s, other.ID, 1)...)
		last := enqueue(t, s, j.ID, noon.Add(time.Hour))
		ids = append(ids, last.ID)
		slices.Reverse(ids)
		same(t, "instance", walk(t, func(p store.Page) []job.Execution {
			return must(s.ExecutionsOfInstance(t.Context(), j.InstanceID, p))(t)
		}), ids)
		same(t, "job", walk(t, func(p store.Page) []job.Execution {
			return must(s.ExecutionsOfJob(t.Context(), j.ID, p))(t)
		}), slices.Delete(ids, 1, 2))
	},
	"LatestOfJobs answers the newest of each": func(t *testing.T, s store.Store) {
		a, b, c := newJob(t, s), newJob(t, s), newJob(t, s)
		ofA, ofB := history(t, s, a.ID, 4), history(t, s, b.ID, 1)
		_ = history(t, s, c.ID, 1) // not asked for
		ofA = append(ofA, enqueue(t, s, a.ID, noon.Add(time.Hour)).ID, enqueue(t, s, a.ID, noon.Add(2*time.Hour)).ID)
		latest := must(s.LatestOfJobs(t.Context(), []int64{a.ID, b.ID, 99}, 3))(t)
		if len(latest) != 2 {
			t.Errorf("answers %d jobs, want 2", len(latest))
		}
		same(t, "a", idsOf(latest[a.ID]), []int64{ofA[5], ofA[4], ofA[3]})
		same(t, "b", idsOf(latest[b.ID]), ofB)
		same(t, "of none", must(s.LatestOfJobs(t.Context(), nil, 3))(t), map[int64][]job.Execution{})
	},
	"a snapshot sees one state": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		look := func(ctx context.Context) (time.Time, int) {
			list := must(s.ScheduledBetween(ctx, j.ID, noon, noon.Add(time.Hour), 10))(t)
			return must(s.Job(ctx, j.ID))(t).NextRun, len(list)
		}
		broken := errors.New("broken")
		err := s.Snapshot(t.Context(), func(ctx context.Context) error {
			if next := must(s.Job(ctx, j.ID))(t).NextRun; !next.Equal(noon) {
				t.Errorf("next run at %s", next)
			}
			finish(t, s, claimOne(t, s, noon, 0), job.StateSucceeded, noon, noon)
			if next, n := look(ctx); !next.Equal(noon) || n != 0 {
				t.Errorf("inside, the next run is at %s after %d executions", next, n)
			}
			if next, n := look(t.Context()); !next.Equal(noon.Add(time.Hour)) || n != 1 {
				t.Errorf("outside, the next run is at %s after %d executions", next, n)
			}
			return broken
		})
		if err != broken { //nolint:errorlint // it is not wrapped
			t.Errorf("answers %v", err)
		}
		_, err = s.Job(t.Context(), j.ID+1)
		inside := s.Snapshot(t.Context(), func(ctx context.Context) error {
			_, err := s.Job(ctx, j.ID+1)
			return err
		})
		missing(t, "a job", err)
		missing(t, "a job in a snapshot", inside)
	},
	"ScheduledBetween answers what the schedule made": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		byHand := enqueue(t, s, j.ID, noon.Add(time.Minute)).ID
		_ = claimQueued(t, s, noon.Add(time.Minute))
		var ids []int64
		for i := range 4 {
			at := noon.Add(time.Duration(i) * time.Hour)
			c := claimOne(t, s, at, 0)
			ids = append(ids, c.ExecutionID)
			if i != 1 {
				finish(t, s, c, job.StateSucceeded, at, at)
			}
		}
		between := func(from, to time.Time, limit int) []int64 {
			return idsOf(must(s.ScheduledBetween(t.Context(), j.ID, from, to, limit))(t))
		}
		same(t, "all", between(noon, noon.Add(5*time.Hour), 10), ids)
		same(t, "half open", between(noon, noon.Add(2*time.Hour), 10), ids[:2])
		same(t, "limited", between(noon.Add(time.Microsecond), noon.Add(5*time.Hour), 2), ids[1:3])
		same(t, "none", between(noon.Add(4*time.Hour), noon.Add(5*time.Hour), 10), []int64(nil))
		any := func(from, to time.Time, limit int) []int64 {
			return idsOf(must(s.ExecutionsBetween(t.Context(), j.ID, from, to, limit))(t))
		}
		same(t, "by any trigger", any(noon, noon.Add(5*time.Hour), 10), slices.Insert(slices.Clone(ids), 1, byHand))
		same(t, "by any trigger, half open", any(noon, noon.Add(time.Hour), 10), []int64{ids[0], byHand})
		same(t, "by any trigger, limited", any(noon.Add(time.Microsecond), noon.Add(5*time.Hour), 2), []int64{byHand, ids[1]})
	},
}

// walk reads a list by pages of two.
func walk(t *testing.T, list func(store.Page) []job.Execution) (ids []int64) {
	t.Helper()
	page := store.Page{Limit: 2}
	for {
		part := idsOf(list(page))
		if len(part) == 0 {
			return ids
		}
		if len(part) > 2 {
			t.Fatalf("a page of %d", len(part))
		}
		ids = append(ids, part...)
		page.Before = ids[len(ids)-1]
	}
}
