package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var deleteTests = tests{
	"a job is gone, its history stays": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		ended := history(t, s, j.ID, 2)
		skip(t, s, j.ID, job.Skip{Reason: job.SkipPaused, First: noon, Last: noon, Count: 1})
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		_, err := s.Job(t.Context(), j.ID)
		missing(t, "Job", err)
		missing(t, "second delete", s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		_, err = s.UpdateJob(t.Context(), j.ID, store.At(noon), rename("x"))
		missing(t, "UpdateJob", err)
		same(t, "jobs", must(s.Jobs(t.Context(), j.InstanceID, firstPage))(t), []job.Job(nil))
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64{ended[1], ended[0]})
		if got := len(skips(t, s, j.ID)); got != 1 {
			t.Errorf("the ledger has %d rows, want 1", got)
		}
		if claimed := claimDue(t, s, noon.Add(time.Hour), 0); len(claimed) != 0 {
			t.Errorf("claimed %v", claimed)
		}
	},
	"the check can refuse": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		e := enqueue(t, s, j.ID, noon)
		no := &job.AbortedError{Message: "etag"}
		err := s.DeleteJob(t.Context(), j.ID, store.At(noon), func(seen job.Job) error {
			same(t, "seen", seen, j)
			return no
		})
		if !errors.Is(err, no) {
			t.Errorf("got error %v, want that of the check", err)
		}
		same(t, "job", must(s.Job(t.Context(), j.ID))(t), j)
		same(t, "execution", must(s.Execution(t.Context(), e.ID))(t), e)
	},
	"waiting executions end, started ones are asked to": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		running := claimOne(t, s, noon, 0)
		start(t, s, running, noon)
		waiting := enqueue(t, s, j.ID, noon.Add(time.Minute))
		signals := listen(t, s)
		at := noon.Add(2 * time.Minute)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(at), allow))

		ended := must(s.Execution(t.Context(), waiting.ID))(t)
		if ended.State != job.StateCancelled || ended.FinishedAt != at || ended.Error == nil || ended.Error.Reason != "JOB_DELETED" {
			t.Errorf("the waiting one is %+v", ended)
		}
		asked := must(s.Execution(t.Context(), running.ExecutionID))(t)
		if asked.State != job.StateCancelling || !asked.FinishedAt.IsZero() {
			t.Errorf("the running one is %+v", asked)
		}
		expect(t, signals, store.Signal{Kind: store.SignalCancel, ID: running.ExecutionID})
		finish(t, s, running, job.StateCancelled, noon, at)
		same(t, "afterwards", must(s.Execution(t.Context(), running.ExecutionID))(t).State, job.StateCancelled)
	},
	"what was claimed ahead is withdrawn": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-500 * time.Millisecond)
		claimOne(t, s, before, time.Second)
		signals := listen(t, s)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(before), allow))
		expect(t, signals, store.Signal{Kind: store.SignalWithdraw, ID: j.ID})
		same(t, "executions", idsOf(must(s.ExecutionsOfJob(t.Context(), j.ID, firstPage))(t)), []int64(nil))
	},
	"other jobs keep theirs": func(t *testing.T, s store.Store) {
		j, other := newJob(t, s), newJob(t, s)
		enqueue(t, s, j.ID, noon)
		kept := enqueue(t, s, other.ID, noon)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		same(t, "execution", must(s.Execution(t.Context(), kept.ID))(t), kept)
		same(t, "job", must(s.Job(t.Context(), other.ID))(t), other)
	},
}
