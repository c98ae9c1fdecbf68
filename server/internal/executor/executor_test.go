package executor_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

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

// TestFullInstance: an instance that has its part of the places gets no more,
// and the others have theirs.
func TestFullInstance(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		for id := range int64(9) {
			if full := b.Full(); len(full) != 0 || b.Spare() != int(9-id) {
				t.Errorf("with %d executions: %v is full, others may have %d", id, full, b.Spare())
			}
			b.Submit([]store.Claimed{claim(id+1, longTask)})
		}
		if full := b.Full(); !slices.Equal(full, []int64{2}) || b.Spare() != 9 || b.Free() != 1 {
			t.Errorf("%v is full, others may have %d, %d places are free", full, b.Spare(), b.Free())
		}
	})
}
