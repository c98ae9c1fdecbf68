package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func TestProgressText(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(now.Add(-d)) }
	task := func(name string, state carillonv1.Execution_Task_State, c *carillonv1.Execution_Counters) *carillonv1.Execution_Task {
		return &carillonv1.Execution_Task{Name: name, State: state, Counters: c}
	}
	again := task("call", carillonv1.Execution_Task_RUNNING, nil)
	again.Attempt = 2
	for name, test := range map[string]struct {
		e    *carillonv1.Execution
		want string
	}{
		"queued": {&carillonv1.Execution{State: carillonv1.Execution_QUEUED, CreatedAt: ago(90 * time.Second),
			WaitingFor: &carillonv1.Execution_WaitingFor{Reason: "REMOTE_BUSY", ExecutionId: "exec_7"},
			Tasks:      []*carillonv1.Execution_Task{task("a", carillonv1.Execution_Task_PENDING, nil)}},
			"QUEUED 1m30s | waits: REMOTE_BUSY exec_7 | tasks 0/1"},
		"syncs": {&carillonv1.Execution{State: carillonv1.Execution_RUNNING, CreatedAt: ago(time.Hour), StartedAt: ago(130 * time.Second),
			Tasks: []*carillonv1.Execution_Task{
				task("first", carillonv1.Execution_Task_SUCCEEDED, &carillonv1.Execution_Counters{Found: 5}),
				task("copy", carillonv1.Execution_Task_RUNNING, &carillonv1.Execution_Counters{Found: 1200, Copied: 40, Updated: 2, Deleted: 3, Failed: 1, Bytes: 3 << 29, TotalFiles: 900, TotalBytes: 4 << 30}),
				task("mirror", carillonv1.Execution_Task_RUNNING, &carillonv1.Execution_Counters{Bytes: 12}),
				again, task("last", carillonv1.Execution_Task_PENDING, nil),
			}},
			"RUNNING 2m10s | tasks 1/5 | copy: found 1200, copied 40, updated 2, deleted 3, failed 1, to do 900, 1.5 GiB of 4.0 GiB | mirror: found 0, 12 B | call (attempt 2)"},
		"ended": {&carillonv1.Execution{State: carillonv1.Execution_FAILED, StartedAt: ago(time.Minute), FinishedAt: ago(50 * time.Second),
			Tasks: []*carillonv1.Execution_Task{task("a", carillonv1.Execution_Task_FAILED, nil), task("b", carillonv1.Execution_Task_SKIPPED, nil), task("c", carillonv1.Execution_Task_CANCELLED, nil)}},
			"FAILED 10s | tasks 3/3"},
		"a clock ahead of ours": {&carillonv1.Execution{State: carillonv1.Execution_RUNNING, StartedAt: ago(-time.Minute)}, "RUNNING 0s"},
		"a name that steers": {&carillonv1.Execution{State: carillonv1.Execution_RUNNING, StartedAt: ago(0),
			Tasks: []*carillonv1.Execution_Task{task("a\x1b[2Jb\n", carillonv1.Execution_Task_RUNNING, nil)}},
			"RUNNING 0s | tasks 0/1 | a\uFFFD[2Jb "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := progressText(test.e, now); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// screen is what a terminal shows: the rows that have ended, and the last one.
type screen struct{ rows []string }

func (s *screen) Write(b []byte) (int, error) {
	if s.rows == nil {
		s.rows = []string{""}
	}
	text := strings.NewReplacer("\x1b[?7l", "", "\x1b[?7h", "").Replace(string(b))
	if rest, cleared := strings.CutPrefix(text, "\r\x1b[K"); cleared {
		s.rows[len(s.rows)-1], text = "", rest
	}
	lines := strings.Split(text, "\n")
	s.rows[len(s.rows)-1] += lines[0]
	s.rows = append(s.rows, lines[1:]...)
	return len(b), nil
}

// The line is rewritten in place, stays below the log, survives a poll that
// fails, and is gone at the end.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shown := &screen{}
		p := &progress{terminal: shown}
		log := p.above(shown)
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			if got := strings.Join(shown.rows, "\n"); got != strings.Join(want, "\n") {
				t.Fatalf("the terminal shows\n%s\nwant\n%s", got, strings.Join(want, "\n"))
			}
		}
		write := func(line string) {
			t.Helper()
			if _, err := io.WriteString(log, line+"\n"); err != nil {
				t.Fatal(err)
			}
		}
		start := timestamppb.Now()
		polls := 0
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		write("before")
		go func() {
			defer close(ended)
			p.poll(ctx, func() (*carillonv1.Execution, error) {
				if polls++; polls == 3 {
					return nil, errors.New("gone")
				}
				return &carillonv1.Execution{State: carillonv1.Execution_RUNNING, StartedAt: start}, nil
			})
		}()
		expect("before", "RUNNING 0s")
		time.Sleep(time.Second)
		expect("before", "RUNNING 1s")
		write("a line that is longer than the progress is")
		expect("before", "a line that is longer than the progress is", "RUNNING 1s")
		time.Sleep(time.Second)
		expect("before", "a line that is longer than the progress is", "RUNNING 1s")
		time.Sleep(time.Second)
		expect("before", "a line that is longer than the progress is", "RUNNING 3s")
		stop()
		<-ended
		p.show("")
		write("after")
		expect("before", "a line that is longer than the progress is", "after", "")
	})
}

func TestRough(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		3 * time.Millisecond: "3ms", 12340 * time.Millisecond: "12.3s", 30 * time.Second: "30s", time.Minute: "1m",
		20 * time.Minute: "20m", 2*time.Minute + 10*time.Second: "2m10s", 90 * time.Minute: "1h30m", 50 * time.Hour: "2d2h",
	} {
		if got := rough(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
