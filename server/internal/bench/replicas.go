package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"
)

// replicas measures a herd that two processes share.
func (c Config) replicas(ctx context.Context, server string) error {
	jobs := c.Herds[len(c.Herds)-1]
	t := &table{
		title: fmt.Sprintf("Two replicas: a herd of %d jobs, %s", jobs, databaseName(server)),
		note:  "CPU in seconds per 100,000 executions, with the start and the end of both processes.",
		head:  []string{"executions/s", "CPU", "of it programs", "of it database", "executions of each", "most memory of each"},
	}
	_, err := c.herdOnce(ctx, server, herd{jobs: jobs}, func(ctx context.Context, d *database, _ herd) (f figure, err error) {
		var both [2]*child
		for i := range both {
			if both[i], err = c.startChild(ctx, d); err != nil {
				return f, err
			}
			defer both[i].kill()
		}
		var stored [2]int
		f, err = measure(ctx, d, func() error { return errors.Join(both[0].begin(), both[1].begin(), d.awaitDone(ctx)) })
		var most [2]string
		for i, r := range both {
			var ended error
			most[i] = memory(r.cmd.Process.Pid, "VmHWM")
			stored[i], ended = r.end()
			err = errors.Join(err, ended)
		}
		if err != nil {
			return f, err
		}
		f.program = both[0].used() + both[1].used()
		per := 100_000 / float64(jobs)
		t.add(fmt.Sprintf("%.0f", float64(jobs)/f.took.Seconds()), seconds(f.total(), per), seconds(f.program, per), seconds(f.database, per),
			fmt.Sprintf("%d + %d", stored[0], stored[1]), most[0]+" + "+most[1])
		return f, nil
	})
	if err != nil {
		return err
	}
	return t.write(c.Out)
}

func seconds(d time.Duration, times float64) string { return fmt.Sprintf("%.2f", d.Seconds()*times) }

// oftenRetried is a policy under which what a killed replica ran runs again.
const oftenRetried = `{"retry":{"count":5,"minBackoff":1000000,"maxBackoff":1000000,"maxDoublings":0}}`

// kill ends one of two replicas in the middle of a herd. Its executions must
// all be run again by the other one.
func (c Config) kill(ctx context.Context, server string) error {
	jobs := c.Herds[len(c.Herds)-1]
	t := &table{
		title: fmt.Sprintf("Kill -9 of one of two replicas in a herd of %d jobs, %s", jobs, databaseName(server)),
		note:  "Adopted: from the kill until nothing belongs to the dead replica any more.",
		head:  []string{"adopted after", "run again under a new fence", "lost", "recorded twice"},
	}
	_, err := c.herdOnce(ctx, server, herd{jobs: jobs, policies: oftenRetried}, func(ctx context.Context, d *database, h herd) (f figure, err error) {
		if err := d.awaitUptime(ctx); err != nil {
			return f, err
		}
		victim, err := c.startChild(ctx, d)
		if err != nil {
			return f, err
		}
		defer victim.kill()
		heir, err := c.startChild(ctx, d)
		if err != nil {
			return f, err
		}
		defer heir.kill()
		if err := errors.Join(victim.begin(), heir.begin(), d.await(ctx, often, "SELECT count(*) > "+strconv.Itoa(h.jobs/4)+" FROM executions")); err != nil {
			return f, err
		}
		owns := "SELECT 1 FROM active_executions WHERE owner = " + strconv.FormatInt(victim.id, 10)
		if err := d.stopAtWork(ctx, victim, owns); err != nil {
			return f, err
		}
		victim.kill()
		killed := time.Now()
		if err := d.await(ctx, often, "SELECT NOT EXISTS ("+owns+")"); err != nil {
			return f, err
		}
		adopted := time.Since(killed)
		if err := d.awaitDone(ctx); err != nil {
			return f, err
		}
		if _, err := heir.end(); err != nil {
			return f, err
		}
		var again int
		if err := d.db.QueryRowContext(ctx, "SELECT count(*) FROM executions WHERE attempt > 1").Scan(&again); err != nil {
			return f, err
		}
		// That none is lost or recorded twice is what the verification asks.
		t.add(adopted.Round(time.Millisecond), again, 0, 0)
		return f, nil
	})
	if err != nil {
		return err
	}
	return t.write(c.Out)
}

// stopAtWork stops a replica when it owns executions: between two claims there
// would be nothing to adopt.
func (d *database) stopAtWork(ctx context.Context, c *child, owns string) error {
	for ctx.Err() == nil {
		var working bool
		err := c.cmd.Process.Signal(syscall.SIGSTOP)
		if err == nil {
			err = d.db.QueryRowContext(ctx, "SELECT EXISTS ("+owns+")").Scan(&working)
		}
		if err != nil || working {
			return err
		}
		if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		pause(ctx, often)
	}
	return ctx.Err()
}

// awaitUptime waits until a replica's death is told by its connections: soon
// after the server's start only leases count.
func (d *database) awaitUptime(ctx context.Context) error {
	return d.await(ctx, often, "SELECT pg_postmaster_start_time() < now() - interval '16 seconds'")
}

// awaitDone waits until nothing is due or active.
func (d *database) awaitDone(ctx context.Context) error {
	now := strconv.FormatInt(time.Now().UnixMicro(), 10)
	return d.await(ctx, often, "SELECT NOT EXISTS (SELECT 1 FROM schedules WHERE next_run > 0 AND next_run <= "+now+") AND NOT EXISTS (SELECT 1 FROM active_executions)")
}

// often is the time between two questions where a figure depends on the answer.
const often = 5 * time.Millisecond

// await asks until the answer is true.
func (d *database) await(ctx context.Context, every time.Duration, query string) error {
	for {
		var done bool
		if err := d.db.QueryRowContext(ctx, query).Scan(&done); err != nil || done {
			return err
		}
		pause(ctx, every)
		if ctx.Err() != nil {
			return fmt.Errorf("still not true after a long time: %s", query)
		}
	}
}
