package ticker_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/ticker"
)

const (
	every = 250 * time.Millisecond
	idle  = time.Second
	ahead = 500 * time.Millisecond
	batch = 10
)

// claim is one question to the store.
type claim struct {
	what string
	at   time.Duration
	req  store.ClaimRequest
}

// bench is a ticker on synthetic time whose store, lease and places are the
// test's.
type bench struct {
	*ticker.Ticker
	store.Engine
	t     *testing.T
	began time.Time

	mu     sync.Mutex
	claims []claim
	// due, waiting and folders are how many jobs are due, and executions wait
	// for a place and for folders.
	due, waiting, folders int
	// work is what a look finds; nil when everything may have come.
	work    *store.Work
	workErr error
	// looked are the times of the looks.
	looked []time.Duration
	// advanced are the times at which backfills were advanced.
	advanced []time.Duration
	// holders are who works on folders or waits to.
	holders []store.Holder
	err     error
	id      int64
	// free and full are what the places say, room is closed when they change.
	free  int
	spare int
	full  []int64
	room  chan struct{}
	// submitted are the ids of the executions that the executor got.
	submitted []int64
	skipped   map[string]int64
	// claiming is called while a claim of due jobs is under way; nil for nothing.
	claiming  func(context.Context) error
	decision  func(store.Due) store.Decision
	decisions []store.Decision
}

func newBench(t *testing.T, change func(*ticker.Options)) *bench {
	b := &bench{t: t, began: time.Now(), id: 7, free: 100, spare: 100, room: make(chan struct{}), skipped: make(map[string]int64)}
	o := ticker.Options{
		Store: b, Lease: b, Places: b, Schedules: true, Every: every, Idle: idle, Ahead: ahead, Batch: batch, Metrics: b, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&o)
	}
	b.Ticker = ticker.New(o)
	return b
}

// inBubble runs a ticker while test goes on.
func inBubble(t *testing.T, change func(*ticker.Options), test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, change)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.Run(ctx) })
		synctest.Wait()
		test(b)
		cancel()
		running.Wait()
		b.mu.Lock()
		asked := len(b.claims)
		b.mu.Unlock()
		b.Wake()
		time.Sleep(time.Minute)
		if len(b.claims) != asked {
			t.Errorf("%d claims after the end", len(b.claims)-asked)
		}
	})
}

// ask notes a question and takes up to its limit of what there is.
func (b *bench) ask(what string, req store.ClaimRequest, there *int) (claimed []store.Claimed, more bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.claims = append(b.claims, claim{what, time.Since(b.began), req})
	if b.err != nil {
		return nil, false, b.err
	}
	n := min(*there, req.Limit)
	*there -= n
	if req.Owner != 0 {
		for range n {
			claimed = append(claimed, store.Claimed{ExecutionID: int64(len(b.submitted) + len(claimed) + 1)})
		}
	}
	return claimed, n == req.Limit, nil
}

func (b *bench) NextWork(context.Context) (store.Work, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.looked = append(b.looked, time.Since(b.began))
	if b.work != nil {
		return *b.work, b.workErr
	}
	now := b.Now()
	return store.Work{Due: now, Waiting: now, Folders: now, Active: true, Signals: true}, b.workErr
}

func (b *bench) ClaimDue(ctx context.Context, req store.ClaimRequest, decide func(store.Due) store.Decision) ([]store.Claimed, bool, error) {
	if b.claiming != nil {
		if err := b.claiming(ctx); err != nil {
			return nil, false, err
		}
	}
	if b.decision != nil {
		b.decisions = append(b.decisions, decide(store.Due{JobID: 1, InstanceID: 2, Active: true, NextRun: b.began, Schedule: job.Schedule{
			Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: b.began.Add(-time.Minute),
		}}))
	}
	return b.ask("due", req, &b.due)
}

func (b *bench) ClaimQueued(_ context.Context, req store.ClaimRequest) ([]store.Claimed, bool, error) {
	return b.ask("waiting", req, &b.waiting)
}

// ClaimWithFolders is noted only when somebody waits for folders.
func (b *bench) ClaimWithFolders(_ context.Context, req store.ClaimRequest, admit func([]store.Holder) map[int64]int64) ([]store.Claimed, bool, error) {
	b.mu.Lock()
	none := b.folders == 0
	if len(b.holders) > 0 {
		_ = admit(b.holders)
	}
	b.mu.Unlock()
	if none {
		return nil, false, b.err
	}
	return b.ask("folders", req, &b.folders)
}

func (b *bench) AdvanceBackfills(context.Context, time.Time, store.NextSlots) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advanced = append(b.advanced, time.Since(b.began))
	return b.err
}

func (b *bench) ID() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

// Now is an hour ahead of the local clock.
func (b *bench) Now() time.Time { return time.Now().Add(time.Hour) }

func (b *bench) Free() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.free
}

func (b *bench) Spare() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.spare
}

func (b *bench) Full() []int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full
}

func (b *bench) Room() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.room
}

func (b *bench) Submit(claimed []store.Claimed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(claimed) > b.free {
		b.t.Errorf("%d executions submitted for %d places", len(claimed), b.free)
	}
	for _, c := range claimed {
		b.submitted = append(b.submitted, c.ExecutionID)
	}
	b.free -= len(claimed)
}

func (b *bench) Claimed(int, time.Duration) {}

func (b *bench) Skipped(reason string, slots int64) { b.skipped[reason] += slots }

// set changes what there is.
func (b *bench) set(change func()) {
	b.mu.Lock()
	change()
	b.mu.Unlock()
}

// makeRoom frees places and tells so.
func (b *bench) makeRoom(n int) {
	b.mu.Lock()
	b.free += n
	close(b.room)
	b.room = make(chan struct{})
	b.mu.Unlock()
	synctest.Wait()
}

// after lets time pass and everything that it started settle.
func (b *bench) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// asked are the times of the questions about due jobs since the last call.
func (b *bench) asked() (at []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.claims {
		if c.what == "due" {
			at = append(at, c.at)
		}
	}
	b.claims = nil
	return at
}

func (b *bench) wantAsked(want ...time.Duration) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.asked()); diff != "" {
		b.t.Errorf("asked for due jobs at (-want +got):\n%s", diff)
	}
}

// wantLooks compares the times of the looks since the last call.
func (b *bench) wantLooks(want ...time.Duration) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if diff := cmp.Diff(want, b.looked); diff != "" {
		b.t.Errorf("looked at (-want +got):\n%s", diff)
	}
	b.looked = nil
}

func (b *bench) wantSubmitted(want int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.submitted) != want {
		b.t.Errorf("%d executions submitted, want %d", len(b.submitted), want)
	}
}
