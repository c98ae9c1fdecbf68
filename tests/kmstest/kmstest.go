// Package kmstest is AWS KMS and Google Cloud KMS for tests, by the rules that
// their documentation gives: who calls is verified as there, by the signature of
// the whole request or by a token from the token endpoint; a key is named by its
// full name; sizes are limited; what was encrypted by another key, or with another
// context, does not decrypt.
package kmstest

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// Server is a service with one key.
type Server struct {
	// Address is the URL of the key as --keyset-kms takes it, Other that of a key
	// that there is not.
	Address, Other string
	// Env are the variables that a client needs, as NAME=value, and Secret is what
	// of them nobody may see.
	Env    []string
	Secret string
	// Calls counts the requests, Refused those that were refused.
	Calls, Refused atomic.Int64
	// Damage makes answers carry other bytes than their checksums say.
	Damage atomic.Bool

	http *httptest.Server
	key  []byte
}

func newServer(t testing.TB, handler http.HandlerFunc) *Server {
	s := &Server{key: make([]byte, chacha20poly1305.KeySize)}
	_, _ = rand.Read(s.key) // never fails
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.Calls.Add(1)
		handler(w, r)
	}))
	t.Cleanup(s.http.Close)
	return s
}

// Stop makes it unreachable.
func (s *Server) Stop() { s.http.Close() }

func (s *Server) seal(plaintext, bound []byte) []byte {
	aead, _ := chacha20poly1305.NewX(s.key) // its size is right
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plaintext, bound)
}

func (s *Server) open(sealed, bound []byte) (plaintext []byte, ok bool) {
	aead, _ := chacha20poly1305.NewX(s.key)
	if len(sealed) < aead.NonceSize() {
		return nil, false
	}
	plaintext, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], bound)
	return plaintext, err == nil
}

func answer(w http.ResponseWriter, media string, status int, body any) {
	w.Header().Set("Content-Type", media)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}
