package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

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

// Keyring seals and opens. It is safe for concurrent use.
type Keyring struct {
	path    string
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

// newKeyring checks that handle holds AEAD keys whose ids show in their
// ciphertexts. Tink's own error is left out, as in parse.
func newKeyring(path string, handle *keyset.Handle) (*Keyring, error) {
	primitive, err := aead.New(handle)
	if err != nil {
		return nil, errors.New("a key is not for authenticated encryption")
	}
	info := handle.KeysetInfo()
	k := &Keyring{path: path, aead: primitive, primary: info.GetPrimaryKeyId()}
	for _, key := range info.GetKeyInfo() {
		if key.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return nil, fmt.Errorf("key %d does not show its id in what it seals", key.GetKeyId())
		}
		if key.GetStatus() == tinkpb.KeyStatusType_ENABLED {
			k.enabled = append(k.enabled, key.GetKeyId())
		}
	}
	return k, nil
}

// Seal encrypts plaintext for the place that ad names. Two seals of the same
// plaintext differ.
func (k *Keyring) Seal(plaintext []byte, ad AD) (Sealed, error) {
	if len(ad.encoded) == 0 {
		return Sealed{}, errors.New("seal: no associated data")
	}
	ciphertext, err := k.aead.Encrypt(plaintext, ad.encoded)
	if err != nil {
		return Sealed{}, fmt.Errorf("seal: %w", err)
	}
	return Sealed{KeyID: k.primary, Ciphertext: ciphertext}, nil
}

// Open decrypts what Seal made for the same place. Every failure is ErrOpen.
func (k *Keyring) Open(s Sealed, ad AD) ([]byte, error) {
	// The id beside the ciphertext is what a rotation goes by, so it may not
	// differ from the one that the ciphertext was made with.
	if len(s.Ciphertext) < tinkPrefixLen || s.Ciphertext[0] != tinkPrefix || binary.BigEndian.Uint32(s.Ciphertext[1:]) != s.KeyID {
		return nil, ErrOpen
	}
	plaintext, err := k.aead.Decrypt(s.Ciphertext, ad.encoded)
	if err != nil {
		return nil, ErrOpen
	}
	return plaintext, nil
}

// PrimaryKeyID is the id of the key that Seal uses.
func (k *Keyring) PrimaryKeyID() uint32 { return k.primary }

// Has says whether the keyring opens what the key with this id sealed.
func (k *Keyring) Has(keyID uint32) bool { return slices.Contains(k.enabled, keyID) }

// Require returns an error that names the keyset's flag unless the keyring has
// every one of the given keys. A replica calls it at start with the ids that
// the database's sealed values carry.
func (k *Keyring) Require(keyIDs ...uint32) error {
	for _, id := range keyIDs {
		if !k.Has(id) {
			return fmt.Errorf("keyset %q lacks key %d, which the database's sealed values need: "+
				"name the keyset that all replicas share with --keyset", k.path, id)
		}
	}
	return nil
}
