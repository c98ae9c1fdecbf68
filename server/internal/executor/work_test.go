package executor_test

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// Tasks of one execution share a directory, which is gone before its end is
// stored, however it ends.
func TestWorkDirectory(t *testing.T) {
	t.Parallel()
	leave := func(_ context.Context, run task.Run) (task.Output, error) {
		file, err := run.Work.Create()
		if err != nil {
			return nil, err
		}
		return nil, file.Commit("a", time.Now())
	}
	tests := map[string]struct {
		second func(context.Context, task.Run) (task.Output, error)
		want   job.State
	}{
		"success": {func(_ context.Context, run task.Run) (task.Output, error) {
			files, err := run.Work.Files()
			if err == nil {
				_, err = files.Stat("a")
			}
			return nil, err
		}, job.StateSucceeded},
		"failure": {func(context.Context, task.Run) (task.Output, error) { return nil, away() }, job.StateFailed},
		"panic":   {func(context.Context, task.Run) (task.Output, error) { panic("boom") }, job.StateFailed},
		"cancel": {func(ctx context.Context, _ task.Run) (task.Output, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}, job.StateCancelled},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, b *bench) {
				b.hook["a"], b.hook["b"] = leave, test.second
				b.Submit([]store.Claimed{claim(1, `{"tasks":[{"name":"a","type":"test.hook"},{"name":"b","type":"test.hook","inputs":"a"}]}`)})
				if name == "cancel" {
					synctest.Wait()
					if left, _ := os.ReadDir(b.work); len(left) != 1 {
						t.Errorf("while it runs there are %d directories", len(left))
					}
					b.Cancel(1)
				}
				if f := <-b.store.ends; f.State != test.want {
					t.Errorf("%s: %v", f.State, f.Error)
				}
				if left, _ := os.ReadDir(b.work); len(left) != 0 {
					t.Errorf("left %v", left)
				}
			})
		})
	}
}
