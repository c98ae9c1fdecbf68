// Package localfs serves one folder of this machine as a remote.
//
// Rules:
//   - Every path is resolved by os.Root: neither "..", nor a symbolic link, nor
//     a name that another remote made up leads out of the root, not even when
//     links are changed meanwhile. That is why rclone's own backend, which
//     joins paths as text, is not used.
//   - A folder is opened once for all that is done in it for a file or a listing:
//     to walk its path each time costs more than the rest.
//   - Only regular files and folders can be read here. Links and devices are
//     listed as what has no content, so that nobody takes them for gone.
//   - A file appears under its name when it is complete: it is written beside
//     it first (.carillon-*.partial) and then renamed. What a killed process
//     left behind is never listed, and is removed by the next one that writes
//     into its folder or removes it, once nobody has written to it for ten
//     minutes: until then somebody may still be at it.
//   - A folder that can't be read is an error, never an empty or missing one.
package localfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/lib/encoder"
)

const (
	partialPrefix = ".carillon-"
	partialSuffix = ".partial"
)

// Fs is a folder below a root.
type Fs struct {
	jail     *os.Root
	name     string
	folder   string
	space    space
	features *fs.Features
	// swept are the folders that were rid of what killed processes left.
	swept sync.Map
}

// New returns the folder, which need not exist; "" is the root itself. bound
// limits what is written; nil for no limit.
func New(jail *os.Root, name, folder string, bound Space) *Fs {
	f := &Fs{jail: jail, name: name, folder: folder, space: space{bound}}
	f.features = (&fs.Features{CanHaveEmptyDirectories: true, IsLocal: true, SlowHash: true}).Fill(context.Background(), f)
	return f
}

// The description of the remote, as the library asks for it.

func (f *Fs) Name() string             { return f.name }
func (f *Fs) Root() string             { return f.folder }
func (f *Fs) String() string           { return "local folder " + f.folder }
func (f *Fs) Precision() time.Duration { return time.Nanosecond }
func (f *Fs) Hashes() hash.Set         { return hash.Supported() }
func (f *Fs) Features() *fs.Features   { return f.features }

// at is the path below the root. Names that mean something to the system, such
// as "..", are written in another way, as rclone's own backend does.
func (f *Fs) at(remote string) string {
	return path.Join(".", f.folder, encoder.OS.FromStandardPath(remote))
}

// List lists a folder.
func (f *Fs) List(_ context.Context, dir string) (fs.DirEntries, error) {
	folder, err := f.jail.OpenRoot(f.at(dir))
	if err != nil {
		if info, err := f.jail.Stat(f.at(dir)); err == nil && !info.IsDir() {
			return nil, fs.ErrorIsFile
		}
		return nil, notFound(err, fs.ErrorDirNotFound)
	}
	defer func() { _ = folder.Close() }()
	names, err := namesIn(folder)
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	entries := make(fs.DirEntries, 0, len(names))
	for _, name := range names {
		if isPartial(name) {
			continue
		}
		// Not what the folder itself says: that could follow a link.
		info, err := folder.Lstat(name)
		if errors.Is(err, iofs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read folder: %w", err)
		}
		remote := path.Join(dir, encoder.OS.ToStandardName(name))
		switch {
		case info.IsDir():
			entries = append(entries, fs.NewDir(remote, info.ModTime()))
		default:
			entries = append(entries, f.object(remote, info))
		}
	}
	return entries, nil
}

// namesIn lists all names in a folder.
func namesIn(folder *os.Root) ([]string, error) {
	opened, err := folder.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := opened.Readdirnames(-1)
	return names, errors.Join(err, opened.Close())
}

// NewObject finds a file.
func (f *Fs) NewObject(_ context.Context, remote string) (fs.Object, error) {
	info, err := f.jail.Lstat(f.at(remote))
	switch {
	case err != nil:
		return nil, notFound(err, fs.ErrorObjectNotFound)
	case info.IsDir():
		return nil, fs.ErrorIsDir
	case !info.Mode().IsRegular():
		return nil, fs.ErrorObjectNotFound
	}
	return f.object(remote, info), nil
}

func (f *Fs) object(remote string, info os.FileInfo) *Object {
	return &Object{fs: f, remote: remote, size: info.Size(), modTime: info.ModTime(), bare: !info.Mode().IsRegular()}
}

// Put writes a new file.
func (f *Fs) Put(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) (fs.Object, error) {
	o := &Object{fs: f, remote: src.Remote()}
	if err := o.Update(ctx, in, src, options...); err != nil {
		return nil, err
	}
	return o, nil
}

// Mkdir makes a folder and those above it.
func (f *Fs) Mkdir(_ context.Context, dir string) error { return f.jail.MkdirAll(f.at(dir), 0o777) }

// Rmdir removes an empty folder.
func (f *Fs) Rmdir(_ context.Context, dir string) error {
	at := f.at(dir)
	info, err := f.jail.Lstat(at)
	switch {
	case err != nil:
		return notFound(err, fs.ErrorDirNotFound)
	case !info.IsDir():
		return fs.ErrorIsFile
	}
	f.sweep(at)
	return f.jail.Remove(at)
}

// notFound turns the system's word for what is missing into the library's.
func notFound(err, missing error) error {
	if errors.Is(err, iofs.ErrNotExist) {
		return missing
	}
	return err
}

func isPartial(name string) bool {
	return strings.HasPrefix(name, partialPrefix) && strings.HasSuffix(name, partialSuffix)
}

var _ fs.Fs = (*Fs)(nil)
