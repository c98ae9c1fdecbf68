package harness

import (
	"sync/atomic"
	"time"
)

// Stalled tells whether this machine has let a ready program wait for a second or
// more since the tests began, as a busy one does: what a service bounds by the
// clock, such as leases and the time for its database, may have ended meanwhile.
func Stalled() bool { return worst.Load() >= int64(time.Second) }

var worst atomic.Int64

// watchStalls measures how late a tick comes, as long as the process lives.
func watchStalls() {
	const every = 50 * time.Millisecond
	last := time.Now()
	for range time.Tick(every) {
		now := time.Now()
		if late := int64(now.Sub(last) - every); late > worst.Load() {
			worst.Store(late)
		}
		last = now
	}
}
