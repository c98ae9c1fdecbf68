package acc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/lib/dircache"
)

const (
	// projectRoot stands for the folder above the top folders, whose id nobody
	// needs: nothing can be made there.
	projectRoot = "project"
	maxName     = 255
	maxLevels   = 25
	// unmapped are reserved characters that the library's encoder leaves.
	unmapped = "¢™®"
)

// planTypes are the files that folders for plans take. PDF is left out, see the
// package's rules.
var planTypes = []string{".dwf", ".dwfx", ".dwg", ".ifc", ".rvt"}

// Fs is a folder of a project.
type Fs struct {
	name, root string
	opt        *Options
	client     *client
	features   *fs.Features
	dirs       *dircache.DirCache

	noSHA1 sync.Once

	mu sync.Mutex
	// tops are the top folders, once they were read.
	tops []resource
}

// The description of the remote, as the library asks for it.

func (f *Fs) Name() string             { return f.name }
func (f *Fs) Root() string             { return f.root }
func (f *Fs) String() string           { return "ACC folder " + f.root }
func (f *Fs) Precision() time.Duration { return fs.ModTimeNotSupported }
func (f *Fs) Hashes() hash.Set         { return hash.Set(hash.SHA1) }
func (f *Fs) Features() *fs.Features   { return f.features }

// noRedirect hands a redirect to the caller, as an error.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// List lists a folder.
func (f *Fs) List(ctx context.Context, dir string) (fs.DirEntries, error) {
	id, err := f.dirs.FindDir(ctx, dir, false)
	if err != nil {
		return nil, err
	}
	var entries fs.DirEntries
	err = f.list(ctx, id, listing{}, func(r, tip *resource) bool {
		switch {
		case r.Type == "folders":
			remote := path.Join(dir, f.opt.Enc.ToStandardName(r.attr().Name))
			f.dirs.Put(remote, r.ID)
			entries = append(entries, fs.NewDir(remote, modified(r)).SetID(r.ID))
		case tip != nil:
			entries = append(entries, f.object(path.Join(dir, f.opt.Enc.ToStandardName(tip.attr().Name)), id, r.ID, tip))
		}
		return false
	})
	if status(err) == http.StatusNotFound {
		err = fs.ErrorDirNotFound
	}
	return entries, err
}

func modified(r *resource) time.Time {
	if at := r.attr().LastModifiedTime; at != nil {
		return *at
	}
	return time.Time{}
}

// NewObject finds a file.
func (f *Fs) NewObject(ctx context.Context, remote string) (fs.Object, error) {
	leaf, dir, err := f.dirs.FindPath(ctx, remote, false)
	if errors.Is(err, fs.ErrorDirNotFound) || err == nil && dir == projectRoot {
		return nil, fs.ErrorObjectNotFound
	}
	if err != nil {
		return nil, err
	}
	item, tip, err := f.findItem(ctx, dir, f.opt.Enc.FromStandardName(leaf))
	if err != nil {
		return nil, err
	}
	if item == nil {
		return nil, fs.ErrorObjectNotFound
	}
	return f.object(remote, dir, item.ID, tip), nil
}

func (f *Fs) object(remote, dir, itemID string, tip *resource) *Object {
	o := &Object{fs: f, remote: remote, dir: dir, itemID: itemID}
	o.take(tip)
	return o
}

// Put writes a new file, or the next version of the one that has the name.
func (f *Fs) Put(ctx context.Context, in io.Reader, src fs.ObjectInfo, _ ...fs.OpenOption) (fs.Object, error) {
	remote := src.Remote()
	if err := f.checkFile(ctx, remote); err != nil {
		return nil, err
	}
	leaf, dir, err := f.dirs.FindPath(ctx, remote, true)
	if err != nil {
		return nil, err
	}
	name := f.opt.Enc.FromStandardName(leaf)
	urn, err := f.upload(ctx, in, dir, name, src.Size())
	if err != nil {
		return nil, err
	}
	return f.newFile(ctx, remote, dir, name, newVersion(name, urn), urn, "")
}

// PutStream writes a file whose size is not known.
func (f *Fs) PutStream(ctx context.Context, in io.Reader, src fs.ObjectInfo, options ...fs.OpenOption) (fs.Object, error) {
	return f.Put(ctx, in, src, options...)
}

// Copy copies a file within the project without moving its content.
func (f *Fs) Copy(ctx context.Context, src fs.Object, remote string) (fs.Object, error) {
	from, ok := src.(*Object)
	if !ok || from.fs.opt.ProjectID != f.opt.ProjectID || from.fs.client.app != f.client.app || from.versionID == "" {
		return nil, fs.ErrorCantCopy
	}
	if err := f.checkFile(ctx, remote); err != nil {
		return nil, err
	}
	toPlans, err := f.forPlans(ctx, remote)
	if err != nil {
		return nil, err
	}
	if fromPlans, err := from.fs.forPlans(ctx, from.remote); err != nil || fromPlans != toPlans {
		return nil, errors.Join(err, fs.ErrorCantCopy)
	}
	leaf, dir, err := f.dirs.FindPath(ctx, remote, true)
	if err != nil {
		return nil, err
	}
	name := f.opt.Enc.FromStandardName(leaf)
	return f.newFile(ctx, remote, dir, name, newResource("versions", &attributes{Name: name}, nil), from.urn, from.versionID)
}

func (f *Fs) newFile(ctx context.Context, remote, dir, name string, v resource, urn, copyFrom string) (fs.Object, error) {
	o := &Object{fs: f, remote: remote, dir: dir}
	if err := o.create(ctx, name, v, urn, copyFrom); err != nil {
		return nil, err
	}
	return o, nil
}

// Mkdir makes a folder and those above it.
func (f *Fs) Mkdir(ctx context.Context, dir string) error {
	if err := f.checkPath(path.Join(dir, "x")); err != nil {
		return err
	}
	_, err := f.dirs.FindDir(ctx, dir, true)
	return err
}

// Rmdir hides a folder that shows nothing.
func (f *Fs) Rmdir(ctx context.Context, dir string) error {
	id, err := f.dirs.FindDir(ctx, dir, false)
	if err != nil {
		return err
	}
	tops, err := f.topFolders(ctx)
	if err != nil {
		return err
	}
	if id == projectRoot || find(tops, id) != nil {
		return fserrors.NoRetryError(errors.New("a top folder of a project can't be removed"))
	}
	empty := true
	err = f.list(ctx, id, listing{limit: 1}, func(*resource, *resource) bool { empty = false; return true })
	switch {
	case status(err) == http.StatusNotFound:
		return fs.ErrorDirNotFound
	case err != nil:
		return err
	case !empty:
		return fs.ErrorDirectoryNotEmpty
	}
	if err := f.show(ctx, id, false); err != nil {
		return err
	}
	f.dirs.FlushDir(dir)
	return nil
}

// checkPath refuses a path that the service can't have, before any call.
func (f *Fs) checkPath(remote string) error {
	full := path.Join(f.root, remote)
	parts := strings.Split(full, "/")
	if levels := len(parts) - 2; levels > maxLevels {
		return fserrors.NoRetryError(fmt.Errorf("%d levels of folders: ACC allows %d below a top folder", levels, maxLevels))
	}
	for _, part := range parts {
		if err := checkName(f.opt.Enc.FromStandardName(part)); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case utf8.RuneCountInString(name) > maxName:
		return fserrors.NoRetryError(fmt.Errorf("a name has more than the %d characters that ACC allows", maxName))
	case strings.ContainsAny(name, unmapped):
		return fserrors.NoRetryError(errors.New("a name has ¢, ™ or ®, which ACC does not allow: rename it"))
	}
	return nil
}

// checkFile refuses a file that the service can't have.
func (f *Fs) checkFile(ctx context.Context, remote string) error {
	if err := f.checkPath(remote); err != nil {
		return err
	}
	full := path.Join(f.root, remote)
	if !strings.Contains(full, "/") {
		return fserrors.NoRetryError(errors.New("files can't be beside the top folders of a project: choose a path such as /Project Files"))
	}
	plans, err := f.forPlans(ctx, remote)
	if err != nil || !plans {
		return err
	}
	switch ext := strings.ToLower(path.Ext(remote)); {
	case ext == ".pdf":
		return fserrors.NoRetryError(errors.New("this folder for plans takes PDF files apart, so that they would never be equal again: sync them to Project Files"))
	case !slices.Contains(planTypes, ext):
		return fserrors.NoRetryError(fmt.Errorf("this folder for plans takes only %s", strings.Join(planTypes, ", ")))
	}
	return nil
}

var (
	_ fs.Fs          = (*Fs)(nil)
	_ fs.Copier      = (*Fs)(nil)
	_ fs.PutStreamer = (*Fs)(nil)
)
