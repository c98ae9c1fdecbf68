package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/filter"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/hash"

	"github.com/pointscene/carillon/server/internal/job"
)

// Mode says what a sync does with files that only the destination has.
type Mode string

// The modes of a sync.
const (
	// Mirror deletes them.
	Mirror Mode = "mirror"
	// Copy leaves them.
	Copy Mode = "copy"
)

const (
	// tries is how often a listing or a file is tried, above what the library
	// does within one try.
	tries = 3
	// DefaultPause is how long the next try of what failed waits.
	DefaultPause = 2 * time.Second
	// DefaultProgress is how often OnProgress is called.
	DefaultProgress = 30 * time.Second
)

// Request says what to make alike.
type Request struct {
	// Source and Dest were opened by this session.
	Source, Dest *Remote
	Mode         Mode
	// Include and Exclude are rclone's filter patterns; see CheckFilter.
	Include, Exclude []string
	// MaxDelete limits a mirror.
	MaxDelete DeleteLimit
	// DryRun changes nothing and counts what would be done.
	DryRun bool
	// Checksum compares contents where both sides know a common hash, instead
	// of times.
	Checksum bool
	// OnFile is told of every file that is not left as it is, one at a time.
	OnFile func(FileEvent)
	// OnProgress is told the counts now and then.
	OnProgress func(Result)
	// Pause and Progress replace the defaults.
	Pause, Progress time.Duration
}

// Action is what became of a file.
type Action string

// The actions of file events. Skipped is only for files that can't be synced;
// those that are equal already have no event.
const (
	Copied  Action = "copied"
	Updated Action = "updated"
	Deleted Action = "deleted"
	Skipped Action = "skipped"
	Failed  Action = "failed"
)

// FileEvent says what became of a file.
type FileEvent struct {
	Action Action
	// Path is relative to both folders.
	Path string
	// Size is in bytes; -1 when not known.
	Size int64
	// Reason says why a file was skipped or failed.
	Reason string
}

// Result counts what a sync did, or would do.
type Result struct {
	// Found is how many files the source has.
	Found   int64 `json:"found"`
	Copied  int64 `json:"copied"`
	Updated int64 `json:"updated"`
	Deleted int64 `json:"deleted"`
	// Skipped is how many of the source's files were left as they are: equal
	// already, or none that could be synced.
	Skipped int64 `json:"skipped"`
	Failed  int64 `json:"failed"`
	// Bytes is the size of the files copied and updated.
	Bytes int64 `json:"bytes"`
}

// Sync makes the destination like the source. A mirror changes nothing before
// its whole plan is known and within the limits. Files that fail do not stop
// the others, but then nothing is deleted.
//
// The error is the cause of the context's end, or a *job.Failure; the result
// says what was done until then.
func (s *Session) Sync(r Request) (Result, error) {
	fi, err := newFilter(r.Include, r.Exclude)
	if err != nil {
		return Result{}, fmt.Errorf("filter: %w", err)
	}
	if overlap(r.Source, r.Dest) {
		return Result{}, failure(ReasonOverlap, "%s and %s overlap: one would be synced into itself", r.Source, r.Dest)
	}
	if r.Pause == 0 {
		r.Pause = DefaultPause
	}
	if r.Progress == 0 {
		r.Progress = DefaultProgress
	}
	e := &engine{Session: s, Request: r, filter: fi, src: r.Source.fs, dst: r.Dest.fs}
	e.ctx = e.settings(s.ctx)
	stop := e.report()
	err = e.run()
	stop()
	return e.counts(), e.verdict(err)
}

// engine is one sync.
type engine struct {
	*Session
	Request
	ctx      context.Context
	filter   *filter.Filter
	src, dst fs.Fs

	telling sync.Mutex // held while OnFile is called
	mu      sync.Mutex
	result  Result
	first   FileEvent // the first failure
}

// settings returns the context that the library is called with.
func (e *engine) settings(ctx context.Context) context.Context {
	ctx, ci := fs.AddConfig(ctx)
	ci.CheckSum = e.Checksum
	common := e.src.Hashes().Overlap(e.dst.Hashes())
	if fs.GetModifyWindow(ctx, e.src, e.dst) == fs.ModTimeNotSupported {
		// Else files of equal size count as equal.
		ci.CheckSum = common.Count() > 0
		if common.Count() == 0 {
			e.log.WarnContext(ctx, "only sizes can be compared: a change that keeps a file's size goes unnoticed",
				"source", e.Source.String(), "destination", e.Dest.String())
		}
	} else if e.Checksum && common == hash.Set(hash.None) {
		e.log.WarnContext(ctx, "the two remotes know no common hash: times and sizes are compared",
			"source", e.Source.String(), "destination", e.Dest.String())
		ci.CheckSum = false
	}
	return ctx
}

// run plans and applies.
func (e *engine) run() error {
	var p *plan
	err := e.again(func() (err error) { p, err = e.plan(); return err })
	if err != nil {
		return err
	}
	if e.Mode == Mirror {
		if err := e.guard(p); err != nil {
			return err
		}
	}
	if e.DryRun {
		e.foretell(p)
		return nil
	}
	return e.apply(p)
}

// guard stops a mirror that looks like an accident.
func (e *engine) guard(p *plan) error {
	if p.found == 0 {
		return failure(ReasonSourceEmpty,
			"%s has no files to mirror, so everything at %s would be deleted; nothing was changed", e.Source, e.Dest)
	}
	if n := p.deletions(); !e.MaxDelete.allows(n, p.files) {
		return failure(ReasonMaxDelete,
			"the mirror would delete %d of %d files at %s, maxDelete allows %s; nothing was changed", n, p.files, e.Dest, e.MaxDelete)
	}
	return nil
}

// again repeats a step that failed for a reason that may pass.
func (e *engine) again(step func() error) error {
	for try := 1; ; try++ {
		err := step()
		if err == nil || try == tries || !retryable(err) || !e.pause() {
			return err
		}
		e.log.InfoContext(e.ctx, "trying again", "error", e.text(err))
	}
}

// pause waits for the next try; false when the session ended meanwhile.
func (e *engine) pause() bool {
	timer := time.NewTimer(e.Pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.ctx.Done():
		return false
	}
}

func retryable(err error) bool {
	if _, ours := errors.AsType[*job.Failure](err); ours {
		return false
	}
	return !refused(err) && !fserrors.IsFatalError(err) && !fserrors.IsNoRetryError(err) && !fserrors.IsNoLowLevelRetryError(err)
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
		nothing := ""
		if e.Mode == Mirror && e.result.Deleted == 0 {
			nothing = ", so nothing was deleted"
		}
		return &job.Failure{Code: "UNKNOWN", Reason: ReasonFilesFailed,
			Message: fmt.Sprintf("%d files failed%s; the first: %q: %s", e.result.Failed, nothing, e.first.Path, e.first.Reason)}
	case stats.GetErrors() > 0:
		return &job.Failure{Code: "UNKNOWN", Reason: ReasonRemoteFailed,
			Message: fmt.Sprintf("sync %s to %s: %s", e.Source, e.Dest, e.text(stats.GetLastError()))}
	}
	return nil
}

// event counts an event and passes it on.
func (e *engine) event(ev FileEvent) {
	e.telling.Lock()
	defer e.telling.Unlock()
	e.count(ev)
	if e.OnFile != nil {
		e.OnFile(ev)
	}
}

func (e *engine) count(ev FileEvent) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch ev.Action {
	case Copied:
		e.result.Copied++
		e.result.Bytes += max(ev.Size, 0)
	case Updated:
		e.result.Updated++
		e.result.Bytes += max(ev.Size, 0)
	case Deleted:
		e.result.Deleted++
	case Skipped:
		e.result.Skipped++
	case Failed:
		if e.result.Failed == 0 {
			e.first = ev
		}
		e.result.Failed++
	}
}

// leave counts a file that is as it should be.
func (e *engine) leave() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.result.Skipped++
}

func (e *engine) counts() Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.result
}

// report calls OnProgress until it is stopped.
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
				e.OnProgress(e.counts())
			case <-done:
				return
			}
		}
	})
	return func() { close(done); reporting.Wait() }
}
