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

// The database's clock is set back while an attempt waits, and set right later: it
// starts when its time has come by that clock, and not on what was known before.
func TestStartsAfterStepsOfTheClock(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// waits is how long before its start the attempt is claimed.
		waits time.Duration
		// forth says that the clock is set right, and withdrawn that the claim is
		// withdrawn meanwhile.
		forth, withdrawn bool
	}{
		"back and forth":             {300 * time.Millisecond, true, false},
		"back":                       {300 * time.Millisecond, false, false},
		"back, and withdrawn":        {300 * time.Millisecond, false, true},
		"back just before its start": {30 * time.Millisecond, false, false},
		"and withdrawn":              {30 * time.Millisecond, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				const step = time.Hour
				c := claim(1, noop)
				c.NotBefore = time.Now().Add(test.waits)
				b.store.claims[1] = job.StateQueued
				b.Submit([]store.Claimed{c})
				time.Sleep(test.waits / 2)
				b.ahead.Store(-int64(step))
				time.Sleep(step / 2)
				synctest.Wait()
				if len(b.store.ends) > 0 {
					t.Fatal("started half an hour early")
				}
				if test.withdrawn {
					b.store.mu.Lock()
					delete(b.store.claims, 1)
					b.store.mu.Unlock()
				}
				rest := step / 2
				if test.forth {
					b.ahead.Store(0)
					rest = 0
				}
				time.Sleep(rest + 2*time.Second)
				synctest.Wait()
				if got := len(b.store.ends) == 1; got == test.withdrawn || b.Free() != 10 {
					t.Errorf("started: %t, want %t; %d places free", got, !test.withdrawn, b.Free())
				}
			})
		})
	}
}
