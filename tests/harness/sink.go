package harness

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Loopback are the flags with which tasks may reach a [Sink].
var Loopback = []string{"--egress-allow", "127.0.0.0/8"}

// Effect is one call of a task that reached the outside.
type Effect struct {
	// Path tells what called: a job, by the caller's choice.
	Path string
	// Execution, Fence and Key are what http.request sends.
	Execution string
	Fence     int64
	Key       string
	At        time.Time
}

// Sink is an outside that remembers every effect.
type Sink struct {
	URL string

	mu      sync.Mutex
	effects []Effect
	wrong   []string
}

// NewSink starts one on loopback.
func NewSink(t testing.TB) *Sink {
	s := &Sink{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fence, err := strconv.ParseInt(r.Header.Get("Carillon-Fence"), 10, 64)
	e := Effect{Path: r.URL.Path, Execution: r.Header.Get("Carillon-Execution-Id"), Fence: fence, Key: r.Header.Get("Idempotency-Key"), At: time.Now()}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || e.Execution == "" || e.Key == "" {
		s.wrong = append(s.wrong, fmt.Sprintf("a call without its headers: %v", r.Header))
	}
	s.effects = append(s.effects, e)
}

// Effects are all so far, in the order of their arrival.
func (s *Sink) Effects() []Effect {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.effects)
}

// Of are the effects with a path.
func (s *Sink) Of(path string) []Effect {
	return slices.DeleteFunc(s.Effects(), func(e Effect) bool { return e.Path != path })
}

// Check fails the test when an execution reached the outside twice, when two
// share a fence, or when the fences of a job, which stands for its own path,
// did not rise.
func (s *Sink) Check(t testing.TB) {
	t.Helper()
	for _, wrong := range s.wrong {
		t.Error(wrong)
	}
	seen := map[string]Effect{}
	last := map[string]Effect{}
	for _, e := range s.Effects() {
		if first, twice := seen[e.Execution]; twice {
			t.Errorf("%s had its effect twice, %s apart: %+v, %+v", e.Execution, e.At.Sub(first.At), first, e)
		}
		seen[e.Execution] = e
		if before, ok := last[e.Path]; ok && e.Fence <= before.Fence {
			t.Errorf("the fence of %s went from %d to %d: %+v, %+v", e.Path, before.Fence, e.Fence, before, e)
		}
		last[e.Path] = e
	}
}
