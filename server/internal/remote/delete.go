package remote

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
	"golang.org/x/sync/errgroup"

	"github.com/pointscene/carillon/server/internal/job"
)

// putAside moves a file to the folder for backups, once: its successor may be
// tried again.
func (e *engine) putAside(ctx context.Context, file fs.Object) error {
	e.mu.Lock()
	done := e.aside[file.Remote()]
	e.mu.Unlock()
	if done {
		return nil
	}
	if err := operations.MoveBackupDir(ctx, e.backup, file); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.aside == nil {
		e.aside = map[string]bool{}
	}
	e.aside[file.Remote()] = true
	return nil
}

// delete deletes files, given as they were listed or by their paths, and then
// the folders that are empty by that.
func (e *engine) delete(files []fs.Object, paths, dirs []string) error {
	for batch := range slices.Chunk(files, announceBatch) {
		if err := e.deleteBatch(batch); err != nil {
			return err
		}
	}
	for batch := range slices.Chunk(paths, announceBatch) {
		found := make([]fs.Object, 0, len(batch))
		for _, path := range batch {
			file, err := e.dst.NewObject(e.ctx, path)
			if errors.Is(err, fs.ErrorObjectNotFound) {
				continue // somebody else was faster
			}
			if err != nil {
				e.failed(job.FileDelete, path, -1, err)
				continue
			}
			found = append(found, file)
		}
		if err := e.deleteBatch(found); err != nil {
			return err
		}
	}
	e.removeDirs(e.dst, dirs)
	return e.ended()
}

func (e *engine) deleteBatch(files []fs.Object) error {
	if e.Announce != nil && len(files) > 0 {
		records := make([]job.FileRecord, len(files))
		for i, file := range files {
			records[i] = job.FileRecord{Remote: e.Dest.String(), Action: job.FileDelete, Path: file.Remote(), Size: file.Size()}
		}
		if err := e.Announce(e.ctx, records); err != nil {
			return err
		}
	}
	group := errgroup.Group{}
	group.SetLimit(fs.GetConfig(e.ctx).Checkers)
	for _, file := range files {
		if e.ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			defer e.changing(job.FileRecord{Action: job.FileDelete, Path: file.Remote(), Size: file.Size()})()
			if err := operations.DeleteFileWithBackupDir(e.ctx, file, e.backup); err != nil {
				e.failed(job.FileDelete, file.Remote(), file.Size(), err)
				return nil
			}
			e.tell(job.FileRecord{Action: job.FileDelete, State: job.FileDone, Path: file.Remote(), Size: file.Size()})
			return nil
		})
	}
	_ = group.Wait()
	return e.ended()
}

// removeDirs removes folders, the deepest first. What is not empty holds files
// that the filter hides.
func (e *engine) removeDirs(f fs.Fs, dirs []string) {
	slices.SortFunc(dirs, func(a, b string) int { return strings.Count(b, "/") - strings.Count(a, "/") })
	for _, dir := range dirs {
		if e.ended() != nil {
			return
		}
		if err := operations.TryRmdir(e.ctx, f, dir); err != nil {
			e.log.DebugContext(e.ctx, "folder kept", "path", dir, "error", e.text(err))
		}
	}
}
