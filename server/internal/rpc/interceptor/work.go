package interceptor

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pointscene/carillon/server/internal/job"
)

// Callers are limited in units of work, not in calls. A unit is about what
// reading one object costs.
const (
	// changeWork is a transaction that is committed.
	changeWork = 5
	// rowsPerUnit are read, mapped and sent for a unit.
	rowsPerUnit = 20
	// defaultRows is the length of a list that the request says nothing of.
	defaultRows, maxRows = 100, 1000
)

// burstSeconds is for how long a caller may save up work.
const burstSeconds = 10

// reasonRateLimited is that of a caller who is to wait.
const reasonRateLimited = "RATE_LIMITED"

// reasonStreams is that of a caller who has too many open streams.
const reasonStreams = "TOO_MANY_STREAMS"

// workOf is what a request asks for, in units.
func workOf(r *rule, request protoreflect.Message) int {
	work := 1
	if r.mayChange() {
		work = changeWork
	}
	fields := request.Descriptor().Fields()
	if field := fields.ByName("page_size"); field != nil {
		work += rowsWork(request.Get(field).Int())
	}
	if field := fields.ByName("count"); field != nil && field.Kind() == protoreflect.Int32Kind {
		rows := request.Get(field).Int()
		if of := fields.ByName("job_ids"); of != nil {
			rows *= int64(request.Get(of).List().Len())
		}
		work += rowsWork(rows)
	}
	return work
}

func rowsWork(rows int64) int {
	if rows <= 0 {
		rows = defaultRows
	}
	return int(min(rows, maxRows)) / rowsPerUnit
}

// buckets limit the work of many, each by its own. The zero Rate is no limit.
type buckets struct {
	rate rate.Limit
	mu   sync.Mutex
	all  *simplelru.LRU[string, *rate.Limiter]
}

// maxBuckets bounds the memory: who is forgotten begins with a full bucket.
const maxBuckets = 10_000

func newBuckets(perSecond int) *buckets {
	all, err := simplelru.NewLRU[string, *rate.Limiter](maxBuckets, nil)
	if err != nil {
		panic(err) //nolint:forbidigo // only for a size below 1, and ours is a constant
	}
	return &buckets{rate: rate.Limit(perSecond), all: all}
}

// take takes work from a bucket, or tells how long it takes to fill.
func (b *buckets) take(key string, work int, now time.Time) (wait time.Duration) {
	if b.rate <= 0 {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter := b.of(key)
	reservation := limiter.ReserveN(now, min(work, limiter.Burst()))
	if wait = reservation.DelayFrom(now); wait > 0 {
		reservation.CancelAt(now)
	}
	return wait
}

// owe takes work that was done already, also from a bucket that is empty: who
// owes waits, no longer than what may be saved up takes.
func (b *buckets) owe(key string, work int, now time.Time) {
	if b.rate <= 0 || work == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	limiter := b.of(key)
	least := limiter.TokensAt(now) + float64(limiter.Burst())
	limiter.ReserveN(now, max(0, min(work, int(least))))
}

// of is the bucket of a key, a full one when it is new.
func (b *buckets) of(key string) *rate.Limiter {
	limiter, ok := b.all.Get(key)
	if !ok {
		limiter = rate.NewLimiter(b.rate, max(int(b.rate)*burstSeconds, changeWork+maxRows/rowsPerUnit))
		b.all.Add(key, limiter)
	}
	return limiter
}

// limitCaller takes a call's work from its caller's bucket. The operator has no
// limit: somebody must be able to act when all others are too many.
func (c *Chain) limitCaller(call *call, request protoreflect.Message) error {
	call.work = workOf(call.rule, request)
	caller := call.caller()
	if call.limited = !call.principal.Scopes.Operator() && caller != ""; !call.limited {
		return nil
	}
	return limit(c.perClient, "client:"+caller, call.work, c.Now())
}

// limitInstance takes it from the instance's bucket, too.
func (c *Chain) limitInstance(call *call, instance int64) error {
	if !call.limited || instance == 0 {
		return nil
	}
	call.instance = instance
	return limit(c.perInstance, "instance:"+job.KindInstance.Format(instance), call.work, c.Now())
}

func limit(of *buckets, subject string, work int, now time.Time) error {
	wait := of.take(subject, work, now)
	if wait == 0 {
		return nil
	}
	return &job.ExhaustedError{
		Reason: reasonRateLimited, Subject: subject, RetryAfter: wait,
		Message: fmt.Sprintf("too much work at once: %d units a second are allowed, and this call is %d; wait, and ask for less at a time", int(of.rate), work),
	}
}

// isLimited tells of refusals that a caller can cause without end.
func isLimited(err error) bool {
	var exhausted *job.ExhaustedError
	return errors.As(err, &exhausted) && slices.Contains([]string{reasonRateLimited, reasonStreams, reasonUnread}, exhausted.Reason)
}

// caller names whose bucket it is: the client, or the subject of an outside issuer,
// however many tokens it has; the token, of those that the operator made by hand
// and gave to several; the address, of a caller without any.
func (call *call) caller() string {
	switch p := call.principal; {
	case p.ByHand():
		return p.Subject + ":" + p.TokenID
	case p.Subject != "":
		return p.Subject
	}
	return call.peer
}

// streams count the open streams of each caller.
type streams struct {
	mu   sync.Mutex
	open map[string]int
}

// enter counts one more stream, until leave.
func (s *streams) enter(caller string, limit int) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[caller] >= limit {
		return nil, &job.ExhaustedError{
			Reason: reasonStreams, Subject: "client:" + caller, RetryAfter: time.Second,
			Message: fmt.Sprintf("%d streams are open already; end some first", limit),
		}
	}
	s.open[caller]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.open[caller]--; s.open[caller] == 0 {
			delete(s.open, caller)
		}
	}, nil
}
