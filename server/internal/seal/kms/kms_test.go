package kms_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/kms"
	"github.com/pointscene/carillon/tests/kmstest"
	"github.com/pointscene/carillon/tests/vaulttest"
)

var place = seal.RemoteAD(1, "a", 1)

func may(context.Context) (bool, error) { return true, nil }

// setenv prepares a client's environment, which is why these tests are not
// parallel.
func setenv(t *testing.T, variables []string) {
	t.Helper()
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

// wrapped makes a keyset that a key wraps, and returns its path.
func wrapped(t *testing.T, address string) (path string, wrapper *seal.Wrapper) {
	t.Helper()
	wrapper, err := kms.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "keyset.json")
	ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{MayCreate: may, Wrapper: wrapper})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), "encryptedKeyset") || strings.Contains(string(text), "keyMaterialType") {
		t.Fatalf("the file is not wrapped: %.80s, %v", text, err)
	}
	sealed, err := ring.Seal([]byte("secret"), place)
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper})
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := again.Open(sealed, place); err != nil || string(opened) != "secret" {
		t.Fatalf("a second start opens %q, %v", opened, err)
	}
	return path, wrapper
}

func TestVault(t *testing.T) {
	vault := vaulttest.Start(t)
	setenv(t, vault.Env)
	path, wrapper := wrapped(t, vault.Address)

	other, err := kms.Open(t.Context(), strings.Replace(vault.Address, "/keys/carillon", "/keys/other", 1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		wrapper *seal.Wrapper
		words   []string
	}{
		"another key": {other, []string{"--keyset-kms", "hcvault", path}},
		"no key":      {nil, []string{"--keyset-kms", path}},
	} {
		_, err := seal.LoadOrCreate(t.Context(), path, seal.Options{MayCreate: may, Wrapper: c.wrapper})
		for _, word := range c.words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want an error with %s", name, err, word)
			}
		}
	}
	ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper})
	if err != nil {
		t.Fatal(err)
	}
	id, err := ring.Source().AddKey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := ring.Reload(t.Context(), nil); !changed || err != nil || len(ring.KeyIDs()) != 2 {
		t.Errorf("the added key %d is not taken over: %t, %v", id, changed, err)
	}

	// An outage stops neither sealing nor opening, and calls nobody.
	sealed, err := ring.Seal([]byte("x"), place)
	if err != nil {
		t.Fatal(err)
	}
	vault.Stop()
	calls := vault.Calls.Load()
	for range 3 {
		if _, err := ring.Open(sealed, place); err != nil {
			t.Error(err)
		}
		if _, err := ring.Reload(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
	if vault.Calls.Load() != calls {
		t.Error("the KMS is called to open a value")
	}
	if _, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper}); err == nil {
		t.Error("a start without the KMS succeeds")
	}
}

func TestWrapKeysetOfBefore(t *testing.T) {
	vault := vaulttest.Start(t)
	setenv(t, vault.Env)
	path := filepath.Join(t.TempDir(), "keyset.json")
	ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{MayCreate: may})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal([]byte("secret"), place)
	if err != nil {
		t.Fatal(err)
	}
	wrapper, err := kms.Open(t.Context(), vault.Address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper}); err == nil || !strings.Contains(err.Error(), "keys wrap") {
		t.Errorf("a file in the clear: %v, want an error that names the command", err)
	}
	if err := ring.Source().Wrap(t.Context(), wrapper); err != nil {
		t.Fatal(err)
	}
	again, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper})
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := again.Open(sealed, place); err != nil || string(opened) != "secret" {
		t.Errorf("the wrapped keyset opens %q, %v", opened, err)
	}
	if _, err := ring.Reload(t.Context(), nil); err == nil {
		t.Error("a process without the KMS takes the wrapped file over")
	}
	if _, err := ring.Open(sealed, place); err != nil {
		t.Errorf("and loses its keys: %v", err)
	}
}

// Both clouds take the calls as they document them, and nothing else: a key that
// there is not, a keyset that is bound to another place, an outage.
func TestClouds(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *kmstest.Server{"AWS": kmstest.StartAWS, "Google": kmstest.StartGoogle} {
		t.Run(name, func(t *testing.T) {
			service := start(t)
			setenv(t, service.Env)
			path, wrapper := wrapped(t, service.Address)
			if refused := service.Refused.Load(); refused != 0 {
				t.Errorf("%d calls were refused", refused)
			}
			sealed, err := wrapper.AEAD.EncryptWithContext(t.Context(), []byte("keyset"), []byte("place"))
			if err != nil {
				t.Fatal(err)
			}
			if opened, err := wrapper.AEAD.DecryptWithContext(t.Context(), sealed, []byte("elsewhere")); err == nil {
				t.Errorf("with other associated data it opens %q", opened)
			}
			other, err := kms.Open(t.Context(), service.Other)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: other}); err == nil || strings.Contains(err.Error(), service.Secret) {
				t.Errorf("by another key: %v", err)
			}
			// The largest keyset that AWS takes is of some forty keys.
			ring, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper})
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				if _, err := ring.Source().AddKey(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			service.Stop()
			if _, err := seal.LoadOrCreate(t.Context(), path, seal.Options{Wrapper: wrapper}); err == nil {
				t.Error("a start without the KMS succeeds")
			}
		})
	}
}

// An answer of Google's that does not have its checksum is not taken.
func TestDamagedAnswers(t *testing.T) {
	service := kmstest.StartGoogle(t)
	setenv(t, service.Env)
	wrapper, err := kms.Open(t.Context(), service.Address)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := wrapper.AEAD.EncryptWithContext(t.Context(), []byte("keyset"), nil)
	if err != nil {
		t.Fatal(err)
	}
	service.Damage.Store(true)
	if _, err := wrapper.AEAD.EncryptWithContext(t.Context(), []byte("keyset"), nil); err == nil {
		t.Error("takes an answer about other bytes")
	}
	if _, err := wrapper.AEAD.DecryptWithContext(t.Context(), sealed, nil); err == nil {
		t.Error("takes damaged bytes")
	}
	t.Setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS", "http://kms.example/")
	if _, err := kms.Open(t.Context(), service.Address); err == nil {
		t.Error("calls another machine in plain text")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"hcvault://vault.internal:8200/transit/keys/carillon", "hcvault://v/team/transit/keys/k",
		"aws-kms://arn:aws:kms:eu-central-1:123456789012:key/1234abcd", "aws-kms://arn:aws-cn:kms:cn-north-1:1:alias/k",
		"gcp-kms://projects/p/locations/global/keyRings/r/cryptoKeys/k",
	} {
		if err := kms.Check(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "vault", "https://vault/transit/keys/k", "hcvault://", "hcvault://v/transit/k", "hcvault://token@v/transit/keys/k", "hcvault://v/transit/keys/",
		"hcvault://v/transit/keys/k?token=x", "aws-kms://alias/k", "aws-kms://arn:aws:s3:::b", "gcp-kms://k", "file:///k",
	} {
		if err := kms.Check(bad); err == nil {
			t.Errorf("%s is taken for a key", bad)
		}
	}
	t.Run("a Vault without a token", func(t *testing.T) {
		t.Parallel()
		if os.Getenv("VAULT_TOKEN") != "" {
			t.Skip("the environment has one")
		}
		if _, err := kms.Open(t.Context(), "hcvault://127.0.0.1:1/transit/keys/k"); err == nil || !strings.Contains(err.Error(), "VAULT_TOKEN") {
			t.Errorf("without a token: %v", err)
		}
	})
}
