package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// marked lists the ids of marks.
func marked(marks []store.ExecutionMark) []int64 {
	var ids []int64
	for _, m := range marks {
		ids = append(ids, m.ID)
	}
	return ids
}

var watchTests = tests{
	"an empty store has nothing to watch": func(t *testing.T, s store.Store) {
		same(t, "newest", must(s.NewestExecution(t.Context()))(t), int64(0))
		same(t, "settled", must(s.SettledExecution(t.Context(), time.Second))(t), int64(0))
		same(t, "active", must(s.ActiveMarks(t.Context(), []int64{1}))(t), []store.ExecutionMark(nil))
		same(t, "ended", must(s.EndedAbove(t.Context(), []int64{1}, 0, 10))(t), []store.ExecutionMark(nil))
		same(t, "by id", must(s.ExecutionsByID(t.Context(), []int64{1}))(t), []job.Execution(nil))
		same(t, "by no id", must(s.ExecutionsByID(t.Context(), nil))(t), []job.Execution(nil))
	},
	"a mark changes with everything that people see": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		e := enqueue(t, s, j.ID, noon)
		seen := map[uint64]string{}
		changed := func(step string) {
			t.Helper()
			marks := must(s.ActiveMarks(t.Context(), []int64{j.InstanceID}))(t)
			if len(marks) != 1 || marks[0].ID != e.ID || marks[0].InstanceID != j.InstanceID || marks[0].JobID != j.ID {
				t.Fatalf("%s: marks %+v", step, marks)
			}
			if before, known := seen[marks[0].Mark]; known {
				t.Errorf("%s: the mark is that of %q", step, before)
			}
			seen[marks[0].Mark] = step
			if again := must(s.ActiveMarks(t.Context(), []int64{j.InstanceID}))(t); again[0] != marks[0] {
				t.Errorf("%s: the mark changes by itself", step)
			}
		}
		changed("waiting")
		c := claimQueued(t, s, noon)[0]
		changed("claimed")
		start(t, s, c, noon)
		changed("running")
		for _, state := range []job.TaskState{job.TaskRunning, job.TaskFailed} {
			_, _, err := s.Progress(t.Context(), []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: noon, Tasks: []job.TaskRecord{{Name: "a", State: state}}}})
			ok(t, err)
			changed("a task is " + string(state))
		}
		_, err := s.Finish(t.Context(), []store.Finish{{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, StartedAt: noon, FinishedAt: noon, RetryAt: minute(1), Error: &job.Failure{Code: "UNKNOWN"}}})
		ok(t, err)
		changed("waiting for its retry")
		c = claimQueued(t, s, minute(1))[0]
		changed("claimed again")
		start(t, s, c, minute(1))
		changed("running again")
		_ = must(s.CancelExecution(t.Context(), e.ID, noon, job.Failure{Code: "CANCELLED"}))(t)
		changed("cancelling")
	},
	"active and ended ones of the instances are found": func(t *testing.T, s store.Store) {
		a, b, other := newJob(t, s), newJob(t, s), newJob(t, s)
		ended := append(history(t, s, a.ID, 3), history(t, s, b.ID, 2)...)
		_ = history(t, s, other.ID, 1)
		active := []int64{enqueue(t, s, a.ID, minute(10)).ID, enqueue(t, s, b.ID, minute(10)).ID}
		newest := enqueue(t, s, other.ID, minute(10)).ID
		both := []int64{a.InstanceID, b.InstanceID}
		same(t, "active", marked(must(s.ActiveMarks(t.Context(), both))(t)), active)
		same(t, "active of one", marked(must(s.ActiveMarks(t.Context(), both[:1]))(t)), active[:1])
		same(t, "ended", marked(must(s.EndedAbove(t.Context(), both, 0, 100))(t)), ended)
		same(t, "ended above", marked(must(s.EndedAbove(t.Context(), both, ended[1], 100))(t)), ended[2:])
		same(t, "ended, limited", marked(must(s.EndedAbove(t.Context(), both, 0, 2))(t)), ended[:2])
		same(t, "ended of one", must(s.EndedAbove(t.Context(), both[1:], 0, 1))(t), []store.ExecutionMark{{ID: ended[3], InstanceID: b.InstanceID, JobID: b.ID}})
		same(t, "newest", must(s.NewestExecution(t.Context()))(t), newest)
		ids := append([]int64{ended[0], 987654}, active...)
		same(t, "by id", idsOf(must(s.ExecutionsByID(t.Context(), ids))(t)), append([]int64{ended[0]}, active...))
		e := must(s.ExecutionsByID(t.Context(), ended[:1]))(t)[0]
		same(t, "execution by id", e, must(s.Execution(t.Context(), ended[0]))(t))
	},
	"the newest one may be in the history": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		_ = enqueue(t, s, j.ID, minute(5))
		ids := history(t, s, j.ID, 1)
		same(t, "newest", must(s.NewestExecution(t.Context()))(t), ids[0])
	},
	"what was claimed ahead is told when it is due": func(t *testing.T, s store.Store) {
		now := job.Time(time.Now())
		later := newJob(t, s, func(j *job.Job) { j.NextRun = now.Add(time.Hour) })
		due := newJob(t, s, func(j *job.Job) { j.NextRun = now.Add(-time.Hour) })
		running := newJob(t, s, func(j *job.Job) { j.NextRun = now.Add(2 * time.Hour) })
		instances := []int64{later.InstanceID, due.InstanceID, running.InstanceID}
		claimed := map[int64]store.Claimed{}
		for _, c := range claimDue(t, s, now, 3*time.Hour) {
			claimed[c.JobID] = c
		}
		start(t, s, claimed[running.ID], now)
		ahead := map[int64]bool{}
		for _, m := range must(s.ActiveMarks(t.Context(), instances))(t) {
			ahead[m.JobID] = m.Ahead
		}
		same(t, "ahead", ahead, map[int64]bool{later.ID: true, due.ID: false, running.ID: false})
	},
	"settled is what was recorded long ago": func(t *testing.T, s store.Store) {
		now := job.Time(time.Now())
		j := newJob(t, s)
		var ids []int64
		for _, age := range []time.Duration{2 * time.Hour, time.Hour, time.Minute} {
			at := now.Add(-age)
			ids = append(ids, enqueue(t, s, j.ID, at).ID)
			finish(t, s, claimQueued(t, s, at)[0], job.StateSucceeded, at, at)
		}
		for age, want := range map[time.Duration]int64{time.Second: ids[2], 30 * time.Minute: ids[1], 90 * time.Minute: ids[0], 3 * time.Hour: 0} {
			if got := must(s.SettledExecution(t.Context(), age))(t); got != want {
				t.Errorf("settled for %v is %d, want %d", age, got, want)
			}
		}
	},
}
