package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// riverWays are the ways in which River runs, from that of its own benchmark to
// the most that can be given to it.
var riverWays = []struct {
	name string
	args []string
}{
	{"River", []string{"InsertMany", "100"}},
	{"River, GOGC=400", []string{"InsertMany", "400"}},
	{"River, GOGC=400, COPY", []string{"InsertManyFast", "400"}},
}

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
			"River inserts its jobs and works them, as each of them runs once; it keeps one row for a job. "+
			"Once as in its own benchmark, once with the engine's setting of the garbage collector, and once inserting by COPY, too.", c.Rounds),
		head: []string{"", "executions/s", "CPU", "of it program", "of it database"},
	}
	var engines series
	rivers := make([]series, len(riverWays))
	for range c.Rounds {
		engine, err := c.herdOnce(ctx, server, herd{jobs: jobs}, c.runEngine)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		engines.runs = append(engines.runs, engine)
		for i, way := range riverWays {
			river, err := c.riverOnce(ctx, server, jobs, way.args)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			rivers[i].runs = append(rivers[i].runs, river)
		}
	}
	for i, way := range riverWays {
		t.compare(jobs, "engine", engines, way.name, rivers[i])
	}
	return t.write(c.Out)
}

func (c Config) riverOnce(ctx context.Context, server string, jobs int, way []string) (f figure, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return f, err
	}
	defer func() { err = closing(ctx, d, err) }()
	program, err := startProgram(ctx, d, append([]string{c.River, strconv.Itoa(jobs)}, way...)...)
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
