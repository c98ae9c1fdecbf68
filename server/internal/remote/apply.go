package remote

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// announceBatch is how many files are announced at once, and gatherFor how
	// long the first of them waits for others.
	announceBatch = 500
	gatherFor     = 20 * time.Millisecond
	// maxAgain bounds how many failed changes are kept to be tried again.
	maxAgain = 5000
)

// start takes what the plan already knows into the result.
func (e *engine) start(p *plan) {
	e.mu.Lock()
	e.result.Found = p.found
	e.mu.Unlock()
	e.leave(p.equal)
	for _, r := range p.events {
		e.tell(r)
	}
}

// foretell tells of the plan as if it was done.
func (e *engine) foretell(p *plan) {
	e.start(p)
	for _, c := range p.changes {
		if c.touch {
			e.leave(1)
			continue
		}
		e.tell(job.FileRecord{Action: c.action(), State: job.FilePlanned, Path: c.src.Remote(), Size: c.src.Size()})
	}
	for _, file := range slices.Concat(p.first, p.deletes) {
		e.tell(job.FileRecord{Action: job.FileDelete, State: job.FilePlanned, Path: file.Remote(), Size: file.Size()})
	}
	if p.overflow || len(p.deletePaths) > 0 {
		e.log.WarnContext(e.ctx, "more files than are named one by one; the counts are of the first", "named", e.counts().TotalFiles)
	}
}

// apply does what the plan says. Deleting comes last, and only when all else
// went well.
func (e *engine) apply(p *plan) error {
	e.start(p)
	// The library's own limit, should the plan be wrong.
	ctx, ci := fs.AddConfig(e.ctx)
	ci.MaxDelete = p.deletions()
	if e.backup != nil {
		// To move a file aside counts as well: the library may copy and delete it.
		ci.MaxDelete += p.deletions() + p.updates.Files
	}
	e.ctx = ctx
	if p.noDest {
		if err := e.makeDest(); err != nil {
			return err
		}
	}
	if e.counts().Failed == 0 {
		if err := e.delete(p.first, nil, p.firstDirs); err != nil {
			return err
		}
	}
	if err := e.change(p); err != nil {
		return err
	}
	if e.counts().Failed > 0 {
		if n := len(p.deletes) + len(p.deletePaths); n > 0 {
			e.log.WarnContext(e.ctx, "nothing is deleted because files failed", "kept", n)
		}
		return nil
	}
	return e.delete(p.deletes, p.deletePaths, p.dirs)
}

// change makes the plan's changes; those that it does not hold are found again.
func (e *engine) change(p *plan) error {
	if p.overflow {
		return e.stream(p)
	}
	return e.changeAgain(p.changes, 1)
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

// stream compares and changes at the same time. planned is nil, or the plan
// that has told all but the changes.
func (e *engine) stream(planned *plan) error {
	ctx, stop := context.WithCancel(e.ctx)
	defer stop()
	queue := make(chan change, 2*announceBatch)
	p := &planner{engine: e, mode: walkStream, to: queue, told: planned != nil}
	var walked error
	var walking sync.WaitGroup
	walking.Go(func() {
		defer close(queue)
		_, walked = p.run(ctx)
	})
	left, err := e.drain(ctx, queue, 1)
	stop()
	walking.Wait()
	if planned == nil {
		e.mu.Lock()
		e.result.Found = p.plan.found
		e.mu.Unlock()
	}
	if err != nil {
		return err
	}
	if walked != nil {
		return walked
	}
	e.root = p.plan.root
	return e.changeAgain(left, 2)
}

// changeAgain copies and updates, and tries again what failed; try is the number
// of the next try.
func (e *engine) changeAgain(changes []change, try int) error {
	for ; len(changes) > 0; try++ {
		if try > 1 {
			e.log.InfoContext(e.ctx, "trying again", "files", len(changes))
			accounting.Stats(e.ctx).ResetErrors()
			if !pause(e.ctx, e.Pause) {
				return e.ended()
			}
		}
		queue := make(chan change, len(changes))
		for _, c := range changes {
			queue <- c
		}
		close(queue)
		var err error
		if changes, err = e.drain(e.ctx, queue, try); err != nil {
			return err
		}
	}
	return nil
}

// drain tries every change of the queue once, and answers those to try
// again. A fatal error, such as a full account, stops the rest.
func (e *engine) drain(ctx context.Context, queue <-chan change, try int) (left []change, err error) {
	var mu sync.Mutex
	keep := func(c change) bool {
		mu.Lock()
		defer mu.Unlock()
		if len(left) == maxAgain {
			return false
		}
		left = append(left, c)
		return true
	}
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan change)
	// Not a goroutine for each file: every one would have to grow its stack.
	for range fs.GetConfig(ctx).Transfers {
		group.Go(func() error {
			for c := range work {
				if err := e.tryOne(ctx, c, try, keep); err != nil {
					return err
				}
			}
			return nil
		})
	}
	announced := e.feed(ctx, queue, work)
	err = group.Wait()
	if ended := e.ended(); ended != nil {
		return nil, ended
	}
	switch {
	case err != nil:
		return nil, &stepError{e.Dest, "sync to", err}
	case announced != nil:
		return nil, announced
	}
	return left, nil
}

// feed announces the changes of the queue and hands them on.
func (e *engine) feed(ctx context.Context, queue <-chan change, work chan<- change) error {
	defer close(work)
	for batch := gather(queue); len(batch) > 0 && ctx.Err() == nil; batch = gather(queue) {
		if err := e.announce(ctx, batch); err != nil {
			return err
		}
		for _, c := range batch {
			select {
			case work <- c:
			case <-ctx.Done():
				return nil
			}
		}
	}
	return nil
}

// tryOne makes a change. What can be tried again is given to keep, unless that
// has no room. Only a fatal error is one.
func (e *engine) tryOne(ctx context.Context, c change, try int, keep func(change) bool) error {
	if ctx.Err() != nil {
		return nil
	}
	err := e.changeOne(ctx, c)
	if err == nil {
		return nil
	}
	fatal := fserrors.IsFatalError(err)
	changed := reasonOf(err) == ReasonFileChanged
	if changed && try < tries { // as it is now, it may be left alone
		if now, err := lookAgain(ctx, c.src); err == nil {
			c.src = now
		}
	}
	if fatal || try == tries || !changed && !retryable(err) || e.ended() != nil || !keep(c) {
		e.failed(c.action(), c.src.Remote(), c.src.Size(), err)
	}
	if fatal {
		return err
	}
	return nil
}

// lookAgain looks at a file as it is now.
func lookAgain(ctx context.Context, file fs.Object) (fs.Object, error) {
	f, ok := file.Fs().(fs.Fs)
	if !ok {
		return nil, fs.ErrorObjectNotFound
	}
	return f.NewObject(ctx, file.Remote())
}

// gather takes the next changes, none at the end of the queue.
func gather(queue <-chan change) (batch []change) {
	first, open := <-queue
	if !open {
		return nil
	}
	batch = append(batch, first)
	late := time.NewTimer(gatherFor)
	defer late.Stop()
	for len(batch) < announceBatch {
		select {
		case c, open := <-queue:
			if !open {
				return batch
			}
			batch = append(batch, c)
		case <-late.C:
			return batch
		}
	}
	return batch
}

// announce tells of changes before they are made.
func (e *engine) announce(ctx context.Context, batch []change) error {
	if e.Announce == nil {
		return nil
	}
	records := make([]job.FileRecord, 0, len(batch))
	for _, c := range batch {
		if !c.touch {
			records = append(records, job.FileRecord{Remote: e.Dest.String(), Action: c.action(), Path: c.src.Remote(), Size: c.src.Size()})
		}
	}
	if len(records) == 0 {
		return nil
	}
	return e.Announce(ctx, records)
}

// changeOne copies or updates one file.
func (e *engine) changeOne(ctx context.Context, c change) error {
	if c.touch && !operations.NeedTransfer(ctx, c.dst, c.src) {
		e.leave(1)
		return nil
	}
	if c.twin {
		e.single.Lock()
		defer e.single.Unlock()
		if taken, err := hasFile(ctx, e.dst, c.src.Remote()); taken || err != nil {
			return e.skipTwin(c, err)
		}
	}
	defer e.changing(job.FileRecord{Action: c.action(), Path: c.src.Remote(), Size: c.src.Size()})()
	there := c.dst
	if there != nil && e.backup != nil {
		if err := e.putAside(ctx, there); err != nil {
			return err
		}
		there = nil
	}
	made, err := e.copyFile(ctx, e.dst, there, c.src.Remote(), c.src)
	if err != nil {
		return err
	}
	size := c.src.Size()
	if size < 0 && made != nil {
		size = made.Size()
	}
	e.tell(job.FileRecord{Action: c.action(), State: job.FileDone, Path: c.src.Remote(), Size: size})
	return nil
}
