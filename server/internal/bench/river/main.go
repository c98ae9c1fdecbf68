// Command river does with River what the benchmark's herd does with the engine,
// in a process that the benchmark starts: it inserts jobs that do nothing and
// works them, with the settings of River's own benchmark, which inserts by
// InsertMany; InsertManyFast copies. It is a module of its own so that the product
// does not depend on River.
//
//	river JOBS InsertMany|InsertManyFast GOGC
//
// It writes "ready", begins when it reads a line, and then writes how much
// processor time it used, in nanoseconds.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The settings of River's benchmark, and how many jobs one insert has.
const (
	fetchCooldown     = 2 * time.Millisecond
	fetchPollInterval = 20 * time.Millisecond
	maxWorkers        = 2000
	insertBatch       = 5000
)

type noopArgs struct{}

// Kind implements river.JobArgs.
func (noopArgs) Kind() string { return "noop" }

type noopWorker struct {
	river.WorkerDefaults[noopArgs]
	worked *atomic.Int64
}

// Work implements river.Worker.
func (w *noopWorker) Work(context.Context, *river.Job[noopArgs]) error {
	w.worked.Add(1)
	return nil
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if len(os.Args) != 4 {
		return errors.New("usage: river JOBS InsertMany|InsertManyFast GOGC")
	}
	jobs, err := strconv.Atoi(os.Args[1])
	if err != nil {
		return fmt.Errorf("%q is no number of jobs", os.Args[1])
	}
	percent, err := strconv.Atoi(os.Args[3])
	if err != nil {
		return fmt.Errorf("%q is no percentage of garbage", os.Args[3])
	}
	debug.SetGCPercent(percent)
	pool, err := pgxpool.New(ctx, os.Getenv("CARILLON_BENCH_DATABASE"))
	if err != nil {
		return errors.New("the database's URL is malformed") // not the text: it may hold a password
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	worker := &noopWorker{worked: new(atomic.Int64)}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(driver, &river.Config{
		FetchCooldown: fetchCooldown, FetchPollInterval: fetchPollInterval, Workers: workers,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	before, err := used()
	if err != nil {
		return err
	}
	if err := insert(ctx, client, os.Args[2] == "InsertManyFast", jobs); err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	if err := drain(ctx, pool, worker.worked, jobs); err != nil {
		return err
	}
	after, err := used()
	if err != nil {
		return err
	}
	fmt.Println(int64(after - before))
	return client.Stop(ctx)
}

func insert[T any](ctx context.Context, client *river.Client[T], fast bool, jobs int) (err error) {
	for left := jobs; left > 0; left -= insertBatch {
		batch := make([]river.InsertManyParams, min(left, insertBatch))
		for i := range batch {
			batch[i].Args = noopArgs{}
		}
		if fast {
			_, err = client.InsertManyFast(ctx, batch)
		} else {
			_, err = client.InsertMany(ctx, batch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// drain waits until every job is worked and stored as completed.
func drain(ctx context.Context, pool *pgxpool.Pool, worked *atomic.Int64, jobs int) error {
	for worked.Load() < int64(jobs) {
		time.Sleep(5 * time.Millisecond)
	}
	for {
		var left bool
		err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM river_job WHERE state IN ('available', 'running', 'retryable', 'pending', 'scheduled'))").Scan(&left)
		if err != nil {
			return err
		}
		if !left {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	var completed int
	if err := pool.QueryRow(ctx, "SELECT count(*) FROM river_job WHERE state = 'completed' AND finalized_at IS NOT NULL").Scan(&completed); err != nil {
		return err
	}
	if completed != jobs || worked.Load() != int64(jobs) {
		return fmt.Errorf("%d of %d jobs are completed after %d were worked", completed, jobs, worked.Load())
	}
	return nil
}

// used is this process's processor time.
func used() (time.Duration, error) {
	var u syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), err
}
