package interceptor

import (
	"context"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/tap"
)

const (
	// arrivalTime is how long a caller may take to send its request. gRPC itself
	// waits for ever, and the chain begins only when a request is there.
	arrivalTime = 30 * time.Second
	// lateAfter is when a request that is not there counts as late. maxLate and
	// maxLateOfOne are how many late ones there may be, of all callers and of one
	// address: nobody knows yet who calls, and each may hold the largest message.
	lateAfter             = 3 * time.Second
	maxLate, maxLateOfOne = 256, 32
)

type arrivalKey struct{}

// arrival is a call whose request is on its way.
type arrival struct {
	chain  *Chain
	peer   string
	cancel context.CancelFunc

	mu    sync.Mutex
	timer *time.Timer
	leave func()
	over  bool
}

// Arrive gives a call its time to arrive; it is for grpc.InTapHandle. A call
// whose request has not come by then is cancelled, and so is one of many that
// are late.
func (c *Chain) Arrive(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancel(ctx)
	a := &arrival{chain: c, peer: c.peerOf(ctx), cancel: cancel}
	a.mu.Lock() // the timer may fire before it is known
	a.timer = time.AfterFunc(min(lateAfter, c.ArrivalTime), a.late)
	a.mu.Unlock()
	// A caller may reset a million calls meanwhile: none may leave a timer.
	context.AfterFunc(ctx, a.end)
	return context.WithValue(ctx, arrivalKey{}, a), nil
}

func (a *arrival) late() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return
	}
	leave, ok := a.chain.late.Take(a.peer)
	if !ok {
		a.cancel()
		return
	}
	a.leave = leave
	a.timer = time.AfterFunc(max(0, a.chain.ArrivalTime-lateAfter), a.cancel)
}

func (a *arrival) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	a.timer.Stop()
	if a.leave != nil {
		a.leave()
	}
}

// arrived says that the request is there.
func (call *call) arrived(ctx context.Context) {
	// Reflection needs no token, and nobody converses with it for long.
	if a, ok := ctx.Value(arrivalKey{}).(*arrival); ok && !strings.HasPrefix(call.method, "/grpc.reflection.") {
		a.end()
	}
}
