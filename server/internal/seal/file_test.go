package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/mac"

	"github.com/pointscene/carillon/server/internal/seal"
)

func answer(may bool, err error) seal.Options {
	return seal.Options{MayCreate: func(context.Context) (bool, error) { return may, err }}
}

func TestFirstStartMakesTheKeyset(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "keys")
	path := filepath.Join(dir, "keyset.json")
	first, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil))
	if err != nil {
		t.Fatal(err)
	}
	mustHaveMode(t, dir, 0o700)
	mustHaveMode(t, path, 0o600)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v; want the keyset only", entries, err)
	}

	// Later starts use the same keys and don't ask whether to make new ones.
	second, err := seal.LoadOrCreate(t.Context(), path, answer(false, errors.New("asked")))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := first.Seal(plaintext, place)
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := second.Open(sealed, place); err != nil || !bytes.Equal(opened, plaintext) {
		t.Errorf("the second start opens %q, %v", opened, err)
	}
}

func mustHaveMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != want {
		t.Errorf("%s has mode %04o, want %04o", path, info.Mode().Perm(), want)
	}
}

func TestConcurrentFirstStartsShareOneKeyset(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys", "keyset.json")
	rings := make([]*seal.Keyring, 8)
	var starts sync.WaitGroup
	for i := range rings {
		starts.Go(func() {
			ring, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil))
			if err != nil {
				t.Errorf("start %d: %v", i, err)
				return
			}
			rings[i] = ring
		})
	}
	starts.Wait()
	if t.Failed() {
		return
	}
	for i, ring := range rings {
		if ring.PrimaryKeyID() != rings[0].PrimaryKeyID() {
			t.Errorf("start %d has key %d, start 0 has %d", i, ring.PrimaryKeyID(), rings[0].PrimaryKeyID())
		}
	}
}

func TestMissingKeysetIsRefused(t *testing.T) {
	t.Parallel()
	broken := errors.New("no database")
	cases := []struct {
		name string
		opts seal.Options
		want string
	}{
		{"sealed values exist", answer(false, nil), "--keyset"},
		{"not allowed at all", seal.Options{}, "--keyset"},
		{"not known", answer(true, broken), broken.Error()},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keys", "keyset.json")
			_, err := seal.LoadOrCreate(t.Context(), path, c.opts)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v, want one that names %q and the path", err, c.want)
			}
			if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("something was made: %v", err)
			}
		})
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	cases := map[os.FileMode]bool{
		0o600: true, 0o400: true,
		0o604: false, 0o640: false, 0o620: false, 0o644: false, 0o660: false, 0o700: false, 0o601: false, 0o777: false,
	}
	for mode, ok := range cases {
		t.Run(fmt.Sprintf("%04o", mode), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keyset.json")
			if _, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil))
			if ok && err != nil {
				t.Errorf("refused: %v", err)
			}
			if !ok && (err == nil || !strings.Contains(err.Error(), fmt.Sprintf("chmod 600 %q", path))) {
				t.Errorf("error %v, want one with the command to run", err)
			}
		})
	}
}

// A keyset that does not load is left alone and its content stays out of the
// error.
func TestBrokenKeysets(t *testing.T) {
	t.Parallel()
	macHandle, err := keyset.NewHandle(mac.HMACSHA256Tag256KeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	rawHandle, err := keyset.NewHandle(aead.AES256GCMNoPrefixKeyTemplate())
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(t *testing.T, path string){
		"empty":          func(t *testing.T, path string) { overwrite(t, path, "") },
		"no JSON":        func(t *testing.T, path string) { overwrite(t, path, "canary-81aa") },
		"no keys":        func(t *testing.T, path string) { overwrite(t, path, `{"primaryKeyId":1,"key":[]}`) },
		"truncated":      func(t *testing.T, path string) { overwrite(t, path, content(t, path)[:120]) },
		"broken base64":  func(t *testing.T, path string) { overwrite(t, path, breakValue(t, path)) },
		"MAC keys":       func(t *testing.T, path string) { writeKeyset(t, path, macHandle) },
		"raw ciphertext": func(t *testing.T, path string) { writeKeyset(t, path, rawHandle) },
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keyset.json")
			if _, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil)); err != nil {
				t.Fatal(err)
			}
			damage(t, path)
			damaged := content(t, path)
			_, err := seal.LoadOrCreate(t.Context(), path, answer(true, nil))
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Fatalf("error %v, want one that names the file", err)
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the file's content: %v", err)
			}
			if content(t, path) != damaged {
				t.Error("the file was changed")
			}
		})
	}
}

func TestKeysetPathThatIsNoFile(t *testing.T) {
	t.Parallel()
	_, err := seal.LoadOrCreate(t.Context(), t.TempDir(), answer(true, nil))
	if err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func overwrite(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// breakValue returns the keyset with a canary in place of its key's value.
func breakValue(t *testing.T, path string) string {
	t.Helper()
	text := content(t, path)
	return strings.Replace(text, encodedValue(t, path), "!canary-3e0d!", 1)
}

func encodedValue(t *testing.T, path string) string {
	t.Helper()
	var file struct {
		Key []struct {
			KeyData struct{ Value string }
		}
	}
	if err := json.Unmarshal([]byte(content(t, path)), &file); err != nil {
		t.Fatal(err)
	}
	return file.Key[0].KeyData.Value
}

// keyValue returns the bytes of the keyset's only key.
func keyValue(t *testing.T, path string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(encodedValue(t, path))
	if err != nil || len(b) < 32 {
		t.Fatalf("key value of %d bytes, %v", len(b), err)
	}
	return b[len(b)-32:]
}

// showsBytes looks for a part of b in the ways that fmt prints bytes.
func showsBytes(printed string, b []byte) bool {
	part := b[8:16]
	decimal := strings.Trim(fmt.Sprint(part), "[]")
	return strings.Contains(printed, string(part)) || strings.Contains(printed, decimal) ||
		strings.Contains(printed, hex.EncodeToString(part)) ||
		strings.Contains(printed, strings.Trim(strings.TrimPrefix(fmt.Sprintf("%#v", part), "[]byte"), "{}"))
}
