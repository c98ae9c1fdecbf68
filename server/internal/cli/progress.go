package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// tailWithProgress follows a log, on a terminal with how far the execution is
// below its lines. The standard error is the one that counts: a log that goes
// to a file shows its progress all the same.
func (s *session) tailWithProgress(ctx context.Context, cmd *cobra.Command, out io.Writer, request *carillonv1.TailLogRequest) error {
	terminal, ok := cmd.ErrOrStderr().(*os.File)
	if s.output != "table" || !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(terminal.Fd())) {
		return s.tail(ctx, out, request, logText)
	}
	// The connection must be there before two use it.
	if _, err := s.dial(ctx); err != nil {
		return err
	}
	p := &progress{terminal: terminal}
	id := request.GetExecutionId()
	polling, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	wait.Go(func() {
		p.poll(polling, func() (*carillonv1.Execution, error) { return s.execution(polling, id) })
	})
	err := s.tail(ctx, p.above(out), request, logText)
	stop()
	wait.Wait()
	p.show("")
	return err
}

// progress is one line on a terminal, rewritten in place.
type progress struct {
	terminal io.Writer

	mu   sync.Mutex
	text string
}

// poll shows how far an execution is, once a second. What can't be read leaves
// the line as it is: the log's stream tells of a service that is gone.
func (p *progress) poll(ctx context.Context, get func() (*carillonv1.Execution, error)) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	for {
		if e, err := get(); err == nil {
			p.show(progressText(e, time.Now()))
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// show puts text in the line; empty takes it off.
func (p *progress) show(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
	p.draw()
}

// draw writes the line over the one before. Meanwhile the terminal does not
// wrap, since a second row would stay.
func (p *progress) draw() {
	if p.text == "" {
		p.erase()
		return
	}
	_, _ = fmt.Fprintf(p.terminal, "\r\x1b[K\x1b[?7l%s\x1b[?7h", p.text)
}

func (p *progress) erase() { _, _ = io.WriteString(p.terminal, "\r\x1b[K") }

// above writes whole lines to out, with the progress below them should both be
// the same terminal.
func (p *progress) above(out io.Writer) io.Writer {
	if out == io.Discard {
		return out
	}
	return writer(func(lines []byte) (int, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.erase()
		defer p.draw()
		return out.Write(lines)
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// progressText is how far an execution is: its state, since when, what it waits
// for, its tasks, and what those that run have done.
func progressText(e *carillonv1.Execution, now time.Time) string {
	since := e.GetStartedAt()
	if since == nil {
		since = e.GetCreatedAt()
	}
	end := now
	if e.GetFinishedAt() != nil {
		end = e.GetFinishedAt().AsTime()
	}
	// The two clocks need not agree.
	parts := []string{e.GetState().String() + " " + rough(max(0, end.Sub(since.AsTime())).Truncate(time.Second))}
	if w := e.GetWaitingFor(); w != nil {
		parts = append(parts, strings.TrimSpace("waits: "+w.GetReason()+" "+w.GetExecutionId()))
	}
	ended := 0
	for _, task := range e.GetTasks() {
		if taskEnded(task.GetState()) {
			ended++
		}
	}
	if len(e.GetTasks()) > 0 {
		parts = append(parts, fmt.Sprintf("tasks %d/%d", ended, len(e.GetTasks())))
	}
	for _, task := range e.GetTasks() {
		if task.GetState() == carillonv1.Execution_Task_RUNNING {
			parts = append(parts, taskProgress(task))
		}
	}
	return plain(strings.Join(parts, " | "))
}

func taskEnded(state carillonv1.Execution_Task_State) bool {
	switch state {
	case carillonv1.Execution_Task_PENDING, carillonv1.Execution_Task_RUNNING, carillonv1.Execution_Task_AWAITING_APPROVAL:
		return false
	default:
		return true
	}
}

// taskProgress is a running task with its counters, those of 0 left out but for
// the files found.
func taskProgress(task *carillonv1.Execution_Task) string {
	text := task.GetName()
	if task.GetAttempt() > 1 {
		text += fmt.Sprintf(" (attempt %d)", task.GetAttempt())
	}
	c := task.GetCounters()
	if c == nil {
		return text
	}
	text += ": " + counted(c)
	if c.GetTotalFiles() > 0 {
		text += fmt.Sprintf(", to do %d", c.GetTotalFiles())
	}
	if c.GetTotalBytes() > 0 {
		return text + ", " + size(c.GetBytes()) + " of " + size(c.GetTotalBytes())
	}
	return text + ", " + size(c.GetBytes())
}

// counted is what a task did with files.
func counted(c *carillonv1.Execution_Counters) string {
	text := fmt.Sprintf("found %d", c.GetFound())
	for _, part := range []struct {
		what string
		n    int32
	}{{"copied", c.GetCopied()}, {"updated", c.GetUpdated()}, {"deleted", c.GetDeleted()}, {"failed", c.GetFailed()}} {
		if part.n > 0 {
			text += fmt.Sprintf(", %s %d", part.what, part.n)
		}
	}
	return text
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }
