package remote

import (
	"context"
	"errors"
	"strings"

	"github.com/rclone/rclone/fs"
)

// documents is a drive whose Google documents, and the few files that Google
// keeps without a checksum, are listed as what can't be copied. The library
// would drop them without a word, or count them as files of unknown size.
//
// Of a drive that exports, what can be exported is an
// ordinary file, under the name of its export. The library drops the rest, so
// both are listed.
type documents struct {
	fs.Fs
	// all shows all documents, beside an Fs that exports; else nil.
	all fs.Fs
}

// withDocuments tells of the documents of a drive that again opens once more,
// with the same options.
func withDocuments(opened fs.Fs, o *options, again func() (fs.Fs, error)) (fs.Fs, error) {
	if show, _ := o.Get(showDocuments); show == "true" {
		return documents{Fs: opened}, nil
	}
	o.Set(showDocuments, "true")
	all, err := again()
	return documents{opened, all}, err
}

// showDocuments is the option to list every document, instead of exports.
const showDocuments = "show_all_gdocs"

// document has no content of its own.
type document struct {
	fs.Object
	exporting bool
}

func (document) Storable() bool { return false }

// isExport reports whether a file of a remote is only a copy that Google makes
// of a document. It can be read like a file, but to overwrite or delete it is to
// do that to the document.
func isExport(f fs.Fs, file fs.Object) bool {
	_, drive := f.(documents)
	return drive && file.Size() < 0
}

// List lists a folder.
func (d documents) List(ctx context.Context, dir string) (fs.DirEntries, error) {
	if d.all != nil {
		return d.listExports(ctx, dir)
	}
	entries, err := d.Fs.List(ctx, dir)
	for i, entry := range entries {
		if file, ok := entry.(fs.Object); ok && file.Size() < 0 {
			entries[i] = document{Object: file}
		}
	}
	return entries, err
}

// listExports adds to the exports what has none.
func (d documents) listExports(ctx context.Context, dir string) (fs.DirEntries, error) {
	entries, err := d.Fs.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	all, err := d.all.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	exported := make(map[string]bool, len(entries))
	for _, entry := range entries {
		exported[idOf(entry)] = true
	}
	missing := 0
	for _, entry := range all {
		if file, ok := entry.(fs.Object); ok && file.Size() < 0 && !exported[idOf(entry)] {
			entries = append(entries, document{Object: file, exporting: true})
			missing++
		}
	}
	if missing > 0 {
		err = d.knowsFormats(ctx)
	}
	return entries, err
}

// knowsFormats fails when the library does not know Google's formats. It asks
// for them once per process; after a failure it would take every document for
// one without an export, and a mirror would delete the exports made before.
func (d documents) knowsFormats(ctx context.Context) error {
	formats, err := d.Features().Command(ctx, "exportformats", nil, nil)
	if known, ok := formats.(map[string][]string); err == nil && (!ok || len(known) == 0) {
		err = errNoFormats
	}
	return err
}

var errNoFormats = errors.New("the formats that Google exports could not be read; they are asked for again when the server is restarted")

func idOf(entry fs.DirEntry) string {
	if with, ok := entry.(fs.IDer); ok {
		return with.ID()
	}
	return ""
}

// noContent says why a file that is not storable can't be copied.
func noContent(ctx context.Context, file fs.Object) (reason, why string) {
	if d, ok := file.(document); ok && d.exporting {
		if typ := fs.MimeType(ctx, d.Object); strings.HasPrefix(typ, "application/vnd.google-apps.") {
			return ReasonNotExportable, "none of export_formats is one that Google exports " + typ + " to"
		}
	}
	return ReasonNotAFile, "it has no content of its own that could be copied, such as a Google document, a model in the cloud or a link"
}
