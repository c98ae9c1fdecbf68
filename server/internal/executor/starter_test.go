package executor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// ahead is a claim whose time comes later.
func (b *bench) ahead(id int64, d time.Duration) store.Claimed {
	c := claim(id, noop)
	c.NotBefore = time.Now().Add(d)
	b.store.claims[id] = job.StateQueued
	return c
}

func TestLookBeforeTheStartDelaysNothing(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		looks := 0
		b.store.look = func() { looks++; time.Sleep(20 * time.Millisecond) }
		claims := []store.Claimed{b.ahead(1, 500*time.Millisecond), b.ahead(2, 510*time.Millisecond), b.ahead(3, 30*time.Millisecond)}
		b.Submit(claims)
		for _, i := range []int{2, 0, 1} {
			if f := <-b.store.ends; f.ExecutionID != claims[i].ExecutionID || !f.StartedAt.Equal(claims[i].NotBefore) {
				t.Errorf("execution %d started %v after the time of %d", f.ExecutionID, f.StartedAt.Sub(claims[i].NotBefore), claims[i].ExecutionID)
			}
		}
		if looks != 1 {
			t.Errorf("%d looks, want one: the third was claimed just before, the others go together", looks)
		}
	})
}

func TestSlowLookDelaysTheStart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.look = func() { time.Sleep(time.Second) }
		c := b.ahead(1, 500*time.Millisecond)
		b.Submit([]store.Claimed{c})
		if f := <-b.store.ends; f.StartedAt.Before(c.NotBefore.Add(900 * time.Millisecond)) {
			t.Errorf("started %v after its time, before the store had answered", f.StartedAt.Sub(c.NotBefore))
		}
	})
}

func TestWithdrawnDuringALook(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		looks := 0
		b.store.look = func() {
			// The first answer is from before the change that the signal is about.
			if looks++; looks == 1 {
				b.Withdraw(1)
				return
			}
			b.store.mu.Lock()
			defer b.store.mu.Unlock()
			delete(b.store.claims, 1)
		}
		b.Submit([]store.Claimed{b.ahead(1, 500*time.Millisecond)})
		time.Sleep(time.Second)
		synctest.Wait()
		if looks != 2 || len(b.store.ends) != 0 || b.Free() != 10 {
			t.Errorf("%d looks, %d ends, %d places free; want another look and no start", looks, len(b.store.ends), b.Free())
		}
	})
}

func TestCancelOfOneDuringALook(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		answer := make(chan struct{})
		b.store.look = func() { <-answer }
		first, second := b.ahead(1, 500*time.Millisecond), b.ahead(2, 500*time.Millisecond)
		b.Submit([]store.Claimed{first, second})
		time.Sleep(490 * time.Millisecond)
		synctest.Wait()
		b.Cancel(1)
		if f := <-b.store.ends; f.ExecutionID != 1 || f.State != job.StateCancelled {
			t.Errorf("execution %d ended %s", f.ExecutionID, f.State)
		}
		close(answer)
		if f := <-b.store.ends; f.ExecutionID != 2 || f.State != job.StateSucceeded || !f.StartedAt.Equal(second.NotBefore) {
			t.Errorf("execution %d ended %s after a start %v late", f.ExecutionID, f.State, f.StartedAt.Sub(second.NotBefore))
		}
	})
}
