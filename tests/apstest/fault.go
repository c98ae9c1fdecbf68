package apstest

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Fault makes calls of an operation fail.
type Fault struct {
	// Op is the operation; empty means any.
	Op string
	// Skip is how many calls go well first, Times how many fail then: 0 means
	// one, less means all.
	Skip, Times int
	// Status is answered instead of doing anything; 0 means that the call is
	// done.
	Status int
	// RetryAfter is told with the status, in whole seconds; 0 tells nothing.
	RetryAfter time.Duration
	// Body is answered with the status; there is a default.
	Body string
	// Wait holds the call until the channel is closed or the client is gone; with
	// Cut it is held in the middle of its content.
	Wait <-chan struct{}
	// Lost does the call and then breaks the connection instead of answering.
	Lost bool
	// Cut breaks the connection of [OpGetObject] and [OpPutPart] after this many
	// bytes of content; 0 does not.
	Cut int64
}

// Inject makes a fault happen from now on. Of several that fit, the first
// injected happens first.
func (s *Server) Inject(f Fault) {
	if f.Times == 0 {
		f.Times = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// Clear takes back every fault.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// begin counts a call and returns the fault that happens to it, or nil.
func (s *Server) begin(op string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[op]++
	for i, f := range s.faults {
		if f.Op != "" && f.Op != op {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		happens := *f
		if f.Times--; f.Times == 0 {
			s.faults = slices.Delete(s.faults, i, i+1)
		}
		return &happens
	}
	return nil
}

// before reports whether the call is to be done.
func (f *Fault) before(w http.ResponseWriter, r *http.Request) bool {
	if f == nil {
		return true
	}
	if f.Wait != nil && f.Cut == 0 {
		// Only a body that was read lets the server see that the client is gone.
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if !f.hold(r) {
			return false
		}
	}
	if f.Status == 0 {
		return true
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	body := f.Body
	if body == "" {
		body = `{"developerMessage":"a fault was injected","errorCode":"FAULT"}`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	_, _ = w.Write([]byte(body))
	return false
}

// hold waits as long as the fault says; false when the client is gone.
func (f *Fault) hold(r *http.Request) bool {
	if f.Wait == nil {
		return true
	}
	select {
	case <-f.Wait:
		return true
	case <-r.Context().Done():
		return false
	}
}

// lost breaks the connection of a call that was done.
func (f *Fault) lost(w http.ResponseWriter) bool {
	if f == nil || !f.Lost {
		return false
	}
	cut(w)
	return true
}

// cut breaks the connection of a request.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		conn.Close()
	}
}
