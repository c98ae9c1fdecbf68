package auth

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// failuresPerMinute is how many wrong secrets a client id may have before
	// the answer changes to "later".
	failuresPerMinute = 10
	// throttledIDs bounds the memory: the ids are the callers' choice.
	throttledIDs = 10_000
)

// throttle counts failures per client id in this process.
type throttle struct {
	now      func() time.Time
	mu       sync.Mutex
	failures *simplelru.LRU[int64, *rate.Limiter]
}

func newThrottle(now func() time.Time) *throttle {
	failures, err := simplelru.NewLRU[int64, *rate.Limiter](throttledIDs, nil)
	if err != nil {
		panic(err) //nolint:forbidigo // only for a size below 1, and ours is a constant
	}
	return &throttle{now: now, failures: failures}
}

// fail counts a failure. It returns how long the caller has to wait, 0 while
// the limit is not reached.
func (t *throttle) fail(clientID int64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	limiter, ok := t.failures.Get(clientID)
	if !ok {
		limiter = rate.NewLimiter(rate.Every(time.Minute/failuresPerMinute), failuresPerMinute)
		t.failures.Add(clientID, limiter)
	}
	now := t.now()
	reservation := limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}
