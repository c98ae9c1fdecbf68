package acc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/hash"
)

// urlMinutes is how long signed URLs may be used to begin with: the most that
// is allowed, as a part may wait for the ones before it.
const urlMinutes = "60"

// Object is a file, by its newest version.
type Object struct {
	fs          *Fs
	remote      string
	dir, itemID string

	// Of the version: its id, that of its content, size (-1 when the service
	// does not tell) and time.
	versionID, urn string
	size           int64
	modTime        time.Time

	mu   sync.Mutex
	sha1 *string
}

// The description of the file, as the library asks for it.

func (o *Object) Fs() fs.Info                       { return o.fs }
func (o *Object) Remote() string                    { return o.remote }
func (o *Object) Size() int64                       { return o.size }
func (o *Object) ModTime(context.Context) time.Time { return o.modTime }
func (o *Object) ID() string                        { return o.itemID }

// String also names what is not there, which the library's tests want.
func (o *Object) String() string {
	if o == nil {
		return "<nil>"
	}
	return o.remote
}

// Storable is false for what has no content of its own, such as models that
// live in the cloud only.
func (o *Object) Storable() bool { return o.urn != "" }

// SetModTime can't be done.
func (o *Object) SetModTime(context.Context, time.Time) error { return fs.ErrorCantSetModTime }

// take takes over what a version says.
func (o *Object) take(v *resource) {
	o.versionID, o.urn, o.modTime, o.size = v.ID, v.related("storage"), modified(v), -1
	if size := v.attr().StorageSize; size != nil {
		o.size = *size
	}
	o.mu.Lock()
	o.sha1 = nil
	o.mu.Unlock()
}

// Hash asks the service for the SHA-1 of the content; it is empty when the
// service has none.
func (o *Object) Hash(ctx context.Context, kind hash.Type) (string, error) {
	if kind != hash.SHA1 {
		return "", hash.ErrUnsupported
	}
	if o.urn == "" {
		return "", nil
	}
	o.mu.Lock()
	known := o.sha1
	o.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	signed, err := o.sign(ctx)
	if err != nil {
		return "", err
	}
	sum := strings.ToLower(signed.SHA1)
	if sum == "" {
		o.fs.noSHA1.Do(func() {
			fs.LogfCtx(ctx, o, "Autodesk has no SHA-1 of this file, and maybe of others: they are compared by size")
		})
	}
	o.mu.Lock()
	o.sha1 = &sum
	o.mu.Unlock()
	return sum, nil
}

// storagePath is where the object storage serves a URN.
func storagePath(urn, what string) (string, error) {
	bucket, key, ok := strings.Cut(strings.TrimPrefix(urn, "urn:adsk.objects:os.object:"), "/")
	if !ok || bucket == "" || key == "" {
		return "", fmt.Errorf("the storage id %q is not understood", urn)
	}
	return "/oss/v2/buckets/" + url.PathEscape(bucket) + "/objects/" + url.PathEscape(key) + "/" + what, nil
}

// sign asks for a URL to download from, and what is known of the content.
func (o *Object) sign(ctx context.Context) (signedDownload, error) {
	var signed signedDownload
	at, err := storagePath(o.urn, "signeds3download")
	if err != nil {
		return signed, err
	}
	err = o.fs.client.call(ctx, request{op: opStorageCalls, doing: "get a URL to download from", method: http.MethodGet, path: at,
		query: url.Values{"minutesExpiration": {urlMinutes}, "public-resource-fallback": {"true"}}}, &signed)
	return signed, err
}

// Open reads the file, or a part of it.
func (o *Object) Open(ctx context.Context, options ...fs.OpenOption) (io.ReadCloser, error) {
	fs.FixRangeOption(options, o.size)
	var err error
	for try := 1; try <= tries; try++ {
		var body io.ReadCloser
		if body, err = o.download(ctx, options); err == nil {
			return body, nil
		}
		if !fserrors.IsRetryError(err) && !fserrors.ShouldRetry(err) || try == tries {
			break
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
	return nil, err
}

// download gets a new URL and reads from it, once.
func (o *Object) download(ctx context.Context, options []fs.OpenOption) (io.ReadCloser, error) {
	signed, err := o.sign(ctx)
	if err != nil {
		return nil, err
	}
	if signed.URL == "" {
		return nil, fserrors.RetryError(fmt.Errorf("no URL from Autodesk for the content yet (%s)", signed.Status))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.fs.client.secure(signed.URL), nil)
	if err != nil {
		return nil, err
	}
	for name, value := range fs.OpenOptionHeaders(options) {
		req.Header.Set(name, value)
	}
	resp, err := o.fs.client.bare.Do(req)
	if err != nil {
		return nil, err
	}
	partial := req.Header.Get("Range") != ""
	if resp.StatusCode == http.StatusOK && !partial || resp.StatusCode == http.StatusPartialContent && partial {
		return resp.Body, nil
	}
	resp.Body.Close()
	err = fmt.Errorf("the storage of Autodesk answers %s", resp.Status)
	if resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 {
		err = fserrors.RetryError(err) // a URL that has ended, or a fault that passes
	}
	return nil, err
}

// secure takes a link of the service to https when the service itself is there.
func (c *client) secure(link string) string {
	if rest, plain := strings.CutPrefix(link, "http://"); plain && strings.HasPrefix(c.endpoint, "https://") {
		return "https://" + rest
	}
	return link
}

// Update writes the next version of the file.
func (o *Object) Update(ctx context.Context, in io.Reader, src fs.ObjectInfo, _ ...fs.OpenOption) error {
	if err := o.fs.checkFile(ctx, o.remote); err != nil {
		return err
	}
	name := o.fs.opt.Enc.FromStandardName(path.Base(o.remote))
	urn, err := o.fs.upload(ctx, in, o.dir, name, src.Size())
	if err != nil {
		return err
	}
	return o.addVersion(ctx, newVersion(name, urn), urn, "")
}

// create makes the file with this version, or adds the version to the file that
// has the name. copyFrom, when set, is the version that has the content.
func (o *Object) create(ctx context.Context, name string, v resource, urn, copyFrom string) error {
	v.ID = "1"
	item := newResource("items", &attributes{DisplayName: name, Extension: &extension{Type: itemType, Version: "1.0"}},
		map[string]identifier{"tip": {"versions", "1"}, "parent": {"folders", o.dir}})
	var made document
	err := o.fs.client.call(ctx, request{op: opCreateItem, doing: "make a file", method: http.MethodPost, path: o.fs.dataPath("items"),
		query: copied(copyFrom), body: newDocument(item, v)}, &made)
	if status(err) != http.StatusConflict {
		if err != nil {
			return err
		}
		o.itemID = made.Data.ID
		return o.takeFrom(made.Included, made.Data.related("tip"))
	}
	there, tip, findErr := o.fs.findItem(ctx, o.dir, name)
	if findErr != nil && !errors.Is(findErr, fs.ErrorObjectNotFound) {
		return findErr
	}
	if there == nil {
		return err // a folder has the name, or something that can't be seen
	}
	o.itemID = there.ID
	if tip.related("storage") == urn { // an attempt whose answer was lost
		o.take(tip)
		return nil
	}
	v.ID = ""
	return o.addVersion(ctx, v, urn, copyFrom)
}

func copied(from string) url.Values {
	if from == "" {
		return nil
	}
	return url.Values{"copyFrom": {from}}
}

func (o *Object) takeFrom(included []resource, tipID string) error {
	tip := find(included, tipID)
	if tip == nil {
		return errors.New("the new version is missing in the answer")
	}
	o.take(tip)
	return nil
}

// addVersion adds a version to the file.
func (o *Object) addVersion(ctx context.Context, v resource, urn, copyFrom string) error {
	v.Relationships["item"] = relation{identifier{"items", o.itemID}}
	var made document
	var found *resource
	err := o.fs.client.call(ctx, request{op: opCreateVersion, doing: "add a version", method: http.MethodPost, path: o.fs.dataPath("versions"),
		query: copied(copyFrom), body: newDocument(v),
		done: func(ctx context.Context) (bool, error) {
			_, tip, err := o.fs.tip(ctx, o.itemID)
			if err != nil || tip.related("storage") != urn {
				return false, err
			}
			found = tip
			return true, nil
		}}, &made)
	switch {
	case err != nil:
		return err
	case found != nil:
		o.take(found)
	default:
		o.take(&made.Data)
	}
	return nil
}

// Remove deletes the file, by a version of type Deleted.
func (o *Object) Remove(ctx context.Context) error {
	v := newResource("versions", &attributes{Extension: &extension{Type: deletedType, Version: "1.0"}}, map[string]identifier{"item": {"items", o.itemID}})
	err := o.fs.client.call(ctx, request{op: opCreateVersion, doing: "delete a file", method: http.MethodPost, path: o.fs.dataPath("versions"),
		body: newDocument(v),
		done: func(ctx context.Context) (bool, error) {
			item, _, err := o.fs.tip(ctx, o.itemID)
			return err == nil && item.hidden(), err
		}}, new(document))
	return err
}

var (
	_ fs.Object = (*Object)(nil)
	_ fs.IDer   = (*Object)(nil)
)
