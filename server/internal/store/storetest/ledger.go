package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// skips reads the whole ledger of a job without ids.
func skips(t *testing.T, s store.Store, jobID int64) []job.Skip {
	t.Helper()
	list := must(s.SkipsBetween(t.Context(), jobID, noon.Add(-1000*time.Hour), noon.Add(1000*time.Hour), 1000))(t)
	for i := range list {
		list[i].ID = 0
	}
	return list
}

// skip adds to a job's ledger by an update.
func skip(t *testing.T, s store.Store, jobID int64, added ...job.Skip) {
	t.Helper()
	_ = must(s.UpdateJob(t.Context(), jobID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
		j.Description += "."
		return true, added, nil
	}))(t)
}

// folded is a row that begins as one does and ends as another.
func folded(first, last job.Skip, count int64) job.Skip {
	first.Last, first.Count = last.Last, count
	return first
}

// minute is the n-th minute after noon.
func minute(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }

var ledgerTests = tests{
	"a start parts the rows of one batch": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		row := func(first, last int) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(first), Last: minute(last), Count: int64(last - first + 1)}
		}
		claim := func(at int, decide func(store.Due) store.Decision) {
			_, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: minute(at), Ahead: minute(at), Limit: 10}, decide)
			ok(t, err)
		}
		claim(10, func(store.Due) store.Decision {
			return store.Decision{
				Starts: []store.Start{{ScheduledFor: minute(5), NotBefore: minute(5)}},
				Skips:  []job.Skip{row(0, 4), row(6, 10)}, Next: minute(11),
			}
		})
		claim(12, func(store.Due) store.Decision {
			return store.Decision{Skips: []job.Skip{row(11, 12)}, Next: minute(13)}
		})
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{row(0, 4), row(6, 12)})
	},
	"consecutive skips of one reason and blocker fold": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		row := func(reason string, first, last int, count, by int64) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: reason, First: minute(first), Last: minute(last), Count: count, BlockedBy: by}
		}
		skip(t, s, j.ID, row(job.SkipPaused, 1, 3, 3, 0), row(job.SkipPaused, 4, 4, 1, 0))
		skip(t, s, j.ID, row(job.SkipPaused, 5, 9, 5, 0))
		skip(t, s, j.ID, row(job.SkipOverlap, 10, 10, 1, 8), row(job.SkipOverlap, 11, 11, 1, 8), row(job.SkipOverlap, 12, 12, 1, 9))
		skip(t, s, j.ID, row(job.SkipPaused, 13, 13, 1, 0))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{
			row(job.SkipPaused, 1, 9, 9, 0),
			row(job.SkipOverlap, 10, 11, 2, 8),
			row(job.SkipOverlap, 12, 12, 1, 9),
			row(job.SkipPaused, 13, 13, 1, 0),
		})
	},
	"an execution between them parts them": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		missed := func(n int) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(n), Last: minute(n), Count: 1}
		}
		skip(t, s, j.ID, missed(-2))
		claimOne(t, s, noon, 0)
		skip(t, s, j.ID, missed(2))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{missed(-2), missed(2)})
	},
	"skips of a claim fold with those of an update": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		missed := func(first, last int, count int64) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(first), Last: minute(last), Count: count}
		}
		skip(t, s, j.ID, missed(-2, -1, 2))
		_, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: noon, Ahead: noon, Limit: 10}, func(store.Due) store.Decision {
			return store.Decision{Skips: []job.Skip{missed(0, 0, 1)}, Next: minute(60)}
		})
		ok(t, err)
		skip(t, s, j.ID, missed(1, 1, 1))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{missed(-2, 1, 4)})
	},
	"what is told out of its turn has a row of its own": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		overlap := func(first, last int, count int64) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipOverlap, First: minute(first), Last: minute(last), Count: count, BlockedBy: 9}
		}
		alone := func(k job.Skip) job.Skip {
			k.Apart, k.Alone = true, true
			return k
		}
		gap := overlap(10, 10, 1)
		gap.Apart = true // minute 9 was moved
		skip(t, s, j.ID, overlap(5, 7, 3), alone(overlap(2, 2, 1)))
		_, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: noon, Ahead: noon, Limit: 10}, func(store.Due) store.Decision {
			return store.Decision{Skips: []job.Skip{alone(overlap(1, 1, 1)), overlap(8, 8, 1), gap}, Next: minute(60)}
		})
		ok(t, err)
		skip(t, s, j.ID, overlap(11, 12, 2))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{overlap(1, 1, 1), overlap(2, 2, 1), overlap(5, 8, 4), overlap(10, 12, 3)})
	},
	"what was moved and is forgotten parts the rows of edits": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		missed := func(n int) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipMissed, First: minute(n), Last: minute(n), Count: 1}
		}
		edit := func(at int, slots []int, told ...job.Skip) {
			t.Helper()
			_ = must(s.UpdateJob(t.Context(), j.ID, store.At(minute(at)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
				j.Description += "."
				j.Changes = nil
				for _, n := range slots {
					j.Changes = append(j.Changes, job.OccurrenceChange{JobID: j.ID, Slot: minute(n), Done: true})
				}
				return true, told, nil
			}))(t)
		}
		edit(1, []int{2, 4, 6}, missed(1))
		edit(3, []int{4, 6}, missed(3)) // 2 lies before it, and edits say so themselves
		edit(4, []int{6})
		edit(5, nil, missed(5)) // 6 has not passed
		edit(7, nil, missed(7))
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{folded(missed(1), missed(3), 2), folded(missed(5), missed(7), 2)})
	},
	"what was moved and is forgotten parts the rows of claims": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		overlap := func(n int) job.Skip {
			return job.Skip{JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipOverlap, First: minute(n), Last: minute(n), Count: 1, BlockedBy: 9}
		}
		_ = must(s.UpdateJob(t.Context(), j.ID, store.At(noon.Add(-time.Minute)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			j.Changes = []job.OccurrenceChange{{JobID: j.ID, Slot: minute(2), MoveTo: minute(3)}, {JobID: j.ID, Slot: minute(5), Done: true}}
			return true, nil, nil
		}))(t)
		claim := func(at int, d store.Decision) {
			t.Helper()
			d.Next = minute(at + 1)
			_, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: minute(at), Ahead: minute(at), Limit: 10}, func(store.Due) store.Decision { return d })
			ok(t, err)
		}
		late := overlap(2)
		late.Apart, late.Alone = true, true
		claim(1, store.Decision{Skips: []job.Skip{overlap(1)}})
		claim(3, store.Decision{Skips: []job.Skip{late}, Consumed: []time.Time{minute(2)}})
		claim(4, store.Decision{Skips: []job.Skip{overlap(4)}})
		claim(6, store.Decision{Skips: []job.Skip{overlap(6)}, Consumed: []time.Time{minute(5)}}) // 5 lies before it, and the decision says so itself
		claim(7, store.Decision{Skips: []job.Skip{overlap(7)}})
		late.Apart, late.Alone = false, false
		same(t, "ledger", skips(t, s, j.ID), []job.Skip{overlap(1), late, folded(overlap(4), overlap(7), 3)})
	},
	"ledgers of jobs are apart": func(t *testing.T, s store.Store) {
		a, b := newJob(t, s), newJob(t, s)
		paused := job.Skip{Reason: job.SkipPaused, First: noon, Last: noon, Count: 1}
		skip(t, s, a.ID, paused)
		skip(t, s, b.ID, paused)
		for _, j := range []job.Job{a, b} {
			paused.JobID, paused.InstanceID = j.ID, j.InstanceID
			same(t, "ledger", skips(t, s, j.ID), []job.Skip{paused})
		}
	},
	"SkipsBetween answers rows that touch the range": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		var rows []job.Skip
		for n := range 4 { // minutes 0-5, 10-15, 20-25, 30-35
			rows = append(rows, job.Skip{
				JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipOverlap, BlockedBy: int64(n + 1),
				First: minute(10 * n), Last: minute(10*n + 5), Count: 6,
			})
		}
		skip(t, s, j.ID, rows...)
		for _, test := range []struct {
			from, to, limit int
			want            []job.Skip
		}{
			{-10, 100, 10, rows},
			{-10, 100, 2, rows[:2]},
			{5, 20, 10, rows[:2]}, // the end of the first, not the start of the third
			{6, 10, 10, nil},
			{12, 13, 10, rows[1:2]},
			{35, 36, 10, rows[3:]},
		} {
			got := must(s.SkipsBetween(t.Context(), j.ID, minute(test.from), minute(test.to), test.limit))(t)
			for i := range got {
				got[i].ID = 0
			}
			same(t, "rows", got, test.want)
		}
	},
}
