package executor_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

func TestFilesAreRecordedWhateverTheDatabaseDoes(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		away := &job.UnavailableError{Message: "database away"}
		b.store.filesErrs = []error{away, away, nil, away, away, away}
		const n = 1200
		b.hook["a"] = func(ctx context.Context, run task.Run) (task.Output, error) {
			var files []job.FileRecord
			for i := range n {
				files = append(files, job.FileRecord{Remote: "b:/", Action: job.FileCopy, Path: fmt.Sprintf("%d\x00\xff", i)})
			}
			if err := run.Files.Announce(ctx, files); err != nil {
				return nil, err
			}
			for _, f := range files[1:] {
				f.State = job.FileDone
				run.Files.Done(ctx, f)
			}
			return nil, nil
		}
		b.Submit([]store.Claimed{claim(1, oneHook)})
		if f := <-b.store.ends; f.State != job.StateSucceeded {
			t.Fatalf("%s, %v", f.State, f.Error)
		}
		if len(b.store.files) != n-1 || len(b.store.settled) != 1 {
			t.Fatalf("%d records, %d settled", len(b.store.files), len(b.store.settled))
		}
		if got := b.store.files[0]; got.Path != "1\uFFFD\uFFFD" || got.Task != "a" || got.Attempt != 1 || got.At.IsZero() {
			t.Errorf("record %+v", got)
		}
	})
}

func TestStaleRecordEndsTheTask(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.store.filesErrs = []error{store.ErrStale}
		ended := make(chan error, 1)
		b.hook["a"] = func(ctx context.Context, run task.Run) (task.Output, error) {
			err := run.Files.Announce(ctx, []job.FileRecord{{Path: "a"}})
			ended <- ctx.Err()
			return nil, err
		}
		b.Submit([]store.Claimed{claim(1, oneHook)})
		if err := <-ended; err == nil {
			t.Error("the task's context goes on")
		}
		synctest.Wait()
		if len(b.store.ends) != 0 {
			t.Error("an end was stored")
		}
	})
}

// A secret is masked before a message is cut: a part of one is not found.
func TestMessagesAreMaskedBeforeTheyAreCut(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, b *bench) {
		b.hook["a"] = func(ctx context.Context, run task.Run) (task.Output, error) {
			run.Files.Done(ctx, job.FileRecord{Remote: "b:/", Path: "a", State: job.FileFailed, Message: strings.Repeat("x", 1000-len(secret)/2) + secret})
			return nil, nil
		}
		b.Submit([]store.Claimed{claim(1, oneHook)})
		<-b.store.ends
		if got := b.store.files[0].Message; strings.Contains(got, secret[:4]) || len(got) > 1000+len("…") {
			t.Errorf("the message has %d bytes and ends in %q", len(got), got[len(got)-20:])
		}
	})
}
