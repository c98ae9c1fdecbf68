package harness

import (
	"slices"
	"sync"
	"time"
)

const (
	// stallEvery is the time between two ticks of the watch, stallLeast how late one
	// must be to count.
	stallEvery = 50 * time.Millisecond
	stallLeast = time.Second
	// stallNear is for how long around it a stall is to blame: longer than a lease.
	stallNear = 15 * time.Second
)

// Stalled tells whether this machine has let a ready program wait for a second or
// more around a time, as a busy one does: what a service bounds by the clock, such as
// leases and the time for its database, may have ended then.
func Stalled(at time.Time) bool { return stalls.near(at, time.Now()) }

var stalls stallWatch

// watchStalls measures how late a tick comes, as long as the process lives.
func watchStalls() {
	stalls.tick(time.Now())
	for range time.Tick(stallEvery) {
		stalls.tick(time.Now())
	}
}

// stallWatch remembers stalls.
type stallWatch struct {
	mu   sync.Mutex
	last time.Time
	// all are from the last tick before to the first after.
	all []stall
}

type stall struct{ from, to time.Time }

func (w *stallWatch) tick(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := (stall{w.last, now}); s.counts() {
		w.all = append(w.all, s)
	}
	w.last = now
}

// counts tells whether a stretch between two ticks is a stall.
func (s stall) counts() bool { return !s.from.IsZero() && s.to.Sub(s.from)-stallEvery >= stallLeast }

// near tells whether there was a stall around a time, or is one now.
func (w *stallWatch) near(at, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(append(slices.Clone(w.all), stall{w.last, now}), func(s stall) bool {
		return s.counts() && at.After(s.from.Add(-stallNear)) && at.Before(s.to.Add(stallNear))
	})
}
