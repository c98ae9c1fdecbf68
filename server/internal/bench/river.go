package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// river measures a herd beside River, which inserts and works as many jobs, on
// the same server in turns.
func (c Config) river(ctx context.Context, server string) error {
	if c.River == "" {
		return nil
	}
	jobs := c.Herds[len(c.Herds)-1]
	t := &table{
		title: fmt.Sprintf("River: %d jobs, %s", jobs, databaseName(server)),
		note: fmt.Sprintf("Median of %d runs [lowest–highest], in turns. CPU in seconds per 100,000 executions. "+
			"River inserts its jobs and works them, as each of them runs once; it keeps one row for a job.", c.Rounds),
		head: []string{"", "executions/s", "CPU", "of it program", "of it database"},
	}
	var engines, rivers series
	for range c.Rounds {
		engine, err := c.herdOnce(ctx, server, herd{jobs: jobs}, c.runEngine)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		river, err := c.riverOnce(ctx, server, jobs)
		if err != nil {
			return fmt.Errorf("river: %w", err)
		}
		engines.runs, rivers.runs = append(engines.runs, engine), append(rivers.runs, river)
	}
	t.compare(jobs, "engine", engines, "River", rivers)
	return t.write(c.Out)
}

func (c Config) riverOnce(ctx context.Context, server string, jobs int) (f figure, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return f, err
	}
	defer func() { err = closing(ctx, d, err) }()
	program, err := startProgram(ctx, d, c.River, strconv.Itoa(jobs))
	if err != nil {
		return f, err
	}
	defer program.kill()
	var ready string
	if _, err := fmt.Fscanln(program.out, &ready); err != nil {
		return f, fmt.Errorf("wait for it: %w", err)
	}
	if _, err := d.db.ExecContext(ctx, "CHECKPOINT"); err != nil {
		return f, err
	}
	var used time.Duration
	f, err = measure(ctx, d, func() error {
		begun := program.begin()
		_, err := fmt.Fscanln(program.out, &used)
		return errors.Join(begun, err)
	})
	f.program = used
	return f, err
}
