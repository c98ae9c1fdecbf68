package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// idle measures a replica that finds nothing due.
func (c Config) idle(ctx context.Context, d *database) error {
	e, err := openEngine(ctx, d.url, c.Places)
	if err != nil {
		return err
	}
	e.start(ctx)
	pause(ctx, settle)
	e.takeLooks()
	f, err := measure(ctx, d, func() error { pause(ctx, c.For); return ctx.Err() })
	looks := e.takeLooks()
	if closed := e.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	inside, err := d.lookTimes(ctx)
	if err != nil {
		return err
	}
	t := &table{
		title: fmt.Sprintf("Idle: %d jobs stored, none due, for %s, %s", c.Others, c.For, d.name()),
		note: "A look is the call that finds nothing due, round trip included, or the execution of its statement in the database alone, as EXPLAIN ANALYZE tells it. " +
			"CPU is that of a replica without doors: looks, lease, burials. What a connection costs once, before, is not in it.",
		head: []string{"", "looks", "p50", "p99", "max", "CPU of one core", "of it program", "of it database"},
	}
	t.add("round trip", len(looks), ms(quantile(looks, .5)), ms(quantile(looks, .99)), ms(quantile(looks, 1)),
		core(f.total(), f.took), core(f.program, f.took), core(f.database, f.took))
	if len(inside) > 0 {
		t.add("database", len(inside), ms(quantile(inside, .5)), ms(quantile(inside, .99)), ms(quantile(inside, 1)), "", "", "")
	}
	return t.write(c.Out)
}

// explained is how many looks PostgreSQL is asked to explain.
const explained = 30

// lookTimes is how long the statement of a look takes within PostgreSQL, planned
// once, as it is for a replica; SQLite has no server to ask. Between two of them
// the server rests, as between two looks.
func (d *database) lookTimes(ctx context.Context) (times []time.Duration, err error) {
	if !d.postgres {
		return nil, nil
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	for _, statement := range []string{"SET enable_seqscan = off", "PREPARE look AS " + entstore.HotPath.Look, "EXECUTE look"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	for range explained {
		pause(ctx, time.Second)
		var plans []struct {
			Planning  float64 `json:"Planning Time"`
			Execution float64 `json:"Execution Time"`
		}
		if err := conn.QueryRow(ctx, "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) EXECUTE look").Scan(&plans); err != nil {
			return nil, err
		}
		times = append(times, time.Duration((plans[0].Planning+plans[0].Execution)*float64(time.Millisecond)))
	}
	return times, nil
}

// program measures the whole program with nothing to do.
func (c Config) program(ctx context.Context, server string) error {
	return c.with(ctx, server, c.idleProgram)
}

// settle is how long after its start a replica is left alone: it looks for dead
// ones five times a second until it knows that it is the only one.
const settle = 25 * time.Second

// idleProgram measures the whole program's start, and what it needs while
// nothing is due and nobody calls.
func (c Config) idleProgram(ctx context.Context, d *database) (err error) {
	if c.Server == "" {
		return nil
	}
	var jobs int
	if err := d.db.QueryRowContext(ctx, "SELECT count(*) FROM jobs").Scan(&jobs); err != nil {
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
	pause(ctx, settle)
	before, err := s.used()
	if err != nil {
		return err
	}
	f, err := measure(ctx, d, func() error { pause(ctx, c.For); return ctx.Err() })
	if err != nil {
		return err
	}
	after, err := s.used()
	if err != nil {
		return err
	}
	f.program = after - before
	t := &table{
		title: fmt.Sprintf("The whole program with nothing to do: %d jobs stored, for %s, %s", jobs, c.For, d.name()),
		note:  "Ready: from its start until it says that it is. CPU with all that runs by itself: looks, lease, burials, doctor, retention.",
		head:  []string{"ready after", "memory (RSS)", "CPU of one core", "of it program", "of it database"},
	}
	t.add(ms(s.ready), memory(s.cmd.Process.Pid, "VmRSS"), core(f.total(), f.took), core(f.program, f.took), core(f.database, f.took))
	return t.write(c.Out)
}
