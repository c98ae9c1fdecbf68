package seal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/gofrs/flock"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// ErrReadOnly says that this process may not change the keyset file, as where
// it is mounted from a secret store.
var ErrReadOnly = errors.New("the keyset file can't be changed from here")

// AddKey adds a new key to the file and answers its id. No role changes.
func (s Source) AddKey(ctx context.Context) (id uint32, err error) {
	err = s.edit(ctx, s, func(m *keyset.Manager) error {
		id, err = m.Add(aead.XChaCha20Poly1305KeyTemplate())
		return err
	})
	return id, err
}

// RemoveKey deletes a key from the file for good; successor becomes the file's
// own primary. One that is not there is no error.
func (s Source) RemoveKey(ctx context.Context, id, successor uint32) error {
	c, err := s.load(ctx)
	has := func(key *tinkpb.KeysetInfo_KeyInfo) bool { return key.GetKeyId() == id }
	if err != nil || !slices.ContainsFunc(c.handle.KeysetInfo().GetKeyInfo(), has) {
		return err
	}
	return s.edit(ctx, s, func(m *keyset.Manager) error {
		if err := m.SetPrimary(successor); err != nil {
			return fmt.Errorf("key %d is not in the keyset", successor)
		}
		return m.Delete(id)
	})
}

// Wrap encrypts a file that lies in the clear by a key of a KMS.
func (s Source) Wrap(ctx context.Context, by *Wrapper) error {
	return s.edit(ctx, Source{Path: s.Path, Wrapper: by}, func(*keyset.Manager) error { return nil })
}

// edit changes the file as one step, while no other process does; it is written
// as that of target.
func (s Source) edit(ctx context.Context, target Source, change func(*keyset.Manager) error) error {
	// A secret store mounts a link to the file: the file itself is replaced.
	path, err := filepath.EvalSymlinks(s.Path)
	if err != nil {
		return fmt.Errorf("change keyset: %w", err)
	}
	lock := flock.New(path+".lock", flock.SetPermissions(0o600))
	if err := lock.Lock(); err != nil {
		return s.unchanged(err)
	}
	defer func() { _ = lock.Close() }() // nothing was written to it
	c, err := s.load(ctx)
	if err != nil {
		return err
	}
	manager := keyset.NewManagerFromHandle(c.handle)
	if err := change(manager); err != nil {
		return fmt.Errorf("change keyset %q: %w", s.Path, err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return fmt.Errorf("change keyset %q: %w", s.Path, err)
	}
	return s.unchanged(target.write(ctx, filepath.Dir(path), handle, func(temporary string) error { return os.Rename(temporary, path) }))
}

func (s Source) unchanged(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("change keyset %q: %w: %w", s.Path, ErrReadOnly, err)
	default:
		return fmt.Errorf("change keyset %q: %w", s.Path, err)
	}
}

// Reload reads the file again if it has changed since it was last read, and
// asks needed, unless it is nil, which keys it has to hold. What can't be used
// leaves the keys as they are; the next call tries again.
func (k *Keyring) Reload(ctx context.Context, needed func(context.Context) ([]uint32, error)) (changed bool, err error) {
	k.changing.Lock()
	defer k.changing.Unlock()
	now := k.ring.Load()
	info, err := os.Stat(k.source.Path)
	if err != nil {
		return false, fmt.Errorf("read keyset again: %w", err)
	}
	if old := now.content.info; os.SameFile(old, info) && old.ModTime().Equal(info.ModTime()) && old.Size() == info.Size() {
		return false, nil
	}
	c, err := k.source.load(ctx)
	if err != nil {
		return false, err
	}
	if err := k.source.holds(ctx, c, needed); err != nil {
		return false, err
	}
	next, err := newRing(c, now.roles)
	if err != nil {
		return false, fmt.Errorf("use keyset %q: %w", k.source.Path, err)
	}
	k.ring.Store(next)
	return true, nil
}

func (s Source) holds(ctx context.Context, c content, needed func(context.Context) ([]uint32, error)) error {
	if needed == nil {
		return nil
	}
	ids, err := needed(ctx)
	if err != nil {
		return fmt.Errorf("read keyset again: %w", err)
	}
	for _, id := range ids {
		if !slices.Contains(c.ids(), id) {
			return fmt.Errorf("keyset %q was changed and lacks key %d, which the database needs: the keys of before stay in use", s.Path, id)
		}
	}
	return nil
}
