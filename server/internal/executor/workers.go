package executor

import (
	"context"
	"sync"
)

// workers run attempts, each worker one at a time. As long as attempts wait,
// one more worker is on its way. So where tasks end at once, a few workers run
// them all, which spares each attempt a goroutine and the growth of its stack;
// where tasks block, each has a worker of its own.
type workers struct {
	run func(*attempt)

	mu     sync.Mutex
	ready  []*attempt
	coming bool
	// busy counts goroutines; idle, when somebody waits, is closed when there
	// are none. A WaitGroup would not do: work comes while others wait.
	busy int
	idle chan struct{}
}

// do runs other work that belongs to attempts.
func (w *workers) do(work func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spawn(work)
}

// spawn starts a goroutine that counts; w.mu is held.
func (w *workers) spawn(work func()) {
	w.busy++
	go func() {
		defer w.leave()
		work()
	}()
}

func (w *workers) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.busy--; w.busy == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// wait returns when nothing runs, or when ctx ends; it answers whether nothing
// ran.
func (w *workers) wait(ctx context.Context) bool {
	w.mu.Lock()
	if w.busy == 0 {
		w.mu.Unlock()
		return true
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// launch runs attempts beside the others.
func (w *workers) launch(attempts ...*attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = append(w.ready, attempts...)
	w.call()
}

// call sends for a worker if one is needed; w.mu is held.
func (w *workers) call() {
	if len(w.ready) > 0 && !w.coming {
		w.coming = true
		w.spawn(w.work)
	}
}

func (w *workers) work() {
	for a := w.next(true); a != nil; a = w.next(false) {
		w.run(a)
	}
}

// next takes an attempt; a worker that arrives makes place for another one to
// be called.
func (w *workers) next(arrives bool) *attempt {
	w.mu.Lock()
	defer w.mu.Unlock()
	if arrives {
		w.coming = false
	}
	if len(w.ready) == 0 {
		return nil
	}
	a := w.ready[0]
	w.ready[0], w.ready = nil, w.ready[1:]
	w.call()
	return a
}
