package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// wish is a change of the occurrence at an hour after noon; at is where it
// moves to, zero leaves it out.
func wish(j job.Job, slot int, at time.Time) job.OccurrenceChange {
	return job.OccurrenceChange{JobID: j.ID, Slot: hour(slot), MoveTo: at}
}

// change stores exactly these wishes and the next visit.
func change(t *testing.T, s store.Store, id int64, now, next time.Time, wishes ...job.OccurrenceChange) (job.Job, error) {
	t.Helper()
	return s.ChangeOccurrences(t.Context(), id, store.At(now), func(j *job.Job, _ time.Time) ([]job.Skip, error) {
		j.Changes, j.NextRun = wishes, next
		return nil, nil
	})
}

func wishesOf(t *testing.T, s store.Store, id int64) []job.OccurrenceChange {
	t.Helper()
	return must(s.OccurrenceChanges(t.Context(), id))(t)
}

var occurrenceTests = tests{
	"wishes are stored, replaced and taken back": func(t *testing.T, s store.Store) {
		j, other := newJob(t, s, onTheHour), newJob(t, s, onTheHour)
		all := []job.OccurrenceChange{wish(j, 2, time.Time{}), wish(j, 3, minute(200)), wish(j, 5, minute(30))}
		changed := must(change(t, s, j.ID, noon, minute(30), slices.Clone(all)...))(t)
		same(t, "answer", changed.Changes, all)
		same(t, "read", wishesOf(t, s, j.ID), all)
		same(t, "of another job", wishesOf(t, s, other.ID), []job.OccurrenceChange(nil))
		read := must(s.Job(t.Context(), j.ID))(t)
		if read.NextRun != minute(30) || read.Version != j.Version || read.UpdatedAt != j.UpdatedAt {
			t.Errorf("job is %+v", read)
		}
		all = []job.OccurrenceChange{wish(j, 2, minute(125)), wish(j, 3, time.Time{})}
		_ = must(change(t, s, j.ID, noon, hour(1), slices.Clone(all)...))(t)
		same(t, "replaced", wishesOf(t, s, j.ID), all)
		_ = must(change(t, s, j.ID, noon, hour(1)))(t)
		same(t, "taken back", wishesOf(t, s, j.ID), []job.OccurrenceChange(nil))
	},
	"what the ticker comes to is told by wish": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		// 1 is left out, 2 comes after 3, and 5 before it.
		_ = must(change(t, s, j.ID, noon, hour(1), wish(j, 1, time.Time{}), wish(j, 2, minute(200)), wish(j, 5, minute(130))))(t)
		var started []int
		for at := hour(1); !at.After(hour(6)); at = at.Add(10 * time.Minute) {
			for _, c := range tick(t, s, at) {
				started = append(started, slots([]store.Claimed{c})...)
				finish(t, s, c, job.StateSucceeded, at, at)
			}
		}
		same(t, "started", started, []int{5, 3, 2, 4, 6})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipByCaller, 1, 1, 1)})
		same(t, "wishes", wishesOf(t, s, j.ID), []job.OccurrenceChange(nil))
	},
	"a wish about what is claimed ahead withdraws it": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour, func(j *job.Job) { j.Policies.MaxExecutions = 5 })
		before := hour(1).Add(-500 * time.Millisecond)
		ahead := tickAhead(t, s, before, hour(1))
		signals := listen(t, s)
		changed := must(s.ChangeOccurrences(t.Context(), j.ID, store.At(before), func(j *job.Job, _ time.Time) ([]job.Skip, error) {
			same(t, "next run", j.NextRun, hour(1))
			j.Changes = []job.OccurrenceChange{wish(*j, 1, time.Time{})}
			return nil, nil
		}))(t)
		same(t, "started", changed.Started, int64(0))
		expect(t, signals, store.Signal{Kind: store.SignalWithdraw, ID: j.ID})
		if still := must(s.StillClaimed(t.Context(), ahead))(t); len(still) != 0 {
			t.Errorf("still claimed: %v", still)
		}
		same(t, "started", slots(tick(t, s, hour(1))), []int(nil))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipByCaller, 1, 1, 1)})
		same(t, "counted", must(s.Job(t.Context(), j.ID))(t).Started, int64(0))
		same(t, "started", slots(tick(t, s, hour(2))), []int{2})
	},
	"what is moved onto another one waits with it for its time": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour, func(j *job.Job) { j.Policies.Overlap = job.OverlapAllow })
		_ = must(change(t, s, j.ID, noon, hour(1), wish(j, 3, hour(1))))(t)
		same(t, "ahead", slots(tickAhead(t, s, hour(1).Add(-500*time.Millisecond), hour(1))), []int(nil))
		both := tick(t, s, hour(1))
		slices.SortFunc(both, func(a, b store.Claimed) int { return a.ScheduledFor.Compare(b.ScheduledFor) })
		same(t, "started", slots(both), []int{1, 3})
		same(t, "started again", slots(tick(t, s, hour(1).Add(time.Second))), []int(nil))
		same(t, "next", slots(tick(t, s, hour(2))), []int{2})
	},
	"what has started can't be changed": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		_ = must(change(t, s, j.ID, noon, minute(30), wish(j, 2, minute(30))))(t)
		c := tick(t, s, minute(30))
		same(t, "started", slots(c), []int{2})
		done := wishesOf(t, s, j.ID)
		if len(done) != 1 || !done[0].Done {
			t.Fatalf("wishes are %+v", done)
		}
		refuse := func() {
			t.Helper()
			_, err := change(t, s, j.ID, minute(31), hour(1), wish(j, 2, time.Time{}))
			if e := refused(t, err, "ALREADY_STARTED"); e.Metadata["executionId"] != job.KindExecution.Format(c[0].ExecutionID) {
				t.Errorf("metadata is %v", e.Metadata)
			}
			same(t, "wishes", wishesOf(t, s, j.ID), done)
		}
		refuse()
		finish(t, s, c[0], job.StateSucceeded, minute(30), minute(31))
		refuse()
	},
	"an edit does not take back what was moved earlier and runs": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		_ = must(change(t, s, j.ID, noon, minute(30), wish(j, 2, minute(30))))(t)
		c := tick(t, s, minute(30))[0]
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(minute(31)), rename("New")))(t)
		pauseInstance(t, s, j.InstanceID, minute(32), 0)
		finish(t, s, c, job.StateSucceeded, minute(30), minute(33))
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{c.ExecutionID})
	},
	"skips are told with a change": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		_ = must(change(t, s, j.ID, noon, hour(2), wish(j, 1, minute(100))))(t)
		row := ledgerRow(j, job.SkipByCaller, 1, 1, 1)
		_ = must(s.ChangeOccurrences(t.Context(), j.ID, store.At(minute(90)), func(j *job.Job, _ time.Time) ([]job.Skip, error) {
			j.Changes = nil
			return []job.Skip{row}, nil
		}))(t)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{row})
	},
	"no change writes nothing": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		kept := wish(j, 2, time.Time{})
		_ = must(change(t, s, j.ID, noon, hour(1), kept))(t)
		got := must(change(t, s, j.ID, noon, hour(9), kept))(t)
		same(t, "answer", got.Changes, []job.OccurrenceChange{kept})
		no := errors.New("no")
		_, err := s.ChangeOccurrences(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) ([]job.Skip, error) {
			j.Changes[0].MoveTo = hour(9)
			return nil, no
		})
		if !errors.Is(err, no) {
			t.Errorf("got error %v", err)
		}
		same(t, "wishes", wishesOf(t, s, j.ID), []job.OccurrenceChange{kept})
		same(t, "next run", must(s.Job(t.Context(), j.ID))(t).NextRun, hour(1))
	},
	"a wish outlives a pause of the instance": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		pauseInstance(t, s, j.InstanceID, noon, 3)
		_ = must(change(t, s, j.ID, noon, hour(1), wish(j, 5, time.Time{})))(t)
		same(t, "started", len(tick(t, s, hour(3))), 0)
		same(t, "started", slots(tick(t, s, hour(4))), []int{4})
		tick(t, s, hour(5))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{ledgerRow(j, job.SkipPaused, 1, 3, 3), ledgerRow(j, job.SkipByCaller, 5, 5, 1)})
	},
	"an update sees the wishes and keeps what it leaves": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		kept, dropped := wish(j, 2, minute(125)), wish(j, 3, time.Time{})
		_ = must(change(t, s, j.ID, noon, hour(1), kept, dropped))(t)
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			same(t, "seen", j.Changes, []job.OccurrenceChange{kept, dropped})
			j.Changes = j.Changes[:1]
			return true, nil, nil
		}))(t)
		same(t, "kept", wishesOf(t, s, j.ID), []job.OccurrenceChange{kept})
	},
	"they go with their job": func(t *testing.T, s store.Store) {
		j := newJob(t, s, onTheHour)
		_ = must(change(t, s, j.ID, noon, hour(1), wish(j, 2, time.Time{})))(t)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), func(job.Job) error { return nil }))
		same(t, "wishes", wishesOf(t, s, j.ID), []job.OccurrenceChange(nil))
		_, err := change(t, s, j.ID, noon, hour(1))
		missing(t, "ChangeOccurrences", err)
	},
}
