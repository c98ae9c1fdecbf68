package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// neighbour lets the whole program do a herd of one instance while jobs of
// another one are due at random moments, and readers call the doors.
func (c Config) neighbour(ctx context.Context, server string) error {
	if c.Server == "" {
		return nil
	}
	jobs := c.Herds[len(c.Herds)-1]
	return c.with(ctx, server, func(ctx context.Context, d *database) (err error) {
		crowd := herd{instance: 1, jobs: jobs, first: time.Now().Add(75 * time.Second).Truncate(time.Minute)}
		// Its jobs are due long enough for a slow machine; those during the herd count.
		other := herd{instance: 2, jobs: 50 * 60, first: crowd.first, perSecond: 50, jitter: time.Second}
		if err := errors.Join(d.insert(ctx, other), d.insert(ctx, crowd)); err != nil {
			return err
		}
		folder, err := os.MkdirTemp("", "carillon-bench-server-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
		s, err := c.startServer(ctx, d, folder)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.stop()) }()
		if time.Until(crowd.first) < time.Second {
			return errors.New("the herd was due before the program was ready")
		}
		return c.besideHerd(ctx, d, s, crowd, other)
	})
}

func (c Config) besideHerd(ctx context.Context, d *database, s *process, crowd, other herd) error {
	read, err := c.openReaders(ctx, d, s)
	if err != nil {
		return err
	}
	pause(ctx, time.Until(crowd.first))
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	readers.Go(func() { read.run(reading) })
	err = d.awaitNone(ctx, crowd)
	took := time.Since(crowd.first)
	peak := memory(s.cmd.Process.Pid, "VmHWM")
	stop()
	readers.Wait()
	if err != nil {
		return err
	}
	late, err := d.lateness(ctx, other, crowd.first.Add(took))
	if err != nil {
		return err
	}
	t := &table{
		title: fmt.Sprintf("Neighbours: a herd of %d jobs of one instance, the whole program, %s", crowd.jobs, d.name()),
		note: "Another instance has jobs due 50 times a second at random moments: lateness from the due time to the start. " +
			"Meanwhile 100 reads/s at fixed times: GetJob by gRPC, ListExecutions by REST, a job with its history by GraphQL.",
		head: []string{"herd, executions/s", "other's jobs", "lateness p50", "p99", "max", "reads", "p50", "p99", "max", "most memory (RSS)"},
	}
	t.add(fmt.Sprintf("%.0f", float64(crowd.jobs)/took.Seconds()),
		len(late), ms(quantile(late, .5)), ms(quantile(late, .99)), ms(quantile(late, 1)),
		len(read.took), ms(quantile(read.took, .5)), ms(quantile(read.took, .99)), ms(quantile(read.took, 1)), peak)
	return errors.Join(t.write(c.Out), read.err, d.verify(ctx, crowd))
}

// awaitNone waits until the instance's jobs have run.
func (d *database) awaitNone(ctx context.Context, h herd) error {
	return d.await(ctx, 20*time.Millisecond, fmt.Sprintf("SELECT NOT EXISTS (SELECT 1 FROM schedules WHERE instance_id = %d AND next_run > 0 AND next_run <= %d) "+
		"AND NOT EXISTS (SELECT 1 FROM active_executions WHERE instance_id = %d)", h.instance, h.last().UnixMicro(), h.instance))
}

// lateness lists how late those jobs of a herd with jitter started that were due
// until then.
func (d *database) lateness(ctx context.Context, h herd, until time.Time) (late []time.Duration, err error) {
	found, err := d.db.QueryContext(ctx, fmt.Sprintf("SELECT job_id, scheduled_for, started_at FROM executions WHERE instance_id = %d", h.instance))
	if err != nil {
		return nil, err
	}
	defer found.Close()
	for found.Next() {
		var id, slot, started int64
		if err := found.Scan(&id, &slot, &started); err != nil {
			return nil, err
		}
		due, err := h.due(id, time.UnixMicro(slot))
		if err != nil {
			return nil, err
		}
		if due.Before(until) {
			late = append(late, time.UnixMicro(started).Sub(due))
		}
	}
	return late, found.Err()
}

// due is when the slot of a job starts: its jitter depends on both.
func (h herd) due(jobID int64, slot time.Time) (time.Time, error) {
	daily := job.Schedule{Type: job.IntervalBased, IntervalMinutes: 24 * 60, TimeZone: "UTC", Anchor: slot.Add(-24 * time.Hour)}
	daily.Jitter = h.jitter
	compiled, err := schedule.Compile(daily, jobID)
	if err != nil {
		return time.Time{}, err
	}
	return compiled.FireAt(slot), nil
}
