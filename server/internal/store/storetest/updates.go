package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var updateTests = tests{
	"a change is stored as the next version": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Labels = map[string]string{"a": "b"} })
		r := newResource(t, s, j.InstanceID)
		want := j
		want.Name, want.Description, want.Workflow = "New", "text", json.RawMessage(`{}`)
		want.Schedule = job.Schedule{Type: job.CronBased, Cron: "* * * * *", TimeZone: "Asia/Tokyo"}
		want.Policies.Overlap = job.OverlapAllow
		want.Labels, want.ResourceIDs = nil, []int64{r.ID}
		want.Schedule.ScheduleOptions = job.ScheduleOptions{Jitter: time.Hour}
		want.Policies.MaxExecutions, want.Policies.Priority = 7, 50
		want.Started, want.Failures = 2, 1
		want.Active, want.NextRun, want.PausedAt = false, time.Time{}, noon
		want.Pause = &job.Pause{Reason: "broken", Actor: "operator", Since: noon, Until: noon.Add(time.Hour)}
		changed := must(s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			*j = want
			return true, nil, nil
		}))(t)
		want.Version, want.UpdatedAt = 2, noon
		same(t, "changed", changed, want)
		same(t, "read", must(s.Job(t.Context(), j.ID))(t), want)
		want.Active, want.NextRun, want.PausedAt = true, noon, time.Time{}
		changed = must(s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			*j = want // with its pause: an active job has none
			return true, nil, nil
		}))(t)
		want.Version, want.Pause = 3, nil
		same(t, "resumed", changed, want)
	},
	"no change writes nothing": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		draft := hourly(r.InstanceID)
		draft.Labels, draft.ResourceIDs = map[string]string{"a": "b"}, []int64{r.ID}
		j := must(s.CreateJob(t.Context(), draft, noRequest))(t)
		failure := &job.AbortedError{Message: "etag"}
		for _, wanted := range []error{nil, failure} {
			got, err := s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
				j.Name = "New"
				j.Labels["a"], j.ResourceIDs[0] = "c", 99
				return false, []job.Skip{{Reason: job.SkipPaused, First: noon, Last: noon, Count: 1}}, wanted
			})
			if !errors.Is(err, wanted) {
				t.Fatalf("got error %v, want %v", err, wanted)
			}
			if wanted == nil {
				same(t, "answer", got, j)
			}
			same(t, "read", must(s.Job(t.Context(), j.ID))(t), j)
		}
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
	},
	"resources are bound and let go": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		a, b, foreign := newResource(t, s, j.InstanceID), newResource(t, s, j.InstanceID), newResource(t, s, newInstance(t, s).ID)
		use := func(ids ...int64) error {
			_, err := s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
				j.ResourceIDs = ids
				return true, nil, nil
			})
			return err
		}
		ok(t, use(a.ID, b.ID))
		ok(t, use(b.ID))
		ok(t, s.DeleteResource(t.Context(), a.ID))
		refused(t, s.DeleteResource(t.Context(), b.ID), "RESOURCE_IN_USE")
		refused(t, use(foreign.ID), "RESOURCE_GONE")
		refused(t, use(a.ID), "RESOURCE_GONE")
		same(t, "resources", must(s.Job(t.Context(), j.ID))(t).ResourceIDs, []int64{b.ID})
		ok(t, use())
		ok(t, s.DeleteResource(t.Context(), b.ID))
	},
	"what was claimed ahead is withdrawn and due again": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-500 * time.Millisecond)
		old := claimOne(t, s, before, time.Second)
		signals := listen(t, s)
		changed := must(s.UpdateJob(t.Context(), j.ID, store.At(before), rename("New")))(t)
		same(t, "next run", changed.NextRun, noon)
		expect(t, signals, store.Signal{Kind: store.SignalWithdraw, ID: j.ID})
		if still := must(s.StillClaimed(t.Context(), []store.Claimed{old}))(t); len(still) != 0 {
			t.Errorf("still claimed: %v", still)
		}
		fresh := claimOne(t, s, before, time.Second)
		if fresh.JobVersion != 2 || fresh.ScheduledFor != noon || fresh.Fence <= old.Fence {
			t.Errorf("claimed again as %+v", fresh)
		}
		finish(t, s, fresh, job.StateSucceeded, noon, noon)
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{fresh.ExecutionID})
	},
	"a change asks the clock under the lock, and a look waits for the change": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-500 * time.Millisecond)
		claimed := claimOne(t, s, before, time.Second)
		inTime := func(what string, call func(context.Context) error) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := call(ctx); err == nil {
				t.Errorf("%s does not wait for a change that is being made", what)
			}
		}
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(before), func(j *job.Job, now time.Time) (bool, []job.Skip, error) {
			same(t, "time", now, before)
			inTime("a second change", func(ctx context.Context) error {
				early := func() time.Time { t.Error("the clock is asked before the lock is had"); return before }
				_, err := s.UpdateJob(ctx, j.ID, early, rename("Second"))
				return err
			})
			inTime("a look at the claim", func(ctx context.Context) error {
				_, err := s.StillClaimed(ctx, []store.Claimed{claimed})
				return err
			})
			j.Name = "First"
			return true, nil, nil
		}))(t)
		same(t, "still claimed", len(must(s.StillClaimed(t.Context(), []store.Claimed{claimed}))(t)), 0)
	},
	"a change lets pass what is about to start": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-store.StartGuard / 2)
		old := claimOne(t, s, before, time.Second)
		_ = must(s.UpdateJob(t.Context(), j.ID, clockFrom(before), func(j *job.Job, now time.Time) (bool, []job.Skip, error) {
			if now.Before(noon) {
				t.Errorf("changed at %v, before what starts", now)
			}
			same(t, "next run", j.NextRun, noon.Add(time.Hour))
			j.Name = "New"
			return true, nil, nil
		}))(t)
		same(t, "still claimed", len(must(s.StillClaimed(t.Context(), []store.Claimed{old}))(t)), 1)
	},
	"what waits by jitter is withdrawn, and holds no place": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		jitter := func(d store.Due) store.Decision {
			decision := startHourly(d)
			decision.Starts[0].NotBefore = noon.Add(10 * time.Minute)
			return decision
		}
		claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: noon, Ahead: noon.Add(time.Second), Limit: 100}, jitter)
		ok(t, err)
		same(t, "claimed", len(claimed), 0)
		later := noon.Add(time.Minute)
		same(t, "queued early", len(claimQueued(t, s, later)), 0)
		same(t, "next run", must(s.UpdateJob(t.Context(), j.ID, store.At(later), rename("New")))(t).NextRun, noon)
		claimed, _, err = s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: later, Ahead: later, Limit: 100}, jitter)
		ok(t, err)
		same(t, "claimed", len(claimed), 0)
		again := claimQueued(t, s, noon.Add(10*time.Minute))
		if len(again) != 1 || again[0].JobVersion != 2 || again[0].ScheduledFor != noon || again[0].Attempt != 1 {
			t.Errorf("claimed after the jitter: %+v", again)
		}
	},
	"a pause withdraws too": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-500 * time.Millisecond)
		claimOne(t, s, before, time.Second)
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(before), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			j.Active, j.NextRun, j.PausedAt = false, time.Time{}, before
			return true, nil, nil
		}))(t)
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64(nil))
		if claimed := claimDue(t, s, noon.Add(time.Hour), 0); len(claimed) != 0 {
			t.Errorf("claimed %v", claimed)
		}
	},
	"what is due, started or by hand stays": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		due := claimOne(t, s, noon, 0)
		manual := enqueue(t, s, j.ID, noon.Add(time.Hour)) // by a clock that goes ahead
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon), rename("New")))(t)
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{manual.ID, due.ExecutionID})
		start(t, s, due, noon)
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon.Add(-time.Minute)), rename("Newer")))(t)
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{manual.ID, due.ExecutionID})
	},
	"a next run that is near wakes tickers up": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		signals := listen(t, s)
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon.Add(-time.Second)), rename("New")))(t)
		expect(t, signals, store.Signal{Kind: store.SignalDue})
	},
}
