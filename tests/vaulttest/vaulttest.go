// Package vaulttest is a Vault with a transit engine for tests. It keeps
// transit's rules: a token is needed, the path names the key, plaintext and
// associated data are base64, a ciphertext is "vault:v1:" and base64, and one
// that was made by another key or with other associated data does not decrypt.
package vaulttest

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// Token is the one that the server takes.
const Token = "hvs.test-token"

// Server is one Vault.
type Server struct {
	// Address is the URL of a key as --keyset-kms takes it.
	Address string
	// Env are the variables that a client needs, as NAME=value.
	Env []string
	// Calls counts the requests.
	Calls atomic.Int64

	http *httptest.Server
	mu   sync.Mutex
	keys map[string][]byte
}

// Start starts one with the transit key carillon.
func Start(t testing.TB) *Server {
	t.Helper()
	s := &Server{keys: map[string][]byte{"carillon": key(), "other": key()}}
	s.http = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.http.Close)
	authority := filepath.Join(t.TempDir(), "vault-ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.Address = "hcvault://" + s.http.Listener.Addr().String() + "/transit/keys/carillon"
	s.Env = []string{"VAULT_TOKEN=" + Token, "VAULT_CACERT=" + authority}
	return s
}

// Stop makes it unreachable.
func (s *Server) Stop() { s.http.Close() }

func key() []byte {
	k := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(k) // never fails
	return k
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.Calls.Add(1)
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	var body struct {
		Plaintext      string `json:"plaintext"`
		Ciphertext     string `json:"ciphertext"`
		AssociatedData string `json:"associated_data"`
	}
	err := json.NewDecoder(r.Body).Decode(&body)
	switch {
	case r.Header.Get("X-Vault-Token") != Token:
		refuse(w, http.StatusForbidden, "permission denied")
		return
	case r.Method != http.MethodPut && r.Method != http.MethodPost, len(parts) != 3, parts[0] != "transit":
		refuse(w, http.StatusNotFound, "unsupported path")
		return
	case err != nil:
		refuse(w, http.StatusBadRequest, "failed to parse JSON input")
		return
	}
	s.mu.Lock()
	secret, known := s.keys[parts[2]]
	s.mu.Unlock()
	if !known {
		refuse(w, http.StatusBadRequest, "encryption key not found")
		return
	}
	ad, adErr := base64.StdEncoding.DecodeString(body.AssociatedData)
	aead, aeadErr := chacha20poly1305.NewX(secret)
	if adErr != nil || aeadErr != nil {
		refuse(w, http.StatusBadRequest, "failed to base64-decode associated_data")
		return
	}
	nonceSize := aead.NonceSize()
	switch parts[1] {
	case "encrypt":
		plaintext, err := base64.StdEncoding.DecodeString(body.Plaintext)
		if err != nil {
			refuse(w, http.StatusBadRequest, "failed to base64-decode plaintext")
			return
		}
		nonce := make([]byte, nonceSize)
		_, _ = rand.Read(nonce) // never fails
		sealed := aead.Seal(nonce, nonce, plaintext, ad)
		answer(w, map[string]any{"ciphertext": "vault:v1:" + base64.StdEncoding.EncodeToString(sealed), "key_version": 1})
	case "decrypt":
		encoded, prefixed := strings.CutPrefix(body.Ciphertext, "vault:v1:")
		sealed, err := base64.StdEncoding.DecodeString(encoded)
		if !prefixed || err != nil || len(sealed) < nonceSize {
			refuse(w, http.StatusBadRequest, "invalid ciphertext: no prefix")
			return
		}
		plaintext, err := aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], ad)
		if err != nil {
			refuse(w, http.StatusBadRequest, "cipher: message authentication failed")
			return
		}
		answer(w, map[string]any{"plaintext": base64.StdEncoding.EncodeToString(plaintext)})
	default:
		refuse(w, http.StatusNotFound, "unsupported path")
	}
}

func answer(w http.ResponseWriter, data map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // the client is gone
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []string{message}}) // the client is gone
}
