package executor

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// freshFor is how long a claim needs no second look: an edit that commits so
// soon after it is as good as one at the same time.
const freshFor = 20 * time.Millisecond

// starter holds attempts until their time.
type starter struct {
	e *Executor

	mu      sync.Mutex
	waiting byTime
	// poke makes the loop look again.
	poke chan struct{}
}

func newStarter(e *Executor) *starter { return &starter{e: e, poke: make(chan struct{}, 1)} }

// add takes attempts; those whose time has come start at once.
func (s *starter) add(attempts []*attempt) {
	now := s.e.o.Now()
	var ready []*attempt
	s.mu.Lock()
	for _, a := range attempts {
		if a.NotBefore.After(now) {
			heap.Push(&s.waiting, a)
		} else {
			ready = append(ready, a)
		}
	}
	s.mu.Unlock()
	s.start(ready)
	s.wake()
}

func (s *starter) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

func (s *starter) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		ready, next := s.takeReady()
		s.start(ready)
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.poke:
		}
	}
}

// takeReady takes what is due, and tells how long until the next.
func (s *starter) takeReady() (ready []*attempt, next time.Duration) {
	now := s.e.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 && !s.waiting[0].NotBefore.After(now) {
		ready = append(ready, heap.Pop(&s.waiting).(*attempt))
	}
	if len(s.waiting) == 0 {
		return ready, time.Hour
	}
	return ready, s.waiting[0].NotBefore.Sub(now)
}

// recheck looks again at a job's waiting attempts and lets the withdrawn go.
func (s *starter) recheck(jobID int64) {
	mine := s.take(func(a *attempt) bool { return a.JobID == jobID })
	if len(mine) > 0 {
		s.e.workers.do(func() { s.add(s.stillClaimed(mine)) })
	}
}

// launchCancelled takes the waiting attempts that were cancelled: launch ends
// them without a start.
func (s *starter) launchCancelled() {
	s.e.workers.launch(s.take(func(a *attempt) bool { return a.ctx.Err() != nil })...)
}

// take removes the attempts that want answers true for.
func (s *starter) take(want func(*attempt) bool) (taken []*attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.waiting[:0]
	for _, a := range s.waiting {
		if want(a) {
			taken = append(taken, a)
		} else {
			kept = append(kept, a)
		}
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	heap.Init(&s.waiting)
	return taken
}

// start runs attempts, after a second look at those claimed a while ago.
func (s *starter) start(ready []*attempt) {
	now := s.e.o.Now()
	fresh, stale := ready[:0], []*attempt(nil)
	for _, a := range ready {
		if now.Sub(a.claimedAt) > freshFor {
			stale = append(stale, a)
		} else {
			fresh = append(fresh, a)
		}
	}
	s.e.workers.launch(fresh...)
	if len(stale) > 0 {
		s.e.workers.do(func() { s.e.workers.launch(s.stillClaimed(stale)...) })
	}
}

// stillClaimed drops the attempts that were withdrawn. It asks until the store
// answers: an attempt that can't be looked at doesn't start. Those that are
// ended meanwhile come back at once, for launch to end them.
func (s *starter) stillClaimed(attempts []*attempt) (kept []*attempt) {
	for len(attempts) > 0 {
		claims := make([]store.Claimed, len(attempts))
		for i, a := range attempts {
			claims[i] = a.Claimed
		}
		states, err := s.e.o.Store.StillClaimed(s.e.ctx, claims)
		if err == nil {
			return append(kept, s.keep(attempts, states)...)
		}
		if s.e.ctx.Err() != nil {
			s.e.free(attempts...)
			return kept
		}
		s.e.o.Log.Warn("can't look at claims before their start; trying again", "executions", len(claims), "error", err)
		pause(s.e.ctx, 100*time.Millisecond)
		left := attempts[:0]
		for _, a := range attempts {
			if a.ctx.Err() != nil {
				kept = append(kept, a)
			} else {
				left = append(left, a)
			}
		}
		attempts = left
	}
	return kept
}

func (s *starter) keep(attempts []*attempt, states map[int64]job.State) []*attempt {
	kept := attempts[:0]
	var withdrawn []*attempt
	for _, a := range attempts {
		state, ok := states[a.ExecutionID]
		if !ok {
			withdrawn = append(withdrawn, a)
			continue
		}
		if state == job.StateCancelling {
			a.cancel(errCancelled)
		}
		kept = append(kept, a)
	}
	if len(withdrawn) > 0 {
		s.e.free(withdrawn...)
	}
	return kept
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// byTime is a heap of attempts, the earliest first.
type byTime []*attempt

func (h byTime) Len() int           { return len(h) }
func (h byTime) Less(i, j int) bool { return h[i].NotBefore.Before(h[j].NotBefore) }
func (h byTime) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *byTime) Push(x any) { *h = append(*h, x.(*attempt)) }

// Pop implements heap.Interface.
func (h *byTime) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return last
}
