package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/fserrors"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// maxReasons and maxErrorSamples bound the summary of files that failed.
	maxReasons      = 20
	maxErrorSamples = 5
)

// fileErrors sums up the files that failed, by reason.
type fileErrors map[string]*job.FileErrors

func (f *fileErrors) add(r job.FileRecord) {
	if *f == nil {
		*f = fileErrors{}
	}
	sum := (*f)[r.Reason]
	if sum == nil {
		if len(*f) == maxReasons {
			return
		}
		sum = &job.FileErrors{Reason: r.Reason, Message: r.Message}
		(*f)[r.Reason] = sum
	}
	sum.Count++
	if len(sum.Samples) < maxErrorSamples {
		sum.Samples = append(sum.Samples, r.Path)
	}
}

func (f fileErrors) list() []job.FileErrors {
	list := make([]job.FileErrors, 0, len(f))
	for _, sum := range f {
		list = append(list, *sum)
	}
	slices.SortFunc(list, func(a, b job.FileErrors) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

// outcome is what is known at the end.
func (e *engine) outcome() Outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Outcome{Result: e.result, FileErrors: e.errors.list(), Root: e.root, Listing: e.listing}
}

// tell counts what became of a file and passes it on.
func (e *engine) tell(r job.FileRecord) {
	r.Remote = e.Dest.String()
	e.count(r)
	if e.OnFile != nil {
		e.say(func() { e.OnFile(e.ctx, r) })
	}
}

func (e *engine) count(r job.FileRecord) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch r.State {
	case job.FileSkipped:
		e.result.Skipped++
		return
	case job.FileFailed:
		e.result.Failed++
		e.errors.add(r)
		return
	case job.FileUnknown:
		return
	}
	switch r.Action {
	case job.FileCopy:
		e.result.Copied++
		e.result.Bytes += max(r.Size, 0)
	case job.FileUpdate:
		e.result.Updated++
		e.result.Bytes += max(r.Size, 0)
	case job.FileDelete:
		e.result.Deleted++
	case job.FileConflict:
		e.result.Conflicts++
		e.result.Bytes += max(r.Size, 0)
	}
}

// failed tells of a file that could not be changed.
func (e *engine) failed(action job.FileAction, path string, size int64, err error) {
	r := job.FileRecord{Action: action, State: job.FileFailed, Path: path, Size: size, Reason: reasonOf(err), Message: e.text(err)}
	if e.ended() != nil {
		r.State, r.Reason, r.Message = job.FileUnknown, job.ReasonCancelled, endedMeanwhile
	}
	e.tell(r)
}

// leave counts files that are as they should be.
func (e *engine) leave(n int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.result.Skipped += n
}

// expect counts what is to be done.
func (e *engine) expect(files, bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.result.TotalFiles += files
	e.result.TotalBytes += bytes
}

func (e *engine) counts() Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.result
}

// report calls OnProgress until it is stopped, and then once more.
func (e *engine) report() (stop func()) {
	if e.OnProgress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var reporting sync.WaitGroup
	reporting.Go(func() {
		ticker := time.NewTicker(e.Progress)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				e.say(func() { e.OnProgress(e.counts()) })
			case <-done:
				return
			}
		}
	})
	return func() { close(done); reporting.Wait(); e.say(func() { e.OnProgress(e.counts()) }) }
}

// verdict decides what a sync ended with. The end of the context comes first:
// the library may report it as success.
func (e *engine) verdict(err error) error {
	if ended := e.ended(); ended != nil {
		return ended
	}
	if step, ok := errors.AsType[*stepError](err); ok {
		return e.explain(step.remote, step.doing, step.err)
	}
	if err != nil {
		return err
	}
	stats := accounting.Stats(e.ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.result.Failed > 0:
		return &job.Failure{Code: "UNKNOWN", Reason: ReasonFilesFailed, Message: e.failedFiles()}
	case stats.GetErrors() > 0:
		return &job.Failure{Code: "UNKNOWN", Reason: ReasonRemoteFailed,
			Message: fmt.Sprintf("sync %s to %s: %s", e.Source, e.Dest, e.text(stats.GetLastError()))}
	}
	return nil
}

// failedFiles is the text about the files that failed; e.mu is held.
func (e *engine) failedFiles() string {
	nothing := ""
	if e.Mode != Copy && e.result.Deleted == 0 {
		nothing = ", so nothing was deleted"
	}
	first := e.errors.list()[0]
	if e.result.Failed == 1 {
		return fmt.Sprintf("1 file failed%s: %q: %s", nothing, first.Samples[0], first.Message)
	}
	return fmt.Sprintf("%d files failed%s; the first: %q: %s", e.result.Failed, nothing, first.Samples[0], first.Message)
}

// again repeats a step that failed for a reason that may pass.
func (e *engine) again(ctx context.Context, step func() error) error {
	for try := 1; ; try++ {
		err := step()
		if err == nil || try == tries || ctx.Err() != nil || !retryable(err) || !pause(ctx, e.Pause) {
			return err
		}
		e.log.InfoContext(e.ctx, "trying again", "error", e.text(err))
	}
}

func retryable(err error) bool {
	if _, ours := errors.AsType[*job.Failure](err); ours {
		return false
	}
	return !errors.Is(err, fs.ErrorDirNotFound) && !errors.Is(err, fs.ErrorIsFile) && !refused(err) && !fserrors.IsFatalError(err) &&
		!fserrors.IsNoRetryError(err) && !fserrors.IsNoLowLevelRetryError(err)
}
