package harness

import (
	"testing"
	"time"
)

func TestStallsAreForgivenNearby(t *testing.T) {
	t.Parallel()
	var w stallWatch
	start := time.Now()
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	now := 0.0
	pass := func(until float64) {
		for ; now < until; now += 0.05 {
			w.tick(at(now))
		}
	}
	want := func(when string, want map[float64]bool) {
		t.Helper()
		for s, near := range want {
			if got := w.near(at(s), at(now)); got != near {
				t.Errorf("%s, near a stall at %g s: %t, want %t", when, s, got, near)
			}
		}
	}
	pass(100)
	want("at first", map[float64]bool{-1: false, 50: false, 100: false})
	now += 0.9
	pass(150)
	want("after a moment", map[float64]bool{100: false})
	now += 3
	want("in a stall", map[float64]bool{100: false, 140: true, 153: true})
	pass(200)
	want("after it", map[float64]bool{100: false, 134: false, 140: true, 151: true, 167: true, 169: false, 200: false})
}

func TestSaidAt(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 5, 4, 12, 0, 0, 123e6, time.UTC)
	if got := saidAt("time=2026-05-04T12:00:00.123Z level=ERROR msg=x\n"); !got.Equal(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := saidAt("goroutine 1 [running]:\n"); !got.IsZero() {
		t.Errorf("%v of a line without a time", got)
	}
}
