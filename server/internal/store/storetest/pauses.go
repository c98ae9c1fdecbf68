package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// hour is a whole hour, n after noon: the slots of onTheHour.
func hour(n int) time.Time { return noon.Truncate(time.Hour).Add(time.Duration(n) * time.Hour) }

// onTheHour is a job whose next slot is an hour after noon.
func onTheHour(j *job.Job) {
	j.Schedule = job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}
	j.NextRun = hour(1)
}

// tick lets the ticker decide by the policy what is due at now.
func tick(t *testing.T, s store.Store, now time.Time) []store.Claimed {
	t.Helper()
	return tickAhead(t, s, now, now)
}

func tickAhead(t *testing.T, s store.Store, now, ahead time.Time) []store.Claimed {
	t.Helper()
	claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: ahead, Limit: 100},
		func(d store.Due) store.Decision { return policy.Due(d, now) })
	ok(t, err)
	return claimed
}

// slots are what executions stand for, in hours after noon.
func slots(claimed []store.Claimed) []int {
	var list []int
	for _, c := range claimed {
		list = append(list, int(c.ScheduledFor.Sub(hour(0))/time.Hour))
	}
	return list
}

// ledgerRow is a row of a job's ledger, in hours after noon.
func ledgerRow(j job.Job, reason string, first, last int, count int64) job.Skip {
	return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: reason, First: hour(first), Last: hour(last), Count: count}
}

// pauseInstance pauses for a reason, until an hour after noon or, with 0, for
// good.
func pauseInstance(t *testing.T, s store.Store, id int64, now time.Time, until int) job.Pause {
	t.Helper()
	p := job.Pause{Reason: "maintenance", Actor: "client_3", Since: now, InstanceID: id}
	if until != 0 {
		p.Until = hour(until)
	}
	in := must(s.PauseInstance(t.Context(), id, p))(t)
	same(t, "paused instance", in.Pause, &p)
	same(t, "read", must(s.Instance(t.Context(), id))(t), in)
	return p
}

var pauseTests = tests{
	"a paused instance holds its jobs": func(t *testing.T, s store.Store) {
		j, other := newJob(t, s, onTheHour), newJob(t, s, onTheHour)
		p := pauseInstance(t, s, j.InstanceID, noon, 0)
		held := must(s.Job(t.Context(), j.ID))(t)
		want := j
		want.NextRun, want.HeldAt, want.Hold = time.Time{}, noon, &p
		same(t, "held", held, want)
		same(t, "list", must(s.Jobs(t.Context(), j.InstanceID, firstPage))(t), []job.Job{want})
		same(t, "job of another instance", must(s.Job(t.Context(), other.ID))(t), other)
		for _, c := range tick(t, s, hour(3)) {
			if c.JobID == j.ID {
				t.Error("a held job has started")
			}
		}
		enqueue(t, s, j.ID, hour(3)) // by hand it runs
		same(t, "by hand", len(claimQueued(t, s, hour(3))), 1)
	},
	"a resumed instance lets the ticker tell and go on": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 0)
		signals := listen(t, s)
		now := hour(3).Add(time.Minute)
		in := must(s.ResumeInstance(t.Context(), j.InstanceID, now))(t)
		same(t, "pause", in.Pause, (*job.Pause)(nil))
		expect(t, signals, store.Signal{Kind: store.SignalDue})
		between := must(s.Job(t.Context(), j.ID))(t)
		if between.HeldAt != noon || between.Hold != nil || !between.NextRun.IsZero() {
			t.Errorf("before the ticker came by: %+v", between)
		}
		same(t, "started", len(tick(t, s, now)), 0)
		same(t, "job", must(s.Job(t.Context(), j.ID))(t).NextRun, hour(4))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
		same(t, "started", slots(tick(t, s, hour(4))), []int{4})
		same(t, "again", must(s.ResumeInstance(t.Context(), j.InstanceID, hour(4)))(t), in)
		same(t, "started", slots(tick(t, s, hour(4).Add(time.Minute))), []int(nil))
	},
	"an instance's pause ends by itself": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		same(t, "started", len(tick(t, s, hour(2))), 0)
		same(t, "started", len(tick(t, s, hour(3))), 0)
		after := must(s.Job(t.Context(), j.ID))(t)
		if !after.HeldAt.IsZero() || !after.NextRun.Equal(hour(4)) {
			t.Errorf("after the end: held at %v, next run %v", after.HeldAt, after.NextRun)
		}
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
		// A pause that is over by itself is a pause no more: the next has its own start.
		pauseInstance(t, s, j.InstanceID, hour(4).Add(-time.Minute), 0)
	},
	"a second pause of an instance replaces all but the start": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		again := job.Pause{Reason: "longer", Actor: "operator", Since: hour(1), Until: hour(5), InstanceID: j.InstanceID}
		in := must(s.PauseInstance(t.Context(), j.InstanceID, again))(t)
		again.Since = noon
		same(t, "pause", in.Pause, &again)
		same(t, "started", len(tick(t, s, hour(4))), 0)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
		tick(t, s, hour(5))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 5, 5)})
	},
	"what is overdue when an instance is paused belongs to the pause": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, hour(2).Add(time.Minute), 0)
		_ = must(s.ResumeInstance(t.Context(), j.InstanceID, hour(3).Add(time.Minute)))(t)
		tick(t, s, hour(3).Add(time.Minute))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
	},
	"what is claimed ahead is withdrawn when the instance is paused": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour, func(j *job.Job) { j.Policies.MaxExecutions = 5 })
		before := hour(1).Add(-500 * time.Millisecond)
		ahead := tickAhead(t, s, before, hour(1))
		same(t, "claimed", slots(ahead), []int{1})
		pauseInstance(t, s, j.InstanceID, before, 0)
		if still := must(s.StillClaimed(t.Context(), ahead))(t); len(still) != 0 {
			t.Errorf("still claimed: %v", still)
		}
		same(t, "started", must(s.Job(t.Context(), j.ID))(t).Started, int64(0))
		_ = must(s.ResumeInstance(t.Context(), j.InstanceID, hour(2).Add(time.Minute)))(t)
		tick(t, s, hour(2).Add(time.Minute))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 2, 2)})
	},
	"a job that is made in a paused instance is held": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		pauseInstance(t, s, in.ID, noon, 3)
		draft := hourly(in.ID)
		onTheHour(&draft)
		draft.CreatedAt, draft.NextRun = hour(1).Add(time.Minute), hour(2)
		j := must(s.CreateJob(t.Context(), draft, noRequest))(t)
		if j.HeldAt != draft.CreatedAt || j.Hold == nil || !j.NextRun.IsZero() {
			t.Errorf("made as %+v", j)
		}
		same(t, "started", len(tick(t, s, hour(2))), 0)
		tick(t, s, hour(3))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 2, 3, 2)})
		draft.CreatedAt, draft.NextRun = hour(3).Add(time.Minute), hour(4)
		after := must(s.CreateJob(t.Context(), draft, noRequest))(t)
		if !after.HeldAt.IsZero() || after.NextRun != hour(4) {
			t.Errorf("made after the end as %+v", after)
		}
	},
	"a change of a held job leaves it held": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		changed := must(s.UpdateJob(t.Context(), j.ID, hour(1), func(j *job.Job) (bool, []job.Skip, error) {
			j.Name, j.HeldAt, j.NextRun = "New", hour(1), hour(2)
			return true, nil, nil
		}))(t)
		if changed.HeldAt != hour(1) || changed.Name != "New" || !changed.NextRun.IsZero() {
			t.Errorf("changed to %+v", changed)
		}
		same(t, "started", len(tick(t, s, hour(2))), 0)
		tick(t, s, hour(3))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 2, 3, 2)})
	},
	"a job that is paused in a paused instance stays paused": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 2)
		own := job.Pause{Reason: "mine", Actor: "operator", Since: noon, Until: hour(4)}
		paused := must(s.UpdateJob(t.Context(), j.ID, hour(1), func(j *job.Job) (bool, []job.Skip, error) {
			j.Active, j.PausedAt, j.Pause = false, noon, &own
			return true, nil, nil
		}))(t)
		same(t, "pause", paused.Pause, &own)
		tick(t, s, hour(2))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
		after := must(s.Job(t.Context(), j.ID))(t)
		if after.Active || !after.HeldAt.IsZero() || after.Pause == nil {
			t.Errorf("after the hold: %+v", after)
		}
		tick(t, s, hour(4))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 4, 4)})
		same(t, "next run", must(s.Job(t.Context(), j.ID))(t).NextRun, hour(5))
	},
	"of jobs made while an instance is paused none escapes": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				draft := hourly(in.ID)
				draft.CreatedAt = noon
				if _, err := s.CreateJob(context.WithoutCancel(t.Context()), draft, noRequest); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if _, err := s.PauseInstance(context.WithoutCancel(t.Context()), in.ID, job.Pause{Since: noon}); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		for _, j := range must(s.Jobs(t.Context(), in.ID, firstPage))(t) {
			if j.HeldAt.IsZero() {
				t.Errorf("job %d is not held", j.ID)
			}
		}
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.PauseInstance(t.Context(), 99, job.Pause{Since: noon})
		missing(t, "PauseInstance", err)
		_, err = s.ResumeInstance(t.Context(), 99, noon)
		missing(t, "ResumeInstance", err)
	},
}
