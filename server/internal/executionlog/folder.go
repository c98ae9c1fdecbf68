package executionlog

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/gcerrors"
)

// FolderURL is the URL of the store in a folder of this machine.
func FolderURL(folder string) (string, error) {
	absolute, err := filepath.Abs(folder)
	if err != nil {
		return "", err
	}
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute)}).String(), nil
}

// openFolder keeps logs as plain files that only this user can read.
func openFolder(_ context.Context, address *url.URL) (*blob.Bucket, func(string) error, error) {
	if address.Host != "" || address.Path == "" || address.RawQuery != "" {
		return nil, nil, errors.New("a folder is written file:///absolute/path, without parameters")
	}
	root := filepath.FromSlash(address.Path)
	bucket, err := fileblob.OpenBucket(root, &fileblob.Options{
		CreateDir:   true,
		DirFileMode: 0o700,
		// Beside the log, since the system's temporary folder may lie on
		// another disk, from where a file can't be moved in one step.
		NoTempDir: true,
		Metadata:  fileblob.MetadataDontWrite,
	})
	if err != nil {
		return nil, nil, err
	}
	// Deleting the objects alone would leave their folders behind for ever.
	removeFolder := func(prefix string) error { return os.RemoveAll(filepath.Join(root, filepath.FromSlash(prefix))) }
	return bucket, removeFolder, nil
}

// missing tells whether a store said that an object does not exist.
func missing(err error) bool { return gcerrors.Code(err) == gcerrors.NotFound }
