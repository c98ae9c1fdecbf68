package util_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		taskType task.Type
		args     task.Args
		want     string
	}{
		{util.Sleep{}, task.Args{"duration": "1.5s"}, ""},
		{util.Sleep{}, task.Args{"duration": 1.5}, ""},
		{util.Sleep{}, task.Args{"duration": 0.0}, ""},
		{util.Sleep{}, task.Args{"duration": "24h"}, ""},
		{util.Sleep{}, nil, "duration REQUIRED"},
		{util.Sleep{}, task.Args{"duration": "24h1ns"}, "duration OUT_OF_RANGE"},
		{util.Sleep{}, task.Args{"duration": -1.0}, "duration OUT_OF_RANGE"},
		{util.Sleep{}, task.Args{"duration": "5"}, "duration WRONG_TYPE"},
		{util.Sleep{}, task.Args{"duration": true}, "duration WRONG_TYPE"},
		{util.Sleep{}, task.Args{"duration": 1.0, "seconds": 1.0}, "seconds UNKNOWN_FIELD"},
		{util.Noop{}, nil, ""},
		{util.Noop{}, task.Args{}, ""},
		{util.Noop{}, task.Args{"duration": 1.0}, "duration UNKNOWN_FIELD"},
	}
	for _, test := range tests {
		got := ""
		var invalid *job.InvalidError
		if err := task.NewRegistry(test.taskType).Check(test.taskType.Name(), test.args); errors.As(err, &invalid) {
			got = invalid.Violations[0].Field + " " + invalid.Violations[0].Reason
		}
		if got != test.want {
			t.Errorf("%s %v: %q, want %q", test.taskType.Name(), test.args, got, test.want)
		}
	}
}

func TestSleep(t *testing.T) {
	t.Parallel()
	for _, duration := range []any{"1.5s", 1.5} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			out, err := util.Sleep{}.Do(t.Context(), run(task.Args{"duration": duration}))
			if out != nil || err != nil || time.Since(start) != 1500*time.Millisecond {
				t.Errorf("%v, %v after %s", out, err, time.Since(start))
			}
		})
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := &job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "cancelled"}
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		_, err := util.Sleep{}.Do(ctx, run(task.Args{"duration": "24h"}))
		if diff := cmp.Diff(cause, job.FailureOf(err)); diff != "" || time.Since(start) != time.Minute {
			t.Errorf("after %s (-want +got):\n%s", time.Since(start), diff)
		}
	})
}

func TestNoopLogsNothing(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	out, err := util.Noop{}.Do(t.Context(), task.Run{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if out != nil || err != nil || log.Len() > 0 {
		t.Errorf("%v, %v, log %q", out, err, log.String())
	}
	cause := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := (util.Noop{}).Do(ctx, task.Run{}); !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
}

func run(args task.Args) task.Run {
	return task.Run{Args: args, Log: slog.New(slog.DiscardHandler)}
}
