package executor

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// freshFor is how long before its start an attempt is looked at for the
	// last time, at most. A change that is made after the look lets what starts
	// within store.StartGuard pass, so the difference is what clocks may differ.
	freshFor = 40 * time.Millisecond
	// quick is how long that look may take. One that takes longer tells too
	// little: then the start is written before it happens.
	quick = 15 * time.Millisecond
	// lookAhead is how long before the start that look begins, so that the
	// database's answer is there in time. What needs a look until freshFor
	// goes with it.
	lookAhead = 25 * time.Millisecond
	// lookAgain is how long the starter sleeps at most while anything waits: the
	// database's clock may make a step, and what was far away is due.
	lookAgain = time.Second
)

// starter holds attempts until their time.
type starter struct {
	e *Executor

	// mu guards also the field wait of the attempts.
	mu sync.Mutex
	// waiting is in the order of the starts.
	waiting []*attempt
	// doubts says that an attempt is in doubt.
	doubts bool
	// picked is when the attempts to start were last picked.
	picked time.Time
	// poke makes the loop go round.
	poke chan struct{}
}

// wait is what the starter knows of an attempt.
type wait struct {
	// seenAt is since when it is known that the attempt may start.
	seenAt time.Time
	// written is once the store knows that it starts: nobody withdraws it.
	written bool
	// doubt asks for a look at once, also while one is going on.
	doubt bool
	// looking is while the store is asked.
	looking bool
	// withdrawn is once the store no longer knows the claim.
	withdrawn bool
	// gone is once it waits no longer.
	gone bool
}

func newStarter(e *Executor) *starter { return &starter{e: e, poke: make(chan struct{}, 1)} }

// add takes attempts that were claimed just now; those whose time has come
// start at once.
func (s *starter) add(attempts []*attempt) {
	now := s.e.o.Now()
	var ready []*attempt
	s.mu.Lock()
	for _, a := range attempts {
		a.wait.seenAt = now
		if a.NotBefore.After(now) {
			s.waiting = append(s.waiting, a)
		} else {
			a.wait.gone = true
			ready = append(ready, a)
		}
	}
	if len(ready) < len(attempts) {
		slices.SortStableFunc(s.waiting, func(a, b *attempt) int { return a.NotBefore.Compare(b.NotBefore) })
	}
	s.mu.Unlock()
	s.e.workers.launch(ready...)
	s.wake()
}

func (s *starter) wake() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

func (s *starter) loop(ctx context.Context) {
	timer := newAlarm(s.e.o.Exact)
	defer timer.Stop()
	for {
		ready, unsure, next := s.pick()
		s.e.workers.launch(ready...)
		if len(unsure) > 0 {
			s.e.workers.do(func() { s.look(unsure) })
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return
		case <-timer.Rings():
		case <-s.poke:
		}
	}
}

// pick takes the attempts that start now, tells those that the store must be
// asked about now, and how long until there is anything to do again.
func (s *starter) pick() (ready, unsure []*attempt, next time.Duration) {
	now := s.e.o.Now()
	window := now.Add(freshFor)
	next = time.Hour
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.picked) { // a step back: what is known would seem fresh for longer
		for _, a := range s.waiting {
			a.wait.seenAt = time.Time{}
		}
	}
	s.picked = now
	if len(s.waiting) > 0 {
		next = lookAgain
	}
	begin, look := false, next
	kept := s.waiting[:0]
	for i, a := range s.waiting {
		if a.NotBefore.After(window) && !s.doubts {
			next = min(next, a.NotBefore.Add(-lookAhead).Sub(now))
			kept = append(kept, s.waiting[i:]...)
			break
		}
		switch due := a.NotBefore.Sub(now); {
		case a.wait.looking:
		case a.wait.written, !a.wait.doubt && max(due, 0) <= freshFor-now.Sub(a.wait.seenAt):
			if due <= 0 {
				a.wait.gone = true
				ready = append(ready, a)
				continue
			}
			next = min(next, due)
		case due <= freshFor || a.wait.doubt:
			unsure = append(unsure, a)
			begin, look = begin || due <= lookAhead || a.wait.doubt, min(look, due-lookAhead)
		default:
			next = min(next, due-lookAhead)
		}
		kept = append(kept, a)
	}
	clear(s.waiting[len(kept):])
	s.waiting = kept
	if !begin {
		return ready, nil, min(next, look)
	}
	s.doubts = false
	for _, a := range unsure {
		a.wait.looking, a.wait.doubt = true, false
	}
	return ready, unsure, next
}

// doubt looks again at a job's waiting attempts, and lets the withdrawn go.
func (s *starter) doubt(jobID int64) {
	s.mu.Lock()
	for _, a := range s.waiting {
		if a.JobID == jobID {
			a.wait.doubt, s.doubts = true, true
		}
	}
	s.mu.Unlock()
	s.wake()
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
	s.waiting = slices.DeleteFunc(s.waiting, func(a *attempt) bool {
		if want(a) {
			a.wait.gone = true
			taken = append(taken, a)
		}
		return a.wait.gone
	})
	return taken
}

// look asks the store which attempts may still start. It asks until the store
// answers: an attempt that can't be looked at doesn't start. What is taken
// meanwhile, as by a cancel or a drain, is somebody else's.
func (s *starter) look(attempts []*attempt) {
	for {
		attempts = s.stillWaiting(attempts)
		if len(attempts) == 0 {
			return
		}
		claims := make([]store.Claimed, len(attempts))
		for i, a := range attempts {
			claims[i] = *a.Whole
		}
		asked := s.e.o.Now()
		states, err := s.e.o.Store.StillClaimed(s.e.ctx, claims)
		if err == nil && s.e.o.Now().Sub(asked) > quick {
			states, err = s.write(claims)
			asked = time.Time{}
		}
		if err == nil {
			s.seen(attempts, states, asked)
			return
		}
		if s.e.ctx.Err() != nil {
			return // the drain has given back what waited
		}
		s.e.o.Log.Warn("can't look at claims before their start; trying again", "executions", len(claims), "error", err)
		pause(s.e.ctx, 100*time.Millisecond)
	}
}

// stillWaiting leaves out the attempts that were taken, and takes those that
// were cancelled.
func (s *starter) stillWaiting(attempts []*attempt) []*attempt {
	s.launchCancelled()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(attempts, func(a *attempt) bool { return a.wait.gone })
}

// write tells the store that attempts start, and answers the states of those
// that may.
func (s *starter) write(claims []store.Claimed) (map[int64]job.State, error) {
	now := s.e.o.Now()
	reports := make([]store.Progress, len(claims))
	states := make(map[int64]job.State, len(claims))
	for i, c := range claims {
		reports[i] = store.Progress{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: now}
		states[c.ExecutionID] = job.StateRunning
	}
	stale, cancelled, err := s.e.o.Store.Progress(s.e.ctx, reports)
	for _, id := range stale {
		delete(states, id)
	}
	for _, id := range cancelled {
		states[id] = job.StateCancelling
	}
	return states, err
}

// seen notes what the store said of attempts when it was asked, zero for one
// that was told of the starts.
func (s *starter) seen(attempts []*attempt, states map[int64]job.State, asked time.Time) {
	s.mu.Lock()
	for _, a := range attempts {
		state, claimed := states[a.ExecutionID]
		a.wait.looking, a.wait.seenAt, a.wait.withdrawn, a.wait.written = false, asked, !claimed, asked.IsZero()
		s.doubts = s.doubts || a.wait.doubt
		if state == job.StateCancelling {
			a.cancel(errCancelled)
		}
	}
	s.mu.Unlock()
	if withdrawn := s.take(func(a *attempt) bool { return a.wait.withdrawn }); len(withdrawn) > 0 {
		s.e.free(withdrawn...)
	}
	s.launchCancelled()
	s.wake()
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
