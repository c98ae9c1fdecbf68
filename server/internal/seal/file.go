package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// Options say what LoadOrCreate may do.
type Options struct {
	// MayCreate answers whether a missing keyset may be made: true only if the
	// database holds no sealed value yet. When it is nil a missing keyset is
	// an error.
	MayCreate func(ctx context.Context) (bool, error)
}

// LoadOrCreate reads the keyset file at path, a Tink keyset in JSON, and makes
// it first if it is missing and opts allow that. Its directory is made with
// mode 0700, the file with 0600; both are on disk when LoadOrCreate returns.
// Of several processes that start at once one makes the file and all use it.
func LoadOrCreate(ctx context.Context, path string, opts Options) (*Keyring, error) {
	ring, err := load(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return ring, err
	}
	if opts.MayCreate == nil {
		return nil, fmt.Errorf("keyset %q is missing: name the right file with --keyset", path)
	}
	may, err := opts.MayCreate(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for sealed values before making keyset %q: %w", path, err)
	}
	if !may {
		return nil, fmt.Errorf("keyset %q is missing, but the database holds sealed values that no new keyset can open: "+
			"restore the file or name the right one with --keyset", path)
	}
	if err := create(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make keyset %q: %w", path, err)
	}
	return load(path)
}

// load wraps fs.ErrNotExist when there is no file.
func load(path string) (*Keyring, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("keyset %q is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return nil, fmt.Errorf("keyset %q has mode %04o, so others may use it; run: chmod 600 %q", path, mode, path)
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return nil, fmt.Errorf("read keyset: %w", err)
	}
	return parse(path, content)
}

// parse leaves Tink's error out: it says less, and must never quote the file.
func parse(path string, content []byte) (*Keyring, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(content)))
	if err != nil {
		return nil, fmt.Errorf("keyset %q is not a Tink keyset in JSON", path)
	}
	ring, err := newKeyring(path, handle)
	if err != nil {
		return nil, fmt.Errorf("use keyset %q: %w", path, err)
	}
	return ring, nil
}

// create writes a new keyset to a temporary file and links it to path: unlike
// an exclusive create this never shows a half-written keyset, neither to
// another process nor after a crash. It wraps fs.ErrExist when another process
// was first.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(dir, ".keyset-*") // exclusive, mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it may stay: nobody reads it
	if err := errors.Join(writeNew(temporary), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := os.Link(temporary.Name(), path); err != nil {
		return err
	}
	// The parent too: the directory may be new.
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

func writeNew(w io.Writer) error {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return err
	}
	return insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(w))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
