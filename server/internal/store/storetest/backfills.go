package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// past is a backfill of the five hours before noon, two at a time.
func past(j job.Job) job.Backfill {
	return job.Backfill{JobID: j.ID, From: hour(-5), To: hour(0), Concurrency: 2, Overlap: job.OverlapAllow, Total: 5, CreatedAt: noon}
}

func backfill(t *testing.T, s store.Store, b job.Backfill) job.Backfill {
	t.Helper()
	return must(s.CreateBackfill(t.Context(), b, noRequest))(t)
}

// advance makes the executions that have room, and claims them.
func advance(t *testing.T, s store.Store, now time.Time) []store.Claimed {
	t.Helper()
	ok(t, s.AdvanceBackfills(t.Context(), now, policy.BackfillSlots))
	return claimQueued(t, s, now)
}

var cancelledByCaller = job.Failure{Code: "CANCELLED", Reason: "BACKFILL_CANCELLED", Message: "cancelled"}

var backfillTests = tests{
	"a job has so many open ones and no more": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		draft := job.Backfill{JobID: j.ID, InstanceID: j.InstanceID, From: minute(0), To: minute(5), Concurrency: 1, State: job.BackfillRunning, Total: 5}
		var first job.Backfill
		for range job.MaxOpenBackfills {
			first = must(s.CreateBackfill(t.Context(), draft, noRequest))(t)
		}
		_, err := s.CreateBackfill(t.Context(), draft, noRequest)
		var full *job.ExhaustedError
		if !errors.As(err, &full) || full.Reason != job.SkipQuota {
			t.Fatalf("one more: %v", err)
		}
		_ = must(s.CancelBackfill(t.Context(), first.ID, noon, job.Failure{Code: "CANCELLED"}))(t)
		_ = must(s.CreateBackfill(t.Context(), draft, noRequest))(t)
	},
	"a backfill comes back as it was given": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		signals := listen(t, s)
		made := backfill(t, s, past(j))
		expect(t, signals, store.Signal{Kind: store.SignalDue})
		want := past(j)
		want.ID, want.InstanceID, want.State = made.ID, j.InstanceID, job.BackfillRunning
		same(t, "made", made, want)
		same(t, "read", must(s.Backfill(t.Context(), made.ID))(t), want)
		same(t, "instance", must(s.InstanceOf(t.Context(), job.KindBackfill, made.ID))(t), j.InstanceID)
	},
	"its executions run some at a time, beside those by schedule": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour, func(j *job.Job) { j.NextRun = hour(-2) })
		bySchedule := tick(t, s, hour(-2))
		finish(t, s, bySchedule[0], job.StateFailed, hour(-2), hour(-2))
		made := backfill(t, s, past(j))
		var started []int
		for range 3 {
			claimed := advance(t, s, noon)
			if len(claimed) > 2 {
				t.Fatalf("%d run at a time", len(claimed))
			}
			for _, c := range claimed {
				if c.Trigger != job.TriggerBackfill || c.TriggerID != job.KindBackfill.Format(made.ID) {
					t.Errorf("claimed %+v", c)
				}
				finish(t, s, c, job.StateSucceeded, noon, noon)
			}
			started = append(started, slots(claimed)...)
		}
		same(t, "started", started, []int{-5, -4, -3, -2, -1})
		same(t, "left", len(advance(t, s, minute(1))), 0)
		end := must(s.Backfill(t.Context(), made.ID))(t)
		if end.State != job.BackfillFinished || end.Started != 5 || !end.FinishedAt.Equal(minute(1)) {
			t.Errorf("ended as %+v", end)
		}
		same(t, "executions", len(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), 6)
		_, err := s.CancelBackfill(t.Context(), made.ID, minute(2), cancelledByCaller)
		refused(t, err, "ALREADY_ENDED")
	},
	"a cancelled one ends what waits and asks what runs": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		made := backfill(t, s, past(j))
		ok(t, s.AdvanceBackfills(t.Context(), noon, policy.BackfillSlots)) // two
		claimed, _, err := s.ClaimQueued(t.Context(), store.ClaimRequest{Owner: owner, Now: noon, Ahead: noon, Limit: 1})
		ok(t, err)
		running := claimed[0]
		start(t, s, running, noon)
		other := backfill(t, s, past(j))
		ok(t, s.AdvanceBackfills(t.Context(), noon, policy.BackfillSlots))
		enqueue(t, s, j.ID, noon)
		signals := listen(t, s)
		end := must(s.CancelBackfill(t.Context(), made.ID, minute(1), cancelledByCaller))(t)
		if end.State != job.BackfillCancelled || !end.FinishedAt.Equal(minute(1)) {
			t.Errorf("cancelled as %+v", end)
		}
		expect(t, signals, store.Signal{Kind: store.SignalCancel, ID: running.ExecutionID})
		states := map[job.State]int{}
		for _, e := range must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t) {
			switch e.TriggerID {
			case job.KindBackfill.Format(made.ID):
				states[e.State]++
				if e.State == job.StateCancelled && cmp.Diff(&cancelledByCaller, e.Error) != "" {
					t.Errorf("error is %+v", e.Error)
				}
			default:
				if e.State == job.StateCancelled || e.State == job.StateCancelling {
					t.Errorf("%+v was cancelled", e)
				}
			}
		}
		same(t, "states", states, map[job.State]int{job.StateCancelling: 1, job.StateCancelled: 1})
		finish(t, s, running, job.StateCancelled, noon, minute(1))
		for _, c := range advance(t, s, minute(2)) {
			if c.TriggerID == job.KindBackfill.Format(made.ID) {
				t.Errorf("claimed %+v", c)
			}
		}
		same(t, "again", must(s.CancelBackfill(t.Context(), made.ID, minute(9), cancelledByCaller))(t), end)
		same(t, "the other one", must(s.Backfill(t.Context(), other.ID))(t).State, job.BackfillRunning)
	},
	"that of a deleted job ends": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		a, b := backfill(t, s, past(j)), backfill(t, s, past(j))
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), func(job.Job) error { return nil }))
		same(t, "cancelled", must(s.CancelBackfill(t.Context(), a.ID, minute(1), cancelledByCaller))(t).State, job.BackfillCancelled)
		advance(t, s, minute(2))
		same(t, "found", must(s.Backfill(t.Context(), b.ID))(t).State, job.BackfillCancelled)
		_, err := s.CreateBackfill(t.Context(), past(j), noRequest)
		missing(t, "CreateBackfill", err)
	},
	"it goes with the history": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		open, old, late := backfill(t, s, past(j)), backfill(t, s, past(j)), backfill(t, s, past(j))
		_ = must(s.CancelBackfill(t.Context(), old.ID, minute(1), cancelledByCaller))(t)
		_ = must(s.CancelBackfill(t.Context(), late.ID, minute(3), cancelledByCaller))(t)
		prune(t, s, minute(2), 10)
		_, err := s.Backfill(t.Context(), old.ID)
		missing(t, "Backfill", err)
		for _, kept := range []job.Backfill{open, late} {
			same(t, "kept", must(s.Backfill(t.Context(), kept.ID))(t).ID, kept.ID)
		}
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.Backfill(t.Context(), 99)
		missing(t, "Backfill", err)
		_, err = s.CancelBackfill(t.Context(), 99, noon, cancelledByCaller)
		missing(t, "CancelBackfill", err)
		_, err = s.InstanceOf(t.Context(), job.KindBackfill, 99)
		missing(t, "InstanceOf", err)
	},
}
