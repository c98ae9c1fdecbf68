// Package places bounds how much of a costly thing one process does at a time:
// for all instances together, and for each of them, so that no tenant takes
// what is there for all.
package places

import "sync"

// Places counts who is at it. It is safe for concurrent use.
type Places struct {
	all, each int

	mu    sync.Mutex
	taken int
	by    map[int64]int
}

// New returns places for all at a time, and for each instance. An instance
// should be given less than half of all: then it takes two to fill them.
func New(all, each int) *Places {
	return &Places{all: all, each: each, by: map[int64]int{}}
}

// Take takes a place until leave, unless there is none.
func (p *Places) Take(instanceID int64) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.all || p.by[instanceID] >= p.each {
		return nil, false
	}
	p.taken++
	p.by[instanceID]++
	return sync.OnceFunc(func() { p.leave(instanceID) }), true
}

func (p *Places) leave(instanceID int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[instanceID]--; p.by[instanceID] == 0 {
		delete(p.by, instanceID)
	}
}
