package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

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

// wallJump sets the wall clock of a time that has a monotonic reading, and
// leaves that reading: what a step of the system clock does to later readings.
func wallJump(t time.Time, by time.Duration) time.Time {
	// The first word holds 33 bits of seconds above 30 of nanoseconds.
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(by/time.Second)) << 30
	return t
}

func TestWallJumpIsOne(t *testing.T) {
	t.Parallel()
	now := time.Now()
	jumped := wallJump(now, time.Hour)
	if jumped.Unix()-now.Unix() != 3600 || jumped.Sub(now) != 0 {
		t.Fatalf("time.Time is built in another way than wallJump believes: %v became %v", now, jumped)
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

func TestTimeFollowsTheDatabase(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.db.ahead = -90 * time.Minute
		if err := b.Register(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.run(func(b *bench) {
			want := func(when string, ahead time.Duration) {
				t.Helper()
				if got, want := b.Now(), time.Now().Add(ahead).UTC(); !got.Equal(want) || got.Location() != time.UTC {
					t.Errorf("%s: %v, want %v", when, got, want)
				}
			}
			want("at first", -90*time.Minute)
			b.after(time.Second)
			want("between renewals", -90*time.Minute)
			b.jump.Store(int64(24 * time.Hour))
			want("after a step of the local clock", -90*time.Minute)
			b.after(10 * time.Second)
			want("after renewals on the local clock that was set", -90*time.Minute)
			b.wantLost(0)
			b.db.set(func() { b.db.ahead = 2 * time.Second })
			b.after(3 * time.Second)
			want("after a step of the database's clock", 2*time.Second)
		})
	})
}

// TestTimeDoesNotTremble: that answers take now longer, now shorter, moves the
// time neither back nor beyond what the database can have meant.
func TestTimeDoesNotTremble(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		delays := 0
		b.db.set(func() {
			b.db.before = func(_ context.Context, call string) error {
				if call == "renew" {
					delays++
					time.Sleep(time.Duration(delays%5) * 100 * time.Millisecond)
				}
				return nil
			}
		})
		last := b.Now()
		for range 600 {
			b.after(100 * time.Millisecond)
			now := b.Now()
			if step := now.Sub(last); step != 100*time.Millisecond {
				t.Fatalf("the time made a step of %s in 100 ms", step)
			}
			last = now
		}
	})
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

func TestAdoptsWhatTheDeadLeave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var failed bool
		b.db.set(func() {
			b.db.before = func(_ context.Context, call string) error {
				if call == "bury" && !failed {
					failed = true
					return errAway
				}
				return nil
			}
			b.db.lost = []store.Lost{{Claimed: store.Claimed{ExecutionID: 7}}, {Claimed: store.Claimed{ExecutionID: 8}}}
		})
		b.after(time.Second + time.Millisecond)
		b.mu.Lock()
		defer b.mu.Unlock()
		ids := make([]int64, len(b.adopted))
		for i, l := range b.adopted {
			ids[i] = l.ExecutionID
		}
		if !slices.Equal(ids, []int64{7, 8}) || !failed {
			b.t.Errorf("adopted %v after a failure: %v", ids, failed)
		}
	})
}

func TestBuriesNobodyWithoutALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.db.before = func(_ context.Context, call string) error {
			if call == "bury" {
				t.Error("buried others without a lease of its own")
			}
			return errAway
		}
		b.run(func(b *bench) { b.after(time.Minute) })
	})
}

// TestLooksRarelyWhileAlone: a replica that has been alone for longer than a lease
// looks for dead ones once a heartbeat, unless it would not hear of a new one.
func TestLooksRarelyWhileAlone(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		wantLooks := func(when string, want int) {
			t.Helper()
			b.db.set(func() { b.db.burials = 0 })
			b.after(time.Minute)
			b.db.set(func() {
				if b.db.burials != want {
					t.Errorf("%d looks a minute %s, want %d", b.db.burials, when, want)
				}
			})
		}
		b.after(30*time.Second + time.Millisecond)
		wantLooks("alone", 20)
		b.db.set(func() { b.db.until[99] = time.Now().Add(time.Hour) })
		b.Wake()
		wantLooks("beside another one", 301)
		b.db.set(func() { delete(b.db.until, 99) })
		b.after(time.Minute)
		wantLooks("alone again", 20)
		b.deaf.Store(true)
		b.after(3 * time.Second)
		wantLooks("without signals", 300)
	})
}
