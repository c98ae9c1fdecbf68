package kms

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	cloudkms "google.golang.org/api/cloudkms/v1"
	"google.golang.org/api/option"
)

// The calls of Cloud KMS, as its API documents them; the service itself can't
// be had in a test.
func TestGoogle(t *testing.T) {
	t.Parallel()
	const name = "projects/p/locations/global/keyRings/r/cryptoKeys/k"
	damage := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in cloudkms.EncryptRequest
		var back cloudkms.DecryptRequest
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/v1/" + name + ":encrypt":
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.PlaintextCrc32c == 0 {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			plaintext, _ := decode(in.Plaintext, in.PlaintextCrc32c)
			sealed := append([]byte(in.AdditionalAuthenticatedData+"|"), plaintext...)
			_ = json.NewEncoder(w).Encode(cloudkms.EncryptResponse{
				Ciphertext: encode(sealed), CiphertextCrc32c: checksum(sealed), VerifiedPlaintextCrc32c: !damage, VerifiedAdditionalAuthenticatedDataCrc32c: true,
			})
		case "/v1/" + name + ":decrypt":
			_ = json.NewDecoder(r.Body).Decode(&back)
			sealed, _ := decode(back.Ciphertext, back.CiphertextCrc32c)
			plaintext, ok := strings.CutPrefix(string(sealed), back.AdditionalAuthenticatedData+"|")
			if !ok {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			sum := checksum([]byte(plaintext))
			if damage {
				sum++
			}
			_ = json.NewEncoder(w).Encode(cloudkms.DecryptResponse{Plaintext: encode([]byte(plaintext)), PlaintextCrc32c: sum})
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	key, err := openGoogle(t.Context(), name, option.WithEndpoint(server.URL), option.WithoutAuthentication())
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := key.EncryptWithContext(t.Context(), []byte("keyset"), []byte("place"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := key.DecryptWithContext(t.Context(), sealed, []byte("place")); err != nil || string(opened) != "keyset" {
		t.Errorf("opens %q, %v", opened, err)
	}
	if _, err := key.DecryptWithContext(t.Context(), sealed, []byte("elsewhere")); err == nil {
		t.Error("opens with other associated data")
	}
	damage = true
	if _, err := key.EncryptWithContext(t.Context(), []byte("keyset"), []byte("place")); err == nil {
		t.Error("takes an answer about other bytes")
	}
	if _, err := key.DecryptWithContext(t.Context(), sealed, []byte("place")); err == nil {
		t.Error("takes damaged bytes")
	}
}
