// Package audit is who did what: the events, and how one gets from the door,
// which knows who calls, into the transaction that makes the change.
//
// Rules:
//   - Every call that may change something is an event, whatever came of it:
//     done, denied or failed. Of reads, only that of the audit events is one;
//     so is each use of a stored credential by an execution. A command that works
//     on the database itself is a call, too.
//   - The event of a change is written in the transaction of the change
//     ([Pending]), so that there is neither without the other. What changed
//     nothing is written when the call has ended.
//   - An event names; it never quotes. No value of a request, no secret and no
//     text of an error is in it, only identifiers that the server has parsed.
//   - Who may not read an object must not learn of it here either, and its
//     owner must not learn of other tenants: such an event belongs to no
//     instance, and only the operator reads it.
//   - Refusals that anybody could cause without end, by a bad token or beyond
//     the rate limits, are written at a limited rate or not at all; they are in
//     the metrics.
package audit

import (
	"context"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// The methods of what executions and commands do, beside those of the API.
const (
	// OpenConfig is the use of a stored credential by an execution.
	OpenConfig = "OpenConfig"
	// SaveConfig is a credential that a remote has renewed while it was used.
	SaveConfig = "SaveConfig"
	// SignToken is a token that `carillon token` has signed; the event has that
	// token's id and scopes.
	SignToken = "SignToken"
	// WrapKeyset is what `carillon keys wrap` did to the keyset file.
	WrapKeyset = "WrapKeyset"
	// Migrate is a change of the database's tables, by `carillon migrate` or at
	// the start of `carillon serve`; the event has the names of what was applied.
	Migrate = "Migrate"
)

// CodeOK is the code of what was done.
const CodeOK = "OK"

// Event is one thing that somebody did or tried to do.
type Event struct {
	ID int64
	// Time is when it was written.
	Time time.Time
	// Actor is the token's subject or an execution; empty for nobody known.
	Actor   string
	TokenID string
	Scopes  string
	// Method is an RPC's full name without the leading slash, or one of above.
	Method string
	// Object is an identifier with its prefix, empty for none.
	Object string
	// InstanceID is the object's instance, 0 for none.
	InstanceID int64
	// Peer is the address that the call came from.
	Peer      string
	RequestID string
	// Code is what came of it, as google.rpc.Code spells it.
	Code    string
	Details map[string]string
}

// Filter selects events; zero fields select all.
type Filter struct {
	InstanceID int64
	// InstanceIDs selects the events of several instances; nil selects all, also
	// those of none.
	InstanceIDs []int64
	// From is inclusive, To exclusive.
	From, To time.Time
	Actor    string
	// Method is an RPC's name, with or without its service.
	Method string
	Object string
}

// Pending is an event on its way into a transaction. It is safe for concurrent
// use.
type Pending struct {
	mu      sync.Mutex
	event   Event
	written bool
}

// NewPending begins with what is known of a call.
func NewPending(e Event) *Pending { return &Pending{event: e} }

// About names what the call acts on.
func (p *Pending) About(object string, instanceID int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.event.Object, p.event.InstanceID = object, instanceID
}

// Event is what is known now.
func (p *Pending) Event() Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.event
}

// Written says that a transaction with the event was committed; further ones
// leave it out.
func (p *Pending) Written() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.written = true
}

// Open tells whether it is still to be written.
func (p *Pending) Open() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.written
}

type pendingKey struct{}

// With returns a context whose next committed transaction writes p.
func With(ctx context.Context, p *Pending) context.Context {
	return context.WithValue(ctx, pendingKey{}, p)
}

// From returns the event that the next transaction is to write, nil for none.
func From(ctx context.Context) *Pending {
	p, _ := ctx.Value(pendingKey{}).(*Pending)
	if p == nil || !p.Open() {
		return nil
	}
	return p
}

// Made names what a call has made, in place of that in which it was made.
func Made(ctx context.Context, kind job.Kind, id, instanceID int64) {
	if p := From(ctx); p != nil {
		p.About(kind.Format(id), instanceID)
	}
}
