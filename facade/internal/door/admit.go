package door

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/internal/places"
)

const (
	// largeBody is the size from which decoding a body costs more than the call
	// that follows: it can take 300 times its size in memory.
	largeBody = 16 << 10
	// callersAtOnce is how many callers can have the largest body decoded at the
	// same time: calls may take long, and one caller must not keep out the others.
	callersAtOnce = 3
	// maxHeld and maxHeldOfOne are how many large bodies there may be in memory,
	// arriving or waiting to be decoded, of all callers and of one.
	maxHeld, maxHeldOfOne = 256, 16
)

// Admission lets large bodies be decoded: of known callers only, and only so
// many at a time that those of one caller are together no larger than the largest
// one, and those of all no larger than [callersAtOnce] of them.
type Admission struct {
	access *Access
	held   *places.Places[string]
	all    *semaphore.Weighted

	mu sync.Mutex
	by map[string]*share
}

// share is what one caller may have decoded at a time.
type share struct {
	free  *semaphore.Weighted
	users int
}

// NewAdmission returns an admission that asks access who a caller is.
func NewAdmission(access *Access) *Admission {
	return &Admission{access: access, held: places.New[string](maxHeld, maxHeldOfOne), all: semaphore.NewWeighted(callersAtOnce * MaxBody), by: map[string]*share{}}
}

// Known asks who calls, before more of a large body is read, and counts the body
// as held until ctx ends: it is for ReadBody.
func (a *Admission) Known(ctx context.Context) func() error {
	return func() error {
		leave, err := a.Hold(ctx, largeBody)
		if err == nil {
			context.AfterFunc(ctx, leave)
		}
		return err
	}
}

// Hold counts a body of size bytes as held until leave, unless its caller has too
// many.
func (a *Admission) Hold(ctx context.Context, size int) (leave func(), err error) {
	if size < largeBody {
		return func() {}, nil
	}
	caller, err := a.access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	leave, ok := a.held.Take(caller)
	if !ok {
		return nil, Refuse(codes.ResourceExhausted, "TOO_MANY_LARGE_REQUESTS",
			fmt.Sprintf("requests of more than %d bytes are limited to %d at a time for each caller; wait for earlier ones", largeBody, maxHeldOfOne))
	}
	return leave, nil
}

// Enter waits until a body of size bytes, at most MaxBody, may be decoded.
// leave must be called when the request has been answered.
func (a *Admission) Enter(ctx context.Context, size int) (leave func(), err error) {
	if size < largeBody {
		return func() {}, nil
	}
	caller, err := a.access.Caller(ctx)
	if err != nil {
		return nil, err
	}
	own, drop := a.shareOf(caller)
	if err := own.Acquire(ctx, int64(size)); err != nil {
		drop()
		return nil, err
	}
	if err := a.all.Acquire(ctx, int64(size)); err != nil {
		own.Release(int64(size))
		drop()
		return nil, err
	}
	return func() {
		a.all.Release(int64(size))
		own.Release(int64(size))
		drop()
	}, nil
}

// shareOf is a caller's share until drop, which forgets it after its last user.
func (a *Admission) shareOf(caller string) (own *semaphore.Weighted, drop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.by[caller]
	if s == nil {
		s = &share{free: semaphore.NewWeighted(MaxBody)}
		a.by[caller] = s
	}
	s.users++
	return s.free, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(a.by, caller)
		}
	}
}
