package executor_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// A look that takes long tells too little: the start is written instead, and
// whoever changes the job afterwards finds it.
func TestSlowLooksAreFollowedByAWrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		slow    time.Duration
		stale   []int64
		writes  int
		started bool
	}{
		"quick":                   {5 * time.Millisecond, nil, 0, true},
		"slow":                    {200 * time.Millisecond, nil, 1, true},
		"slow, and withdrawn now": {200 * time.Millisecond, []int64{1}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				begin := time.Now()
				c := claim(1, noop)
				c.NotBefore = begin.Add(300 * time.Millisecond)
				b.store.claims[1] = job.StateQueued
				b.store.look = func() { time.Sleep(test.slow) }
				b.store.stale = test.stale
				b.Submit([]store.Claimed{c})
				time.Sleep(time.Second)
				synctest.Wait()
				if got := len(b.store.progress); got != test.writes {
					t.Errorf("%d starts were written, want %d", got, test.writes)
				}
				if got := len(b.store.ends) == 1; got != test.started || b.Free() != 10 {
					t.Errorf("started: %t, want %t; %d places free", got, test.started, b.Free())
				}
			})
		})
	}
}
