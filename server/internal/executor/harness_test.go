package executor_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// secret is one of every execution's configs.
const secret = "open-sesame"

// bench is an executor with a store that notes what is written.
type bench struct {
	*executor.Executor
	store *notes
	hook  hook
	logs  *executionlog.Store
	// work is the folder of the work directories.
	work string
	// slow is how long it takes to tell the time, and ahead how far it is ahead of
	// the local clock.
	slow, ahead atomic.Int64
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
		Configs:         func(_, _ int64, mask func(...string)) task.Configs { mask(secret); return nil },
		CheckResources:  func(context.Context, int64, []task.ResourceRef) error { return nil },
		ApprovalTimeout: time.Hour,
		Now: func() time.Time {
			time.Sleep(time.Duration(b.slow.Load()))
			return time.Now().Add(time.Duration(b.ahead.Load()))
		},
		Owner: func() int64 { return 1 }, Places: 10, PerInstance: 9, ReportAfter: 50 * time.Millisecond, Metrics: ignore{}, Log: slog.New(slog.DiscardHandler),
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

func (n *notes) AnnounceFiles(_ context.Context, _, _ int64, files []job.FileRecord) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.filesError(); err != nil {
		return 0, err
	}
	n.announced++
	return int64(n.announced), nil
}

func (n *notes) RecordFiles(_ context.Context, _, _ int64, files []job.FileRecord, settled []int64) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.filesError(); err != nil {
		return err
	}
	n.files, n.settled = append(n.files, files...), append(n.settled, settled...)
	return nil
}

func (n *notes) filesError() error {
	if len(n.filesErrs) == 0 {
		return nil
	}
	err := n.filesErrs[0]
	n.filesErrs = n.filesErrs[1:]
	return err
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
