// Package sealtest gives tests of other packages a keyring of their own.
package sealtest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/pointscene/carillon/server/internal/seal"
)

// Keyring returns a keyring with a new key.
func Keyring(t testing.TB) *seal.Keyring {
	t.Helper()
	always := func(context.Context) (bool, error) { return true, nil }
	ring, err := seal.LoadOrCreate(t.Context(), filepath.Join(t.TempDir(), "keyset.json"), seal.Options{MayCreate: always})
	if err != nil {
		t.Fatalf("make a keyring: %v", err)
	}
	return ring
}
