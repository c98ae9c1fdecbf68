package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/lease"
	"github.com/pointscene/carillon/server/internal/store"
)

var errAway = errors.New("database away")

// database is a store.Replicas with a clock of its own.
type database struct {
	mu sync.Mutex
	// ahead is how far its clock is from the local one.
	ahead time.Duration
	// until is when the lease of a living replica ends, by the local clock.
	until    map[int64]time.Time
	last     int64
	renewals int
	burials  int
	left     []int64
	lost     []store.Lost
	// before is called at the beginning of each call, when it is set.
	before func(ctx context.Context, call string) error
}

func (d *database) call(ctx context.Context, name string) error {
	d.mu.Lock()
	before := d.before
	d.mu.Unlock()
	if before == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // as a store bounds each call
	defer cancel()
	return before(ctx, name)
}

func (d *database) Register(ctx context.Context, _ string, duration time.Duration) (store.Replica, time.Time, error) {
	if err := d.call(ctx, "register"); err != nil {
		return store.Replica{}, time.Time{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	d.until[d.last] = time.Now().Add(duration)
	return store.Replica{ID: d.last}, time.Now().Add(d.ahead), nil
}

// Renew grants the lease and answers the time at the begin of the call, as a
// database does whose answer is late.
func (d *database) Renew(ctx context.Context, id int64, duration time.Duration) (time.Time, error) {
	d.mu.Lock()
	granted := time.Now()
	_, known := d.until[id]
	d.mu.Unlock()
	if err := d.call(ctx, "renew"); err != nil {
		return time.Time{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if !known {
		return time.Time{}, store.ErrNotFound
	}
	d.renewals++
	if _, living := d.until[id]; living {
		d.until[id] = granted.Add(duration)
	}
	return granted.Add(d.ahead), nil
}

func (d *database) Bury(ctx context.Context, _ int64, _ time.Duration) ([]store.Lost, error) {
	if err := d.call(ctx, "bury"); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.burials++
	lost := d.lost
	d.lost = nil
	return lost, nil
}

func (d *database) Leave(_ context.Context, id int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = append(d.left, id)
	return nil
}

func (d *database) DatabaseTime(ctx context.Context) (time.Time, error) {
	if err := d.call(ctx, "time"); err != nil {
		return time.Time{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Add(d.ahead), nil
}

func (d *database) Replicas(context.Context) (list []store.Replica, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for id := range d.until {
		list = append(list, store.Replica{ID: id})
	}
	return list, nil
}

// set changes the database between calls.
func (d *database) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// bench is a keeper on synthetic time that notes what it tells.
type bench struct {
	*lease.Keeper
	t  *testing.T
	db *database
	// lostAt and causes are of the calls of Lost, adopted of those of Adopt.
	mu      sync.Mutex
	lostAt  []time.Time
	causes  []error
	adopted []store.Lost
	// settle is what Settle does, nothing when nil.
	settle func(context.Context)
	// jump is how far the local wall clock was set forward.
	jump atomic.Int64
	// deaf is while signals don't arrive.
	deaf atomic.Bool
	// beats counts the calls of Beat.
	beats atomic.Int64
}

// inBubble runs a test with a keeper that is running and registered.
func inBubble(t *testing.T, test func(*bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := b.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.run(test)
	})
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, db: &database{until: make(map[int64]time.Time)}}
	o := lease.DefaultOptions()
	o.Name, o.Log = "test", slog.New(slog.DiscardHandler)
	o.Listening = func() bool { return !b.deaf.Load() }
	o.Now = func() time.Time { return wallJump(time.Now(), time.Duration(b.jump.Load())) }
	o.Adopt = func(lost []store.Lost) { b.mu.Lock(); b.adopted = append(b.adopted, lost...); b.mu.Unlock() }
	o.Lost = func(cause error) {
		if b.ID() != 0 {
			t.Error("the replica still counts itself in when it is told that it is lost")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.lostAt, b.causes = append(b.lostAt, time.Now()), append(b.causes, cause)
	}
	o.Beat = func() { b.beats.Add(1) }
	o.Settle = func(ctx context.Context) {
		if b.settle != nil {
			b.settle(ctx)
		}
	}
	b.Keeper = lease.New(b.db, o)
	return b
}

func (b *bench) run(test func(*bench)) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })
	test(b)
	cancel()
	running.Wait()
}

// after lets time pass and everything that it started settle.
func (b *bench) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bench) wantID(want int64) {
	b.t.Helper()
	if got := b.ID(); got != want {
		b.t.Errorf("replica %d, want %d", got, want)
	}
}

func (b *bench) wantLost(want int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lostAt) != want {
		b.t.Fatalf("lost %d times, want %d: %v", len(b.lostAt), want, b.causes)
	}
}

func TestRenewal(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.after(time.Minute)
		b.wantID(1)
		b.wantLost(0)
		b.db.set(func() {
			if b.db.renewals != 20 {
				b.t.Errorf("%d renewals in a minute, want one each 3 s", b.db.renewals)
			}
			if left := time.Until(b.db.until[1]); left < 7*time.Second {
				b.t.Errorf("the lease ends in %s", left)
			}
		})
		if err := b.Leave(b.t.Context()); err != nil {
			b.t.Fatal(err)
		}
		if diff := cmp.Diff([]int64{1}, b.db.left); diff != "" {
			b.t.Errorf("left (-want +got):\n%s", diff)
		}
	})
}

func TestFailuresAreForgivenUntilTheDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		failUntil := time.Now().Add(7 * time.Second)
		b.db.set(func() {
			b.db.before = func(context.Context, string) error {
				if time.Now().Before(failUntil) {
					return errAway
				}
				return nil
			}
		})
		b.after(time.Minute)
		b.wantID(1)
		b.wantLost(0)
	})
}

func TestDeclaredDeadRegistersAnew(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.db.set(func() { delete(b.db.until, 1) })
		b.after(3*time.Second - time.Millisecond)
		b.wantID(1)
		b.after(2 * time.Millisecond)
		b.wantLost(1)
		b.wantID(2)
	})
}

// TestLostBeforeTheLeaseEnds: whoever can't renew has stopped before others
// may take over, however the database fails.
func TestLostBeforeTheLeaseEnds(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(context.Context) error{
		"errors": func(context.Context) error { return errAway },
		"hangs":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				b.after(20 * time.Second)
				var ends time.Time
				b.db.set(func() {
					ends = b.db.until[1]
					b.db.before = func(ctx context.Context, _ string) error { return fail(ctx) }
				})
				b.after(time.Until(ends))
				b.wantLost(1)
				if left := ends.Sub(b.lostAt[0]); left < time.Second || left > 2*time.Second {
					t.Errorf("counted itself out %s before the lease's end, want 1 to 2 s", left)
				}
				b.wantID(0)
				b.db.set(func() { b.db.before = nil })
				b.after(6 * time.Second) // the call that hangs, and a pause
				b.wantID(2)
			})
		})
	}
}

// TestLateAnswerShortensTheLease: a renewal counts from when it was asked for.
func TestLateAnswerShortensTheLease(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		asked := time.Now().Add(3 * time.Second) // the first heartbeat
		b.db.set(func() {
			b.db.before = func(_ context.Context, call string) error {
				switch {
				case call != "renew":
					return nil
				case time.Now().Equal(asked):
					time.Sleep(4 * time.Second)
					return nil
				}
				return errAway
			}
		})
		b.after(time.Until(asked.Add(10 * time.Second)))
		b.wantLost(1)
		if after := b.lostAt[0].Sub(asked); after < 8*time.Second || after >= 9*time.Second {
			t.Errorf("lost %s after the renewal was asked for, want 8 s", after)
		}
	})
}

// TestPausedProcess: an answer that comes after the deadline, as to a process
// that was stopped, says nothing of what happened since.
func TestPausedProcess(t *testing.T) {
	t.Parallel()
	for name, buried := range map[string]bool{"buried meanwhile": true, "nobody looked": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(b *bench) {
				stopped := time.Now().Add(3 * time.Second)
				b.db.set(func() {
					b.db.ahead = time.Hour
					b.db.before = func(ctx context.Context, call string) error {
						switch {
						case call != "renew":
						case time.Now().Equal(stopped):
							time.Sleep(30 * time.Second)
							if buried {
								b.db.set(func() { delete(b.db.until, 1) })
							}
						default:
							time.Sleep(5 * time.Millisecond)
							return ctx.Err()
						}
						return nil
					}
				})
				b.after(20 * time.Second)
				b.wantID(0) // though nobody has told it
				b.after(13*time.Second + 7*time.Millisecond)
				if buried {
					b.wantLost(1)
					return
				}
				b.wantLost(0)
				b.wantID(1)
				if behind := time.Now().Add(time.Hour).Sub(b.Now()); behind < 0 || behind > 5*time.Millisecond {
					t.Errorf("the time is %s behind the database's", behind)
				}
				b.after(time.Minute)
				b.wantLost(0)
			})
		})
	}
}

func TestRegistersLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.db.before = func(context.Context, string) error { return errAway }
		if err := b.Register(t.Context()); !errors.Is(err, errAway) {
			t.Fatalf("register: %v", err)
		}
		b.run(func(b *bench) {
			b.after(10 * time.Second)
			b.wantID(0)
			b.db.set(func() { b.db.before = nil })
			b.after(3 * time.Second)
			b.wantID(1)
			b.wantLost(0)
			if err := b.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// TestTellsEachHeartbeat: also a process that has no lease.
func TestTellsEachHeartbeat(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		b.after(9*time.Second + time.Millisecond)
		if got := b.beats.Load(); got != 3 {
			b.t.Errorf("%d beats with a lease in 9 s, want 3", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		b.Follow(ctx)
		if got := b.beats.Load(); got != 3 {
			t.Errorf("%d beats without a lease in 10 s, want 3", got)
		}
	})
}
