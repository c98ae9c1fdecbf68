package executions

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// world is a store of executions that a test moves by hand.
type world struct {
	Store // what is not asked here panics

	mu     sync.Mutex
	last   int64
	active map[int64]job.Execution
	ended  map[int64]job.Execution
	// ahead are active ones that were claimed ahead of their time.
	ahead map[int64]bool
	// fail is answered by every call while it is set.
	fail  error
	polls int
}

func newWorld() *world {
	return &world{active: map[int64]job.Execution{}, ended: map[int64]job.Execution{}, ahead: map[int64]bool{}}
}

// service is a Service on the world, and the context of a caller who may do
// everything.
func (w *world) service(t *testing.T) (*Service, context.Context) {
	t.Helper()
	scopes, err := auth.ParseScopes("operator")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{Store: w, Authorizer: auth.NewAuthorizer(nil), Now: time.Now})
	t.Cleanup(s.Close)
	return s, auth.With(t.Context(), auth.Principal{Subject: "operator", Scopes: scopes})
}

// begin takes an id; the execution is seen when it is put.
func (w *world) begin(instance, jobID int64) job.Execution {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.last++
	return job.Execution{ID: w.last, InstanceID: instance, JobID: jobID, State: job.StateQueued, CreatedAt: time.Now()}
}

// put stores an execution as it is now.
func (w *world) put(e job.Execution, state job.State) job.Execution {
	w.mu.Lock()
	defer w.mu.Unlock()
	e.State = state
	delete(w.active, e.ID)
	delete(w.ahead, e.ID)
	if state.Ended() {
		w.ended[e.ID] = e
	} else {
		w.active[e.ID] = e
	}
	return e
}

// add is begin and put.
func (w *world) add(instance, jobID int64, state job.State) job.Execution {
	return w.put(w.begin(instance, jobID), state)
}

// claimAhead is begin and put, of one that is told later.
func (w *world) claimAhead(instance, jobID int64) job.Execution {
	e := w.begin(instance, jobID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active[e.ID], w.ahead[e.ID] = e, true
	return e
}

func (w *world) withdraw(id int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.active, id)
}

func (w *world) outage(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}
func (w *world) InstanceOf(_ context.Context, _ job.Kind, id int64) (int64, error) {
	if id > 1000 {
		return 0, store.ErrNotFound
	}
	return id / 10, nil
}

func (w *world) NewestExecution(ctx context.Context) (newest int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.polls++
	for id := range w.active {
		newest = max(newest, id)
	}
	for id := range w.ended {
		newest = max(newest, id)
	}
	return newest, errors.Join(w.fail, ctx.Err())
}

func (w *world) SettledExecution(ctx context.Context, age time.Duration) (settled int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, e := range w.ended {
		if time.Since(e.CreatedAt) > age {
			settled = max(settled, id)
		}
	}
	return settled, errors.Join(w.fail, ctx.Err())
}

func (w *world) ActiveMarks(ctx context.Context, instances []int64) (marks []store.ExecutionMark, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.active {
		if slices.Contains(instances, e.InstanceID) {
			hash := fnv.New64a()
			_, _ = hash.Write([]byte(e.State))
			marks = append(marks, store.ExecutionMark{ID: e.ID, InstanceID: e.InstanceID, JobID: e.JobID, Mark: hash.Sum64() + uint64(e.Attempt), Ahead: w.ahead[e.ID]})
		}
	}
	slices.SortFunc(marks, func(a, b store.ExecutionMark) int { return cmp.Compare(a.ID, b.ID) })
	return marks, errors.Join(w.fail, ctx.Err())
}

func (w *world) EndedAbove(ctx context.Context, instances []int64, above int64, limit int) (marks []store.ExecutionMark, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.ended {
		if e.ID > above && slices.Contains(instances, e.InstanceID) {
			marks = append(marks, store.ExecutionMark{ID: e.ID, InstanceID: e.InstanceID, JobID: e.JobID})
		}
	}
	slices.SortFunc(marks, func(a, b store.ExecutionMark) int { return cmp.Compare(a.ID, b.ID) })
	return marks[:min(limit, len(marks))], errors.Join(w.fail, ctx.Err())
}

func (w *world) ExecutionsByID(ctx context.Context, ids []int64) (list []job.Execution, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if e, ok := w.active[id]; ok {
			list = append(list, e)
		} else if e, ok := w.ended[id]; ok {
			list = append(list, e)
		}
	}
	return list, errors.Join(w.fail, ctx.Err())
}
