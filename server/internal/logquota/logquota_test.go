package logquota_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/logquota"
	"github.com/pointscene/carillon/server/internal/store"
)

// sums are what a store answers.
type sums struct {
	usage []store.LogUsage
	err   error
}

func (s *sums) LogUsage(context.Context) ([]store.LogUsage, error) { return s.usage, s.err }

func open(t *testing.T) *executionlog.Store {
	t.Helper()
	logs, err := executionlog.Open(t.Context(), "file://"+t.TempDir(), executionlog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = logs.Close() })
	return logs
}

// write writes lines of some 200 bytes and answers what is kept of them.
func write(t *testing.T, logs *executionlog.Store, l *logquota.Logs, ref executionlog.Ref, lines int) (kept []string) {
	t.Helper()
	w := l.Writer(ref, 1)
	for i := range lines {
		slog.New(w.Handler()).Info(fmt.Sprint("line ", i), "pad", strings.Repeat("x", 100))
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for line, err := range logs.Tail(t.Context(), ref, executionlog.Tail{}) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, line.Message)
	}
	return kept
}

func TestLogsEndAtTheQuota(t *testing.T) {
	t.Parallel()
	logs, found := open(t), &sums{usage: []store.LogUsage{{InstanceID: 1, Bytes: 1 << 20, Limit: 1<<20 + 1000}}}
	l := logquota.New(found, logs, slog.New(slog.DiscardHandler))
	if kept := write(t, logs, l, executionlog.Ref{InstanceID: 1, ExecutionID: 1}, 20); len(kept) != 20 {
		t.Errorf("before the first sum %d lines are kept", len(kept))
	}
	if err := l.Sum(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := write(t, logs, l, executionlog.Ref{InstanceID: 1, ExecutionID: 2}, 20)
	if len(kept) < 3 || len(kept) > 10 || !strings.Contains(kept[len(kept)-1], "quota") || kept[0] != "line 0" {
		t.Errorf("within the quota %q", kept)
	}
	// The executions of an instance share what is left.
	if kept := write(t, logs, l, executionlog.Ref{InstanceID: 1, ExecutionID: 3}, 20); len(kept) > 2 || !strings.Contains(kept[len(kept)-1], "quota") {
		t.Errorf("beyond the quota %q", kept)
	}
	if kept := write(t, logs, l, executionlog.Ref{InstanceID: 2, ExecutionID: 4}, 20); len(kept) != 20 {
		t.Errorf("another instance keeps %d lines", len(kept))
	}
	found.err = errors.New("no database")
	if err := l.Sum(t.Context()); err == nil {
		t.Error("no error")
	}
	if kept := write(t, logs, l, executionlog.Ref{InstanceID: 1, ExecutionID: 5}, 20); len(kept) > 2 {
		t.Errorf("without a new sum %q", kept)
	}
	found.err, found.usage = nil, []store.LogUsage{{InstanceID: 1, Bytes: 0, Limit: 1 << 20}}
	if err := l.Sum(t.Context()); err != nil {
		t.Fatal(err)
	}
	if kept := write(t, logs, l, executionlog.Ref{InstanceID: 1, ExecutionID: 6}, 20); len(kept) != 20 {
		t.Errorf("after others were pruned %d lines are kept", len(kept))
	}
}
