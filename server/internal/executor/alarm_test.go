package executor

import (
	"testing"
	"time"
)

// TestAlarms: an alarm rings not before its time, the last that it was set to.
func TestAlarms(t *testing.T) {
	t.Parallel()
	for name, exact := range map[string]bool{"runtime": false, "kernel": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAlarm(exact)
			defer a.Stop()
			a.Reset(time.Hour)
			for _, d := range []time.Duration{-time.Second, 0, 300 * time.Microsecond, 5 * time.Millisecond} {
				began := time.Now()
				a.Reset(d)
				select {
				case <-a.Rings():
				case <-time.After(time.Minute):
					t.Fatalf("set to %s, it does not ring", d)
				}
				if took := time.Since(began); took < d {
					t.Errorf("set to %s, it rang after %s", d, took)
				}
			}
		})
	}
}

// BenchmarkAlarm tells how late alarms ring.
func BenchmarkAlarm(b *testing.B) {
	for name, exact := range map[string]bool{"runtime": false, "kernel": true} {
		b.Run(name, func(b *testing.B) {
			a := newAlarm(exact)
			defer a.Stop()
			var late time.Duration
			n := 0
			for b.Loop() {
				due := time.Now().Add(1700 * time.Microsecond)
				a.Reset(time.Until(due))
				<-a.Rings()
				late += time.Since(due)
				n++
			}
			b.ReportMetric(float64(late.Microseconds())/float64(n), "µs-late")
		})
	}
}
