package seal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Wrapper is a key of a KMS that encrypts a keyset file.
type Wrapper struct {
	// Name is the kind of KMS for people: hcvault.
	Name string
	// AEAD calls the KMS.
	AEAD tink.AEADWithContext
}

// ErrKMS says that a KMS did not do its part.
var ErrKMS = errors.New("the KMS was of no help")

// wrapAD says what a KMS key encrypts here, so that nothing else that the same
// key encrypted passes for a keyset.
var wrapAD = []byte("carillon/keyset/v1")

// Source is where a keyset lies.
type Source struct {
	Path string
	// Wrapper encrypts the file; nil for a file in the clear.
	Wrapper *Wrapper
}

// Options say what LoadOrCreate may do.
type Options struct {
	// MayCreate answers whether a missing keyset may be made: true only if the
	// database holds no sealed value yet. When it is nil a missing keyset is
	// an error.
	MayCreate func(ctx context.Context) (bool, error)
	// Wrapper is the key that the file is encrypted with; nil for none.
	Wrapper *Wrapper
}

// content is what a keyset file held at one time.
type content struct {
	handle *keyset.Handle
	// info is the file's own, to see whether it changed.
	info fs.FileInfo
}

// ids are the keys that the file does not hold as disabled.
func (c content) ids() []uint32 { return enabledOf(c.handle.KeysetInfo()) }

// LoadOrCreate reads the keyset file at path, a Tink keyset in JSON, and makes
// it first if it is missing and opts allow that. Its directory is made with
// mode 0700, the file with 0600; both are on disk when LoadOrCreate returns.
// Of several processes that start at once one makes the file and all use it.
func LoadOrCreate(ctx context.Context, path string, opts Options) (*Keyring, error) {
	source := Source{Path: path, Wrapper: opts.Wrapper}
	c, err := source.load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		if err := source.mayCreate(ctx, opts.MayCreate); err != nil {
			return nil, err
		}
		if err := source.create(ctx); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make keyset %q: %w", path, err)
		}
		c, err = source.load(ctx)
	}
	if err != nil {
		return nil, err
	}
	return newKeyring(source, c)
}

func (s Source) mayCreate(ctx context.Context, ask func(ctx context.Context) (bool, error)) error {
	if ask == nil {
		return fmt.Errorf("keyset %q is missing: name the right file with --keyset", s.Path)
	}
	may, err := ask(ctx)
	if err != nil {
		return fmt.Errorf("look for sealed values before making keyset %q: %w", s.Path, err)
	}
	if !may {
		return fmt.Errorf("keyset %q is missing, but the database holds sealed values that no new keyset can open: "+
			"restore the file or name the right one with --keyset", s.Path)
	}
	return nil
}

// load wraps fs.ErrNotExist when there is no file.
func (s Source) load(ctx context.Context) (content, error) {
	file, err := os.Open(s.Path)
	if err != nil {
		return content{}, fmt.Errorf("read keyset: %w", err)
	}
	defer func() { _ = file.Close() }() // only read from
	info, err := file.Stat()
	if err != nil {
		return content{}, fmt.Errorf("read keyset: %w", err)
	}
	if !info.Mode().IsRegular() {
		return content{}, fmt.Errorf("keyset %q is not a regular file", s.Path)
	}
	if mode := info.Mode().Perm(); mode&^0o600 != 0 {
		return content{}, fmt.Errorf("keyset %q has mode %04o, so others may use it; run: chmod 600 %q", s.Path, mode, s.Path)
	}
	text, err := io.ReadAll(file)
	if err != nil {
		return content{}, fmt.Errorf("read keyset: %w", err)
	}
	handle, err := s.parse(ctx, text)
	return content{handle: handle, info: info}, err
}

// parse leaves Tink's error out: it says less, and must never quote the file.
// That of a KMS stays: it tells what to do.
func (s Source) parse(ctx context.Context, text []byte) (*keyset.Handle, error) {
	reader := keyset.NewJSONReader(bytes.NewReader(text))
	wrapped := isWrapped(text)
	switch {
	case s.Wrapper == nil && wrapped:
		return nil, fmt.Errorf("keyset %q is wrapped by a KMS: name its key with --keyset-kms", s.Path)
	case s.Wrapper == nil:
		handle, err := insecurecleartextkeyset.Read(reader)
		if err != nil {
			return nil, fmt.Errorf("keyset %q is not a Tink keyset in JSON", s.Path)
		}
		return handle, nil
	case !wrapped:
		return nil, fmt.Errorf("keyset %q is not wrapped, but --keyset-kms is set: run `carillon keys wrap` with the same flags once", s.Path)
	}
	handle, err := keyset.ReadWithContext(ctx, reader, s.Wrapper.AEAD, wrapAD)
	if err != nil {
		return nil, fmt.Errorf("keyset %q: --keyset-kms: %w (%s) to unwrap it: %w", s.Path, ErrKMS, s.Wrapper.Name, err)
	}
	return handle, nil
}

// isWrapped looks only at how the file looks from outside.
func isWrapped(text []byte) bool {
	var outside struct {
		EncryptedKeyset *string `json:"encryptedKeyset"`
	}
	return json.Unmarshal(text, &outside) == nil && outside.EncryptedKeyset != nil
}

// create makes the file. It wraps fs.ErrExist when another process was first.
func (s Source) create(ctx context.Context) error {
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return err
	}
	dir := filepath.Dir(s.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := s.write(ctx, dir, handle, func(temporary string) error { return os.Link(temporary, s.Path) }); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir)) // the directory may be new
}

// write puts a keyset into a temporary file and then in its place: unlike a
// write to the file itself this never shows a half-written keyset, neither to
// another process nor after a crash.
func (s Source) write(ctx context.Context, dir string, handle *keyset.Handle, place func(temporary string) error) error {
	temporary, err := os.CreateTemp(dir, ".keyset-*") // exclusive, mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // it may stay: nobody reads it
	if err := errors.Join(s.encode(ctx, temporary, handle), temporary.Sync(), temporary.Close()); err != nil {
		return err
	}
	if err := place(temporary.Name()); err != nil {
		return err
	}
	return syncDir(dir)
}

func (s Source) encode(ctx context.Context, w io.Writer, handle *keyset.Handle) error {
	writer := keyset.NewJSONWriter(w)
	if s.Wrapper == nil {
		return insecurecleartextkeyset.Write(handle, writer)
	}
	if err := handle.WriteWithContext(ctx, writer, s.Wrapper.AEAD, wrapAD); err != nil {
		return fmt.Errorf("--keyset-kms: %w (%s) to wrap the keyset: %w", ErrKMS, s.Wrapper.Name, err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
