package door

import (
	"context"

	"golang.org/x/sync/semaphore"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// largeBody is the size from which decoding a body costs more than the call
// that follows: it can take 300 times its size in memory.
const largeBody = 16 << 10

// Admission lets large bodies be decoded: of known callers only, and only so
// many at a time that together they are no larger than the largest one.
type Admission struct {
	access *Access
	free   *semaphore.Weighted
}

// NewAdmission returns an admission that asks access who a caller is.
func NewAdmission(access *Access) *Admission {
	return &Admission{access: access, free: semaphore.NewWeighted(MaxBody)}
}

// Enter waits until a body of size bytes, at most MaxBody, may be decoded.
// leave must be called when the request has been answered.
func (a *Admission) Enter(ctx context.Context, size int) (leave func(), err error) {
	if size < largeBody {
		return func() {}, nil
	}
	if err := a.access.Verdict(ctx, carillonv1.AccessObject_KIND_UNSPECIFIED, ""); err != nil {
		return nil, err
	}
	if err := a.free.Acquire(ctx, int64(size)); err != nil {
		return nil, err
	}
	return func() { a.free.Release(int64(size)) }, nil
}
