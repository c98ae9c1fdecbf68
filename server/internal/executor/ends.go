package executor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// maxGroup bounds how many ends one commit writes.
	maxGroup = 1000
	// gather is how long an end waits for others to be written with: a commit
	// costs more than many ends.
	gather = 3 * time.Millisecond
)

// ends are known and on their way to the store.
type ends struct {
	mu      sync.Mutex
	waiting []store.Finish
	// unstored counts also those that are being stored.
	unstored atomic.Int64
	// news tells of the first that waits, and when they fill a group.
	news chan struct{}
}

// add takes an end.
func (q *ends) add(f store.Finish) {
	q.unstored.Add(1)
	q.mu.Lock()
	q.waiting = append(q.waiting, f)
	n := len(q.waiting)
	q.mu.Unlock()
	if n == 1 || n == maxGroup {
		select {
		case q.news <- struct{}{}:
		default: // who stores has not heard the last yet
		}
	}
}

// count is how many ends nobody has begun to store.
func (q *ends) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// take moves the oldest ends to a group, as many as one commit writes.
func (q *ends) take(group []store.Finish) []store.Finish {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := min(len(q.waiting), maxGroup)
	group = append(group, q.waiting[:n]...)
	q.waiting = slices.Delete(q.waiting, 0, n)
	return group
}

// end closes an attempt's log and hands its end to be stored.
func (e *Executor) end(a *attempt) {
	if a.limit != nil {
		a.limit.Stop()
	}
	var logBytes int64
	if a.work != nil {
		if err := a.work.Remove(); err != nil {
			e.o.Log.Error("a work directory stays until the next start", "execution", a.ExecutionID, "error", err)
		}
	}
	if a.log != nil {
		state, failure := a.outcome()
		if state != job.StateSucceeded && failure != nil {
			a.logEnd(state, failure)
		}
		if err := a.log.Close(); err != nil {
			e.o.Log.Error("execution log is incomplete", "execution", a.ExecutionID, "error", err)
		}
		logBytes = a.log.Bytes()
	}
	if errors.Is(a.cause(), errFenced) {
		e.free(a)
		return
	}
	f := e.finish(a, logBytes)
	a.cancel(nil)
	e.ends.add(f)
}

func (e *Executor) finish(a *attempt, logBytes int64) store.Finish {
	state, failure := a.outcome()
	now := notBefore(e.o.Now(), a.startedAt)
	f := store.Finish{
		ExecutionID: a.ExecutionID, JobID: a.JobID, Fence: a.Fence, Mark: a.Mark, State: state, Error: failure, PauseAfter: a.PauseAfter,
		Tasks: a.tasks, StartedAt: a.startedAt, FinishedAt: now, Now: e.o.Now, LogBytes: logBytes, Decided: a.decided > 0,
	}
	switch state {
	case job.StateAwaitingApproval:
		a.approval.RequestedAt = now
		f.Approval, f.RetryAt = a.approval, now.Add(e.o.ApprovalTimeout)
	case job.StateFailed, job.StateWorkerLost, job.StatePartiallySucceeded:
		if at, ok := a.retry(failure, now); ok {
			f.State, f.RetryAt = job.StateQueued, at
		}
	}
	if state != job.StateAwaitingApproval {
		a.mu.Lock() // the reports read them
		settleTasks(f.Tasks)
		a.mu.Unlock()
	}
	if !a.startedAt.IsZero() {
		e.o.Metrics.Ended(state, now.Sub(a.startedAt))
	}
	return f
}

// retry is when the attempt's next one begins, if the job's policy has one.
func (a *attempt) retry(failure *job.Failure, now time.Time) (time.Time, bool) {
	if a.Whole == nil {
		return time.Time{}, false
	}
	return policy.Retry(unwaited(*a.Whole, a.decided, a.waited), failure, a.startedAt, now)
}

// settleTasks ends the tasks that waited for an approval which is not asked
// for any more.
func settleTasks(tasks []job.TaskRecord) {
	for i := range tasks {
		if t := &tasks[i]; t.State == job.TaskAwaitingApproval || t.State == job.TaskPending {
			t.State = job.TaskCancelled
		}
	}
}

// pauseAfter is the job's limit of failures in a row; a backfill's don't count.
func pauseAfter(c *store.Claimed) int {
	if c.Trigger == job.TriggerBackfill {
		return 0
	}
	return c.Policies.PauseAfterFailures
}

// notBefore is now, or the start of what ends now: the database's clock may have
// stepped back, and another replica's idea of it may be a little ahead.
func notBefore(now, start time.Time) time.Time {
	if now.Before(start) {
		return start
	}
	return now
}

// lostEnd is the end of an execution whose replica died.
func (e *Executor) lostEnd(l store.Lost) store.Finish {
	now := notBefore(e.o.Now(), l.StartedAt)
	claimed, decided := e.lostClaim(l.Claimed)
	e.o.Metrics.Ended(job.StateWorkerLost, max(0, now.Sub(notBefore(l.StartedAt, l.NotBefore))))
	failure := &job.Failure{
		Code: "UNAVAILABLE", Reason: job.ReasonWorkerLost,
		Message: "The server that ran the execution died or lost its connection to the database. It may have done part of its work.",
	}
	f := store.Finish{
		ExecutionID: l.ExecutionID, JobID: l.JobID, Fence: l.Fence, State: job.StateWorkerLost, Error: failure, PauseAfter: pauseAfter(&l.Claimed),
		Tasks: l.Tasks, StartedAt: l.StartedAt, FinishedAt: now, Now: e.o.Now, LogBytes: l.LogBytes, Decided: decided,
	}
	for i := range f.Tasks {
		if t := &f.Tasks[i]; t.State == job.TaskRunning {
			t.State, t.FinishedAt, t.NextAttemptAt, t.Error = job.TaskFailed, now, time.Time{}, failure
		}
	}
	settleTasks(f.Tasks)
	if l.State == job.StateCancelling {
		f.State, f.Error = job.StateCancelled, errCancelled
		return f
	}
	if at, ok := policy.Retry(claimed, failure, l.StartedAt, now); ok {
		f.State, f.RetryAt = job.StateQueued, at
	}
	return f
}

// lostClaim is the claim of a lost execution without what approvals took. When
// the database does not tell, an attempt more counts as used: adopting must not
// wait for it.
func (e *Executor) lostClaim(c store.Claimed) (_ store.Claimed, decided bool) {
	if c.Attempt <= 1 {
		return c, false
	}
	a, err := e.o.Store.Approval(e.ctx, c.ExecutionID)
	var s snapshot
	if err != nil || a.State != job.ApprovalApproved || json.Unmarshal(a.Snapshot, &s) != nil {
		return c, false
	}
	n, waited := s.after(&a)
	return unwaited(c, n, waited), true
}

// storeEnds writes ends in groups until ctx ends.
func (e *Executor) storeEnds(ctx context.Context) {
	late := time.NewTimer(0)
	defer late.Stop()
	var group []store.Finish // no store keeps it
	for {
		if e.ends.count() == 0 {
			select {
			case <-ctx.Done():
				return
			case <-e.ends.news:
			}
		}
		late.Reset(gather)
		for soon := true; soon && e.ends.count() < maxGroup; {
			select {
			case <-ctx.Done():
				return
			case <-e.ends.news:
			case <-late.C:
				soon = false
			}
		}
		if group = e.ends.take(group[:0]); len(group) > 0 {
			e.storeGroup(ctx, group)
			clear(group)
		}
	}
}

// storeGroup writes one group, however long the database is away or full: what a
// lost lease makes pointless is refused by its fence, once it answers. When it
// answers and refuses, one bad end must not keep the others, or their places:
// the group is halved until the bad one is alone, and that is given up.
func (e *Executor) storeGroup(ctx context.Context, group []store.Finish) {
	refused := 0
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		began := e.o.Now()
		stale, err := e.o.Store.Finish(ctx, group)
		if err == nil {
			e.o.Metrics.Stored(len(group), e.o.Now().Sub(began))
			e.stored(ctx, group, stale)
			return
		}
		if ctx.Err() != nil {
			return
		}
		e.o.Log.WarnContext(ctx, "can't store how executions ended; trying again", "executions", len(group), "error", err)
		if !passes(err) {
			refused++
		}
		if refused == 3 {
			e.storeHalves(ctx, group, err)
			return
		}
		pause(ctx, delay)
	}
}

// passes tells whether an error is of the database and not of what was to be
// written: it is away, or has no space left.
func passes(err error) bool {
	var away *job.UnavailableError
	var full *job.ExhaustedError
	return errors.As(err, &away) || errors.As(err, &full)
}

func (e *Executor) storeHalves(ctx context.Context, group []store.Finish, err error) {
	if half := len(group) / 2; half > 0 {
		e.storeGroup(ctx, group[:half])
		e.storeGroup(ctx, group[half:])
		return
	}
	e.o.Log.ErrorContext(ctx, "the end of an execution can't be stored; it will be taken for lost", "execution", group[0].ExecutionID, "error", err)
	e.stored(ctx, group, nil)
}

// stored gives the places of a written group back. A stale fence is no error:
// the execution was buried meanwhile, or an earlier try was committed and its
// answer lost.
func (e *Executor) stored(ctx context.Context, group []store.Finish, stale []int64) {
	if len(stale) > 0 {
		e.o.Log.WarnContext(ctx, "ends were refused or stored before", "executions", stale)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range group {
		delete(e.adopted, claimKey{f.ExecutionID, f.Fence})
		if a := e.attempts[f.ExecutionID]; a != nil && a.Fence == f.Fence {
			e.forget(a)
		}
	}
	e.ends.unstored.Add(-int64(len(group)))
	e.makeRoom(len(group))
}
