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
	p := job.Pause{Reason: "maintenance", Actor: "client_3", InstanceID: id}
	if until != 0 {
		p.Until = hour(until)
	}
	in := must(s.PauseInstance(t.Context(), id, store.At(now), p))(t)
	p.Since = now
	same(t, "paused instance", in.Pause, &p)
	same(t, "read", must(s.Instance(t.Context(), id))(t), in)
	return p
}

// clockFrom is a clock that goes on from a time.
func clockFrom(base time.Time) store.Clock {
	began := time.Now()
	return func() time.Time { return base.Add(time.Since(began)) }
}

var pauseTests = tests{
	"in a paused instance nothing starts when due": func(t *testing.T, s store.Store) {
		j, other := newJob(t, s, onTheHour), newJob(t, s, onTheHour)
		p := pauseInstance(t, s, j.InstanceID, noon, 0)
		want := j
		want.Hold = &p
		same(t, "held", must(s.Job(t.Context(), j.ID))(t), want)
		same(t, "list", must(s.Jobs(t.Context(), j.InstanceID, firstPage))(t), []job.Job{want})
		same(t, "job of another instance", must(s.Job(t.Context(), other.ID))(t), other)
		for _, c := range tick(t, s, hour(3)) {
			if c.JobID == j.ID {
				t.Error("a held job has started")
			}
		}
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
		tick(t, s, hour(4))
		same(t, "folded", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 4, 4)})
		enqueue(t, s, j.ID, hour(4)) // by hand it runs
		same(t, "by hand", len(claimQueued(t, s, hour(4))), 1)
	},
	"a resumed instance goes on with the next slot": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 0)
		tick(t, s, hour(3))
		signals := listen(t, s)
		now := hour(3).Add(time.Minute)
		in := must(s.ResumeInstance(t.Context(), j.InstanceID, store.At(now)))(t)
		if !in.Pause.Over(now) {
			t.Errorf("pause after the resumption: %+v", in.Pause)
		}
		expect(t, signals, store.Signal{Kind: store.SignalDue})
		same(t, "started", slots(tick(t, s, hour(4))), []int{4})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
		same(t, "again", must(s.ResumeInstance(t.Context(), j.InstanceID, store.At(hour(4))))(t), in)
	},
	"a pause that began and ended while nothing ran is told": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 0)
		_ = must(s.ResumeInstance(t.Context(), j.InstanceID, store.At(hour(3).Add(time.Minute))))(t)
		now := hour(5).Add(time.Minute)
		same(t, "first visit", slots(tick(t, s, now)), []int(nil))
		same(t, "second visit", slots(tick(t, s, now)), []int{5})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3), ledgerRow(j, job.SkipMissed, 4, 4, 1)})
	},
	"an instance's pause ends by itself": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		same(t, "started", len(tick(t, s, hour(2))), 0)
		same(t, "started", len(tick(t, s, hour(3))), 0)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3)})
		same(t, "started", slots(tick(t, s, hour(4))), []int{4})
		// A pause that is over by itself is a pause no more: the next has its own start.
		pauseInstance(t, s, j.InstanceID, hour(4).Add(time.Minute), 0)
	},
	"a second pause of an instance replaces all but the start": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		again := job.Pause{Reason: "longer", Actor: "operator", Until: hour(5), InstanceID: j.InstanceID}
		in := must(s.PauseInstance(t.Context(), j.InstanceID, store.At(hour(1)), again))(t)
		again.Since = noon
		same(t, "pause", in.Pause, &again)
		same(t, "started", len(tick(t, s, hour(4))), 0)
		tick(t, s, hour(5))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 5, 5)})
	},
	"what is overdue when an instance is paused belongs to the pause": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, hour(2).Add(time.Minute), 0)
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
		after := must(s.Job(t.Context(), j.ID))(t)
		same(t, "started", after.Started, int64(0))
		same(t, "next run", after.NextRun, hour(1))
		same(t, "ahead again", len(tickAhead(t, s, before, hour(1))), 0)
		_ = must(s.ResumeInstance(t.Context(), j.InstanceID, store.At(before.Add(time.Millisecond))))(t)
		same(t, "resumed before the slot", slots(tick(t, s, hour(1))), []int{1})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
	},
	"a pause lets pass what is about to start": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		before := hour(1).Add(-store.StartGuard / 2)
		ahead := tickAhead(t, s, before, hour(1))
		in := must(s.PauseInstance(t.Context(), j.InstanceID, clockFrom(before), job.Pause{}))(t)
		if in.Pause.Since.Before(hour(1)) {
			t.Errorf("paused since %v, before what starts", in.Pause.Since)
		}
		same(t, "still claimed", len(must(s.StillClaimed(t.Context(), ahead))(t)), 1)
	},
	"of what is claimed while an instance is paused nothing starts": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		for range 60 {
			draft := hourly(in.ID)
			onTheHour(&draft)
			_ = must(s.CreateJob(t.Context(), draft, noRequest))(t)
		}
		register(t, s, 3)
		ctx := context.WithoutCancel(t.Context())
		before := hour(1).Add(-400 * time.Millisecond)
		var mu sync.Mutex
		var all []store.Claimed
		var claiming sync.WaitGroup
		begun := make(chan struct{})
		for n := range 4 {
			claiming.Go(func() {
				for range 20 {
					claimed, _, err := s.ClaimDue(ctx, store.ClaimRequest{Owner: int64(n + 1), Now: before, Ahead: hour(1), Limit: 2},
						func(d store.Due) store.Decision { return policy.Due(d, before) })
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					if all = append(all, claimed...); len(all) > 5 && begun != nil {
						close(begun)
						begun = nil
					}
					mu.Unlock()
				}
			})
		}
		mu.Lock()
		waiting := begun
		mu.Unlock()
		if waiting != nil {
			<-waiting
		}
		_ = must(s.PauseInstance(t.Context(), in.ID, store.At(before), job.Pause{}))(t)
		claiming.Wait()
		if still := must(s.StillClaimed(t.Context(), all))(t); len(still) != 0 {
			t.Errorf("of %d claims %d may still start after the pause", len(all), len(still))
		}
	},
	"a job that is paused in a paused instance stays paused": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 2)
		own := job.Pause{Reason: "mine", Actor: "operator", Since: noon, Until: hour(4)}
		paused := must(s.UpdateJob(t.Context(), j.ID, store.At(hour(1).Add(-1)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			j.Active, j.PausedAt, j.Pause = false, noon, &own
			return true, nil, nil
		}))(t)
		same(t, "pause", paused.Pause, &own)
		tick(t, s, hour(2))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
		tick(t, s, hour(4))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 4, 4)})
		same(t, "next run", must(s.Job(t.Context(), j.ID))(t).NextRun, hour(5))
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.PauseInstance(t.Context(), 99, store.At(noon), job.Pause{})
		missing(t, "PauseInstance", err)
		_, err = s.ResumeInstance(t.Context(), 99, store.At(noon))
		missing(t, "ResumeInstance", err)
	},
}
