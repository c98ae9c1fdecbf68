// Package util holds the task types util.sleep and util.noop, for trying
// schedules and for measuring.
//
// Rules:
//   - util.sleep takes duration, a Go duration ("1.5s") or a number of
//     seconds, from 0 to 24h, and ends at once when its context does.
//   - util.noop takes nothing, does nothing and logs nothing, so that what is
//     measured is the engine.
package util

import (
	"context"
	_ "embed" // the schemas
	"log/slog"
	"time"

	"github.com/pointscene/carillon/server/internal/task"
)

const maxSleep = 24 * time.Hour

// Sleep is the task type util.sleep.
type Sleep struct{}

var _ task.Type = Sleep{}

//go:embed sleep.schema.json
var sleepSchema []byte

// Name implements task.Type.
func (Sleep) Name() string { return "util.sleep" }

// Schema implements task.Type.
func (Sleep) Schema() []byte { return sleepSchema }

// Check implements task.Type.
func (Sleep) Check(args task.Args) error {
	_, err := readDuration(args)
	return err
}

// Resources implements task.Type: none.
func (Sleep) Resources(task.Args) []task.ResourceRef { return nil }

// Do waits. It has no output.
func (Sleep) Do(ctx context.Context, run task.Run) (task.Output, error) {
	duration, err := readDuration(run.Args)
	if err != nil {
		return nil, err
	}
	run.Log.InfoContext(ctx, "sleeping", slog.String("duration", duration.String()))
	select {
	case <-time.After(duration):
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func readDuration(args task.Args) (time.Duration, error) {
	r := task.Read(args)
	duration := r.Duration("duration", 0, maxSleep)
	return duration, r.Done()
}

// Noop is the task type util.noop.
type Noop struct{}

var _ task.Type = Noop{}

//go:embed noop.schema.json
var noopSchema []byte

// Name implements task.Type.
func (Noop) Name() string { return "util.noop" }

// Schema implements task.Type.
func (Noop) Schema() []byte { return noopSchema }

// Check implements task.Type: the schema says it all.
func (Noop) Check(task.Args) error { return nil }

// Resources implements task.Type: none.
func (Noop) Resources(task.Args) []task.ResourceRef { return nil }

// Do does nothing but to look at the context.
func (Noop) Do(ctx context.Context, _ task.Run) (task.Output, error) {
	return nil, context.Cause(ctx)
}
