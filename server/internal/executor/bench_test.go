package executor_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/util"
)

// accept is a store that takes every end.
type accept struct{ executor.Store }

func (accept) Finish(context.Context, []store.Finish) ([]int64, error) { return nil, nil }

func (accept) ExpireApprovals(context.Context, time.Time, int, job.Failure) ([]int64, error) {
	return nil, nil
}

// BenchmarkExecutions is what an execution costs between its claim and the
// statement that stores its end.
func BenchmarkExecutions(b *testing.B) {
	folder, err := executionlog.FolderURL(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	logs, err := executionlog.Open(b.Context(), folder, executionlog.Options{})
	if err != nil {
		b.Fatal(err)
	}
	const places = 1000
	e := executor.New(executor.Options{
		Store: accept{}, Types: task.NewRegistry(util.Noop{}), Logs: logs,
		Configs:        func(int64, int64, func(...string)) task.Configs { return nil },
		CheckResources: func(context.Context, int64, []task.ResourceRef) error { return nil },
		Now:            time.Now, Owner: func() int64 { return 0 }, Places: places, PerInstance: places, ReportAfter: time.Second, Metrics: ignore{}, Log: slog.New(slog.DiscardHandler),
	})
	e.Start()
	due := time.Now()
	b.ReportAllocs()
	b.ResetTimer()
	for id := 0; id < b.N; {
		room := e.Room()
		batch := make([]store.Claimed, min(e.Free(), b.N-id))
		for i := range batch {
			id++
			batch[i] = store.Claimed{
				ExecutionID: int64(id), JobID: int64(id), InstanceID: 1, Trigger: job.TriggerSchedule, NotBefore: due, Attempt: 1, Fence: 1,
				Workflow: []byte(noop), Policies: job.Policies{}.WithDefaults(),
			}
		}
		if len(batch) > 0 {
			e.Submit(batch)
		} else {
			<-room
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	e.Drain(ctx, time.Second)
}
