package remote

import (
	"context"
	"errors"
	"io"
	"path"
	"regexp"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/operations"
)

// Where files can be seen while they are written, they are written beside their
// place, under a name that the library makes of the file and this suffix, and
// moved there when they are whole. The next sync of the same file takes the same
// name, so that what a killed process left behind is overwritten, and gone.

// partialSuffix ends such names; the library takes 16 bytes at most.
const partialSuffix = ".carillon-part"

var partialName = regexp.MustCompile(`\.[0-9a-f]{8}\.carillon-part$`)

// isPartial reports whether a path is that of a file which is being written.
func isPartial(remote string) bool { return partialName.MatchString(path.Base(remote)) }

// atomicVendors are the WebDAV servers that show a file when it is complete.
var atomicVendors = map[string]bool{"nextcloud": true, "owncloud": true, "infinitescale": true}

// staged is a remote that files are written beside their place of.
type staged struct{ fs.Fs }

// stage makes a remote write beside the place where it does not by itself.
func stage(typ string, options map[string]string, f fs.Fs) fs.Fs {
	if typ != "sftp" && (typ != "webdav" || atomicVendors[options["vendor"]]) {
		return f
	}
	features := f.Features()
	features.PartialUploads = true
	if put := features.PutStream; put != nil {
		features.PutStream = func(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) (fs.Object, error) {
			noteWritten(ctx, src)
			return put(ctx, in, src, options...)
		}
	}
	return staged{f}
}

// Put writes a file, and notes its name.
func (s staged) Put(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) (fs.Object, error) {
	noteWritten(ctx, src)
	return s.Fs.Put(ctx, in, src, options...)
}

// writtenKey is a context's key for a *string: the name that a copy has written
// last.
type writtenKey struct{}

func noteWritten(ctx context.Context, src fs.ObjectInfo) {
	if name, ok := ctx.Value(writtenKey{}).(*string); ok {
		*name = src.Remote()
	}
}

// copyFile copies a file, or updates dst. What it leaves when the session ends
// meanwhile is removed: the library would try that with the context that has
// ended.
func (e *engine) copyFile(ctx context.Context, f fs.Fs, dst fs.Object, name string, src fs.Object) (fs.Object, error) {
	if _, shows := f.(staged); !shows {
		return operations.Copy(ctx, f, dst, name, src)
	}
	written := ""
	made, err := operations.Copy(context.WithValue(ctx, writtenKey{}, &written), f, dst, name, src)
	if err != nil && e.ended() != nil && isPartial(written) {
		e.removePartial(f, written)
	}
	return made, err
}

// removePartial removes what is left of a file, in the time that is left.
func (e *engine) removePartial(f fs.Fs, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), farewell)
	defer cancel()
	left, err := f.NewObject(ctx, name)
	if err == nil {
		err = left.Remove(ctx)
	}
	if err != nil && !errors.Is(err, fs.ErrorObjectNotFound) {
		e.log.WarnContext(ctx, "a file that was being written could not be removed", "path", name, "error", e.text(err))
	}
}
