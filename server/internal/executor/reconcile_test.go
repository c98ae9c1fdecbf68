package executor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

func TestAdoptedEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		running := []job.TaskRecord{{Name: "a", State: job.TaskRunning}, {Name: "b", State: job.TaskAwaitingApproval}, {Name: "c", State: job.TaskPending}}
		cancelled := store.Lost{Claimed: claim(2, noop), State: job.StateCancelling}
		b.Adopt([]store.Lost{{Claimed: claim(1, noop), State: job.StateRunning, StartedAt: time.Now(), Tasks: running}, cancelled})
		if f := <-b.store.ends; f.State != job.StateWorkerLost || f.Error.Reason != job.ReasonWorkerLost {
			t.Errorf("%+v", f)
		} else if diff := cmp.Diff([]job.TaskState{job.TaskFailed, job.TaskCancelled, job.TaskCancelled}, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
		if f := <-b.store.ends; f.State != job.StateCancelled {
			t.Errorf("%+v", f)
		}
		synctest.Wait()
		if b.Free() != 10 {
			t.Errorf("%d places free", b.Free())
		}
	})
}

// A claim whose answer was lost is owned in the store and unknown here.
func TestLostClaimsAreTakenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.mu.Lock()
		b.store.owned = []store.Owned{{ExecutionID: 4, Fence: 9, State: job.StateQueued}}
		b.store.mu.Unlock()
		if f := <-b.store.ends; f.ExecutionID != 4 || f.Fence != 77 || f.State != job.StateWorkerLost {
			t.Errorf("%+v", f)
		}
	})
}

// The signal of a cancel may be lost.
func TestLostCancelsAreFound(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.mu.Lock()
		b.store.owned = []store.Owned{{ExecutionID: 1, Fence: 5, State: job.StateCancelling}}
		b.store.mu.Unlock()
		b.Submit([]store.Claimed{claim(1, longTask)})
		if f := <-b.store.ends; f.State != job.StateCancelled {
			t.Errorf("%s", f.State)
		}
	})
}

// A retry may be claimed again before its first end is known to be stored.
func TestReclaimedBeforeItsEndIsStoredLeaksNoPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		first := claim(1, longTask)
		b.Submit([]store.Claimed{first})
		synctest.Wait()
		again := claim(1, noop)
		again.Fence, again.Attempt = 6, 2
		b.Submit([]store.Claimed{again})
		<-b.store.ends
		<-b.store.ends
		synctest.Wait()
		if full := b.Full(); b.Free() != 10 || len(full) > 0 {
			t.Errorf("%d places free, full %v", b.Free(), full)
		}
	})
}
