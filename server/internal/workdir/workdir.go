// Package workdir keeps the files that the tasks of one execution pass to each
// other.
//
// Rules:
//   - One attempt of an execution has one directory, on the replica that runs
//     it. It is made at its first use and removed when the attempt ends. What a
//     crash leaves behind is removed at the next start, by [Open]: the folder
//     belongs to one process.
//   - No path leads out of it: everything goes through an [os.Root].
//   - Whoever writes takes the space first, by [Dir.Take]. Both an execution and
//     the process have a limit, so that a large file fails its task and not the
//     disk. A file counts with its size and a block for its entry.
//   - A file appears whole, under its name, or not at all: it is written beside
//     the directory that tasks see, and moved in by [File.Commit].
package workdir

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"sync"

	units "github.com/docker/go-units"

	"github.com/pointscene/carillon/server/internal/job"
)

// The reasons for which there is no space or no directory.
const (
	// ReasonLimit: the execution has used what one may use.
	ReasonLimit = "WORK_LIMIT_EXCEEDED"
	// ReasonFull: all executions of the process together have.
	ReasonFull = "WORK_SPACE_EXHAUSTED"
	// ReasonNone: there is no execution.
	ReasonNone = "NO_WORK_DIRECTORY"
)

// entrySize is what a file costs beside its content, in bytes, so that empty
// files are not for free.
const entrySize = 4 << 10

// The folders of a directory: what tasks see, and what is not ready.
const (
	filesFolder   = "files"
	partialFolder = "partial"
)

// Options of a Store, all needed.
type Options struct {
	// Folder is made when it is missing; what is in it is removed.
	Folder string
	// Limit bounds one execution, Total all of them together, in bytes.
	Limit, Total int64
}

// Store makes the directories of a process. It is safe for concurrent use.
type Store struct {
	o    Options
	root *os.Root

	mu   sync.Mutex
	used int64
	made int64
}

// Open takes the folder, and removes what an earlier process left in it.
func Open(o Options) (*Store, error) {
	if err := os.MkdirAll(o.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("make work folder: %w", err)
	}
	root, err := os.OpenRoot(o.Folder)
	if err != nil {
		return nil, fmt.Errorf("open work folder: %w", err)
	}
	s := &Store{o: o, root: root}
	left, err := os.ReadDir(o.Folder)
	for _, entry := range left {
		err = errors.Join(err, root.RemoveAll(entry.Name()))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("empty work folder: %w", err), root.Close())
	}
	return s, nil
}

// Close lets the folder go. Directories must have been removed before.
func (s *Store) Close() error { return s.root.Close() }

// New returns the directory of an attempt, of which nothing exists yet; nil when
// s is.
func (s *Store) New(executionID int64) *Dir {
	if s == nil {
		return nil
	}
	return &Dir{store: s, execution: executionID}
}

// name is that of a directory, which no other has.
func (s *Store) name(executionID int64) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	return job.KindExecution.Format(executionID) + "-" + strconv.FormatInt(s.made, 10)
}

// take claims bytes of what all executions may use.
func (s *Store) take(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+n > s.o.Total {
		return &job.Failure{Code: "RESOURCE_EXHAUSTED", Reason: ReasonFull, Message: fmt.Sprintf(
			"The work directories of all executions on this server have reached %s together (--work-total-limit).", units.BytesSize(float64(s.o.Total)))}
	}
	s.used += n
	return nil
}

// Dir is the work directory of one attempt. A nil Dir is that of a workflow
// which does not run, as when it is only planned. It is safe for concurrent use.
type Dir struct {
	store     *Store
	execution int64

	// moving is held while a file takes its name, so that the space of what it
	// replaces is returned once.
	moving sync.Mutex

	mu sync.Mutex
	// name is empty, and the folders are nil, before the first use.
	name        string
	root, files *os.Root
	used        int64
	// gone is set once it is removed.
	gone bool
}

var errGone = errors.New("the work directory is removed: the attempt has ended")

// Files opens the directory as tasks see it. Who writes there must take the
// space by itself.
func (d *Dir) Files() (*os.Root, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	return d.files, nil
}

// open makes the directory at its first use.
func (d *Dir) open() error {
	if d == nil {
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonNone, Message: "There is a work directory only while the workflow runs."}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.gone:
		return errGone
	case d.root != nil:
		return nil
	}
	d.name = d.store.name(d.execution)
	for _, folder := range []string{filesFolder, partialFolder} {
		if err := d.store.root.MkdirAll(path.Join(d.name, folder), 0o700); err != nil {
			return fmt.Errorf("make work directory: %w", err)
		}
	}
	root, err := d.store.root.OpenRoot(d.name)
	if err != nil {
		return fmt.Errorf("open work directory: %w", err)
	}
	files, err := root.OpenRoot(filesFolder)
	if err != nil {
		return errors.Join(fmt.Errorf("open work directory: %w", err), root.Close())
	}
	d.root, d.files = root, files
	return nil
}

// TakeFile claims the space of one more file, without its content.
func (d *Dir) TakeFile() error { return d.Take(entrySize) }

// GiveFile returns the space of a file that had size bytes.
func (d *Dir) GiveFile(size int64) { d.Give(entrySize + size) }

// Take claims n bytes before they are written; a *job.Failure when they are too
// many.
func (d *Dir) Take(n int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return errGone
	}
	if d.used+n > d.store.o.Limit {
		return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonLimit, Message: fmt.Sprintf(
			"The execution's work directory would exceed %s; the operator can allow more with --work-limit.", units.BytesSize(float64(d.store.o.Limit)))}
	}
	if err := d.store.take(n); err != nil {
		return err
	}
	d.used += n
	return nil
}

// Give returns n bytes.
func (d *Dir) Give(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, d.used)
	d.used -= n
	d.store.mu.Lock()
	defer d.store.mu.Unlock()
	d.store.used -= n
}

// Remove ends the directory: its files are deleted and its space is free. What
// still writes to it fails.
func (d *Dir) Remove() error {
	d.mu.Lock()
	opened := d.root != nil && !d.gone
	d.gone = true
	used := d.used
	d.mu.Unlock()
	if !opened {
		return nil
	}
	err := errors.Join(d.files.Close(), d.root.Close(), d.store.root.RemoveAll(d.name))
	d.Give(used)
	if err != nil {
		return fmt.Errorf("remove work directory %s: %w", d.name, err)
	}
	return nil
}
