// Package logquota opens the logs of executions within what their instances
// may store.
//
// Rules:
//   - A quota never fails an execution: it runs on, and its log says once that
//     the rest is left out.
//   - What is stored is summed once a minute, and only for instances with a
//     limit; in between, what this process writes is counted as it is written.
//     So an instance may go over its limit by what other processes write in a
//     minute, no more than the log of an attempt may hold for each of theirs.
//   - Who can't tell how much is stored goes on with what it knew.
package logquota

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/store"
)

// every is the time between two sums.
const every = time.Minute

// Store sums what is stored.
type Store interface {
	LogUsage(ctx context.Context) ([]store.LogUsage, error)
}

// Opener opens logs.
type Opener interface {
	Writer(ref executionlog.Ref, attempt int) *executionlog.Writer
}

// Logs opens logs within quotas.
type Logs struct {
	store Store
	logs  Opener
	log   *slog.Logger

	mu   sync.Mutex
	left map[int64]*executionlog.Budget
}

// New returns logs without quotas until Run has summed for the first time.
func New(s Store, logs Opener, log *slog.Logger) *Logs {
	return &Logs{store: s, logs: logs, log: log}
}

// Run sums again and again until ctx ends.
func (l *Logs) Run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := l.Sum(ctx); err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "can't sum the stored logs for the quotas; trying again later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Sum reads what is stored of the instances with a limit.
func (l *Logs) Sum(ctx context.Context) error {
	found, err := l.store.LogUsage(ctx)
	if err != nil {
		return err
	}
	left := make(map[int64]*executionlog.Budget, len(found))
	for _, u := range found {
		left[u.InstanceID] = executionlog.NewBudget(u.Limit - u.Bytes)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = left
	return nil
}

// Writer opens the log of an attempt.
func (l *Logs) Writer(ref executionlog.Ref, attempt int) *executionlog.Writer {
	w := l.logs.Writer(ref, attempt)
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := l.left[ref.InstanceID]; left != nil {
		w.Within(left)
	}
	return w
}
