package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrOpen says that a sealed value does not open: it was changed, belongs to
// another row, or its key is not in the keyset. Which of these is not told.
var ErrOpen = errors.New("sealed value does not open")

// Sealed is a plaintext sealed for one place in the database.
type Sealed struct {
	// KeyID is the id of the key that sealed the value.
	KeyID uint32
	// Ciphertext is the key id, the nonce, the encrypted bytes and their tag.
	Ciphertext []byte
}

// Roles say what the keys of a keyset are for. The zero value leaves that to
// the keyset itself.
type Roles struct {
	// Primary is the key that seals; 0 for the keyset's own.
	Primary uint32
	// Retired are keys that neither seal nor open any more.
	Retired []uint32
}

// Keyring seals and opens. It is safe for concurrent use, also while its keys
// change.
type Keyring struct {
	source Source
	// changing is held by whoever replaces ring.
	changing sync.Mutex
	ring     atomic.Pointer[ring]
}

// ring is the keys of one time; it never changes.
type ring struct {
	content content
	roles   Roles
	aead    tink.AEAD
	primary uint32
	enabled []uint32
}

// tinkPrefix starts every ciphertext of a Tink key; four bytes with the key's
// id follow, big-endian.
const (
	tinkPrefix    = 0x01
	tinkPrefixLen = 5
)

// newKeyring is a keyring of what a file holds.
func newKeyring(source Source, c content) (*Keyring, error) {
	k := &Keyring{source: source}
	first, err := newRing(c, Roles{})
	if err != nil {
		return nil, fmt.Errorf("use keyset %q: %w", source.Path, err)
	}
	k.ring.Store(first)
	return k, nil
}

// newRing checks that the keyset holds AEAD keys whose ids show in their
// ciphertexts. Tink's own error is left out, as in parse.
func newRing(c content, roles Roles) (*ring, error) {
	for _, key := range c.handle.KeysetInfo().GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, fmt.Errorf("key %d does not show its id in what it seals", key.GetKeyId())
		}
	}
	handle, err := assigned(c.handle, roles)
	if err != nil {
		return nil, err
	}
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("a key is not for authenticated encryption")
	}
	info := handle.KeysetInfo()
	return &ring{content: c, roles: roles, aead: primitive, primary: info.GetPrimaryKeyId(), enabled: enabledOf(info)}, nil
}

// assigned is a keyset in which the keys have their roles.
func assigned(handle *keyset.Handle, roles Roles) (*keyset.Handle, error) {
	manager := keyset.NewManagerFromHandle(handle)
	if roles.Primary != 0 {
		if err := manager.SetPrimary(roles.Primary); err != nil {
			return nil, fmt.Errorf("it lacks key %d, which the database names as the one that seals", roles.Primary)
		}
	}
	for _, key := range handle.KeysetInfo().GetKeyInfo() {
		if !slices.Contains(roles.Retired, key.GetKeyId()) {
			continue
		}
		if err := manager.Disable(key.GetKeyId()); err != nil {
			return nil, fmt.Errorf("key %d can't be out of use and seal", key.GetKeyId())
		}
	}
	return manager.Handle()
}

func enabledOf(info *tinkpb.KeysetInfo) (ids []uint32) {
	for _, key := range info.GetKeyInfo() {
		if key.GetStatus() == tinkpb.KeyStatusType_ENABLED {
			ids = append(ids, key.GetKeyId())
		}
	}
	return ids
}

// Assign gives the keys their roles. It fails, and changes nothing, when the
// keyset lacks the primary key.
func (k *Keyring) Assign(roles Roles) error {
	k.changing.Lock()
	defer k.changing.Unlock()
	now := k.ring.Load()
	if now.roles.Primary == roles.Primary && slices.Equal(now.roles.Retired, roles.Retired) {
		return nil
	}
	next, err := newRing(now.content, roles)
	if err != nil {
		return fmt.Errorf("use keyset %q: %w: name the keyset that all replicas share with --keyset", k.source.Path, err)
	}
	k.ring.Store(next)
	return nil
}

// Seal encrypts plaintext for the place that ad names. Two seals of the same
// plaintext differ.
func (k *Keyring) Seal(plaintext []byte, ad AD) (Sealed, error) {
	if len(ad.encoded) == 0 {
		return Sealed{}, errors.New("seal: no associated data")
	}
	now := k.ring.Load()
	ciphertext, err := now.aead.Encrypt(plaintext, ad.encoded)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal: %w", err)
	}
	return Sealed{KeyID: now.primary, Ciphertext: ciphertext}, nil
}

// Open decrypts what Seal made for the same place. Every failure is ErrOpen.
func (k *Keyring) Open(s Sealed, ad AD) ([]byte, error) {
	// The id beside the ciphertext is what a rotation goes by, so it may not
	// differ from the one that the ciphertext was made with.
	if len(s.Ciphertext) < tinkPrefixLen || s.Ciphertext[0] != tinkPrefix || binary.BigEndian.Uint32(s.Ciphertext[1:]) != s.KeyID {
		return nil, ErrOpen
	}
	plaintext, err := k.ring.Load().aead.Decrypt(s.Ciphertext, ad.encoded)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// PrimaryKeyID is the id of the key that Seal uses.
func (k *Keyring) PrimaryKeyID() uint32 { return k.ring.Load().primary }

// Has says whether the keyring opens what the key with this id sealed.
func (k *Keyring) Has(keyID uint32) bool { return slices.Contains(k.ring.Load().enabled, keyID) }

// KeyIDs are the keys of the file, whatever their roles.
func (k *Keyring) KeyIDs() []uint32 { return k.ring.Load().content.ids() }

// Source is where the keyset lies.
func (k *Keyring) Source() Source { return k.source }

// Require returns an error that names the keyset's flag unless the keyring has
// every one of the given keys. A replica calls it at start with the ids that
// the database's sealed values carry.
func (k *Keyring) Require(keyIDs ...uint32) error {
	for _, id := range keyIDs {
		if !k.Has(id) {
			return fmt.Errorf("keyset %q lacks key %d, which the database's sealed values need: "+
				"name the keyset that all replicas share with --keyset", k.source.Path, id)
		}
	}
	return nil
}
