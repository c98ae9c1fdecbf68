package executor

// Free is how many executions may be submitted now.
func (e *Executor) Free() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining {
		return 0
	}
	return e.o.Places - e.taken
}

// Spare is how many executions of one instance may be submitted now, whichever
// instance that is, but for the full ones.
func (e *Executor) Spare() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	most := 0
	for _, n := range e.held {
		if !e.full(n) {
			most = max(most, n)
		}
	}
	return max(0, e.o.PerInstance-most)
}

// full tells whether an instance with n places gets no more for now: it has
// all that it may, or so nearly that its last few would set everybody's pace.
func (e *Executor) full(n int) bool {
	spare := e.o.PerInstance - n
	return spare <= 0 || spare < e.o.PerInstance/8
}

// Taken is how many executions were submitted and their end is not stored.
func (e *Executor) Taken() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taken
}

// Full are the instances that get no place now.
func (e *Executor) Full() (instances []int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, n := range e.held {
		if e.full(n) {
			instances = append(instances, id)
		}
	}
	return instances
}

// Room is closed when places have become free since the call.
func (e *Executor) Room() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.room
}

// free gives the places of attempts back.
func (e *Executor) free(attempts ...*attempt) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range attempts {
		e.forget(a)
	}
	e.makeRoom(len(attempts))
}

// forget lets go of an attempt; e.mu is held.
func (e *Executor) forget(a *attempt) {
	if e.attempts[a.ExecutionID] != a {
		return
	}
	delete(e.attempts, a.ExecutionID)
	if e.held[a.InstanceID]--; e.held[a.InstanceID] == 0 {
		delete(e.held, a.InstanceID)
	}
}

// makeRoom counts places free and tells who waits; e.mu is held.
func (e *Executor) makeRoom(places int) {
	e.taken -= places
	close(e.room)
	e.room = make(chan struct{})
}
