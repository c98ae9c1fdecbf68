package acc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/lib/dircache"
)

// pageSize is the most that a page of a listing may have.
const pageSize = 200

// listing says what of a folder is wanted.
type listing struct {
	// kind is folders or items; empty means both.
	kind string
	// limit is the size of a page; 0 means pageSize.
	limit int
	// hidden asks for what was deleted too.
	hidden bool
}

func (f *Fs) dataPath(parts ...string) string {
	at := "/data/v1/projects/" + url.PathEscape(f.opt.ProjectID)
	for _, part := range parts {
		at += "/" + url.PathEscape(part)
	}
	return at
}

// list calls found with each entry of a folder, and with the newest version of
// a file if it has content, until found returns true.
func (f *Fs) list(ctx context.Context, id string, l listing, found func(r, tip *resource) bool) error {
	if id == projectRoot {
		return f.listTops(ctx, l, found)
	}
	if l.limit == 0 {
		l.limit = pageSize
	}
	query := url.Values{"page[limit]": {strconv.Itoa(l.limit)}}
	if l.kind != "" {
		query.Set("filter[type]", l.kind)
	}
	if l.hidden {
		query.Set("includeHidden", "true")
	}
	for number := 0; ; number++ {
		query.Set("page[number]", strconv.Itoa(number))
		var page listPage
		err := f.client.call(ctx, request{op: opContents, doing: "list a folder", method: http.MethodGet,
			path: f.dataPath("folders", id, "contents"), query: query}, &page)
		if err != nil {
			return err
		}
		for i := range page.Data {
			r := &page.Data[i]
			if r.hidden() && !l.hidden {
				continue
			}
			if found(r, find(page.Included, r.related("tip"))) {
				return nil
			}
		}
		if next := string(page.Links.Next); next == "" || next == "null" || len(page.Data) == 0 {
			return nil
		}
	}
}

func (f *Fs) listTops(ctx context.Context, l listing, found func(r, tip *resource) bool) error {
	tops, err := f.topFolders(ctx)
	if err != nil || l.kind == "items" {
		return err
	}
	for i := range tops {
		if !tops[i].hidden() && found(&tops[i], nil) {
			break
		}
	}
	return nil
}

// topFolders are the folders that the person may see at the project's root.
func (f *Fs) topFolders(ctx context.Context) ([]resource, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.tops != nil {
		return f.tops, nil
	}
	var page listPage
	err := f.client.call(ctx, request{op: opTopFolders, doing: "list the project's top folders", method: http.MethodGet,
		path: "/project/v1/hubs/" + url.PathEscape(f.opt.HubID) + "/projects/" + url.PathEscape(f.opt.ProjectID) + "/topFolders"}, &page)
	if status(err) == http.StatusNotFound {
		// Not as a folder that is missing.
		return nil, fserrors.NoRetryError(errors.New("the project was not found by its hub_id and project_id: " + err.Error()))
	}
	if err != nil {
		return nil, err
	}
	f.tops = append([]resource{}, page.Data...)
	return f.tops, nil
}

// forPlans tells whether a path is in a folder for plans.
func (f *Fs) forPlans(ctx context.Context, remote string) (bool, error) {
	tops, err := f.topFolders(ctx)
	if err != nil {
		return false, err
	}
	first, _, _ := strings.Cut(path.Join(f.root, remote), "/")
	for i := range tops {
		if sameName(tops[i].attr().Name, f.opt.Enc.FromStandardName(first)) {
			return tops[i].forPlans(), nil
		}
	}
	return false, nil
}

func sameName(a, b string) bool { return strings.EqualFold(a, b) }

// FindLeaf finds a folder in a folder, for the cache of folders.
func (f *Fs) FindLeaf(ctx context.Context, parent, leaf string) (id string, found bool, err error) {
	folder, err := f.findFolder(ctx, parent, f.opt.Enc.FromStandardName(leaf), false)
	if folder == nil || err != nil {
		if status(err) == http.StatusNotFound {
			err = fs.ErrorDirNotFound
		}
		return "", false, err
	}
	return folder.ID, true, nil
}

func (f *Fs) findFolder(ctx context.Context, parent, name string, hidden bool) (*resource, error) {
	var match *resource
	err := f.list(ctx, parent, listing{kind: "folders", hidden: hidden}, func(r, _ *resource) bool {
		if r.Type == "folders" && sameName(r.attr().Name, name) {
			match = r
		}
		return match != nil
	})
	return match, err
}

// CreateDir makes a folder, or shows a hidden one of its name again, for the
// cache of folders.
func (f *Fs) CreateDir(ctx context.Context, parent, leaf string) (string, error) {
	if parent == projectRoot {
		return "", fserrors.NoRetryError(fmt.Errorf("%q is no top folder of the project, and none can be made: choose a path such as /Project Files", leaf))
	}
	name := f.opt.Enc.FromStandardName(leaf)
	if err := checkName(name); err != nil {
		return "", err
	}
	body := newDocument(newResource("folders", &attributes{Name: name, Extension: &extension{Type: folderType, Version: "1.0"}},
		map[string]identifier{"parent": {"folders", parent}}))
	var made document
	err := f.client.call(ctx, request{op: opCreateFolder, doing: "make a folder", method: http.MethodPost, path: f.dataPath("folders"), body: body}, &made)
	if status(err) != http.StatusConflict {
		return made.Data.ID, err
	}
	taken, findErr := f.findFolder(ctx, parent, name, true)
	switch {
	case findErr != nil:
		return "", findErr
	case taken == nil:
		return "", err
	case taken.hidden():
		return taken.ID, f.show(ctx, taken.ID, true)
	}
	return taken.ID, nil
}

// show shows or hides a folder.
func (f *Fs) show(ctx context.Context, id string, visible bool) error {
	hidden := !visible
	body := newDocument(resource{Type: "folders", ID: id, Attributes: &attributes{Hidden: &hidden}})
	return f.client.call(ctx, request{op: opPatchFolder, doing: "show or hide a folder", method: http.MethodPatch,
		path: f.dataPath("folders", id), body: body}, new(document))
}

// findItem finds a visible file in a folder by its name.
func (f *Fs) findItem(ctx context.Context, dir, name string) (item, tip *resource, err error) {
	err = f.list(ctx, dir, listing{kind: "items"}, func(r, v *resource) bool {
		if r.Type == "items" && v != nil && sameName(v.attr().Name, name) {
			item, tip = r, v
		}
		return item != nil
	})
	if status(err) == http.StatusNotFound {
		err = fs.ErrorObjectNotFound
	}
	return item, tip, err
}

// tip reads the newest version of a file.
func (f *Fs) tip(ctx context.Context, itemID string) (item, tip *resource, err error) {
	var body document
	err = f.client.call(ctx, request{op: opGetItem, doing: "read a file's newest version", method: http.MethodGet,
		path: f.dataPath("items", itemID)}, &body)
	if err != nil {
		return nil, nil, err
	}
	v := find(body.Included, body.Data.related("tip"))
	if v == nil {
		return nil, nil, errors.New("the newest version of a file is missing in the answer")
	}
	return &body.Data, v, nil
}

var _ dircache.DirCacher = (*Fs)(nil)
