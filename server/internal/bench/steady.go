package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func (c Config) steady(ctx context.Context, server string) error {
	t := newSteadyTable(c, server, 0)
	return c.with(ctx, server, func(ctx context.Context, d *database) error {
		if err := c.steadyLoad(ctx, d, 1, t); err != nil {
			return err
		}
		return t.write(c.Out)
	})
}

// scale stores many jobs that are not due, and measures the idle ticker and a
// steady load beside them.
func (c Config) scale(ctx context.Context, server string) error {
	return c.with(ctx, server, func(ctx context.Context, d *database) error {
		others := herd{instance: 1, jobs: c.Others, first: time.Now().Truncate(time.Minute).Add(12 * time.Hour), perSecond: 100}
		if err := d.insert(ctx, others); err != nil {
			return err
		}
		if err := errors.Join(c.idle(ctx, d), c.idleProgram(ctx, d)); err != nil {
			return err
		}
		t := newSteadyTable(c, server, c.Others)
		if err := c.steadyLoad(ctx, d, 2, t); err != nil {
			return err
		}
		return t.write(c.Out)
	})
}

// with runs fn on a new database.
func (c Config) with(ctx context.Context, server string, fn func(context.Context, *database) error) error {
	ctx, cancel := context.WithTimeout(ctx, runLimit+2*c.For)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return err
	}
	if err := d.durable(ctx); err != nil {
		return closing(ctx, d, err)
	}
	return closing(ctx, d, fn(ctx, d))
}

func newSteadyTable(c Config, server string, others int) *table {
	title := fmt.Sprintf("Steady: %d executions/s for %s, %s", c.Rate, c.For, databaseName(server))
	if others > 0 {
		title += fmt.Sprintf(", %d other jobs stored", others)
	}
	return &table{
		title: title,
		note: "Due at random moments. Lateness is from the due time to the start of the task. " +
			"A bare timer is a goroutine that sleeps beside the load: what it is late is the machine's.",
		head: []string{"", "lateness p50", "p99", "max", "CPU of one core", "of it program", "of it database"},
	}
}

// steadyLoad has so many jobs due each second, spread over it by jitter, for an
// instance of its own.
func (c Config) steadyLoad(ctx context.Context, d *database, instance int64, t *table) error {
	h := herd{
		instance: instance, jobs: c.Rate * int(c.For/time.Second), perSecond: c.Rate, jitter: time.Second,
		first: time.Now().Truncate(time.Second).Add(15 * time.Second),
	}
	if err := d.insert(ctx, h); err != nil {
		return err
	}
	e, err := openEngine(ctx, d.url, c.Places)
	if err != nil {
		return err
	}
	e.start(ctx)
	if time.Until(h.first) < time.Second {
		return errors.Join(errors.New("the first jobs were due before the replica was ready"), e.close())
	}
	pause(ctx, time.Until(h.first)-time.Second)
	ctx, cancel := context.WithTimeout(ctx, c.For+time.Minute)
	defer cancel()
	timers := bareTimers(ctx, h.last().Add(h.jitter))
	f, err := measure(ctx, d, func() error { return e.await(ctx, h.jobs) })
	if closed := e.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	t.add("engine", ms(quantile(e.late, .5)), ms(quantile(e.late, .99)), ms(quantile(e.late, 1)),
		core(f.total(), f.took), core(f.program, f.took), core(f.database, f.took))
	late := <-timers
	t.add("bare timer", ms(quantile(late, .5)), ms(quantile(late, .99)), ms(quantile(late, 1)), "", "", "")
	return d.verify(ctx, h)
}

// bareTimers sleeps 10 ms at a time until then, and tells how late it awoke.
func bareTimers(ctx context.Context, until time.Time) <-chan []time.Duration {
	result := make(chan []time.Duration, 1)
	go func() {
		var late []time.Duration
		for due := time.Now(); due.Before(until) && ctx.Err() == nil; {
			due = due.Add(10 * time.Millisecond)
			pause(ctx, time.Until(due))
			late = append(late, time.Since(due))
		}
		result <- late
	}()
	return result
}

// core is processor time as a part of one core.
func core(used, took time.Duration) string {
	return fmt.Sprintf("%.2f %%", 100*used.Seconds()/took.Seconds())
}

// pause waits for d or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
