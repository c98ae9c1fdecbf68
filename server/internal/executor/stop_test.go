package executor_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		later := claim(3, noop)
		later.NotBefore = time.Now().Add(time.Hour)
		short := claim(2, `{"tasks":[{"name":"a","type":"util.sleep","args":{"duration":"5s"}}]}`)
		b.Submit([]store.Claimed{claim(1, longTask), short, later})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.Drain(ctx, time.Second)
		ends := map[int64]job.State{}
		for range len(b.store.ends) {
			f := <-b.store.ends
			ends[f.ExecutionID] = f.State
		}
		want := map[int64]job.State{1: job.StateWorkerLost, 2: job.StateSucceeded}
		if diff := cmp.Diff(want, ends); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
		if len(b.store.released) != 1 || b.store.released[0].ExecutionID != 3 {
			t.Errorf("released: %+v", b.store.released)
		}
		if b.Free() != 0 {
			t.Errorf("%d places free after a drain", b.Free())
		}
	})
}

// A task that ignores its context must not hold up whoever lost the lease.
func TestAbandonAllDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		let := make(chan struct{})
		b.hook["a"] = func(context.Context, task.Run) (task.Output, error) { <-let; return nil, nil }
		b.Submit([]store.Claimed{claim(1, oneHook)})
		synctest.Wait()
		begin := time.Now()
		b.AbandonAll(errors.New("lease lost"))
		if waited := time.Since(begin); waited > 2*time.Second {
			t.Errorf("waited %v", waited)
		}
		close(let)
		synctest.Wait()
		if b.Free() != 10 || len(b.store.ends) != 0 {
			t.Errorf("%d places free, %d ends", b.Free(), len(b.store.ends))
		}
	})
}

// An end that is not stored is waited for, no longer than the caller likes.
func TestSettleWaitsForEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.failures = 3
		b.Submit([]store.Claimed{claim(1, noop)})
		synctest.Wait()
		short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		b.Settle(short)
		if len(b.store.ends) != 0 || short.Err() == nil {
			t.Errorf("settled with %d ends stored", len(b.store.ends))
		}
		b.Settle(t.Context())
		if len(b.store.ends) != 1 {
			t.Errorf("settled with %d ends stored, want 1", len(b.store.ends))
		}
		b.Settle(t.Context()) // nothing is left
	})
}
