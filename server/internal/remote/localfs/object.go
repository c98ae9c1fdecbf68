package localfs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/lib/readers"
)

// Object is a file.
type Object struct {
	fs      *Fs
	remote  string
	size    int64
	modTime time.Time
	// bare is set for what is no regular file.
	bare bool

	mu     sync.Mutex
	hashes map[hash.Type]string
}

// The description of the file, as the library asks for it.

func (o *Object) Fs() fs.Info                       { return o.fs }
func (o *Object) String() string                    { return o.remote }
func (o *Object) Remote() string                    { return o.remote }
func (o *Object) Size() int64                       { return o.size }
func (o *Object) ModTime(context.Context) time.Time { return o.modTime }
func (o *Object) Storable() bool                    { return !o.bare }

// Hash returns a hash of the content, from when it was last read or written
// whole, else by reading it now.
func (o *Object) Hash(ctx context.Context, kind hash.Type) (string, error) {
	o.mu.Lock()
	known, ok := o.hashes[kind]
	o.mu.Unlock()
	if ok {
		return known, nil
	}
	in, err := o.Open(ctx, &fs.HashesOption{Hashes: hash.NewHashSet(kind)})
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, readers.NewContextReader(ctx, in))
	if err := errors.Join(err, in.Close()); err != nil {
		return "", fmt.Errorf("read for hash: %w", err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hashes[kind], nil
}

func (o *Object) learn(hasher *hash.MultiHasher) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hashes = hasher.Sums()
}

// SetModTime sets the file's time.
func (o *Object) SetModTime(_ context.Context, t time.Time) error {
	if err := o.fs.jail.Chtimes(o.fs.at(o.remote), t, t); err != nil {
		return err
	}
	o.modTime = t
	return nil
}

// Remove deletes the file.
func (o *Object) Remove(context.Context) error {
	if err := o.fs.jail.Remove(o.fs.at(o.remote)); err != nil {
		return err
	}
	o.fs.space.give(o.size)
	return nil
}

// Open reads the file, or a part of it.
func (o *Object) Open(_ context.Context, options ...fs.OpenOption) (io.ReadCloser, error) {
	var offset, limit int64 = 0, -1
	var hasher *hash.MultiHasher
	for _, option := range options {
		switch x := option.(type) {
		case *fs.SeekOption:
			offset = x.Offset
		case *fs.RangeOption:
			offset, limit = x.Decode(o.size)
		case *fs.HashesOption:
			if x.Hashes.Count() > 0 {
				var err error
				if hasher, err = hash.NewMultiHasherTypes(x.Hashes); err != nil {
					return nil, err
				}
			}
		}
	}
	file, err := o.fs.jail.Open(o.fs.at(o.remote))
	if err != nil {
		return nil, notFound(err, fs.ErrorObjectNotFound)
	}
	steady := &steadyFile{File: file, object: o, at: offset}
	if offset == 0 && limit < 0 && hasher != nil {
		return &hashingFile{steadyFile: steady, hasher: hasher}, nil
	}
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return readers.NewLimitedReadCloser(steady, limit), nil
}

// steadyFile does not give the last bytes of a file that was changed since it was
// listed: what was read before may be of another version, and whoever is given all
// bytes takes them for the file.
type steadyFile struct {
	*os.File
	object *Object
	at     int64
}

func (s *steadyFile) Read(p []byte) (int, error) {
	n, err := s.File.Read(p)
	s.at += int64(n)
	if s.at < s.object.size && err == nil {
		return n, nil
	}
	info, statErr := s.Stat()
	switch {
	case statErr != nil:
		return 0, statErr
	case info.Size() != s.object.size || !info.ModTime().Equal(s.object.modTime):
		return 0, fserrors.NoLowLevelRetryError(errChanging)
	}
	return n, err
}

// WriteTo keeps io.Copy from reading past Read.
func (s *steadyFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{s})
}

var errChanging = errors.New("the source file is being updated")

// hashingFile gives the object its hash when it was read to the end.
type hashingFile struct {
	*steadyFile
	hasher *hash.MultiHasher
}

func (h *hashingFile) Read(p []byte) (int, error) {
	n, err := h.steadyFile.Read(p)
	_, _ = h.hasher.Write(p[:n])
	if errors.Is(err, io.EOF) {
		h.object.learn(h.hasher)
	}
	return n, err
}

// WriteTo keeps io.Copy from reading past Read.
func (h *hashingFile) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{h})
}

// Update writes the file anew.
func (o *Object) Update(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) error {
	hasher, err := hash.NewMultiHasherTypes(hashesOf(options))
	if err != nil {
		return err
	}
	folder, name := path.Split(o.fs.at(o.remote))
	dir, err := o.fs.makeFolder(path.Clean(folder))
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	taken, err := o.fs.space.file()
	if err != nil {
		return err
	}
	o.fs.sweepOnce(path.Clean(folder))
	partial := partialPrefix + rand.Text() + partialSuffix
	err = write(dir, partial, taken.reader(io.TeeReader(in, hasher)), src.ModTime(ctx))
	if err == nil {
		err = ctx.Err()
	}
	var info os.FileInfo
	if err == nil {
		info, err = dir.Lstat(partial)
	}
	if err == nil && src.Size() >= 0 && info.Size() != src.Size() {
		// The library would see it too, but when the old file is gone.
		err = fmt.Errorf("%w: it had %d bytes and now has %d", errChanging, src.Size(), info.Size())
	}
	replaced := int64(-1)
	if err == nil {
		if old, err := dir.Lstat(name); err == nil {
			replaced = old.Size()
		}
		err = dir.Rename(partial, name)
	}
	if err != nil {
		taken.giveBack()
		return errors.Join(err, ignoreMissing(dir.Remove(partial)))
	}
	if replaced >= 0 {
		o.fs.space.give(replaced)
	}
	o.size, o.modTime = info.Size(), info.ModTime()
	o.learn(hasher)
	return nil
}

// makeFolder opens a folder, which is made if it is missing.
func (f *Fs) makeFolder(at string) (*os.Root, error) {
	dir, err := f.jail.OpenRoot(at)
	if !errors.Is(err, os.ErrNotExist) {
		return dir, err
	}
	if err := f.jail.MkdirAll(at, 0o777); err != nil {
		return nil, err
	}
	return f.jail.OpenRoot(at)
}

// buffers are for copying: a new one for each file is work for the collector.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func write(dir *os.Root, name string, in io.Reader, modTime time.Time) error {
	file, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	buffer := buffers.Get().(*[64 << 10]byte)
	// Only Write is shown: with more, the library would not use the buffer.
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, in, buffer[:])
	buffers.Put(buffer)
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	return dir.Chtimes(name, modTime, modTime)
}

func hashesOf(options []fs.OpenOption) hash.Set {
	for _, option := range options {
		if h, ok := option.(*fs.HashesOption); ok {
			return h.Hashes
		}
	}
	return hash.Set(hash.None)
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

var _ fs.Object = (*Object)(nil)
