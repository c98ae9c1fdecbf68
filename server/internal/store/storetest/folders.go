package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// worker makes jobs that work on folders of a resource's remotes, due at
// hour(1).
type worker struct {
	store.Store
	t *testing.T
	r job.Resource
}

func newWorker(t *testing.T, s store.Store) *worker {
	t.Helper()
	w := &worker{Store: s, t: t, r: newResource(t, s, newInstance(t, s).ID)}
	putRemotes(t, s, w.r, remote("a", 1), remote("b", 1))
	return w
}

// writes and reads are folders of a remote.
func (w *worker) writes(remote, path string) job.Folder {
	return job.Folder{ResourceID: w.r.ID, Remote: remote, Path: path, Writes: true}
}

func (w *worker) reads(remote, path string) job.Folder {
	return job.Folder{ResourceID: w.r.ID, Remote: remote, Path: path}
}

func (w *worker) job(overlap job.OverlapPolicy, folders ...job.Folder) job.Job {
	w.t.Helper()
	j := hourly(w.r.InstanceID)
	onTheHour(&j)
	j.Policies.Overlap, j.ResourceIDs, j.Folders = overlap, []int64{w.r.ID}, folders
	return must(w.CreateJob(w.t.Context(), j, noRequest))(w.t)
}

// due lets the ticker decide at a time until nothing is left to decide.
func (w *worker) due(now time.Time) (all []store.Claimed) {
	w.t.Helper()
	for more := true; more; {
		claimed, again, err := w.ClaimDue(w.t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now, Limit: 100},
			func(d store.Due) store.Decision { return policy.Due(d, now) })
		ok(w.t, err)
		all, more = append(all, claimed...), again
	}
	return all
}

// admitted claims what waits for folders.
func (w *worker) admitted(now time.Time) []store.Claimed {
	w.t.Helper()
	claimed, _, err := w.ClaimWithFolders(w.t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now, Limit: 100}, policy.Admit)
	ok(w.t, err)
	if others := claimQueued(w.t, w.Store, now); len(others) > 0 {
		w.t.Fatalf("claimed %+v without regard to folders", others)
	}
	return claimed
}

func (w *worker) byHand(j job.Job, now time.Time) job.Execution {
	w.t.Helper()
	return enqueue(w.t, w.Store, j.ID, now)
}

// waitsFor wants an execution to wait for another one, 0 for none.
func (w *worker) waitsFor(id, other int64) {
	w.t.Helper()
	if got := must(w.Execution(w.t.Context(), id))(w.t).WaitingFor; got != other {
		w.t.Errorf("execution %d waits for %d, want %d", id, got, other)
	}
}

func (w *worker) end(c store.Claimed) { finish(w.t, w.Store, c, job.StateSucceeded, hour(1), hour(1)) }

// claimedIDs are the executions of claims, in order.
func claimedIDs(claimed []store.Claimed) []int64 {
	var ids []int64
	for _, c := range claimed {
		ids = append(ids, c.ExecutionID)
	}
	slices.Sort(ids)
	return ids
}

var folderTests = tests{
	"of two that are due at once one is skipped for the other": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		first, second := w.job("", w.writes("a", "x")), w.job("", w.writes("a", "x/y"))
		claimed := w.due(hour(1))
		if len(claimed) != 1 || claimed[0].JobID != first.ID {
			t.Fatalf("claimed %+v", claimed)
		}
		want := ledgerRow(second, job.SkipRemoteBusy, 1, 1, 1)
		want.BlockedBy = claimed[0].ExecutionID
		same(t, "ledger", skips(t, s, second.ID), []job.Skip{want})
		w.end(claimed[0])
		if claimed = w.due(hour(2)); len(claimed) != 1 {
			t.Errorf("an hour later %+v are claimed", claimed)
		}
	},
	"what may be free until its time is not decided ahead": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.job("", w.writes("a", "x"))
		running := w.due(hour(1))
		later := w.job("", w.reads("a", "x"))
		ahead, more, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: hour(1).Add(-time.Millisecond), Ahead: hour(1), Limit: 1},
			func(d store.Due) store.Decision { return policy.Due(d, hour(1)) })
		ok(t, err)
		same(t, "claimed ahead", len(ahead), 0)
		same(t, "to look again at once", more, false)
		w.end(running[0])
		if claimed := w.due(hour(1)); len(claimed) != 1 || claimed[0].JobID != later.ID {
			t.Errorf("at its time %+v are claimed", claimed)
		}
	},
	"one that waits says for whom and gets its turn": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.job(job.OverlapBufferOne, w.writes("a", "x"))
		running := w.due(hour(1))[0]
		waits := w.byHand(w.job(job.OverlapBufferOne, w.reads("a", ""), w.writes("b", "")), hour(1))
		same(t, "claimed beside a writer", len(w.admitted(hour(1))), 0)
		w.waitsFor(waits.ID, running.ExecutionID)
		marks := must(s.ActiveMarks(t.Context(), []int64{w.r.InstanceID}))(t)
		w.end(running)
		same(t, "claimed", claimedIDs(w.admitted(hour(1))), []int64{waits.ID})
		w.waitsFor(waits.ID, 0)
		after := must(s.ActiveMarks(t.Context(), []int64{w.r.InstanceID}))(t)
		if len(marks) != 2 || len(after) != 1 || marks[1].ID != after[0].ID || marks[1].Mark == after[0].Mark {
			t.Errorf("watching shows no change: %v, %v", marks, after)
		}
	},
	"readers run side by side, a writer does not": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		source := w.reads("a", "in")
		for i := range 3 {
			w.byHand(w.job("", source, w.writes("b", fmt.Sprint(i))), hour(1))
		}
		readers := w.admitted(hour(1))
		same(t, "readers", len(readers), 3)
		writer := w.byHand(w.job(job.OverlapAllow, w.writes("a", "")), hour(1))
		same(t, "claimed beside readers", len(w.admitted(hour(1))), 0)
		w.waitsFor(writer.ID, readers[0].ExecutionID)
	},
	"one account under several names is one": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		put := func(r job.Resource, version int64, account string) {
			t.Helper()
			p := remote("a", version)
			p.Account = account
			putRemotes(t, s, r, p)
		}
		other := &worker{Store: s, t: t, r: newResource(t, s, w.r.InstanceID)}
		foreign := newWorker(t, s)
		put(w.r, 2, "x")
		put(other.r, 1, "x")
		put(foreign.r, 2, "x")
		running := w.byHand(w.job("", w.writes("a", "p")), hour(1))
		same(t, "first", claimedIDs(w.admitted(hour(1))), []int64{running.ID})
		waits := other.byHand(other.job("", other.writes("a", "p/q")), hour(1))
		free := foreign.byHand(foreign.job("", foreign.writes("a", "p/q")), hour(1))
		same(t, "of another instance", claimedIDs(w.admitted(hour(1))), []int64{free.ID})
		w.waitsFor(waits.ID, running.ID)
		// New credentials change nothing for what runs with the old ones.
		put(w.r, 3, "y")
		same(t, "with new credentials", len(w.admitted(hour(1))), 0)
		again := w.byHand(w.job("", w.writes("a", "p")), hour(1))
		same(t, "of the same remote", len(w.admitted(hour(1))), 0)
		w.waitsFor(again.ID, running.ID)
	},
	"what all instances share is one, and tells no foreign id": func(t *testing.T, s store.Store) {
		w, foreign := newWorker(t, s), newWorker(t, s)
		for _, r := range []job.Resource{w.r, foreign.r} {
			p := remote("a", 2)
			p.Account = "server:local"
			putRemotes(t, s, r, p)
		}
		w.byHand(w.job("", w.writes("a", "p")), hour(1))
		same(t, "first", len(w.admitted(hour(1))), 1)
		j := foreign.job("", foreign.writes("a", "p"))
		waits := foreign.byHand(j, hour(1))
		same(t, "second", len(w.admitted(hour(1))), 0)
		w.waitsFor(waits.ID, store.ForeignHolder)
		_, err := byHand(s, t, foreign.job("", foreign.writes("a", "p")).ID, job.OverlapSkip, hour(1))
		if e := refused(t, err, job.SkipRemoteBusy); len(e.Metadata) > 0 && e.Metadata["executionId"] != job.KindExecution.Format(waits.ID) {
			t.Errorf("the refusal tells %v", e.Metadata)
		}
		// A slot is skipped for the foreign one without its id.
		foreign.due(hour(1))
		for _, row := range skips(t, s, j.ID) {
			if row.BlockedBy != 0 && row.BlockedBy != waits.ID {
				t.Errorf("the ledger tells %+v", row)
			}
		}
	},
	"small ones don't overtake one that needs the whole": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		running := w.admitted(hour(1))[0]
		whole := w.byHand(w.job("", w.writes("a", "")), hour(1).Add(time.Second))
		small := w.byHand(w.job("", w.writes("a", "y")), hour(1).Add(2*time.Second))
		now := hour(1).Add(3 * time.Second)
		same(t, "beside the first", len(w.admitted(now)), 0)
		w.waitsFor(small.ID, whole.ID)
		w.end(running)
		claimed := w.admitted(now)
		same(t, "after the first", claimedIDs(claimed), []int64{whole.ID})
		w.end(claimed[0])
		same(t, "after the whole", claimedIDs(w.admitted(now)), []int64{small.ID})
	},
	"ALLOW lets two go side by side, but not write one folder": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		j := w.job(job.OverlapAllow, w.writes("a", "x"))
		first := w.due(hour(1))
		same(t, "first", len(first), 1)
		same(t, "second beside it", len(w.due(hour(2))), 0)
		same(t, "second admitted", len(w.admitted(hour(2))), 0)
		same(t, "ledger", skips(t, s, j.ID), []job.Skip(nil))
		w.end(first[0])
		same(t, "second after it", len(w.admitted(hour(2))), 1)
	},
	"CANCEL_OTHER cancels its own, and waits for others": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		other := w.admitted(hour(1))[0]
		j := w.job(job.OverlapCancelOther, w.writes("a", ""))
		same(t, "claimed", len(w.due(hour(1))), 0)
		if got := must(s.Execution(t.Context(), other.ExecutionID))(t); got.State == job.StateCancelling {
			t.Error("an execution of another job is cancelled")
		}
		same(t, "waiting", len(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), 1)
	},
	"a run by hand under SKIP is refused with the holder": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		running := w.admitted(hour(1))[0]
		_, err := byHand(s, t, w.job("", w.reads("a", "x")).ID, job.OverlapSkip, hour(1))
		e := refused(t, err, job.SkipRemoteBusy)
		same(t, "holder", e.Metadata["executionId"], job.KindExecution.Format(running.ExecutionID))
	},
	"folders are held through a replica's death, and free between attempts": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		running := w.admitted(hour(1))[0]
		start(t, s, running, hour(1))
		lost := must(s.Reclaim(t.Context(), owner, []int64{running.ExecutionID}))(t)
		if len(lost) != 1 {
			t.Fatalf("adopted %+v", lost)
		}
		next := w.byHand(w.job("", w.writes("a", "x")), hour(1).Add(time.Second))
		now := hour(1).Add(time.Minute)
		same(t, "while the dead one's end is not stored", len(w.admitted(now)), 0)
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: lost[0].ExecutionID, Fence: lost[0].Fence, State: job.StateQueued, StartedAt: hour(1), FinishedAt: hour(1), RetryAt: hour(2),
		}}))(t)
		claimed := w.admitted(now)
		same(t, "between its attempts", claimedIDs(claimed), []int64{next.ID})
		same(t, "its next attempt beside the other", len(w.admitted(hour(2))), 0)
		w.waitsFor(lost[0].ExecutionID, next.ID)
		w.end(claimed[0])
		same(t, "its next attempt", claimedIDs(w.admitted(hour(2))), []int64{lost[0].ExecutionID})
	},
	"what is given back holds nothing": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		first := w.byHand(w.job("", w.writes("a", "x")), hour(1))
		ok(t, s.Release(t.Context(), w.admitted(hour(1))))
		same(t, "again", claimedIDs(w.admitted(hour(1))), []int64{first.ID})
	},
	"what waits goes by the job's newest workflow": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		w.admitted(hour(1))
		j := w.job("", w.writes("a", "x"))
		waits := w.byHand(j, hour(1))
		same(t, "before", len(w.admitted(hour(1))), 0)
		change := func(folders ...job.Folder) {
			t.Helper()
			must(s.UpdateJob(t.Context(), j.ID, store.At(hour(1)), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
				j.Folders = folders
				return true, nil, nil
			}))(t)
		}
		change(w.writes("a", "y"))
		same(t, "after", claimedIDs(w.admitted(hour(1))), []int64{waits.ID})
		change()
		free := w.byHand(j, hour(1).Add(time.Second))
		same(t, "without folders", claimedIDs(claimQueued(t, s, hour(2))), []int64{free.ID})
	},
	"an execution that runs for a deleted job holds its folders": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		j := w.job("", w.writes("a", "x"))
		w.byHand(j, hour(1))
		running := w.admitted(hour(1))[0]
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(hour(1)), func(job.Job) error { return nil }))
		waits := w.byHand(w.job("", w.writes("a", "x")), hour(1))
		same(t, "beside it", len(w.admitted(hour(1))), 0)
		w.waitsFor(waits.ID, running.ExecutionID)
	},
	"backfills wait for folders too": func(t *testing.T, s store.Store) {
		w := newWorker(t, s)
		w.byHand(w.job("", w.writes("a", "x")), hour(1))
		running := w.admitted(hour(1))[0]
		j := w.job(job.OverlapAllow, w.writes("a", "x"))
		b := must(s.CreateBackfill(t.Context(), job.Backfill{
			JobID: j.ID, InstanceID: j.InstanceID, From: hour(-5), To: hour(0), Concurrency: 3, Overlap: job.OverlapAllow, Total: 5, CreatedAt: hour(1),
		}, noRequest))(t)
		ok(t, s.AdvanceBackfills(t.Context(), hour(1), func(_ job.Schedule, _ int64, _, _ time.Time, limit int) []time.Time {
			return []time.Time{hour(-5), hour(-4), hour(-3)}[:limit]
		}))
		same(t, "started", must(s.Backfill(t.Context(), b.ID))(t).Started, 3)
		same(t, "beside another job's", len(w.admitted(hour(1))), 0)
		w.end(running)
		same(t, "at a time", len(w.admitted(hour(1))), 1)
	},
}
