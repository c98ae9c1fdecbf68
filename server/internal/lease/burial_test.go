package lease_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/store"
)

func TestAdoptsWhatTheDeadLeave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var failed bool
		b.db.set(func() {
			b.db.before = func(_ context.Context, call string) error {
				if call == "bury" && !failed {
					failed = true
					return errAway
				}
				return nil
			}
			b.db.lost = []store.Lost{{Claimed: store.Claimed{ExecutionID: 7}}, {Claimed: store.Claimed{ExecutionID: 8}}}
		})
		b.after(time.Second + time.Millisecond)
		b.mu.Lock()
		defer b.mu.Unlock()
		ids := make([]int64, len(b.adopted))
		for i, l := range b.adopted {
			ids[i] = l.ExecutionID
		}
		if !slices.Equal(ids, []int64{7, 8}) || !failed {
			b.t.Errorf("adopted %v after a failure: %v", ids, failed)
		}
	})
}

func TestBuriesNobodyWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.db.before = func(_ context.Context, call string) error {
			if call == "bury" {
				t.Error("buried others without a lease of its own")
			}
			return errAway
		}
		b.run(func(b *bench) { b.after(time.Minute) })
	})
}

// TestLooksRarelyWhileAlone: a replica that has been alone for longer than a lease
// looks for dead ones once a heartbeat, unless it would not hear of a new one.
func TestLooksRarelyWhileAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		wantLooks := func(when string, want int) {
			t.Helper()
			b.db.set(func() { b.db.burials = 0 })
			b.after(time.Minute)
			b.db.set(func() {
				if b.db.burials != want {
					t.Errorf("%d looks a minute %s, want %d", b.db.burials, when, want)
				}
			})
		}
		b.after(30*time.Second + time.Millisecond)
		wantLooks("alone", 20)
		b.db.set(func() { b.db.until[99] = time.Now().Add(time.Hour) })
		b.Wake()
		wantLooks("beside another one", 301)
		b.db.set(func() { delete(b.db.until, 99) })
		b.after(time.Minute)
		wantLooks("alone again", 20)
		b.deaf.Store(true)
		b.after(3 * time.Second)
		wantLooks("without signals", 300)
	})
}
