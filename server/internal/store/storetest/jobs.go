package storetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var jobTests = tests{
	"a job comes back as it was given": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		a, b := newResource(t, s, in.ID), newResource(t, s, in.ID)
		j := job.Job{
			InstanceID:  in.ID,
			Name:        "Sync « drive »",
			Description: "every weekday",
			ManagedBy:   "carillon apply",
			Active:      true,
			Workflow:    json.RawMessage(`{"tasks": [{"name":"a",  "type":"util.noop"}]}`),
			Schedule: job.Schedule{Type: job.CronBased, Cron: "30 6 * * MON-FRI", TimeZone: "Europe/Helsinki", ScheduleOptions: job.ScheduleOptions{
				DSTGap: job.GapSkip, DSTOverlap: job.OverlapBoth, Start: noon, End: noon.Add(1000 * time.Hour), Jitter: time.Minute,
				ExcludedDates: []string{"2026-12-24", "2026-12-31/2027-01-06"}, Since: noon,
			}},
			Policies: job.Policies{
				MaxExecutions: 1_000_000_000, TimeLimit: 720 * time.Hour, PauseAfterFailures: 3, Priority: -100,
				Overlap: job.OverlapBufferOne, CatchUp: job.CatchUpAll, CatchUpWindow: 90 * time.Minute,
				Retry: &job.RetryPolicy{Count: 3, MinBackoff: time.Second, MaxBackoff: time.Hour, MaxDoublings: 4, MaxDuration: 5 * time.Hour},
			},
			Labels:      map[string]string{"team": "ops", "tier": "1"},
			ResourceIDs: []int64{a.ID, b.ID},
			NextRun:     noon.Add(time.Hour),
			CreatedAt:   noon,
		}
		made := must(s.CreateJob(t.Context(), j, noRequest))(t)
		j.ID, j.Version, j.UpdatedAt = made.ID, 1, noon
		same(t, "made", made, j)
		same(t, "read", must(s.Job(t.Context(), made.ID))(t), j)
		same(t, "list", must(s.Jobs(t.Context(), in.ID, firstPage))(t), []job.Job{j})
	},
	"a paused job without policies gets their defaults": func(t *testing.T, s store.Store) {
		paused := func(j *job.Job) {
			j.Active, j.NextRun, j.PausedAt = false, time.Time{}, noon
			j.Pause = &job.Pause{Reason: "later", Actor: "client_3", Since: noon, Until: noon.Add(time.Hour)}
		}
		made := newJob(t, s, paused)
		j := hourly(made.InstanceID)
		j.ID, j.Version, j.UpdatedAt = made.ID, 1, j.CreatedAt
		paused(&j)
		j.Policies = job.Policies{Overlap: job.OverlapSkip, CatchUp: job.CatchUpLatest, CatchUpWindow: 24 * time.Hour}
		same(t, "made", made, j)
		same(t, "read", must(s.Job(t.Context(), made.ID))(t), j)
	},
	"jobs of one manager differ in their names": func(t *testing.T, s store.Store) {
		managed := func(in int64, manager, name string) (job.Job, error) {
			j := hourly(in)
			j.ManagedBy, j.Name = manager, name
			return s.CreateJob(t.Context(), j, noRequest)
		}
		in, other := newInstance(t, s), newInstance(t, s)
		first := must(managed(in.ID, "apply", "a"))(t)
		_, err := managed(in.ID, "apply", "a")
		refused(t, err, "MANAGED_NAME_TAKEN")
		for _, free := range []job.Job{{InstanceID: in.ID, ManagedBy: "apply", Name: "b"}, {InstanceID: in.ID, ManagedBy: "make", Name: "a"},
			{InstanceID: other.ID, ManagedBy: "apply", Name: "a"}, {InstanceID: in.ID, Name: "a"}, {InstanceID: in.ID, Name: "a"}} {
			must(managed(free.InstanceID, free.ManagedBy, free.Name))(t)
		}
		second := must(managed(in.ID, "apply", "c"))(t)
		_, err = s.UpdateJob(t.Context(), second.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			j.Name = "a"
			return true, nil, nil
		})
		refused(t, err, "MANAGED_NAME_TAKEN")
		ok(t, s.DeleteJob(t.Context(), first.ID, store.At(noon), func(job.Job) error { return nil }))
		must(managed(in.ID, "apply", "a"))(t)
	},
	"resources must be of the job's instance": func(t *testing.T, s store.Store) {
		in, other := newInstance(t, s), newInstance(t, s)
		mine, foreign, gone := newResource(t, s, in.ID), newResource(t, s, other.ID), newResource(t, s, in.ID)
		ok(t, s.DeleteResource(t.Context(), gone.ID))
		for _, ids := range [][]int64{{foreign.ID}, {mine.ID, foreign.ID}, {gone.ID}, {99}} {
			j := hourly(in.ID)
			j.ResourceIDs = ids
			_, err := s.CreateJob(t.Context(), j, noRequest)
			refused(t, err, "RESOURCE_GONE")
		}
		same(t, "jobs", must(s.Jobs(t.Context(), in.ID, firstPage))(t), []job.Job(nil))
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.Job(t.Context(), 99)
		missing(t, "Job", err)
		_, err = s.CreateJob(t.Context(), hourly(99), noRequest)
		missing(t, "CreateJob", err)
		_, err = s.UpdateJob(t.Context(), 99, store.At(noon), rename("x"))
		missing(t, "UpdateJob", err)
		missing(t, "DeleteJob", s.DeleteJob(t.Context(), 99, store.At(noon), allow))
		_, err = s.EnqueueManual(t.Context(), store.Manual{JobID: 99, Now: store.At(noon)})
		missing(t, "EnqueueManual", err)
	},
	"lists go from the newest to the oldest by pages": func(t *testing.T, s store.Store) {
		a := newJob(t, s)
		newJob(t, s) // of another instance
		b := must(s.CreateJob(t.Context(), hourly(a.InstanceID), noRequest))(t)
		c := must(s.CreateJob(t.Context(), hourly(a.InstanceID), noRequest))(t)
		same(t, "first page", must(s.Jobs(t.Context(), a.InstanceID, store.Page{Limit: 2}))(t), []job.Job{c, b})
		same(t, "second page", must(s.Jobs(t.Context(), a.InstanceID, store.Page{Limit: 2, Before: b.ID}))(t), []job.Job{a})
		same(t, "third page", must(s.Jobs(t.Context(), a.InstanceID, store.Page{Limit: 2, Before: a.ID}))(t), []job.Job(nil))
	},
	"the next run is the one claimed ahead until its time": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		claimOne(t, s, noon.Add(-time.Second), time.Second)
		same(t, "read", must(s.Job(t.Context(), j.ID))(t).NextRun, noon)
		same(t, "list", must(s.Jobs(t.Context(), j.InstanceID, firstPage))(t)[0].NextRun, noon)
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			same(t, "at its time", j.NextRun, noon.Add(time.Hour))
			return false, nil, nil
		}))(t)
	},
	"the last run is the newest start": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		last := func(want time.Time) {
			t.Helper()
			same(t, "read", must(s.Job(t.Context(), j.ID))(t).LastRun, want)
			same(t, "list", must(s.Jobs(t.Context(), j.InstanceID, firstPage))(t)[0].LastRun, want)
		}
		last(time.Time{})
		first := claimOne(t, s, noon, 0)
		last(time.Time{})
		start(t, s, first, noon.Add(time.Millisecond))
		last(noon.Add(time.Millisecond))
		finish(t, s, first, job.StateFailed, noon.Add(time.Millisecond), noon.Add(time.Second))
		last(noon.Add(time.Millisecond))
		waiting := enqueue(t, s, j.ID, noon.Add(time.Minute))
		_ = must(s.CancelExecution(t.Context(), waiting.ID, noon.Add(2*time.Minute), job.Failure{}))(t)
		last(noon.Add(time.Millisecond)) // one that never started is no run
		enqueue(t, s, j.ID, noon.Add(3*time.Minute))
		second := claimQueued(t, s, noon.Add(3*time.Minute))[0]
		start(t, s, second, noon.Add(4*time.Minute))
		last(noon.Add(4 * time.Minute))
	},
	"what was claimed ahead has not started": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Policies.MaxExecutions = 3 })
		started := func(want int64) {
			t.Helper()
			same(t, "started", must(s.Job(t.Context(), j.ID))(t).Started, want)
		}
		started(0)
		finish(t, s, claimOne(t, s, noon, 0), job.StateSucceeded, noon, noon)
		started(1)
		claimOne(t, s, noon.Add(59*time.Minute), time.Minute)
		started(1)
		before := must(s.UpdateJob(t.Context(), j.ID, store.At(noon.Add(59*time.Minute)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			same(t, "started before its time", j.Started, int64(1))
			j.Name = "New"
			return true, nil, nil
		}))(t)
		same(t, "started after it was withdrawn", before.Started, int64(1))
		started(1)
		claimOne(t, s, noon.Add(59*time.Minute), time.Minute)
		_ = must(byHand(s, t, j.ID, job.OverlapSkip, noon.Add(59*time.Minute)))(t) // has the overlap decided anew
		started(1)
	},
	"a run that is near wakes tickers up": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		signals := listen(t, s)
		j := hourly(in.ID)
		j.NextRun = time.Now().Add(time.Second)
		_ = must(s.CreateJob(t.Context(), j, noRequest))(t)
		expect(t, signals, store.Signal{Kind: store.SignalDue})
	},
}

// rename is a change of a job's name.
func rename(name string) func(*job.Job, time.Time) (bool, []job.Skip, error) {
	return func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
		j.Name = name
		return true, nil, nil
	}
}
