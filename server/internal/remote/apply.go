package remote

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"
)

// start takes what the plan already knows into the result.
func (e *engine) start(p *plan) {
	e.mu.Lock()
	e.result.Found = p.found
	e.result.Skipped = p.equal
	e.mu.Unlock()
	for _, ev := range p.events {
		e.event(ev)
	}
}

// foretell tells of the plan as if it was done.
func (e *engine) foretell(p *plan) {
	e.start(p)
	for _, c := range p.changes {
		if c.touch {
			e.leave()
			continue
		}
		e.event(c.event(c.src.Size()))
	}
	for _, file := range slices.Concat(p.first, p.deletes) {
		e.event(FileEvent{Action: Deleted, Path: file.Remote(), Size: file.Size()})
	}
}

// apply does what the plan says. Deleting comes last, and only when all else
// went well.
func (e *engine) apply(p *plan) error {
	e.start(p)
	// The library's own limit, should the plan be wrong.
	ctx, ci := fs.AddConfig(e.ctx)
	ci.MaxDelete = p.deletions()
	e.ctx = ctx
	if p.noDest {
		if err := e.makeDest(); err != nil {
			return err
		}
	}
	if e.counts().Failed == 0 {
		if err := e.delete(p.first, p.firstDirs); err != nil {
			return err
		}
	}
	if err := e.changeAll(p.changes); err != nil {
		return err
	}
	if e.counts().Failed > 0 {
		if len(p.deletes) > 0 {
			e.log.WarnContext(e.ctx, "nothing is deleted because files failed", "kept", len(p.deletes))
		}
		return nil
	}
	return e.delete(p.deletes, p.dirs)
}

// makeDest makes the destination's folder.
func (e *engine) makeDest() error {
	if err := operations.Mkdir(e.ctx, e.dst, ""); err != nil {
		return &stepError{e.Dest, "make the folder", err}
	}
	if !e.dst.Features().BucketBased {
		return nil
	}
	// A missing bucket stays missing: buckets are not ours to create.
	if _, err := e.dst.List(e.ctx, ""); errors.Is(err, fs.ErrorDirNotFound) {
		return failure(ReasonDestMissing, "%s does not exist: create the bucket first", e.Dest)
	}
	return nil
}

// failed is a change that may work at the next try.
type failed struct {
	change
	err error
}

// changeAll copies and updates, and tries again what failed.
func (e *engine) changeAll(changes []change) error {
	for try := 1; len(changes) > 0; try++ {
		failures, err := e.changeOnce(changes)
		if err != nil {
			return err
		}
		changes = changes[:0]
		for _, f := range failures {
			if try < tries && retryable(f.err) {
				changes = append(changes, f.change)
				continue
			}
			e.event(FileEvent{Action: Failed, Path: f.src.Remote(), Size: f.src.Size(), Reason: e.text(f.err)})
		}
		if len(changes) == 0 {
			break
		}
		e.log.InfoContext(e.ctx, "trying again", "files", len(changes), "error", e.text(failures[0].err))
		accounting.Stats(e.ctx).ResetErrors()
		if !e.pause() {
			return e.ended()
		}
	}
	return nil
}

// changeOnce tries every change once. A fatal error, such as a full account,
// stops the rest.
func (e *engine) changeOnce(changes []change) ([]failed, error) {
	var mu sync.Mutex
	var failures []failed
	group, ctx := errgroup.WithContext(e.ctx)
	group.SetLimit(fs.GetConfig(e.ctx).Transfers)
	for _, c := range changes {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := e.change(c)
			if err == nil || ctx.Err() != nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			failures = append(failures, failed{c, err})
			if fserrors.IsFatalError(err) {
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	if ended := e.ended(); ended != nil {
		return nil, ended
	}
	if err != nil {
		return nil, &stepError{e.Dest, "sync to", err}
	}
	return failures, nil
}

// change copies or updates one file.
func (e *engine) change(c change) error {
	if c.touch && !operations.NeedTransfer(e.ctx, c.dst, c.src) {
		e.leave()
		return nil
	}
	made, err := operations.Copy(e.ctx, e.dst, c.dst, c.src.Remote(), c.src)
	if err != nil {
		return err
	}
	size := c.src.Size()
	if size < 0 && made != nil {
		size = made.Size()
	}
	e.event(c.event(size))
	return nil
}

// event is what is told of a change that was made.
func (c change) event(size int64) FileEvent {
	action := Copied
	if c.dst != nil {
		action = Updated
	}
	return FileEvent{Action: action, Path: c.src.Remote(), Size: size}
}

// delete deletes files, and then the folders that are empty by that.
func (e *engine) delete(files []fs.Object, dirs []string) error {
	group := errgroup.Group{}
	group.SetLimit(checkers)
	for _, file := range files {
		if e.ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			err := operations.DeleteFile(e.ctx, file)
			switch {
			case err == nil:
				e.event(FileEvent{Action: Deleted, Path: file.Remote(), Size: file.Size()})
			case e.ctx.Err() == nil:
				e.event(FileEvent{Action: Failed, Path: file.Remote(), Size: file.Size(), Reason: "delete: " + e.text(err)})
			}
			return nil
		})
	}
	_ = group.Wait()
	if ended := e.ended(); ended != nil {
		return ended
	}
	// The deepest first. What is not empty holds files that the filter hides.
	slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, dir := range dirs {
		if err := operations.TryRmdir(e.ctx, e.dst, dir); err != nil {
			e.log.DebugContext(e.ctx, "folder kept", "path", dir, "error", e.text(err))
		}
		if ended := e.ended(); ended != nil {
			return ended
		}
	}
	return nil
}
