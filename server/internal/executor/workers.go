package executor

import "sync"

// workers run attempts, each worker one at a time. As long as attempts wait,
// one more worker is on its way. So where tasks end at once, a few workers run
// them all, which spares each attempt a goroutine and the growth of its stack;
// where tasks block, each has a worker of its own.
type workers struct {
	run func(*attempt)
	all sync.WaitGroup

	mu     sync.Mutex
	ready  []*attempt
	coming bool
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
		w.all.Go(w.work)
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
