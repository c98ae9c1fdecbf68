package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func testBury(t *testing.T, b *engineBench) {
	dead := b.replica(t, -time.Second)
	j := b.job(t, job.Policies{})
	running := only(t, b.claimAs(t, dead, 0, 0))
	_, _, err := b.Progress(t.Context(), []store.Progress{{ExecutionID: running.ExecutionID, Fence: running.Fence, StartedAt: b.start}})
	ok(t, err)
	// Burial goes by the database's time: this slot is still to come there.
	b.start = job.Time(time.Now()).Add(time.Hour).Truncate(time.Minute)
	b.job(t, job.Policies{})
	ahead := only(t, b.claimAs(t, dead, 0, 0))

	lost, err := b.Bury(t.Context(), b.self, 0)
	ok(t, err)
	if len(lost) != 1 || lost[0].ExecutionID != running.ExecutionID || lost[0].Fence <= running.Fence || !lost[0].StartedAt.Equal(running.NotBefore) {
		t.Fatalf("lost: %+v", lost)
	}
	if diff := cmp.Diff(j.Schedule, lost[0].Schedule); diff != "" {
		t.Errorf("schedule of the lost (-want +got):\n%s", diff)
	}
	if stale, err := b.Finish(t.Context(), []store.Finish{end(running, job.StateSucceeded), end(ahead, job.StateSucceeded)}); err != nil || len(stale) != 2 {
		t.Errorf("the dead replica's writes: stale %v, %v", stale, err)
	}
	b.wantState(t, running.ExecutionID, job.StateRunning)
	b.finish(t, lost[0].Claimed, job.StateWorkerLost)
	if again := only(t, b.claimQueued(t, 0)); again.ExecutionID != ahead.ExecutionID || again.Attempt != 1 || again.Fence <= ahead.Fence {
		t.Errorf("what had not come due waits again: %+v", again)
	}
	lost, err = b.Bury(t.Context(), b.self, 0)
	ok(t, err)
	if len(lost) != 0 {
		t.Errorf("buried twice: %+v", lost)
	}
}

func testBuriedReplica(t *testing.T, b *engineBench) {
	zombie := b.replica(t, -time.Second)
	_, err := b.Bury(t.Context(), b.self, 0)
	ok(t, err)
	if b.sqlite() {
		return // one process: nobody else can bury it
	}
	if _, err := b.Renew(t.Context(), zombie, time.Minute); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("renewed after the burial: %v", err)
	}
	if _, err := b.Renew(t.Context(), b.self, time.Minute); err != nil {
		t.Errorf("the living: %v", err)
	}
	j := b.job(t, job.Policies{Overlap: job.OverlapAllow})
	_, err = b.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "r", Now: store.At(b.start), Overlap: job.OverlapAllow})
	ok(t, err)
	_, _, due := b.ClaimDue(t.Context(), store.ClaimRequest{Owner: zombie, Now: b.start, Ahead: b.start, Limit: 9}, startHourly)
	_, _, queued := b.ClaimQueued(t.Context(), store.ClaimRequest{Owner: zombie, Now: b.start, Ahead: b.start, Limit: 9})
	if !errors.Is(due, store.ErrNotFound) || !errors.Is(queued, store.ErrNotFound) {
		t.Errorf("claimed after the burial: %v, %v", due, queued)
	}
	if n := len(b.claim(t, 0, 0)) + len(b.claimQueued(t, 0)); n != 2 {
		t.Errorf("the living claims %d executions after that, want 2", n)
	}
}

func (b *engineBench) sqlite() bool {
	_, err := b.Renew(context.Background(), -1, time.Second)
	return err == nil
}

func testSignals(t *testing.T, b *engineBench) {
	j := b.job(t, job.Policies{})
	got := make(chan store.Signal, 16)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { _ = b.Listen(ctx, func(s store.Signal) { got <- s }) }()
	if first := <-got; first.Kind != store.SignalMissed {
		t.Fatalf("after connecting: %+v", first)
	}
	e, err := b.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "r1", Now: store.At(b.start)})
	ok(t, err)
	if s := <-got; s.Kind != store.SignalDue {
		t.Errorf("after a run by hand: %+v", s)
	}
	c := only(t, b.claimQueued(t, 0))
	_, err = b.CancelExecution(t.Context(), e.ID, b.start, job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled})
	ok(t, err)
	if s := <-got; s != (store.Signal{Kind: store.SignalCancel, ID: c.ExecutionID}) {
		t.Errorf("after a cancel: %+v", s)
	}
}
