package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

const guardedGraph = `{"tasks":[
	{"name":"first","type":"test.hook"},
	{"name":"sync","type":"test.hook","inputs":["first"]},
	{"name":"after","type":"test.hook","inputs":["sync","first"]},
	{"name":"beside","type":"test.hook"}]}`

var guard = &job.Failure{Code: "FAILED_PRECONDITION", Reason: "MAX_DELETE_EXCEEDED", Message: "too many"}

// guardedHooks count their calls; the task sync is stopped unless it goes on
// after an approval. The counts can be read once the tasks ended.
func guardedHooks(h hook) map[string]int {
	var mu sync.Mutex
	calls := map[string]int{}
	count := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		calls[name]++
	}
	for _, name := range []string{"first", "after", "beside"} {
		h[name] = func(_ context.Context, run task.Run) (task.Output, error) {
			count(name)
			if name == "after" && run.Inputs["first"]["of"] != "first" {
				return nil, errors.New("the output of a task that ran before is lost")
			}
			return task.Output{"of": name}, nil
		}
	}
	h["sync"] = func(_ context.Context, run task.Run) (task.Output, error) {
		count("sync")
		if run.Approved == nil {
			run.Report(job.TaskReport{Counters: job.Counters{Found: 3}})
			return nil, &task.Approval{Plans: []job.Plan{{Task: "sync", Remote: "b:/", Digest: "p"}}, State: json.RawMessage(`{"p":1}`), Failure: guard}
		}
		if string(run.Approved) != `{"p":1}` {
			return nil, errors.New("other state")
		}
		return nil, nil
	}
	return calls
}

func TestGuardedTaskWaitsAndGoesOn(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		calls := guardedHooks(b.hook)
		b.Submit([]store.Claimed{claim(1, guardedGraph)})
		f := <-b.store.ends
		want := []job.TaskState{job.TaskSucceeded, job.TaskAwaitingApproval, job.TaskPending, job.TaskSucceeded}
		if diff := cmp.Diff(want, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
		a := f.Approval
		if f.State != job.StateAwaitingApproval || f.Error == nil || f.Error.Reason != guard.Reason || a == nil {
			t.Fatalf("%s, %v, %v", f.State, f.Error, a)
		}
		if got := f.RetryAt.Sub(f.FinishedAt); got != time.Hour {
			t.Errorf("it expires after %v", got)
		}
		if f.Tasks[1].Report == nil || f.Tasks[1].Report.Counters.Found != 3 || len(a.Plans) != 1 || a.Digest == "" || a.Attempt != 1 {
			t.Errorf("report %v, approval %+v", f.Tasks[1].Report, a)
		}
		synctest.Wait()
		if b.Free() != 10 {
			t.Errorf("%d places free while it waits", b.Free())
		}

		a.State = job.ApprovalApproved
		b.store.approvals = map[int64]job.Approval{1: *a}
		c := claim(1, guardedGraph)
		c.Attempt, c.Fence = 2, 6
		b.Submit([]store.Claimed{c})
		f = <-b.store.ends
		if f.State != job.StateSucceeded || f.Approval != nil {
			t.Errorf("%s, %v", f.State, f.Error)
		}
		if diff := cmp.Diff(map[string]int{"first": 1, "sync": 2, "after": 1, "beside": 1}, calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
	})
}

// Waiting for an approval and going on takes nothing of the retry policy.
func TestApprovalTakesNoAttempt(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"fails": false, "is lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				approvals := 0
				b.hook["sync"] = func(_ context.Context, run task.Run) (task.Output, error) {
					if run.Approved != nil {
						return nil, &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY", Message: "away"}
					}
					approvals++
					return nil, &task.Approval{Plans: []job.Plan{{Task: "sync", Digest: "p"}}, State: json.RawMessage(`{}`), Failure: guard}
				}
				c := claim(1, oneSync)
				c.Trigger = job.TriggerManual
				c.Policies.Retry = &job.RetryPolicy{Count: 1, MinBackoff: time.Second, MaxBackoff: time.Minute, MaxDuration: time.Hour}
				c.FirstStartedAt = time.Now()
				// stop runs an attempt that a guard stops, and approves its plan after two
				// hours; goOn runs the one after it.
				stop := func() {
					t.Helper()
					b.Submit([]store.Claimed{c})
					f := <-b.store.ends
					if f.State != job.StateAwaitingApproval {
						t.Fatalf("%s, %v", f.State, f.Error)
					}
					time.Sleep(2 * time.Hour)
					f.Approval.State, f.Approval.DecidedAt = job.ApprovalApproved, time.Now()
					b.store.approvals = map[int64]job.Approval{1: *f.Approval}
					c.Attempt, c.Fence = c.Attempt+1, c.Fence+1
				}
				goOn := func(want job.State) {
					t.Helper()
					if lost {
						b.Adopt([]store.Lost{{Claimed: c, StartedAt: time.Now(), State: job.StateRunning}})
					} else {
						b.Submit([]store.Claimed{c})
					}
					if f := <-b.store.ends; f.State != want || !f.Decided {
						t.Fatalf("attempt %d: %s, %v, decided %t", c.Attempt, f.State, f.Error, f.Decided)
					}
					c.Attempt, c.Fence = c.Attempt+1, c.Fence+1
				}
				stop()
				goOn(job.StateQueued)
				stop()
				end := job.StateFailed
				if lost {
					end = job.StateWorkerLost
				}
				goOn(end)
				if approvals != 2 {
					t.Errorf("stopped %d times", approvals)
				}
			})
		})
	}
}

// An approval is for the next attempt of the same workflow, and nothing else.
func TestApprovalOfSomethingElse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempt  int
		workflow string
		state    job.ApprovalState
		end      job.State
		reason   string
	}{
		"an edited workflow":       {2, `{"tasks":[{"name":"sync","type":"test.hook","args":{}}]}`, job.ApprovalApproved, job.StateFailed, job.ReasonPlanChanged},
		"an attempt after the one": {3, oneSync, job.ApprovalApproved, job.StateAwaitingApproval, guard.Reason},
		"nobody approved":          {2, oneSync, job.ApprovalPending, job.StateAwaitingApproval, guard.Reason},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				guardedHooks(b.hook)
				b.Submit([]store.Claimed{claim(1, oneSync)})
				a := (<-b.store.ends).Approval
				a.State = test.state
				b.store.approvals = map[int64]job.Approval{1: *a}
				c := claim(1, test.workflow)
				c.Attempt, c.Fence = test.attempt, 7
				b.Submit([]store.Claimed{c})
				if f := <-b.store.ends; f.State != test.end || f.Error == nil || f.Error.Reason != test.reason {
					t.Errorf("%s, %v", f.State, f.Error)
				}
			})
		})
	}
}

const oneSync = `{"tasks":[{"name":"sync","type":"test.hook"}]}`

func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.hook["a"] = func(context.Context, task.Run) (task.Output, error) {
			return nil, &task.Partial{Failure: &job.Failure{Code: "UNKNOWN", Reason: "FILES_FAILED", Message: "2 files failed"}}
		}
		b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook"},{"name":"b","type":"util.noop","inputs":"a"}]}`)})
		f := <-b.store.ends
		if f.State != job.StatePartiallySucceeded || f.Error == nil || f.Error.Reason != "FILES_FAILED" {
			t.Errorf("%s, %v", f.State, f.Error)
		}
		if diff := cmp.Diff([]job.TaskState{job.TaskPartiallySucceeded, job.TaskSkipped}, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
	})
}

// Whoever tells of an attempt while it ends sees its tasks whole; the race
// detector watches.
func TestReportsBesideTheEnd(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		guardedHooks(b.hook)
		b.hook["slow"] = func(ctx context.Context, _ task.Run) (task.Output, error) {
			<-ctx.Done()
			b.slow.Store(int64(60 * time.Millisecond)) // longer than it is until the next report
			return nil, ctx.Err()
		}
		b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"sync","type":"test.hook"},{"name":"slow","type":"test.hook"}]}`)})
		time.Sleep(time.Second)
		b.Cancel(1)
		f := <-b.store.ends
		b.slow.Store(0)
		if diff := cmp.Diff([]job.TaskState{job.TaskCancelled, job.TaskCancelled}, states(f)); diff != "" {
			t.Errorf("task states (-want +got):\n%s", diff)
		}
	})
}
