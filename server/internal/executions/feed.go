package executions

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// pollEvery is the time between two polls while somebody watches, and
	// pollShare how many times as long as a poll took the next one waits at
	// least: watching must not slow down what is watched.
	pollEvery = 300 * time.Millisecond
	pollShare = 9
	// settledAfter is how old an execution must be for none with a lower id to
	// come to be seen later: twice the time that a call to the store may take.
	// Its time of creation is that of the claim, which began before.
	settledAfter = 10 * time.Second
	recordedAge  = settledAfter + 5*time.Second
	// watchPage is how many executions are read at a time.
	watchPage = 500
	// maxPending is how many changes wait for one reader at most.
	maxPending = 10_000
)

// feed tells readers what changes. It polls the store while there are any,
// once for all of this process.
type feed struct {
	store store.Watching
	every time.Duration
	page  int
	log   *slog.Logger

	mu      sync.Mutex
	readers map[*reader]bool
	// stop ends the polls; nil while there are none.
	stop    context.CancelFunc
	polls   sync.WaitGroup
	closed  error
	arrived chan struct{}
}

func newFeed(s store.Watching, every time.Duration, log *slog.Logger) *feed {
	return &feed{store: s, every: every, page: watchPage, log: log, readers: map[*reader]bool{}, arrived: make(chan struct{}, 1)}
}

// join adds a reader of the changes of an instance, or of one job of it.
func (f *feed) join(instance, job int64) *reader {
	r := &reader{instance: instance, job: job, started: make(chan position, 1), more: make(chan struct{}, 1)}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed != nil {
		r.fail(f.closed)
		return r
	}
	f.readers[r] = true
	if f.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		f.stop = stop
		f.polls.Go(func() { f.run(ctx) })
	}
	select {
	case f.arrived <- struct{}{}:
	default:
	}
	return r
}

func (f *feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	if len(f.readers) == 0 && f.stop != nil {
		f.stop()
		f.stop = nil
	}
}

// close ends every reader, and waits for the last poll.
func (f *feed) close(cause error) {
	f.mu.Lock()
	f.closed = cause
	for r := range f.readers {
		r.fail(cause)
	}
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
	f.mu.Unlock()
	f.polls.Wait()
}

// present are the readers of each instance; none once ctx has ended, since
// those who come later have polls of their own.
func (f *feed) present(ctx context.Context) map[int64][]*reader {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := map[int64][]*reader{}
	if ctx.Err() != nil {
		return all
	}
	for r := range f.readers {
		all[r.instance] = append(all[r.instance], r)
	}
	return all
}

// run polls until ctx ends, which is when the last reader has left.
func (f *feed) run(ctx context.Context) {
	p := &poller{store: f.store, page: f.page, seen: map[int64]*seen{}}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.arrived:
		case <-timer.C:
		}
		began := time.Now()
		if err := p.poll(ctx, f.present(ctx)); err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "can't look for changed executions; trying again", "error", err)
		}
		timer.Reset(max(f.every, pollShare*time.Since(began)))
	}
}

// reader is one watch's end of the feed.
type reader struct {
	instance, job int64
	// started gets the position from which the feed goes on.
	started chan position
	more    chan struct{}
	// ready is the poller's: whether started was told.
	ready bool

	mu      sync.Mutex
	pending []Change
	err     error
}

// start waits for the first poll.
func (r *reader) start(ctx context.Context) (position, error) {
	for {
		select {
		case p := <-r.started:
			return p, nil
		case <-ctx.Done():
			return position{}, context.Cause(ctx)
		case <-r.more:
			r.mu.Lock()
			err := r.err
			r.mu.Unlock()
			if err != nil {
				return position{}, err
			}
		}
	}
}

// next waits for changes.
func (r *reader) next(ctx context.Context) ([]Change, error) {
	for {
		r.mu.Lock()
		changes, err := r.pending, r.err
		r.pending = nil
		r.mu.Unlock()
		if err != nil || len(changes) > 0 {
			return changes, err
		}
		select {
		case <-r.more:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// push adds changes, unless too many wait already.
func (r *reader) push(changes []Change) {
	if len(changes) == 0 {
		return
	}
	r.mu.Lock()
	slow := len(r.pending)+len(changes) > maxPending
	if !slow && r.err == nil {
		r.pending = append(r.pending, changes...)
	}
	r.mu.Unlock()
	if slow {
		r.fail(&job.ExhaustedError{Reason: "SLOW_READER", Message: "The changes came faster than they were read: go on with the last cursor."})
		return
	}
	r.wake()
}

// fail ends the reader. What waits for it is dropped: it is told again to
// whoever goes on with the last cursor.
func (r *reader) fail(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.pending, r.err = nil, err
	}
	r.mu.Unlock()
	r.wake()
}

func (r *reader) wake() {
	select {
	case r.more <- struct{}{}:
	default:
	}
}

// idsOf lists the executions that the reader wants.
func (r *reader) idsOf(marks []store.ExecutionMark) []int64 {
	ids := make([]int64, 0, len(marks))
	for _, m := range marks {
		if r.job == 0 || m.JobID == r.job {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

// wanted are the executions that the reader may see and wants: a cursor may name
// any.
func (r *reader) wanted(list []job.Execution) (wanted []job.Execution) {
	for _, e := range list {
		if e.InstanceID == r.instance && (r.job == 0 || e.JobID == r.job) {
			wanted = append(wanted, e)
		}
	}
	return wanted
}

// changes are the wanted ones. Those before the last have the cursor before, so
// that whoever leaves between them misses none.
func (r *reader) changes(list []job.Execution, before, after string) []Change {
	var changes []Change
	for _, e := range r.wanted(list) {
		changes = append(changes, Change{e, before})
	}
	if n := len(changes); n > 0 {
		changes[n-1].Cursor = after
	}
	return changes
}
