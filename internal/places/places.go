// Package places bounds how much of a costly thing one process does at a time:
// for all together, and for each instance, caller or address, so that none of
// them takes what is there for all.
package places

import "sync"

// Places counts who is at it, by a key. It is safe for concurrent use.
type Places[K comparable] struct {
	all, each int

	mu    sync.Mutex
	taken int
	by    map[K]int
}

// New returns places for all at a time, and for each key. A key should be given
// less than half of all: then it takes two to fill them.
func New[K comparable](all, each int) *Places[K] {
	return &Places[K]{all: all, each: each, by: map[K]int{}}
}

// Take takes a place until leave, unless there is none.
func (p *Places[K]) Take(key K) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.all || p.by[key] >= p.each {
		return nil, false
	}
	p.taken++
	p.by[key]++
	return sync.OnceFunc(func() { p.leave(key) }), true
}

// TakeAny takes a place that counts for no key.
func (p *Places[K]) TakeAny() (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.taken >= p.all {
		return nil, false
	}
	p.taken++
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.taken--
	}), true
}

func (p *Places[K]) leave(key K) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken--
	if p.by[key]--; p.by[key] == 0 {
		delete(p.by, key)
	}
}
