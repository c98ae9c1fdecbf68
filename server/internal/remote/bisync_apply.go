package remote

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"

	"github.com/pointscene/carillon/server/internal/job"
)

// apply makes the changes, deletions last and only if all else went well.
func (t *twoWay) apply() error {
	// The library's own limit, should the plan be wrong.
	ctx, ci := fs.AddConfig(t.ctx)
	ci.MaxDelete = t.plan.deletions() + t.plan.clashes.Files // a version set aside may be copied and deleted
	t.ctx = ctx
	if t.b.files == 0 {
		if err := t.makeDest(); err != nil {
			return err
		}
	}
	first, late := apart(t.changes)
	if err := t.each(first, fs.GetConfig(t.ctx).Transfers, t.carry); err != nil {
		return err
	}
	if err := t.each(late, 1, t.carryLate); err != nil {
		return err
	}
	if t.counts().Failed > 0 {
		if len(t.deletes) > 0 {
			t.log.WarnContext(t.ctx, "nothing is deleted because files failed", "kept", len(t.deletes))
		}
		return nil
	}
	emptied := map[*side]map[string]bool{t.a: {}, t.b: {}}
	for _, f := range t.deletes {
		for dir := path.Dir(f.dst.Remote()); dir != "."; dir = path.Dir(dir) {
			emptied[f.to][dir] = true
		}
	}
	if err := t.each(t.deletes, fs.GetConfig(t.ctx).Checkers, t.remove); err != nil {
		return err
	}
	for _, s := range []*side{t.a, t.b} {
		t.removeDirs(s.fs, slices.Collect(maps.Keys(emptied[s])))
	}
	return t.ended()
}

// each does something with every change, announced before.
func (t *twoWay) each(flows []flow, atOnce int, do func(flow) error) error {
	group := errgroup.Group{}
	group.SetLimit(atOnce)
	for batch := range slices.Chunk(flows, announceBatch) {
		records := make([]job.FileRecord, len(batch))
		for i, f := range batch {
			records[i] = job.FileRecord{Remote: t.Dest.String(), Action: f.action, Path: f.name(), Size: f.size()}
		}
		if t.Announce != nil {
			if err := t.Announce(t.ctx, records); err != nil {
				return errors.Join(err, group.Wait())
			}
		}
		for i, f := range batch {
			if t.ctx.Err() != nil {
				break
			}
			batch[i].src, batch[i].dst = nil, nil
			group.Go(func() error {
				defer t.changing(job.FileRecord{Action: f.action, Path: f.name(), Size: f.size()})()
				if err := t.try(f, do); err != nil {
					t.after.keep(f.key)
					t.failed(f.action, f.name(), f.size(), err)
				}
				return nil
			})
		}
	}
	_ = group.Wait() // it has no errors: they are told file by file
	return t.ended()
}

// try does something with a change, and tries again what failed; a conflict
// that was not told is mended by the next sync.
func (t *twoWay) try(f flow, do func(flow) error) error {
	if f.action == job.FileConflict {
		return do(f)
	}
	err := t.again(t.ctx, func() error { return do(f) })
	if err == nil {
		accounting.Stats(t.ctx).ResetErrors() // of earlier tries; what failed is counted
	}
	return err
}

// carry copies, updates, or keeps both versions of a file.
func (t *twoWay) carry(f flow) error {
	if f.action == job.FileConflict {
		return t.keepBoth(f)
	}
	there, err := t.untouched(f)
	if err != nil {
		return err
	}
	made, err := t.copyFile(t.ctx, f.to.fs, there, f.src.Remote(), f.src)
	if err != nil {
		return err
	}
	t.remember(f.key, f.to, f.src, made)
	t.tell(job.FileRecord{Action: f.action, State: job.FileDone, Path: f.name(), Size: f.size(), Message: "to " + f.to.remote.String()})
	return nil
}

// untouched is what is to be overwritten or deleted, nil when it is gone, as it
// is now: it must be as it was listed, which may be hours ago.
func (t *twoWay) untouched(f flow) (fs.Object, error) {
	if f.dst == nil {
		return nil, nil
	}
	now, err := lookAgain(t.dry, f.dst)
	switch {
	case errors.Is(err, fs.ErrorObjectNotFound):
		return nil, nil
	case err == nil && version(t.dry, now) != version(t.dry, f.dst):
		return nil, failure(ReasonFileChanged, "it was changed at %s while the sync ran; the next one looks again", f.to.remote)
	}
	return now, err
}

// remember notes that made, at side to, is equal to src.
func (t *twoWay) remember(key string, to *side, src, made fs.Object) {
	a, b := version(t.dry, src), version(t.dry, made)
	if to == t.a {
		a, b = b, a
	}
	t.after.set(key, versions{a, b})
}

// keepBoth gives b's version a name of its own, on both sides, and a's version
// to b. No step loses a version, so that a failure is mended by the next sync.
func (t *twoWay) keepBoth(f flow) error {
	aside := conflictName(f.dst.Remote(), time.Now())
	moved, err := operations.Move(t.ctx, t.b.fs, nil, aside, f.dst)
	if err != nil {
		return err
	}
	made, err := t.copyFile(t.ctx, t.a.fs, nil, aside, moved)
	if err != nil {
		return err
	}
	t.remember(t.key(aside), t.a, moved, made)
	if made, err = t.copyFile(t.ctx, t.b.fs, nil, f.src.Remote(), f.src); err != nil {
		return err
	}
	t.remember(f.key, t.b, f.src, made)
	t.log.WarnContext(t.ctx, "changed on both sides: both versions are kept", "path", f.name(), "other", aside)
	t.tell(job.FileRecord{Action: job.FileConflict, State: job.FileDone, Path: f.name(), Size: f.size(), Reason: ReasonConflict,
		Message: fmt.Sprintf("changed on both sides: the version of %s is now %s", t.Dest, aside)})
	return nil
}

// conflictName is report.conflict-20260102T150405Z.pdf for report.pdf.
func conflictName(name string, at time.Time) string {
	ext := path.Ext(name)
	if ext == path.Base(name) {
		ext = "" // .profile has none
	}
	return strings.TrimSuffix(name, ext) + ".conflict-" + at.UTC().Format("20060102T150405Z") + ext
}

// remove deletes what is gone on the other side.
func (t *twoWay) remove(f flow) error {
	there, err := t.untouched(f)
	if err == nil && there != nil {
		err = operations.DeleteFile(t.ctx, there)
	}
	if err != nil {
		return err
	}
	t.tell(job.FileRecord{Action: job.FileDelete, State: job.FileDone, Path: f.name(), Size: f.size(), Message: "at " + f.to.remote.String()})
	return nil
}
