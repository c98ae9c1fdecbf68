package workdir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path"
	"time"
)

// File is a file that is being written. It must be committed or discarded.
type File struct {
	dir     *Dir
	partial string
	file    *os.File
	size    int64
	closed  bool
}

// Create begins a file that nobody sees yet.
func (d *Dir) Create() (*File, error) {
	if err := d.open(); err != nil {
		return nil, err
	}
	if err := d.TakeFile(); err != nil {
		return nil, err
	}
	f := &File{dir: d, partial: path.Join(partialFolder, rand.Text())}
	var err error
	if f.file, err = d.root.OpenFile(f.partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		d.GiveFile(0)
		return nil, fmt.Errorf("make file in work directory: %w", err)
	}
	return f, nil
}

// Write appends to the file; it takes the space before.
func (f *File) Write(p []byte) (int, error) {
	if err := f.dir.Take(int64(len(p))); err != nil {
		return 0, err
	}
	f.size += int64(len(p))
	return f.file.Write(p)
}

// Size is how many bytes were written.
func (f *File) Size() int64 { return f.size }

// Commit gives the file its name, below the directory, and its time. It takes
// the place of a file that has the name.
func (f *File) Commit(name string, modTime time.Time) error {
	err := f.close()
	if err == nil {
		err = f.move(name, modTime)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep %q in work directory: %w", name, err), f.Discard())
	}
	f.partial = ""
	return nil
}

func (f *File) move(name string, modTime time.Time) error {
	if err := f.dir.files.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	if err := f.dir.root.Chtimes(f.partial, modTime, modTime); err != nil {
		return err
	}
	f.dir.moving.Lock()
	defer f.dir.moving.Unlock()
	old, missing := f.dir.files.Lstat(name)
	if err := f.dir.root.Rename(f.partial, path.Join(filesFolder, name)); err != nil {
		return err
	}
	if missing == nil {
		f.dir.GiveFile(old.Size())
	}
	return nil
}

func (f *File) close() error {
	if f.closed {
		return nil
	}
	f.closed = true
	return f.file.Close()
}

// Discard removes the file unless it was committed. It may be called always.
func (f *File) Discard() error {
	if f.partial == "" {
		return nil
	}
	err := errors.Join(f.close(), f.dir.root.Remove(f.partial))
	f.dir.GiveFile(f.size)
	f.partial = ""
	return err
}
