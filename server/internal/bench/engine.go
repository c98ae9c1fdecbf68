package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/lease"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
	"github.com/pointscene/carillon/server/internal/telemetry"
	"github.com/pointscene/carillon/server/internal/ticker"
)

// The server's settings.
const (
	lookEvery   = 250 * time.Millisecond
	lookIdle    = 5 * time.Second
	lookAhead   = 500 * time.Millisecond
	claimBatch  = 1000
	reportAfter = 100 * time.Millisecond
)

// engine is one replica.
type engine struct {
	store    *entstore.Store
	logs     *executionlog.Store
	folder   string
	lease    *lease.Keeper
	executor *executor.Executor
	ticker   *ticker.Ticker
	*counts

	loops sync.WaitGroup
	stop  context.CancelFunc
}

// openEngine wires a replica and registers it; start makes it claim.
func openEngine(ctx context.Context, url string, places int) (e *engine, err error) {
	e = &engine{}
	e.counts = newCounts(func() int { return e.executor.Taken() })
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.store, err = entstore.Open(ctx, entstore.Options{URL: url}); err != nil {
		return e, err
	}
	if err := e.openLogs(ctx); err != nil {
		return e, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o := lease.DefaultOptions()
	o.Name, o.Now, o.Log = fmt.Sprintf("bench/%d", os.Getpid()), time.Now, log
	o.Adopt = func(lost []store.Lost) { e.executor.Adopt(lost) }
	o.Lost = func(cause error) { e.executor.AbandonAll(cause) }
	o.Listening = e.store.Listening
	o.Beat = func() { e.ticker.Wake() }
	e.lease = lease.New(e.store, o)
	e.executor = executor.New(executor.Options{
		Store: e.store, Types: task.NewRegistry(util.Noop{}), Logs: e.logs,
		Configs:        func(int64, int64, func(...string)) task.Configs { return nil },
		CheckResources: func(context.Context, int64, []task.ResourceRef) error { return nil },
		Now:            e.lease.Now, Owner: e.lease.ID, Places: places, PerInstance: max(1, places*9/10), ReportAfter: reportAfter, Exact: true, Metrics: e.counts, Log: log,
	})
	e.ticker = ticker.New(ticker.Options{
		Store: timedStore{e.store, e.counts}, Lease: e.lease, Places: e.executor, Schedules: true,
		Every: lookEvery, Idle: lookIdle, Ahead: lookAhead, Batch: min(claimBatch, max(1, places*9/10)), Metrics: e.counts, Log: log,
	})
	return e, e.lease.Register(ctx)
}

func (e *engine) openLogs(ctx context.Context) (err error) {
	if e.folder, err = os.MkdirTemp("", "carillon-bench-logs-"); err != nil {
		return err
	}
	url, err := executionlog.FolderURL(e.folder)
	if err != nil {
		return err
	}
	e.logs, err = executionlog.Open(ctx, url, executionlog.Options{})
	return err
}

// start begins to claim. It returns at once; close ends it.
func (e *engine) start(ctx context.Context) {
	ctx, e.stop = context.WithCancel(ctx)
	e.executor.Start()
	e.loops.Go(func() { e.lease.Run(ctx) })
	e.loops.Go(func() { _ = e.store.Listen(ctx, e.handle) }) // it ends with ctx
	e.loops.Go(func() { e.ticker.Run(ctx) })
}

func (e *engine) handle(sig store.Signal) {
	switch sig.Kind {
	case store.SignalDue, store.SignalMissed:
		e.ticker.Wake()
		e.lease.Wake()
	case store.SignalCancel:
		e.executor.Cancel(sig.ID)
	case store.SignalWithdraw:
		e.executor.Withdraw(sig.ID)
	}
}

// close ends the claims, waits for what runs, and gives everything back.
func (e *engine) close() (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if e.stop != nil {
		e.stop()
		e.loops.Wait()
		e.executor.Drain(ctx, 5*time.Second)
	}
	if e.lease != nil {
		err = e.lease.Leave(ctx)
	}
	if e.logs != nil {
		err = errors.Join(err, e.logs.Close())
	}
	if e.store != nil {
		err = errors.Join(err, e.store.Close())
	}
	return errors.Join(err, os.RemoveAll(e.folder))
}

// counts is what a run is measured by, beside the server's own metrics.
type counts struct {
	*telemetry.Engine

	mu     sync.Mutex
	stored int
	// until closes enough when that many ends are stored.
	until  int
	enough chan struct{}
	// late is how late executions started, looks how long looks for due jobs
	// took that found none.
	late, looks []time.Duration
}

func newCounts(places func() int) *counts {
	return &counts{Engine: telemetry.NewEngine(prometheus.NewRegistry(), places), enough: make(chan struct{})}
}

// await returns when that many ends are stored in all.
func (c *counts) await(ctx context.Context, ends int) error {
	c.mu.Lock()
	c.until = ends
	reached := c.stored >= ends
	c.mu.Unlock()
	if reached {
		return nil
	}
	select {
	case <-c.enough:
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		defer c.mu.Unlock()
		return fmt.Errorf("only %d of %d executions ended in time", c.stored, ends)
	}
}

// Started implements executor.Metrics.
func (c *counts) Started(late time.Duration) {
	c.Engine.Started(late)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = append(c.late, late)
}

// Stored implements executor.Metrics.
func (c *counts) Stored(ends int, took time.Duration) {
	c.Engine.Stored(ends, took)
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.stored
	c.stored += ends
	if before < c.until && c.stored >= c.until {
		close(c.enough)
	}
}

// takeLooks answers the looks since the last time.
func (c *counts) takeLooks() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	looks := c.looks
	c.looks = nil
	return looks
}

// timedStore notes how long looks took that found nothing.
type timedStore struct {
	store.Engine
	counts *counts
}

// NextWork implements store.Engine.
func (s timedStore) NextWork(ctx context.Context) (store.Work, error) {
	began := time.Now()
	work, err := s.Engine.NextWork(ctx)
	if err == nil && !work.Active && time.Until(work.Due) > lookAhead {
		s.counts.mu.Lock()
		defer s.counts.mu.Unlock()
		s.counts.looks = append(s.counts.looks, time.Since(began))
	}
	return work, err
}
