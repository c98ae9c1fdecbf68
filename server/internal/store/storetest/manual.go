package storetest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// byHand asks for an execution under a policy; "" is the job's own.
func byHand(s store.Store, t *testing.T, jobID int64, policy job.OverlapPolicy, now time.Time) (job.Execution, error) {
	return s.EnqueueManual(t.Context(), store.Manual{JobID: jobID, TriggerID: fmt.Sprint(now.UnixMicro()), Now: store.At(now), Overlap: policy})
}

var manualTests = tests{
	"a look finds it until it has ended": func(t *testing.T, s store.Store) {
		look := func(want store.Work) {
			t.Helper()
			got := must(s.NextWork(t.Context()))(t)
			got.Signals = false
			same(t, "work", got, want)
		}
		look(store.Work{})
		j := newJob(t, s)
		look(store.Work{Due: noon})
		at := noon.Add(-time.Minute)
		enqueue(t, s, j.ID, at)
		look(store.Work{Due: noon, Waiting: at, Active: true})
		c := claimQueued(t, s, at)[0]
		look(store.Work{Due: noon, Active: true})
		retryAt := noon.Add(time.Minute)
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, StartedAt: at, FinishedAt: at, RetryAt: retryAt,
		}}))(t)
		look(store.Work{Due: noon, Waiting: retryAt, Active: true})
		finish(t, s, claimQueued(t, s, retryAt)[0], job.StateSucceeded, at, at)
		look(store.Work{Due: noon})
		b := must(s.CreateBackfill(t.Context(), job.Backfill{
			JobID: j.ID, From: noon.Add(-time.Hour), To: noon, Concurrency: 1, Overlap: job.OverlapAllow, Total: 1, CreatedAt: at,
		}, noRequest))(t)
		look(store.Work{Due: noon, Backfills: true})
		_ = must(s.CancelBackfill(t.Context(), b.ID, at, job.Failure{Code: "CANCELLED"}))(t)
		look(store.Work{Due: noon})
	},
	"a signal is promised while somebody listens": func(t *testing.T, s store.Store) {
		_ = listen(t, s)
		if !must(s.NextWork(t.Context()))(t).Signals {
			t.Error("no signals are promised")
		}
	},
	"it is claimed at once, also while paused": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Active, j.NextRun = false, time.Time{} })
		signals := listen(t, s)
		e := must(byHand(s, t, j.ID, "", noon))(t)
		expect(t, signals, store.Signal{Kind: store.SignalDue})
		if c := claimQueued(t, s, noon); len(c) != 1 || c[0].ExecutionID != e.ID || c[0].Trigger != job.TriggerManual {
			t.Errorf("claimed %+v", c)
		}
	},
	"SKIP refuses while another is due": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		blocks := func(stage string, id int64) {
			t.Helper()
			_, err := byHand(s, t, j.ID, job.OverlapSkip, noon.Add(time.Minute))
			e := refused(t, err, "OVERLAP")
			if got, want := e.Metadata["executionId"], job.KindExecution.Format(id); got != want {
				t.Errorf("%s: blocked by %q, want %q", stage, got, want)
			}
		}
		first := must(byHand(s, t, j.ID, "", noon))(t)
		blocks("waiting", first.ID)
		c := claimQueued(t, s, noon)[0]
		blocks("claimed", first.ID)
		start(t, s, c, noon)
		blocks("running", first.ID)
		retryAt := noon.Add(time.Hour)
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, StartedAt: noon, FinishedAt: noon, RetryAt: retryAt,
		}}))(t)
		blocks("between attempts", first.ID)
		c = claimQueued(t, s, retryAt)[0]
		finish(t, s, c, job.StateSucceeded, retryAt, retryAt)
		_ = must(byHand(s, t, j.ID, "", noon.Add(time.Minute)))(t)
	},
	"BUFFER_ONE lets one wait": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Policies.Overlap = job.OverlapBufferOne })
		claimOne(t, s, noon, 0)
		waiting := must(byHand(s, t, j.ID, "", noon.Add(time.Minute)))(t)
		if c := claimQueued(t, s, noon.Add(time.Minute)); len(c) != 0 {
			t.Errorf("claimed %v beside the running one", c)
		}
		_, err := byHand(s, t, j.ID, "", noon.Add(2*time.Minute))
		if e := refused(t, err, "OVERLAP"); e.Metadata["executionId"] != job.KindExecution.Format(waiting.ID) {
			t.Errorf("blocked by %v, want %d", e.Metadata, waiting.ID)
		}
	},
	"BUFFER_ALL lets up to a hundred wait": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		claimOne(t, s, noon, 0)
		for i := range job.MaxBuffered {
			_ = must(byHand(s, t, j.ID, job.OverlapBufferAll, noon.Add(time.Duration(i)*time.Second)))(t)
		}
		_, err := byHand(s, t, j.ID, job.OverlapBufferAll, noon.Add(time.Hour))
		var e *job.ExhaustedError
		if !errors.As(err, &e) || e.Reason != "QUOTA" {
			t.Errorf("got error %v, want an ExhaustedError QUOTA", err)
		}
	},
	"CANCEL_OTHER asks the running one to end": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		c := claimOne(t, s, noon, 0)
		start(t, s, c, noon)
		signals := listen(t, s)
		e := must(byHand(s, t, j.ID, job.OverlapCancelOther, noon.Add(time.Minute)))(t)
		expect(t, signals, store.Signal{Kind: store.SignalCancel, ID: c.ExecutionID})
		same(t, "state", must(s.Execution(t.Context(), c.ExecutionID))(t).State, job.StateCancelling)
		if c := claimQueued(t, s, noon.Add(time.Minute)); len(c) != 0 {
			t.Errorf("claimed %v beside the running one", c)
		}
		finish(t, s, c, job.StateCancelled, noon, noon.Add(time.Minute))
		if c := claimQueued(t, s, noon.Add(time.Minute)); len(c) != 1 || c[0].ExecutionID != e.ID {
			t.Errorf("claimed %v, want %d", c, e.ID)
		}
	},
	"CANCEL_OTHER ends one between attempts": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		c := claimOne(t, s, noon, 0)
		_ = must(s.Finish(t.Context(), []store.Finish{{
			ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, StartedAt: noon, FinishedAt: noon, RetryAt: noon.Add(time.Hour),
		}}))(t)
		e := must(byHand(s, t, j.ID, job.OverlapCancelOther, noon.Add(time.Minute)))(t)
		same(t, "state", must(s.Execution(t.Context(), c.ExecutionID))(t).State, job.StateCancelled)
		if c := claimQueued(t, s, noon.Add(time.Minute)); len(c) != 1 || c[0].ExecutionID != e.ID {
			t.Errorf("claimed %v, want %d", c, e.ID)
		}
	},
	"ALLOW runs them side by side": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		claimOne(t, s, noon, 0)
		_ = must(byHand(s, t, j.ID, job.OverlapAllow, noon))(t)
		_ = must(byHand(s, t, j.ID, job.OverlapAllow, noon.Add(time.Second)))(t)
		c := claimQueued(t, s, noon.Add(time.Minute))
		if len(c) != 2 || c[0].Fence == c[1].Fence {
			t.Errorf("claimed %+v, want two with fences of their own", c)
		}
	},
	"what was claimed ahead is decided again at its time": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		before := noon.Add(-time.Second)
		ahead := claimOne(t, s, before, 2*time.Second)
		e := must(byHand(s, t, j.ID, "", before))(t)
		if still := must(s.StillClaimed(t.Context(), []store.Claimed{ahead}))(t); len(still) != 0 {
			t.Errorf("still claimed: %v", still)
		}
		_ = claimQueued(t, s, before)
		if claimed := claimDue(t, s, before, 2*time.Second); len(claimed) != 0 {
			t.Errorf("claimed %v ahead, beside one that runs", claimed)
		}
		var due store.Due
		_, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: noon, Ahead: noon, Limit: 10}, func(d store.Due) store.Decision {
			due = d
			return store.Decision{Next: noon.Add(time.Hour)}
		})
		ok(t, err)
		if due.Blocking != e.ID || due.NextRun != noon {
			t.Errorf("due %+v, want noon blocked by %d", due, e.ID)
		}
	},
	"under ALLOW what was claimed ahead stays": func(t *testing.T, s store.Store) {
		j := newJob(t, s, func(j *job.Job) { j.Policies.Overlap = job.OverlapAllow })
		before := noon.Add(-time.Second)
		ahead := claimOne(t, s, before, 2*time.Second)
		_ = must(byHand(s, t, j.ID, "", before))(t)
		if still := must(s.StillClaimed(t.Context(), []store.Claimed{ahead}))(t); len(still) != 1 {
			t.Errorf("still claimed: %v", still)
		}
	},
}
