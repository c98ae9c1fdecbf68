package executor

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// The causes with which executions are ended from outside.
var (
	errCancelled = &job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "The execution was cancelled."}
	errDrained   = &job.Failure{Code: "UNAVAILABLE", Reason: job.ReasonWorkerLost, Message: "The server was shut down before the execution ended."}
	errTimeLimit = &job.Failure{Code: "DEADLINE_EXCEEDED", Reason: job.ReasonDeadline, Message: "The execution ran longer than the job's executionTimeLimit."}
	errTaken     = &job.Failure{Code: "UNAVAILABLE", Reason: job.ReasonWorkerLost, Message: "This server lost the execution to another one."}
	errFenced    = errors.New("the execution belongs to somebody else by now")
)

// Logs opens the log of an attempt.
type Logs interface {
	Writer(ref executionlog.Ref, attempt int) *executionlog.Writer
}

// Store is what the executor needs of the database.
type Store interface {
	store.Engine
	store.Files
	store.Memories
	Approval(ctx context.Context, executionID int64) (job.Approval, error)
}

// Options of an Executor; every field is needed.
type Options struct {
	Store Store
	Types *task.Registry
	Logs  Logs
	// Configs opens stored credentials for an execution of an instance and calls
	// mask with every secret before it answers it.
	Configs func(instanceID, executionID int64, mask func(secrets ...string)) task.Configs
	// Work makes the work directories of attempts; nil means that there are none.
	Work *workdir.Store
	// CheckResources refuses a workflow that names resources of others.
	CheckResources func(ctx context.Context, instanceID int64, refs []task.ResourceRef) error
	// Now is the database's time, Owner this replica's id, 0 for none.
	Now   func() time.Time
	Owner func() int64
	// Places is how many executions may be claimed and not ended, PerInstance
	// how many of them one instance may have.
	Places, PerInstance int
	// ApprovalTimeout is how long an execution that was stopped by a guard waits
	// for somebody to approve or reject its plan.
	ApprovalTimeout time.Duration
	// ReportAfter is how long an execution runs before its start is reported.
	ReportAfter time.Duration
	// Exact makes executions start by the kernel's timer, where there is one: by
	// the runtime's they are half a millisecond late, a whole one at most.
	Exact   bool
	Metrics Metrics
	Log     *slog.Logger
}

// Metrics counts what happens; nil functions are not allowed.
type Metrics interface {
	// Started is told how late an execution started, after its time.
	Started(late time.Duration)
	// Ended is told the state and how long the attempt took.
	Ended(state job.State, took time.Duration)
	// Stored is told how many ends one commit wrote and how long it took.
	Stored(ends int, took time.Duration)
}

// Executor runs executions.
type Executor struct {
	o Options

	mu sync.Mutex
	// taken counts places, held those of each instance.
	taken int
	held  map[int64]int
	// room is closed and replaced when places become free.
	room chan struct{}
	// attempts are those between Submit and the stored end, by execution.
	attempts map[int64]*attempt
	// adopted are executions of dead replicas whose end is not stored.
	adopted  map[claimKey]bool
	draining bool
	// busy wakes up who reports.
	busy chan struct{}

	starts    *starter
	workers   workers
	workflows *workflows
	ends      ends
	loops     sync.WaitGroup
	// ctx ends with the loops.
	ctx  context.Context
	stop context.CancelFunc
}

// claimKey names a claim: an execution has a new fence with each.
type claimKey struct{ id, fence int64 }

// claim is what an attempt needs of its claim until its end. It is copied: the
// claims of a batch lie in one piece, which a long attempt would keep in memory.
type claim struct {
	ExecutionID, JobID, InstanceID int64
	Attempt                        int
	Fence                          int64
	Mark                           store.Mark
	NotBefore                      time.Time
	Workflow                       json.RawMessage
	TimeLimit                      time.Duration
	PauseAfter                     int
	// Whole is nil once it is needed no more: it was started, and won't be
	// retried.
	Whole *store.Claimed
}

func newClaim(c *store.Claimed) claim {
	return claim{
		ExecutionID: c.ExecutionID, JobID: c.JobID, InstanceID: c.InstanceID, Attempt: c.Attempt, Fence: c.Fence, Mark: c.Mark, NotBefore: c.NotBefore,
		Workflow: c.Workflow, TimeLimit: c.Policies.TimeLimit, PauseAfter: pauseAfter(c), Whole: c,
	}
}

// leaveBatch lets the batch go in which the store answered the claim.
func (c *claim) leaveBatch() {
	if c.Whole.Policies.Retry == nil {
		c.Whole = nil
		return
	}
	whole := *c.Whole
	c.Whole = &whole
}

// attempt is one claimed execution on its way.
type attempt struct {
	claim
	ctx    context.Context
	cancel context.CancelCauseFunc
	// wait is the starter's.
	wait wait

	mu sync.Mutex
	// startedAt is zero until it runs.
	startedAt time.Time
	// tasks are none until it runs; first is room for one.
	tasks []job.TaskRecord
	first [1]job.TaskRecord
	log   *executionlog.Writer
	// work is nil until it runs.
	work *workdir.Dir
	// limit ends the attempt after the job's time limit, nil for none.
	limit *time.Timer
	// failure is why it failed, partial why only a part was done, nil so far.
	failure, partial *job.Failure
	// approval is what it waits for, nil for nothing.
	approval *job.Approval
	// decided is how often the execution went on after an approval, waited how
	// long it had waited for them: neither counts for the retry policy.
	decided int
	waited  time.Duration
	// reported is when a task's report was last told.
	reported time.Time
	// changed says that there is something to report.
	changed bool
}

// New returns an executor that takes nothing yet.
func New(o Options) *Executor {
	e := &Executor{
		o:         o,
		room:      make(chan struct{}),
		busy:      make(chan struct{}, 1),
		attempts:  make(map[int64]*attempt),
		held:      make(map[int64]int),
		adopted:   make(map[claimKey]bool),
		ends:      ends{news: make(chan struct{}, 1)},
		workflows: newWorkflows(o.Types),
	}
	e.workers.run = e.run
	return e
}

// Start begins to take executions. It returns at once; Drain ends it.
func (e *Executor) Start() {
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.starts = newStarter(e)
	e.loops.Go(func() { e.starts.loop(e.ctx) })
	e.loops.Go(func() { e.storeEnds(e.ctx) })
	e.loops.Go(func() { e.reportLoop(e.ctx) })
	e.loops.Go(func() { e.reconcileLoop(e.ctx) })
}

// Submit takes claimed executions, no more than Free said. They are the
// executor's from then on.
func (e *Executor) Submit(claimed []store.Claimed) {
	if len(claimed) == 0 {
		return
	}
	attempts := make([]*attempt, len(claimed))
	for i := range claimed {
		a := &attempt{claim: newClaim(&claimed[i])}
		a.ctx, a.cancel = context.WithCancelCause(context.Background())
		attempts[i] = a
	}
	e.mu.Lock()
	for _, a := range attempts {
		if old := e.attempts[a.ExecutionID]; old != nil {
			e.forget(old) // its end is stored, and its place is about to be free
		}
		e.attempts[a.ExecutionID] = a
		e.held[a.InstanceID]++
	}
	e.taken += len(claimed)
	e.mu.Unlock()
	select {
	case e.busy <- struct{}{}:
	default: // it is awake
	}
	e.starts.add(attempts)
}

// Adopt ends executions of dead replicas: by the next attempt of their retry
// policy, or WORKER_LOST.
func (e *Executor) Adopt(lost []store.Lost) {
	e.mu.Lock()
	e.taken += len(lost)
	for _, l := range lost {
		e.adopted[claimKey{l.ExecutionID, l.Fence}] = true
	}
	e.mu.Unlock()
	// Whoever adopts must not wait for what the database tells of each.
	e.loops.Go(func() {
		for _, l := range lost {
			e.ends.add(e.lostEnd(l))
		}
	})
}

// Cancel ends an execution if it is here.
func (e *Executor) Cancel(executionID int64) {
	if a := e.attempt(executionID); a != nil {
		a.cancel(errCancelled)
		e.starts.launchCancelled()
	}
}

// Withdraw looks again at a job's executions that have not started.
func (e *Executor) Withdraw(jobID int64) { e.starts.doubt(jobID) }

func (e *Executor) attempt(executionID int64) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.attempts[executionID]
}
