package lease_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

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
