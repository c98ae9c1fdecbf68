package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// opened lists the ids of open executions.
func opened(list []store.Open) []int64 {
	var ids []int64
	for _, o := range list {
		ids = append(ids, o.ExecutionID)
	}
	return ids
}

var inspectionTests = tests{
	"an empty store has nothing wrong": func(t *testing.T, s store.Store) {
		now := must(s.DatabaseTime(t.Context()))(t)
		if off := time.Since(now); off > time.Minute || off < -time.Minute {
			t.Errorf("the clock is %v off", off)
		}
		same(t, "overdue", must(s.OverdueJobs(t.Context(), now, 10))(t), []store.Overdue(nil))
		same(t, "orphans", must(s.Orphans(t.Context(), 10))(t), []store.Open(nil))
		same(t, "stuck", must(s.Stuck(t.Context(), now, 10))(t), []store.Open(nil))
		same(t, "doubles", must(s.Doubles(t.Context(), 10, 10))(t), []store.Double(nil))
		same(t, "jobs", must(s.AllJobs(t.Context(), firstPage))(t), []job.Job(nil))
		same(t, "runs", must(s.Runs(t.Context(), 1, noon, noon.Add(time.Hour)))(t), []store.Run(nil))
		same(t, "taken up", must(s.TakenUp(t.Context(), 1, noon, noon.Add(time.Hour), 10))(t), false)
	},
	"jobs that are overdue are told, the longest first": func(t *testing.T, s store.Store) {
		second, first := newJob(t, s), newJob(t, s, func(j *job.Job) { j.NextRun = noon.Add(-time.Hour) })
		_ = newJob(t, s, func(j *job.Job) { j.NextRun = noon.Add(time.Hour) })
		_ = newJob(t, s, func(j *job.Job) { j.NextRun = time.Time{} })
		want := []store.Overdue{
			{JobID: first.ID, InstanceID: first.InstanceID, NextRun: first.NextRun},
			{JobID: second.ID, InstanceID: second.InstanceID, NextRun: second.NextRun},
		}
		same(t, "overdue", must(s.OverdueJobs(t.Context(), noon.Add(1000), 10))(t), want)
		same(t, "limited", must(s.OverdueJobs(t.Context(), noon.Add(1000), 1))(t), want[:1])
		same(t, "before", must(s.OverdueJobs(t.Context(), noon, 10))(t), want[:1])
	},
	"an execution without its replica is an orphan": func(t *testing.T, s store.Store) {
		replica, _, err := s.Register(t.Context(), "r", time.Hour)
		ok(t, err)
		j, other := newJob(t, s), newJob(t, s)
		enqueue(t, s, j.ID, noon)
		claimed, _, err := s.ClaimQueued(t.Context(), store.ClaimRequest{Owner: replica.ID, Now: noon, Ahead: noon, Limit: 1})
		ok(t, err)
		enqueue(t, s, other.ID, noon) // waits for anybody
		same(t, "orphans", must(s.Orphans(t.Context(), 10))(t), []store.Open(nil))
		ok(t, s.Leave(t.Context(), replica.ID))
		want := store.Open{
			ExecutionID: claimed[0].ExecutionID, JobID: j.ID, InstanceID: j.InstanceID, State: job.StateQueued, Owner: replica.ID, NotBefore: noon,
		}
		same(t, "orphans", must(s.Orphans(t.Context(), 10))(t), []store.Open{want})
		same(t, "limited", must(s.Orphans(t.Context(), 0))(t), []store.Open(nil))
	},
	"what waits for nothing is stuck": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Policies.Overlap = job.OverlapBufferAll })
		limited := newJob(t, s, func(j *job.Job) { j.Policies.TimeLimit = time.Minute })
		before := minute(30)
		waiting := enqueue(t, s, j.ID, noon).ID
		same(t, "a waiting one", opened(must(s.Stuck(t.Context(), before, 10))(t)), []int64{waiting})
		same(t, "a waiting one, before", opened(must(s.Stuck(t.Context(), noon, 10))(t)), []int64(nil))
		c := claimQueued(t, s, noon)[0]
		same(t, "a claimed one", opened(must(s.Stuck(t.Context(), before, 10))(t)), []int64{waiting})
		start(t, s, c, noon)
		_ = must(s.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "behind", Now: store.At(minute(1))}))(t)
		same(t, "a running one, and one behind it", opened(must(s.Stuck(t.Context(), before, 10))(t)), []int64(nil))
		slow := enqueue(t, s, limited.ID, minute(2)).ID
		start(t, s, claimQueued(t, s, minute(2))[0], minute(2))
		got := must(s.Stuck(t.Context(), before, 10))(t)
		same(t, "one beyond its time limit", opened(got), []int64{slow})
		if len(got) == 1 && got[0].TimeLimit != time.Minute {
			t.Errorf("its limit is %v", got[0].TimeLimit)
		}
		same(t, "one within it", opened(must(s.Stuck(t.Context(), minute(3), 10))(t)), []int64(nil))
	},
	"what waits for folders or approval is not stuck": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.job(job.OverlapBufferOne, w.writes("a", "x"))
		running := w.due(hour(1))[0]
		start(t, s, running, hour(1))
		waits := w.byHand(w.job(job.OverlapBufferOne, w.writes("a", "x")), hour(1))
		same(t, "claimed beside a writer", len(w.admitted(hour(1))), 0)
		same(t, "for folders", opened(must(s.Stuck(t.Context(), hour(9), 10))(t)), []int64(nil))
		w.end(running)
		same(t, "for nobody", opened(must(s.Stuck(t.Context(), hour(9), 10))(t)), []int64{waits.ID})
		w.end(w.admitted(hour(1))[0])

		c, a := awaiting(t, s)
		same(t, "for approval", opened(must(s.Stuck(t.Context(), a.ExpiresAt, 10))(t)), []int64(nil))
		same(t, "orphans", must(s.Orphans(t.Context(), 10))(t), []store.Open(nil))
		same(t, "beyond its end", opened(must(s.Stuck(t.Context(), a.ExpiresAt.Add(time.Second), 10))(t)), []int64{c.ExecutionID})
	},
	"jobs of all instances are listed by pages": func(t *testing.T, s store.Store) {
		a, b, c := newJob(t, s), newJob(t, s), newJob(t, s)
		first := must(s.AllJobs(t.Context(), store.Page{Limit: 2}))(t)
		second := must(s.AllJobs(t.Context(), store.Page{Limit: 2, Before: b.ID}))(t)
		same(t, "jobs", append(first, second...), []job.Job{c, b, a})
	},
	"a job has a ledger by anything that tells of its time": func(t *testing.T, s store.Store) {
		active, ended, skipped := newJob(t, s), newJob(t, s), newJob(t, s)
		changed, none := newJob(t, s, onTheHour), newJob(t, s)
		all := []int64{active.ID, ended.ID, skipped.ID, changed.ID, none.ID}
		told := func(jobs []int64, from, to int) map[int64]bool {
			return must(s.Told(t.Context(), jobs, minute(from), minute(to)))(t)
		}
		same(t, "at first", len(told(all, 0, 1000)), 0)
		enqueue(t, s, ended.ID, minute(1))
		finish(t, s, claimQueued(t, s, minute(1))[0], job.StateSucceeded, minute(1), minute(2))
		enqueue(t, s, active.ID, minute(3))
		skip(t, s, skipped.ID, job.Skip{JobID: skipped.ID, InstanceID: skipped.InstanceID, Reason: job.SkipMissed, First: minute(10), Last: minute(20), Count: 11})
		_ = must(change(t, s, changed.ID, noon, minute(60), wish(changed, 2, time.Time{})))(t)
		want := map[int64]bool{active.ID: true, ended.ID: true, skipped.ID: true, changed.ID: true}
		same(t, "in the end", told(all, 0, 1000), want)
		same(t, "of some", told(all[2:3], 0, 1000), map[int64]bool{skipped.ID: true})
		same(t, "of none", len(told(nil, 0, 1000)), 0)
		delete(want, ended.ID)
		same(t, "within the skips", told(all, 15, 16), want)
		delete(want, skipped.ID)
		same(t, "before the skips", told(all, 5, 10), want)
		same(t, "after the skips", told(all, 21, 22), want)
	},
	"runs are those of the schedule": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		enqueue(t, s, j.ID, minute(1))
		finish(t, s, claimQueued(t, s, minute(1))[0], job.StateSucceeded, minute(1), minute(2))
		var want []store.Run
		for hour := range 3 {
			at := minute(60 * hour)
			c := claimOne(t, s, at, 0)
			want = append(want, store.Run{ExecutionID: c.ExecutionID, ScheduledFor: at})
			if hour != 1 {
				finish(t, s, c, job.StateSucceeded, at, minute(60*hour+1))
			}
		}
		same(t, "runs", must(s.Runs(t.Context(), j.ID, noon, minute(1000)))(t), want)
		same(t, "runs, half open", must(s.Runs(t.Context(), j.ID, noon, minute(120)))(t), want[:2])
		for name, c := range map[string]struct {
			from, to time.Time
			newest   int
			want     bool
		}{
			"by hand":                   {minute(1), minute(2), 10, true},
			"by the schedule":           {minute(120), minute(121), 10, true},
			"in between":                {minute(2), minute(60), 10, false},
			"claimed, and not reported": {minute(70), minute(80), 10, true}, // it may start at any time
			"before that":               {minute(30), minute(60), 10, false},
			"as far as is looked":       {minute(2), minute(60), 2, false},
			"further back":              {minute(2), minute(60), 1, true},
		} {
			if got := must(s.TakenUp(t.Context(), j.ID, c.from, c.to, c.newest))(t); got != c.want {
				t.Errorf("%s: taken up is %v, want %v", name, got, c.want)
			}
		}
	},
}
