package remote

import (
	"context"

	"github.com/rclone/rclone/fs"
)

// documents is a drive whose Google documents, and the few files that Google
// keeps without a checksum, are listed as what can't be copied. The library
// would drop them without a word, or count them as files of unknown size.
type documents struct{ fs.Fs }

// document has no content of its own.
type document struct{ fs.Object }

func (document) Storable() bool { return false }

// List lists a folder.
func (d documents) List(ctx context.Context, dir string) (fs.DirEntries, error) {
	entries, err := d.Fs.List(ctx, dir)
	for i, entry := range entries {
		if file, ok := entry.(fs.Object); ok && file.Size() < 0 {
			entries[i] = document{file}
		}
	}
	return entries, err
}
