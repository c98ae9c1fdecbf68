package door

import (
	"context"
	"runtime"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// largeBody is the size from which decoding a body costs more than the call
// that follows: up to 300 times its size in memory.
const largeBody = 16 << 10

// Admission lets large bodies be decoded: of known callers only, and only as
// many at a time as there are processors to do it.
type Admission struct {
	access *Access
	slots  chan struct{}
}

// NewAdmission returns an admission that asks access who a caller is.
func NewAdmission(access *Access) *Admission {
	return &Admission{access: access, slots: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// Enter waits until a body of size bytes may be decoded. leave must be called
// when the request has been answered.
func (a *Admission) Enter(ctx context.Context, size int) (leave func(), err error) {
	if size < largeBody {
		return func() {}, nil
	}
	if err := a.access.Verdict(ctx, carillonv1.AccessObject_KIND_UNSPECIFIED, ""); err != nil {
		return nil, err
	}
	select {
	case a.slots <- struct{}{}:
		return func() { <-a.slots }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
