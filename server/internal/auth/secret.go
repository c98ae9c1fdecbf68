package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"github.com/pointscene/carillon/server/internal/seal"
)

// secretPrefix makes leaked client secrets findable by scanners.
const secretPrefix = "cs_"

// NewSecret makes a client secret and the hash to store. A plain hash will do
// because the secret is 256 random bits, which nobody can guess.
func NewSecret() (secret seal.Secret, hash []byte) {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	text := secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(text))
	return seal.NewSecret(text), sum[:]
}

// secretMatches takes the same time for every hash, a missing one included:
// that is compared as zeros, which no secret hashes to.
func secretMatches(secret seal.Secret, hash []byte) bool {
	sum := sha256.Sum256([]byte(secret.Reveal()))
	var want [sha256.Size]byte
	copy(want[:], hash)
	return subtle.ConstantTimeCompare(sum[:], want[:]) == 1
}
