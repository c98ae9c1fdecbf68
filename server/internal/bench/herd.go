package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// figure is what one run cost.
type figure struct {
	usage
	took time.Duration
}

// series are the runs of one way of doing it.
type series struct{ runs []figure }

func (s *series) values(of func(figure) float64) []float64 {
	values := make([]float64, len(s.runs))
	for i, f := range s.runs {
		values[i] = of(f)
	}
	return values
}

// rawWays are the ways of raw SQL: an end after each claim, and on PostgreSQL also
// an end beside the next claim.
func rawWays(server string) (names []string) {
	if names = []string{"raw SQL"}; server != "" {
		names = append(names, "raw SQL, ends beside claims")
	}
	return names
}

// herd measures jobs that are all due at once, the engine and raw SQL in
// turns.
func (c Config) herd(ctx context.Context, server string, jobs int) error {
	t := &table{
		title: fmt.Sprintf("Herd: %d jobs due at once, %s", jobs, databaseName(server)),
		note:  fmt.Sprintf("Median of %d runs [lowest–highest], in turns. CPU in seconds per 100,000 executions.", c.Rounds),
		head:  []string{"", "executions/s", "CPU", "of it program", "of it database"},
	}
	ways := rawWays(server)
	raws := make([]series, len(ways))
	var engines series
	for range c.Rounds {
		for i := range ways {
			raw, err := c.herdOnce(ctx, server, herd{jobs: jobs}, func(ctx context.Context, d *database, h herd) (figure, error) { return runRaw(ctx, d, h, i == 1) })
			if err != nil {
				return fmt.Errorf("%s: %w", ways[i], err)
			}
			raws[i].runs = append(raws[i].runs, raw)
		}
		engine, err := c.herdOnce(ctx, server, herd{jobs: jobs}, c.runEngine)
		if err != nil {
			return fmt.Errorf("engine: %w", err)
		}
		engines.runs = append(engines.runs, engine)
	}
	for i, way := range ways {
		t.compare(jobs, "engine", engines, way, raws[i])
	}
	return t.write(c.Out)
}

// compare adds a row of one series, one of another, and one of their ratio.
func (t *table) compare(jobs int, name string, s series, otherName string, other series) {
	per := 100_000 / float64(jobs)
	columns := []struct {
		of     func(figure) float64
		format string
	}{
		{func(f figure) float64 { return float64(jobs) / f.took.Seconds() }, "%.0f"},
		{func(f figure) float64 { return f.total().Seconds() * per }, "%.2f"},
		{func(f figure) float64 { return f.program.Seconds() * per }, "%.2f"},
		{func(f figure) float64 { return f.database.Seconds() * per }, "%.2f"},
	}
	rows := [3][]any{{name}, {otherName}, {name + " ÷ " + otherName}}
	for _, column := range columns {
		mine, others := s.values(column.of), other.values(column.of)
		ratios := make([]float64, len(mine))
		for i := range mine {
			ratios[i] = mine[i] / others[i]
		}
		rows[0] = append(rows[0], median(mine, column.format))
		rows[1] = append(rows[1], median(others, column.format))
		rows[2] = append(rows[2], median(ratios, "%.2f"))
	}
	for _, row := range rows {
		t.add(row...)
	}
}

// herdOnce makes a database with jobs that are due, lets run do them all, and
// verifies it.
func (c Config) herdOnce(ctx context.Context, server string, h herd, run func(context.Context, *database, herd) (figure, error)) (f figure, err error) {
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	d, err := newDatabase(ctx, server, c.Folder)
	if err != nil {
		return f, err
	}
	defer func() { err = closing(ctx, d, err) }()
	h.instance, h.first, h.distinct = 1, time.Now().Truncate(time.Minute), c.Distinct
	if err := errors.Join(d.durable(ctx), d.insert(ctx, h)); err != nil {
		return f, err
	}
	if f, err = run(ctx, d, h); err != nil {
		return f, err
	}
	return f, d.verify(ctx, h)
}

func runRaw(ctx context.Context, d *database, h herd, beside bool) (f figure, err error) {
	run, done, err := d.rawSQL(ctx, h, beside)
	if err != nil {
		return f, err
	}
	if f, err = measure(ctx, d, run); err != nil {
		return f, err
	}
	return f, done()
}

func (c Config) runEngine(ctx context.Context, d *database, h herd) (f figure, err error) {
	e, err := openEngine(ctx, d.url, c.Places)
	if err != nil {
		return f, err
	}
	f, err = measure(ctx, d, func() error {
		e.start(ctx)
		return e.await(ctx, h.jobs)
	})
	if closed := e.close(); err == nil {
		err = closed
	}
	return f, err
}

// measure tells what run costs.
func measure(ctx context.Context, d *database, run func() error) (f figure, err error) {
	m, err := meterOf(ctx, d)
	if err != nil {
		return f, err
	}
	runtime.GC() // what the preparation left behind is not the run's to clean up
	before, err := m.read()
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := run(); err != nil {
		return f, err
	}
	f.took = time.Since(began)
	after, err := m.read()
	f.usage = after.minus(before)
	return f, err
}
