package executor_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

func away() error { return &job.Failure{Code: "UNAVAILABLE", Reason: "AWAY", Message: "away"} }

// tried makes the task fail as told, one failure a try, and notes when it was
// tried. After the last failure it succeeds.
func tried(b *bench, failures ...error) *[]time.Duration {
	var tries []time.Duration
	start := time.Now()
	b.hook["a"] = func(context.Context, task.Run) (task.Output, error) {
		tries = append(tries, time.Since(start))
		if len(tries) <= len(failures) {
			return nil, failures[len(tries)-1]
		}
		return nil, nil
	}
	return &tries
}

func TestTries(t *testing.T) {
	t.Parallel()
	throttled := func(wait time.Duration) error {
		return &job.Failure{Code: "RESOURCE_EXHAUSTED", Reason: "THROTTLED", Message: "slow down", RetryAfter: wait}
	}
	denied := &job.Failure{Code: "UNAUTHENTICATED", Reason: "DENIED", Message: "who are you"}
	retry := `,"retry":{"maxAttempts":3,"minBackoff":"10s","maxBackoff":"15s"}`
	tests := map[string]struct {
		task     string
		failures []error
		// waits are the least and the most between the tries.
		waits  [][2]time.Duration
		state  job.State
		reason string
	}{
		"no retry by itself": {"", []error{away()}, nil, job.StateFailed, "AWAY"},
		"one more":           {retry, []error{away()}, [][2]time.Duration{{8 * time.Second, 10 * time.Second}}, job.StateSucceeded, ""},
		"growing, and given up": {retry, []error{away(), errors.New("plain"), away(), away()},
			[][2]time.Duration{{8 * time.Second, 10 * time.Second}, {12 * time.Second, 15 * time.Second}}, job.StateFailed, "AWAY"},
		"credentials never":   {retry, []error{away(), denied}, [][2]time.Duration{{8 * time.Second, 10 * time.Second}}, job.StateFailed, "DENIED"},
		"as the server says":  {retry, []error{throttled(time.Minute)}, [][2]time.Duration{{time.Minute, time.Minute}}, job.StateSucceeded, ""},
		"unless it is absurd": {retry, []error{throttled(2 * time.Hour)}, nil, job.StateFailed, "THROTTLED"},
		"not beyond its time": {retry + `,"timeout":"30s"`, []error{throttled(time.Minute)}, nil, job.StateFailed, job.ReasonTaskTimeout},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				tries := tried(b, test.failures...)
				b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook"`+test.task+`}]}`)})
				f := <-b.store.ends
				if f.State != test.state || test.reason != "" && f.Error.Reason != test.reason {
					t.Errorf("%s %v, want %s %s", f.State, f.Error, test.state, test.reason)
				}
				if len(*tries) != len(test.waits)+1 {
					t.Fatalf("tried at %v, want %d waits", *tries, len(test.waits))
				}
				for i, want := range test.waits {
					if wait := (*tries)[i+1] - (*tries)[i]; wait < want[0] || wait > want[1] {
						t.Errorf("wait %d took %s, want from %s to %s", i+1, wait, want[0], want[1])
					}
				}
				record := f.Tasks[0]
				if record.Attempt != len(*tries) || !record.NextAttemptAt.IsZero() || (record.Error == nil) != (test.reason == "") {
					t.Errorf("record %+v after %d tries", record, len(*tries))
				}
			})
		})
	}
}

// While a task waits for its next try, everybody can see why and until when.
func TestWaitsForTriesAreReported(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		start := time.Now()
		tried(b, &job.Failure{Code: "RESOURCE_EXHAUSTED", Reason: "THROTTLED", Message: "slow down", RetryAfter: time.Minute})
		b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook","retry":{"maxAttempts":2}}]}`)})
		time.Sleep(30 * time.Second)
		b.store.mu.Lock()
		reported := b.store.progress[len(b.store.progress)-1].Tasks[0]
		b.store.mu.Unlock()
		want := job.TaskRecord{
			Name: "a", Type: "test.hook", State: job.TaskRunning, StartedAt: start, Attempt: 1, NextAttemptAt: start.Add(time.Minute),
			Error: &job.Failure{Code: "RESOURCE_EXHAUSTED", Reason: "THROTTLED", Message: "slow down", RetryAfter: time.Minute},
		}
		if diff := cmp.Diff(want, reported); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if f := <-b.store.ends; f.State != job.StateSucceeded || f.Tasks[0].Error != nil || f.Tasks[0].Attempt != 2 {
			t.Errorf("%s: %+v", f.State, f.Tasks)
		}
	})
}

func TestTimeoutOfATask(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.Submit([]store.Claimed{claim(1, `{"tasks":[
			{"name":"a","type":"util.sleep","args":{"duration":"1h"},"timeout":"10s","retry":{"maxAttempts":5}},
			{"name":"b","type":"util.sleep","args":{"duration":"1m"}}]}`)})
		f := <-b.store.ends
		slow, other := f.Tasks[0], f.Tasks[1]
		if slow.State != job.TaskFailed || slow.Error.Reason != job.ReasonTaskTimeout || slow.FinishedAt.Sub(slow.StartedAt) != 10*time.Second || slow.Attempt != 1 {
			t.Errorf("%+v: %v", slow, slow.Error)
		}
		if other.State != job.TaskSucceeded || f.State != job.StateFailed {
			t.Errorf("the other: %+v, all %s", other, f.State)
		}
	})
}

// The tries are over when the timeout is, and it says what went wrong before.
func TestTimeoutBoundsTheTries(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		tries := tried(b, away(), away(), away(), away(), away(), away())
		b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook","timeout":"25s","retry":{"maxAttempts":20,"minBackoff":"10s","maxBackoff":"10s"}}]}`)})
		f := <-b.store.ends
		if f.FinishedAt.Sub(f.StartedAt) != 25*time.Second || len(*tries) != 3 && len(*tries) != 4 {
			t.Errorf("after %s, %d tries", f.FinishedAt.Sub(f.StartedAt), len(*tries))
		}
		if r := f.Tasks[0].Error; r.Reason != job.ReasonTaskTimeout || !strings.HasSuffix(r.Message, "timeout, 25s. Before that: away") {
			t.Errorf("%+v", r)
		}
	})
}

func TestCancelEndsTheWaitForATry(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		tried(b, away())
		b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook","retry":{"maxAttempts":2,"minBackoff":"1h"}}]}`)})
		time.Sleep(time.Minute)
		synctest.Wait()
		b.Cancel(1)
		f := <-b.store.ends
		if f.State != job.StateCancelled || f.FinishedAt.Sub(f.StartedAt) != time.Minute || f.Tasks[0].State != job.TaskCancelled || !f.Tasks[0].NextAttemptAt.IsZero() {
			t.Errorf("%s after %s: %+v", f.State, f.FinishedAt.Sub(f.StartedAt), f.Tasks)
		}
	})
}
