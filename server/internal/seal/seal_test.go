package seal_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"

	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/sealtest"
)

var (
	plaintext = []byte(`{"type":"s3","secret_access_key":"canary-5f1c"}`)
	place     = seal.RemoteAD(7, "s3", 3)
)

func TestSealOpen(t *testing.T) {
	t.Parallel()
	ring := sealtest.Keyring(t)
	for _, text := range [][]byte{plaintext, {}, bytes.Repeat([]byte{0}, 1<<16)} {
		sealed, err := ring.Seal(text, place)
		if err != nil {
			t.Fatalf("Seal: %v", err)
		}
		if sealed.KeyID != ring.PrimaryKeyID() || !ring.Has(sealed.KeyID) {
			t.Errorf("sealed with key %d, want the primary %d", sealed.KeyID, ring.PrimaryKeyID())
		}
		opened, err := ring.Open(sealed, place)
		if err != nil || !bytes.Equal(opened, text) {
			t.Errorf("Open = %d bytes, %v; want the %d sealed ones", len(opened), err, len(text))
		}
	}
}

func TestTwoSealsDiffer(t *testing.T) {
	t.Parallel()
	ring := sealtest.Keyring(t)
	first, err := ring.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	second, err := ring.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.Ciphertext, second.Ciphertext) {
		t.Error("two seals of one plaintext are equal")
	}
	if bytes.Contains(first.Ciphertext, []byte("canary")) {
		t.Error("the plaintext shows in the ciphertext")
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	t.Parallel()
	ring := sealtest.Keyring(t)
	sealed, err := ring.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	for i := range sealed.Ciphertext {
		for bit := range 8 {
			changed := seal.Sealed{KeyID: sealed.KeyID, Ciphertext: bytes.Clone(sealed.Ciphertext)}
			changed.Ciphertext[i] ^= 1 << bit
			mustNotOpen(t, ring, changed, place)
		}
		mustNotOpen(t, ring, seal.Sealed{KeyID: sealed.KeyID, Ciphertext: sealed.Ciphertext[:i]}, place)
	}
	mustNotOpen(t, ring, seal.Sealed{KeyID: sealed.KeyID, Ciphertext: append(bytes.Clone(sealed.Ciphertext), 0)}, place)
	mustNotOpen(t, ring, seal.Sealed{KeyID: sealed.KeyID + 1, Ciphertext: sealed.Ciphertext}, place)
	mustNotOpen(t, ring, seal.Sealed{}, place)
}

func TestOpenRefusesAnotherPlace(t *testing.T) {
	t.Parallel()
	ring := sealtest.Keyring(t)
	places := map[string]seal.AD{
		"remote":                 place,
		"other resource":         seal.RemoteAD(8, "s3", 3),
		"other remote":           seal.RemoteAD(7, "s4", 3),
		"older version":          seal.RemoteAD(7, "s3", 2),
		"version into name":      seal.RemoteAD(7, "s3\x00\x00", 3),
		"swapped numbers":        seal.RemoteAD(3, "s3", 7),
		"extreme numbers":        seal.RemoteAD(math.MaxInt64, "", -1),
		"signing key":            seal.SigningKeyAD("token", "k1"),
		"other purpose":          seal.SigningKeyAD("link", "k1"),
		"shifted purpose":        seal.SigningKeyAD("token"+"k", "1"),
		"purpose in the key id":  seal.SigningKeyAD("", "tokenk1"),
		"signing key like a row": seal.SigningKeyAD("s3", "7"),
	}
	for from, sealedAt := range places {
		sealed, err := ring.Seal(plaintext, sealedAt)
		if err != nil {
			t.Fatalf("Seal at %s: %v", from, err)
		}
		for to, openedAt := range places {
			if from != to {
				mustNotOpen(t, ring, sealed, openedAt)
			}
		}
		mustNotOpen(t, ring, sealed, seal.AD{})
	}
	if _, err := ring.Seal(plaintext, seal.AD{}); err == nil {
		t.Error("sealed without associated data")
	}
}

func TestOpenRefusesAnotherKeyset(t *testing.T) {
	t.Parallel()
	ring, other := sealtest.Keyring(t), sealtest.Keyring(t)
	sealed, err := ring.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	mustNotOpen(t, other, sealed, place)
	// The same bytes under an id that the other keyset does know.
	forged := seal.Sealed{KeyID: other.PrimaryKeyID(), Ciphertext: bytes.Clone(sealed.Ciphertext)}
	own, err := other.Seal(nil, place)
	if err != nil {
		t.Fatal(err)
	}
	copy(forged.Ciphertext, own.Ciphertext[:5])
	mustNotOpen(t, other, forged, place)
}

func mustNotOpen(t *testing.T, ring *seal.Keyring, sealed seal.Sealed, ad seal.AD) {
	t.Helper()
	opened, err := ring.Open(sealed, ad)
	if err != seal.ErrOpen || opened != nil { //nolint:errorlint // exactly the bare sentinel, so that nothing else is told
		t.Fatalf("Open = %q, %v; want only ErrOpen", opened, err)
	}
}

// The order of a rotation: add, promote, disable; a keyring of each stage.
func TestRotation(t *testing.T) {
	t.Parallel()
	manager := keyset.NewManager()
	oldKey := addKey(t, manager)
	if err := manager.SetPrimary(oldKey); err != nil {
		t.Fatal(err)
	}
	before := ringOf(t, manager)
	newKey := addKey(t, manager)
	added := ringOf(t, manager)
	if err := manager.SetPrimary(newKey); err != nil {
		t.Fatal(err)
	}
	promoted := ringOf(t, manager)
	if err := manager.Disable(oldKey); err != nil {
		t.Fatal(err)
	}
	disabled := ringOf(t, manager)

	stages := []struct {
		name    string
		ring    *seal.Keyring
		primary uint32
		opens   []uint32
	}{
		{"before", before, oldKey, []uint32{oldKey}},
		{"added", added, oldKey, []uint32{oldKey, newKey}},
		{"promoted", promoted, newKey, []uint32{oldKey, newKey}},
		{"disabled", disabled, newKey, []uint32{newKey}},
	}
	for _, writer := range stages {
		sealed, err := writer.ring.Seal(plaintext, place)
		if err != nil {
			t.Fatalf("%s: Seal: %v", writer.name, err)
		}
		if sealed.KeyID != writer.primary || writer.ring.PrimaryKeyID() != writer.primary {
			t.Errorf("%s: sealed with %d, want %d", writer.name, sealed.KeyID, writer.primary)
		}
		for _, reader := range stages {
			want := reader.ring.Has(sealed.KeyID)
			if opened, err := reader.ring.Open(sealed, place); (err == nil) != want || want && !bytes.Equal(opened, plaintext) {
				t.Errorf("%s opens what %s sealed: %v, want %t", reader.name, writer.name, err, want)
			}
		}
	}
	for _, stage := range stages {
		if err := stage.ring.Require(stage.opens...); err != nil {
			t.Errorf("%s: Require: %v", stage.name, err)
		}
	}
	if err := disabled.Require(newKey, oldKey); err == nil || !strings.Contains(err.Error(), "--keyset") {
		t.Errorf("Require of a disabled key: %v, want an error that names --keyset", err)
	}
}

func addKey(t *testing.T, manager *keyset.Manager) uint32 {
	t.Helper()
	id, err := manager.Add(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// ringOf loads the manager's keyset by way of a file.
func ringOf(t *testing.T, manager *keyset.Manager) *seal.Keyring {
	t.Helper()
	handle, err := manager.Handle()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyset.json")
	writeKeyset(t, path, handle)
	ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func writeKeyset(t *testing.T, path string, handle *keyset.Handle) {
	t.Helper()
	var content bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&content)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestKeyringDoesNotPrintKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyset.json")
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	writeKeyset(t, path, handle)
	key := keyValue(t, path)
	ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	holder := struct{ ring *seal.Keyring }{ring}
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s"} {
		for _, value := range []any{ring, holder} {
			if printed := fmt.Sprintf(verb, value); showsBytes(printed, key) {
				t.Errorf("%s of %T shows the key: %s", verb, value, printed)
			}
		}
	}
}
