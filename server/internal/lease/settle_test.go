package lease_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// What had ended when the database went away is stored before the former
// replica can be buried by its successor.
func TestEndsSettleBeforeTheBurial(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var away, settled, early bool
		b.settle = func(ctx context.Context) {
			select {
			case <-ctx.Done():
				t.Error("the ends had no time")
			case <-time.After(2 * time.Second):
			}
			b.db.set(func() { settled = true })
		}
		b.db.set(func() {
			away = true
			b.db.before = func(_ context.Context, call string) error {
				b.db.mu.Lock()
				defer b.db.mu.Unlock()
				if away {
					return errAway
				}
				early = early || (call == "bury" || call == "register") && !settled
				return nil
			}
		})
		b.after(12 * time.Second)
		b.wantID(0)
		b.db.set(func() { away, settled = false, false })
		b.after(10 * time.Second)
		b.wantID(2)
		if early {
			t.Error("the former replica could be buried before its ends were stored")
		}
	})
}

// However long the database is away, the ends have their time once it is back.
func TestEndsSettleAfterALongOutage(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		var away, stored bool
		b.settle = func(ctx context.Context) {
			for ctx.Err() == nil && !stored {
				time.Sleep(time.Second) // as who stores the ends tries again
				b.db.set(func() { stored = !away })
			}
		}
		b.db.set(func() {
			away = true
			b.db.before = func(_ context.Context, call string) error {
				b.db.mu.Lock()
				defer b.db.mu.Unlock()
				if call == "register" && !away && !stored {
					t.Error("registered before the ends were stored")
				}
				if away {
					return errAway
				}
				return nil
			}
		})
		b.after(time.Minute)
		b.wantID(0)
		b.db.set(func() { away = false })
		b.after(10 * time.Second)
		b.wantID(2)
	})
}

// Whoever has left neither loses its lease nor takes another one.
func TestNothingIsLostAfterTheLeave(t *testing.T) {
	t.Parallel()
	inBubble(t, func(b *bench) {
		if err := b.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.db.set(func() { delete(b.db.until, 1) })
		b.after(time.Minute)
		b.wantLost(0)
		b.db.set(func() {
			if b.db.last != 1 {
				t.Errorf("registered as replica %d after it had left", b.db.last)
			}
		})
	})
}

// A process without a lease goes by the database's clock all the same.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.db.ahead = time.Hour
		if err := b.ReadClock(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { b.Follow(ctx); close(done) }()
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			b.db.set(func() { b.db.ahead = ahead })
			b.after(5 * time.Second)
			if got := time.Until(b.Now()); got != ahead {
				t.Errorf("ahead by %v, want %v", got, ahead)
			}
		}
		b.wantID(0)
		cancel()
		<-done
	})
}
