package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// idle measures a replica that finds nothing due.
func (c Config) idle(ctx context.Context, d *database) error {
	e, err := openEngine(ctx, d.url, c.Places)
	if err != nil {
		return err
	}
	e.start(ctx)
	pause(ctx, time.Second)
	f, err := measure(ctx, d, func() error { pause(ctx, c.For); return ctx.Err() })
	if closed := e.close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	t := &table{
		title: fmt.Sprintf("Idle: %d jobs stored, none due, for %s, %s", c.Others, c.For, d.name()),
		note:  "A look is the call that finds nothing due, round trip included. CPU is that of a replica without doors: looks, lease, burials.",
		head:  []string{"looks", "p50", "p99", "max", "CPU of one core", "of it program", "of it database"},
	}
	t.add(len(e.looks), ms(quantile(e.looks, .5)), ms(quantile(e.looks, .99)), ms(quantile(e.looks, 1)),
		core(f.total(), f.took), core(f.program, f.took), core(f.database, f.took))
	return t.write(c.Out)
}

// program measures the whole program with nothing to do.
func (c Config) program(ctx context.Context, server string) error {
	return c.with(ctx, server, c.idleProgram)
}

// settle is how long after its start a program is left alone.
const settle = 3 * time.Second

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
