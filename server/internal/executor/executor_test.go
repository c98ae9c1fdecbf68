package executor_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// bench is an executor with a store that notes what is written.
type bench struct {
	*executor.Executor
	store *notes
	hook  hook
	logs  *executionlog.Store
	// work is the folder of the work directories.
	work string
}

func newBench(t *testing.T) *bench {
	t.Helper()
	folder, err := executionlog.FolderURL(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	logs, err := executionlog.Open(t.Context(), folder, executionlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{work: t.TempDir(), logs: logs, store: &notes{ends: make(chan store.Finish, 100), claims: map[int64]job.State{}}, hook: make(hook)}
	work, err := workdir.Open(workdir.Options{Folder: b.work, Limit: 1 << 20, Total: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = work.Close() })
	b.Executor = executor.New(executor.Options{
		Store: b.store, Types: task.NewRegistry(util.Noop{}, util.Sleep{}, b.hook), Logs: logs, Work: work,
		Configs:         func(int64, int64, func(...string)) task.Configs { return nil },
		CheckResources:  func(context.Context, int64, []task.ResourceRef) error { return nil },
		ApprovalTimeout: time.Hour,
		Now:             time.Now, Owner: func() int64 { return 1 }, Places: 10, PerInstance: 9, ReportAfter: 50 * time.Millisecond, Metrics: ignore{}, Log: slog.New(slog.DiscardHandler),
	})
	b.Start()
	return b
}

// stop drains at once and closes what a bubble must not leave behind.
func (b *bench) stop() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b.Drain(ctx, time.Second)
}

type ignore struct{}

func (ignore) Started(time.Duration)          {}
func (ignore) Ended(job.State, time.Duration) {}
func (ignore) Stored(int, time.Duration)      {}

// notes is a store.Engine.
type notes struct {
	executor.Store
	ends chan store.Finish

	mu       sync.Mutex
	claims   map[int64]job.State
	progress []store.Progress
	released []store.Claimed
	failures int
	// failing is what they fail with; nil means that the database is away.
	failing error
	stale   []int64
	owned   []store.Owned
	// approvals are by execution.
	approvals map[int64]job.Approval
	// files notes what was recorded; filesAway fails as many writes.
	files     []job.FileRecord
	settled   []int64
	announced int
	filesErrs []error
	// look is called before claims are looked at, when it is set.
	look func()
}

func (n *notes) Finish(_ context.Context, ends []store.Finish) ([]int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.failures > 0 {
		n.failures--
		if n.failing != nil {
			return nil, n.failing
		}
		return nil, &job.UnavailableError{Message: "database away"}
	}
	for _, e := range ends {
		n.ends <- e
	}
	return nil, nil
}

func (n *notes) Progress(_ context.Context, reports []store.Progress) (stale, cancelled []int64, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.progress = append(n.progress, reports...)
	return n.stale, nil, nil
}

func (n *notes) ExpireApprovals(context.Context, time.Time, int, job.Failure) ([]int64, error) {
	return nil, nil
}

func (n *notes) Approval(_ context.Context, id int64) (job.Approval, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, ok := n.approvals[id]; ok {
		return a, nil
	}
	return job.Approval{}, store.ErrNotFound
}

func (n *notes) Owned(context.Context, int64) ([]store.Owned, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.owned, nil
}

func (n *notes) Reclaim(_ context.Context, _ int64, ids []int64) (lost []store.Lost, _ error) {
	for _, id := range ids {
		l := store.Lost{Claimed: claim(id, noop), State: job.StateQueued}
		l.Fence = 77
		lost = append(lost, l)
	}
	return lost, nil
}

func (n *notes) Release(_ context.Context, claimed []store.Claimed) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.released = append(n.released, claimed...)
	return nil
}

func (n *notes) StillClaimed(_ context.Context, claimed []store.Claimed) (map[int64]job.State, error) {
	if n.look != nil {
		n.look()
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	states := make(map[int64]job.State)
	for _, c := range claimed {
		if state, ok := n.claims[c.ExecutionID]; ok {
			states[c.ExecutionID] = state
		}
	}
	return states, nil
}

// hook is a task type whose tasks do what the test says for their name.
type hook map[string]func(context.Context, task.Run) (task.Output, error)

func (hook) Name() string                           { return "test.hook" }
func (hook) Schema() []byte                         { return util.Noop{}.Schema() }
func (hook) Check(task.Args) error                  { return nil }
func (hook) Resources(task.Args) []task.ResourceRef { return nil }
func (h hook) Do(ctx context.Context, run task.Run) (task.Output, error) {
	return h[run.TaskName](ctx, run)
}

func claim(id int64, workflow string) store.Claimed {
	return store.Claimed{
		ExecutionID: id, JobID: 1, InstanceID: 2, Trigger: job.TriggerSchedule, NotBefore: time.Now(), Attempt: 1, Fence: 5,
		Workflow: []byte(workflow), Policies: job.Policies{}.WithDefaults(),
		Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 60, TimeZone: "UTC", Anchor: time.Now()},
	}
}

const (
	noop     = `{"tasks":[{"name":"a","type":"util.noop"}]}`
	oneHook  = `{"tasks":[{"name":"a","type":"test.hook"}]}`
	longTask = `{"tasks":[{"name":"a","type":"util.sleep","args":{"duration":"1h"}}]}`
)

// inBubble runs a test with an executor on synthetic time.
func inBubble(t *testing.T, test func(*testing.T, *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		test(t, b)
	})
}

func states(f store.Finish) (list []job.TaskState) {
	for _, t := range f.Tasks {
		list = append(list, t.State)
	}
	return list
}

func TestStartsAtItsTime(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		begin := time.Now()
		c := claim(1, noop)
		c.NotBefore = begin.Add(300 * time.Millisecond)
		b.store.claims[1] = job.StateQueued
		b.Submit([]store.Claimed{c})
		if free := b.Free(); free != 9 {
			t.Errorf("%d places free, want 9", free)
		}
		f := <-b.store.ends
		if f.State != job.StateSucceeded || f.StartedAt.Sub(begin) != 300*time.Millisecond {
			t.Errorf("%s, started after %v", f.State, f.StartedAt.Sub(begin))
		}
		synctest.Wait()
		if free := b.Free(); free != 10 {
			t.Errorf("%d places free at the end, want 10", free)
		}
	})
}

func TestWithdrawnDoesNotStart(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		c := claim(1, noop)
		c.NotBefore = time.Now().Add(time.Second)
		b.Submit([]store.Claimed{c})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if len(b.store.ends) != 0 || b.Free() != 10 {
			t.Errorf("%d ends, %d places free", len(b.store.ends), b.Free())
		}
	})
}

func TestWithdrawSignalFreesThePlaceAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		c := claim(1, noop)
		c.NotBefore = time.Now().Add(time.Hour)
		b.Submit([]store.Claimed{c})
		b.Withdraw(c.JobID)
		synctest.Wait()
		if b.Free() != 10 {
			t.Errorf("%d places free, want 10", b.Free())
		}
	})
}

func TestGraph(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		pass := func(context.Context, task.Run) (task.Output, error) {
			time.Sleep(time.Second)
			return task.Output{"n": 1}, nil
		}
		b.hook["left"], b.hook["right"] = pass, pass
		b.hook["bad"] = func(context.Context, task.Run) (task.Output, error) {
			return nil, &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY", Message: "away"}
		}
		b.hook["panics"] = func(context.Context, task.Run) (task.Output, error) { panic("hunter2") }
		b.hook["join"] = func(_ context.Context, run task.Run) (task.Output, error) {
			if len(run.Inputs) != 2 || run.Inputs["left"]["n"] != 1 {
				return nil, errors.New("wrong inputs")
			}
			return nil, nil
		}
		b.Submit([]store.Claimed{claim(1, `{"tasks":[
			{"name":"join","type":"test.hook","inputs":["left","right"]},
			{"name":"left","type":"test.hook"},{"name":"right","type":"test.hook"},
			{"name":"bad","type":"test.hook"},{"name":"after","type":"util.noop","inputs":"bad"},
			{"name":"last","type":"util.noop","inputs":["after"]},{"name":"panics","type":"test.hook"}]}`)})
		f := <-b.store.ends
		want := []job.TaskState{
			job.TaskSucceeded, job.TaskSucceeded, job.TaskSucceeded, job.TaskFailed, job.TaskSkipped, job.TaskSkipped, job.TaskFailed,
		}
		if diff := cmp.Diff(want, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
		if took := f.FinishedAt.Sub(f.StartedAt); took != time.Second {
			t.Errorf("took %v: independent tasks run side by side", took)
		}
		if f.State != job.StateFailed || f.Error == nil {
			t.Fatalf("%s: %v", f.State, f.Error)
		}
		if r := f.Tasks[4].Error; r == nil || r.Reason != job.ReasonDependency {
			t.Errorf("the dependent's reason: %v", r)
		}
		if r := f.Tasks[6].Error; r == nil || r.Reason != job.ReasonTaskPanicked {
			t.Errorf("the panic's reason: %v", r)
		}
		var log strings.Builder
		if err := b.logs.Copy(t.Context(), &log, executionlog.Ref{InstanceID: 2, ExecutionID: 1}); err != nil {
			t.Fatal(err)
		}
		// The value may be a secret, and the stack is nobody's business but the operator's.
		if text := log.String(); !strings.Contains(text, "task panicked") || strings.Contains(text, "hunter2") || strings.Contains(text, "goroutine") {
			t.Errorf("the log of %d bytes is %s", f.LogBytes, text)
		}
	})
}

func TestInvalidWorkflowFails(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		for i, workflow := range []string{`{"tasks":[{"name":"a","type":"gone.away"}]}`, `{"tasks":[]}`, `nonsense`, `{"instanceId":"inst_9","tasks":[{"name":"a","type":"util.noop"}]}`} {
			b.Submit([]store.Claimed{claim(int64(i+1), workflow)})
			if f := <-b.store.ends; f.State != job.StateFailed || f.Error == nil {
				t.Errorf("%s: %s %v", workflow, f.State, f.Error)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		later := claim(2, noop)
		later.NotBefore = time.Now().Add(time.Hour)
		b.Submit([]store.Claimed{claim(1, longTask), later})
		synctest.Wait()
		for _, id := range []int64{1, 2} {
			b.Cancel(id)
			f := <-b.store.ends
			if f.ExecutionID != id || f.State != job.StateCancelled || f.Error == nil || f.Error.Reason != job.ReasonCancelled {
				t.Errorf("execution %d: %s %v", f.ExecutionID, f.State, f.Error)
			}
		}
	})
}

func TestLongRunsAreReported(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.Submit([]store.Claimed{claim(1, longTask), claim(2, noop)})
		time.Sleep(time.Minute)
		b.store.mu.Lock()
		progress := slices.Clone(b.store.progress)
		b.store.mu.Unlock()
		if len(progress) != 1 || progress[0].ExecutionID != 1 || progress[0].Tasks[0].State != job.TaskRunning {
			t.Errorf("reports in a minute: %+v", progress)
		}
	})
}

func TestStaleFenceEndsTheTask(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.stale = []int64{1}
		b.Submit([]store.Claimed{claim(1, longTask)})
		time.Sleep(time.Second)
		synctest.Wait()
		if len(b.store.ends) != 0 || b.Free() != 10 {
			t.Errorf("%d ends, %d places free: nothing is written for a stale fence", len(b.store.ends), b.Free())
		}
	})
}

func TestEndsAreStoredWhenTheDatabaseIsBack(t *testing.T) {
	t.Parallel()
	for name, failing := range map[string]error{"away": nil, "full": &job.ExhaustedError{Reason: "STORAGE_FULL"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				b.store.failures, b.store.failing = 5, failing
				b.Submit([]store.Claimed{claim(1, noop)})
				select {
				case f := <-b.store.ends:
					if f.State != job.StateSucceeded {
						t.Errorf("%s", f.State)
					}
				case <-time.After(time.Minute):
					t.Error("the end was given up")
				}
			})
		})
	}
}

func TestRetryPolicy(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.hook["a"] = func(context.Context, task.Run) (task.Output, error) {
			return nil, &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY"}
		}
		c := claim(1, oneHook)
		c.Policies.Retry = &job.RetryPolicy{Count: 1, MinBackoff: time.Minute, MaxBackoff: time.Hour}
		b.Submit([]store.Claimed{c})
		if f := <-b.store.ends; f.State != job.StateQueued || f.RetryAt.Sub(f.FinishedAt) != time.Minute {
			t.Errorf("%s, next attempt after %v", f.State, f.RetryAt.Sub(f.FinishedAt))
		}
		c.Attempt = 2
		b.Submit([]store.Claimed{c})
		if f := <-b.store.ends; f.State != job.StateFailed || !f.RetryAt.IsZero() {
			t.Errorf("%s, next attempt %v", f.State, f.RetryAt)
		}
	})
}

func TestTimeLimit(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		c := claim(1, longTask)
		c.Policies.TimeLimit, c.Policies.PauseAfterFailures = time.Minute, 3
		b.Submit([]store.Claimed{c})
		f := <-b.store.ends
		if f.State != job.StateFailed || f.Error.Code != "DEADLINE_EXCEEDED" || f.FinishedAt.Sub(f.StartedAt) != time.Minute {
			t.Errorf("%s %v after %v", f.State, f.Error, f.FinishedAt.Sub(f.StartedAt))
		}
		if f.PauseAfter != 3 || f.JobID != c.JobID {
			t.Errorf("the end counts for job %d with a limit of %d", f.JobID, f.PauseAfter)
		}
	})
}

func TestDrain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		later := claim(3, noop)
		later.NotBefore = time.Now().Add(time.Hour)
		short := claim(2, `{"tasks":[{"name":"a","type":"util.sleep","args":{"duration":"5s"}}]}`)
		b.Submit([]store.Claimed{claim(1, longTask), short, later})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		b.Drain(ctx, time.Second)
		ends := map[int64]job.State{}
		for range len(b.store.ends) {
			f := <-b.store.ends
			ends[f.ExecutionID] = f.State
		}
		want := map[int64]job.State{1: job.StateWorkerLost, 2: job.StateSucceeded}
		if diff := cmp.Diff(want, ends); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
		if len(b.store.released) != 1 || b.store.released[0].ExecutionID != 3 {
			t.Errorf("released: %+v", b.store.released)
		}
		if b.Free() != 0 {
			t.Errorf("%d places free after a drain", b.Free())
		}
	})
}

func TestAdoptedEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		running := []job.TaskRecord{{Name: "a", State: job.TaskRunning}, {Name: "b", State: job.TaskAwaitingApproval}, {Name: "c", State: job.TaskPending}}
		cancelled := store.Lost{Claimed: claim(2, noop), State: job.StateCancelling}
		b.Adopt([]store.Lost{{Claimed: claim(1, noop), State: job.StateRunning, StartedAt: time.Now(), Tasks: running}, cancelled})
		if f := <-b.store.ends; f.State != job.StateWorkerLost || f.Error.Reason != job.ReasonWorkerLost {
			t.Errorf("%+v", f)
		} else if diff := cmp.Diff([]job.TaskState{job.TaskFailed, job.TaskCancelled, job.TaskCancelled}, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
		if f := <-b.store.ends; f.State != job.StateCancelled {
			t.Errorf("%+v", f)
		}
		synctest.Wait()
		if b.Free() != 10 {
			t.Errorf("%d places free", b.Free())
		}
	})
}

// A claim whose answer was lost is owned in the store and unknown here.
func TestLostClaimsAreTakenBack(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.mu.Lock()
		b.store.owned = []store.Owned{{ExecutionID: 4, Fence: 9, State: job.StateQueued}}
		b.store.mu.Unlock()
		if f := <-b.store.ends; f.ExecutionID != 4 || f.Fence != 77 || f.State != job.StateWorkerLost {
			t.Errorf("%+v", f)
		}
	})
}

// The signal of a cancel may be lost.
func TestLostCancelsAreFound(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.mu.Lock()
		b.store.owned = []store.Owned{{ExecutionID: 1, Fence: 5, State: job.StateCancelling}}
		b.store.mu.Unlock()
		b.Submit([]store.Claimed{claim(1, longTask)})
		if f := <-b.store.ends; f.State != job.StateCancelled {
			t.Errorf("%s", f.State)
		}
	})
}

// A retry may be claimed again before its first end is known to be stored.
func TestReclaimedBeforeItsEndIsStoredLeaksNoPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		first := claim(1, longTask)
		b.Submit([]store.Claimed{first})
		synctest.Wait()
		again := claim(1, noop)
		again.Fence, again.Attempt = 6, 2
		b.Submit([]store.Claimed{again})
		<-b.store.ends
		<-b.store.ends
		synctest.Wait()
		if full := b.Full(); b.Free() != 10 || len(full) > 0 {
			t.Errorf("%d places free, full %v", b.Free(), full)
		}
	})
}

// A task that ignores its context must not hold up whoever lost the lease.
func TestAbandonAllDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		let := make(chan struct{})
		b.hook["a"] = func(context.Context, task.Run) (task.Output, error) { <-let; return nil, nil }
		b.Submit([]store.Claimed{claim(1, oneHook)})
		synctest.Wait()
		begin := time.Now()
		b.AbandonAll(errors.New("lease lost"))
		if waited := time.Since(begin); waited > 2*time.Second {
			t.Errorf("waited %v", waited)
		}
		close(let)
		synctest.Wait()
		if b.Free() != 10 || len(b.store.ends) != 0 {
			t.Errorf("%d places free, %d ends", b.Free(), len(b.store.ends))
		}
	})
}
