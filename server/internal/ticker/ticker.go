package ticker

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

// Places takes claimed executions.
type Places interface {
	// Free is how many executions may be submitted now.
	Free() int
	// Room is closed when places have become free since the call.
	Room() <-chan struct{}
	// Full are the instances that get none now: they hold as many places as one
	// may, or nearly.
	Full() []int64
	// Spare is how many of one instance may be submitted now, whichever it is,
	// but for the full ones; 1 at least.
	Spare() int
	Submit([]store.Claimed)
}

// Lease tells who this replica is and what time it is.
type Lease interface {
	// ID is 0 while there is no lease; nothing is claimed then.
	ID() int64
	Now() time.Time
}

// Options of a Ticker; every field is needed except Places.
type Options struct {
	Store store.Engine
	Lease Lease
	// Places is nil in a process that runs no executions: what it finds due
	// waits for a replica that does.
	Places Places
	// Schedules is whether this process looks for due jobs.
	Schedules bool
	// Every is the longest time between looks while executions are active, due
	// soon, or waiting. Else the ticker sleeps until the next job is due or it is
	// woken, but no longer than Idle, in case that a signal is lost.
	Every, Idle time.Duration
	// Ahead is how long before its time a slot is claimed; more than Every.
	Ahead time.Duration
	// Batch is how many executions one claim takes at most.
	Batch   int
	Metrics Metrics
	Log     *slog.Logger
}

// Metrics counts what happens.
type Metrics interface {
	// Claimed is told what one claim took and how long it was in the database.
	Claimed(executions int, took time.Duration)
	// Skipped is told of each ledger row that a claim made.
	Skipped(reason string, slots int64)
}

// Ticker looks for work again and again.
type Ticker struct {
	o    Options
	wake chan struct{}
	// behind is whether the last look left due jobs.
	behind bool
	// folders is whether the last look left executions waiting for folders.
	folders bool
	// backfills wakes up who advances them.
	backfills chan struct{}
	// quiet is whether the last look found nothing active, and nothing was claimed
	// since.
	quiet atomic.Bool
}

// New returns a ticker that does nothing until Run.
func New(o Options) *Ticker {
	return &Ticker{o: o, wake: make(chan struct{}, 1), backfills: make(chan struct{}, 1)}
}

// Quiet tells whether this process surely owned nothing at the last look, and has
// claimed nothing since.
func (t *Ticker) Quiet() bool { return t.quiet.Load() }

// Wake makes the ticker look now.
func (t *Ticker) Wake() { poke(t.wake) }

func poke(sleeper chan<- struct{}) {
	select {
	case sleeper <- struct{}{}:
	default: // it is awake already
	}
}

// Run looks for work until ctx ends. Errors are logged and the loop goes on:
// whatever was not claimed is due at the next look.
func (t *Ticker) Run(ctx context.Context) {
	if t.o.Schedules {
		var backfills sync.WaitGroup
		defer backfills.Wait()
		backfills.Go(func() { t.advanceBackfills(ctx) })
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		var room <-chan struct{}
		if t.o.Places != nil {
			room = t.o.Places.Room()
		}
		more, blocked, wait := t.look(ctx)
		if more && t.enough() {
			continue
		}
		if !more && !blocked {
			room = nil
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-t.wake:
		case <-room:
			t.awaitEnough(ctx)
		}
	}
}

// enough tells whether there are places for a claim that is worth its commit.
func (t *Ticker) enough() bool {
	if t.o.Places == nil {
		return true
	}
	return min(t.o.Places.Free(), t.o.Places.Spare()) >= t.o.Batch/2
}

// awaitEnough waits until there are, but no longer than a moment: places may
// be held by long executions.
func (t *Ticker) awaitEnough(ctx context.Context) {
	limit := time.NewTimer(5 * time.Millisecond)
	defer limit.Stop()
	for !t.enough() {
		select {
		case <-ctx.Done():
			return
		case <-limit.C:
			return
		case <-t.o.Places.Room():
		}
	}
}

// look claims once what there is. It tells whether it took as much as it may,
// so that there may be more, whether what is due may wait for places or
// folders, and else how long to wait before the next look.
func (t *Ticker) look(ctx context.Context) (more, blocked bool, wait time.Duration) {
	if t.o.Lease.ID() == 0 {
		return false, false, t.o.Every
	}
	work, err := t.o.Store.NextWork(ctx)
	t.quiet.Store(err == nil && !work.Active)
	if err != nil {
		if ctx.Err() == nil {
			t.o.Log.WarnContext(ctx, "can't look for work; trying again", "error", err)
		}
		return false, false, t.o.Every
	}
	if t.o.Schedules && work.Backfills {
		poke(t.backfills)
	}
	now := t.o.Lease.Now()
	more, blocked = t.claims(ctx, work, now.Add(t.o.Ahead))
	return more, blocked, t.pause(work, now)
}

// claims claims what there is up to a time.
func (t *Ticker) claims(ctx context.Context, work store.Work, upTo time.Time) (more, blocked bool) {
	there := func(at time.Time) bool { return !at.IsZero() && !at.After(upTo) }
	if t.o.Places != nil {
		if t.o.Places.Free() == 0 {
			return false, true
		}
		blocked = len(t.o.Places.Full()) > 0
		if there(work.Waiting) {
			more = t.claim(ctx, "waiting", store.ClaimRequest{}, t.o.Store.ClaimQueued)
		}
		t.folders = false
		if there(work.Folders) {
			more = t.claim(ctx, "waiting for folders", store.ClaimRequest{}, t.claimWithFolders) || more
		}
	}
	if t.o.Schedules {
		due := there(work.Due) && t.claimSchedules(ctx)
		more, t.behind = more || due, due || blocked
	}
	// Whoever ends may be the one that others wait for with their folders.
	return more, blocked || t.folders
}

// leastPause keeps jobs that are claimed only when they are due, one after the
// other, from costing a transaction each.
const leastPause = 10 * time.Millisecond

// pause is how long to wait after a look. What was in reach and not claimed is
// claimed at its time.
func (t *Ticker) pause(work store.Work, now time.Time) time.Duration {
	wait := t.o.Every
	if !work.Active && !work.Backfills && work.Signals {
		wait = t.o.Idle
	}
	for _, at := range []time.Time{work.Due, work.Waiting} {
		if at.IsZero() {
			continue
		}
		switch away := at.Sub(now); {
		case away <= 0:
			wait = min(wait, t.o.Every)
		case away <= t.o.Ahead:
			wait = min(wait, t.o.Every, max(away, leastPause))
		default:
			wait = min(wait, max(away-t.o.Ahead, t.o.Every))
		}
	}
	return wait
}

// advanceBackfills runs beside the claims, which must not wait for it.
func (t *Ticker) advanceBackfills(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.backfills:
		}
		if err := t.o.Store.AdvanceBackfills(ctx, t.o.Lease.Now(), policy.BackfillSlots); err != nil && ctx.Err() == nil {
			t.o.Log.WarnContext(ctx, "can't advance backfills; trying again", "error", err)
		}
	}
}

// turn is how many jobs of each instance go first when there is a backlog.
const turn = 8

// claimSchedules claims by time. When the last look left something, the
// instances take turns first, so that a herd of one does not delay the others.
// When one is full, they only take turns, which pass it over.
func (t *Ticker) claimSchedules(ctx context.Context) (more bool) {
	switch {
	case t.o.Places != nil && len(t.o.Places.Full()) > 0:
		return t.claim(ctx, "due", store.ClaimRequest{PerInstance: t.o.Batch}, t.claimDue)
	case t.behind:
		return t.claim(ctx, "due", store.ClaimRequest{PerInstance: turn, Rest: true}, t.claimDue)
	default:
		return t.claim(ctx, "due", store.ClaimRequest{}, t.claimDue)
	}
}

// claimDue counts the skips once they are stored; a claim that is tried again
// decides anew.
func (t *Ticker) claimDue(ctx context.Context, req store.ClaimRequest) (claimed []store.Claimed, more bool, err error) {
	skips := make(map[int64][]job.Skip)
	claimed, more, err = t.o.Store.ClaimDue(ctx, req, func(due store.Due) store.Decision {
		d := t.decide(ctx, due, req.Now)
		if len(d.Skips) > 0 {
			skips[due.JobID] = d.Skips
		}
		return d
	})
	if err == nil {
		for _, list := range skips {
			for _, skip := range list {
				t.o.Metrics.Skipped(skip.Reason, skip.Count)
			}
		}
	}
	return claimed, more, err
}

func (t *Ticker) claim(ctx context.Context, what string, req store.ClaimRequest, take func(context.Context, store.ClaimRequest) ([]store.Claimed, bool, error)) (more bool) {
	now := t.o.Lease.Now()
	req.Now, req.Ahead, req.Limit = now, now.Add(t.o.Ahead), t.o.Batch
	if t.o.Places != nil {
		req.Owner, req.Full = t.o.Lease.ID(), t.o.Places.Full()
		req.Limit = min(t.o.Batch, t.o.Places.Free(), t.o.Places.Spare())
		if req.Limit <= 0 {
			return true
		}
	}
	if ctx.Err() != nil {
		return false
	}
	t.quiet.Store(false)
	// One that is under way at the end is carried out: a claim that was stored, and
	// its answer dropped, would be lost without a start.
	claimed, more, err := take(context.WithoutCancel(ctx), req)
	if err != nil {
		if ctx.Err() == nil {
			t.o.Log.WarnContext(ctx, "can't claim executions; trying again", "what", what, "error", err)
		}
		return false
	}
	if len(claimed) > 0 {
		t.o.Metrics.Claimed(len(claimed), t.o.Lease.Now().Sub(now))
		t.o.Places.Submit(claimed)
	}
	return more
}

func (t *Ticker) claimWithFolders(ctx context.Context, req store.ClaimRequest) (claimed []store.Claimed, more bool, err error) {
	return t.o.Store.ClaimWithFolders(ctx, req, func(holders []store.Holder) map[int64]int64 {
		waits := policy.Admit(holders)
		t.folders = len(waits) > 0
		return waits
	})
}

// decide asks the policy. A fault there must not stop every other job: the
// job that caused it stops instead, with a row in the ledger.
func (t *Ticker) decide(ctx context.Context, due store.Due, now time.Time) (d store.Decision) {
	defer func() {
		if p := recover(); p != nil {
			t.o.Log.ErrorContext(ctx, "a job's schedule made the ticker fail; the job is stopped", "job", due.JobID, "panic", telemetry.PanicText(p), "stack", string(debug.Stack()))
			d = policy.Invalid(due)
		}
	}()
	return policy.Due(due, now)
}
