package auth

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// KeyStore keeps signing keys; package store says how.
type KeyStore interface {
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	AddFirstSigningKey(ctx context.Context, key store.SigningKey) error
	RotateSigningKey(ctx context.Context, key store.SigningKey, retire, now time.Time) error
}

// The purposes of signing keys, as they are stored.
const (
	PurposeToken = "token"
	PurposeLink  = "link"
)

// secretLen is the length of a sealed private part: an Ed25519 seed or an
// HMAC-SHA256 key.
const secretLen = 32

const (
	// keysMaxAge is how long keys are used without asking the store, and so
	// how long a removed key lives on.
	keysMaxAge = 10 * time.Second
	// keysMinAge is how often tokens with unknown keys can make us ask.
	keysMinAge = time.Second
	// loadTimeout is longer than a store takes to say that it does not answer.
	loadTimeout = 10 * time.Second
)

// Keys holds the signing keys of the database in the clear. Every replica has
// the same; the newest active one of a purpose signs, all verify until they
// retire.
type Keys struct {
	store   KeyStore
	ring    *seal.Keyring
	now     func() time.Time
	cached  atomic.Pointer[keySet]
	loading singleflight.Group
}

// keySet is the store's content at one time.
type keySet struct {
	loadedAt time.Time
	token    map[string]ed25519.PrivateKey
	link     map[string][]byte
	// The ids of the newest active key of each purpose; empty when there is none.
	newestToken, newestLink string
	// public is for the JWKS, oldest first.
	public jose.JSONWebKeySet
}

// NewKeys returns keys that are read when they are first needed.
func NewKeys(keyStore KeyStore, ring *seal.Keyring, now func() time.Time) *Keys {
	return &Keys{store: keyStore, ring: ring, now: now}
}

// EnsureKeys makes the first key of each purpose unless the store has one. It
// is called once at start and fails if the keyring can't open the store's keys.
func (k *Keys) EnsureKeys(ctx context.Context) error {
	set, err := k.load(ctx)
	if err != nil {
		return err
	}
	if set.newestToken == "" {
		if err := k.addFirst(ctx, PurposeToken); err != nil {
			return err
		}
	}
	if set.newestLink == "" {
		if err := k.addFirst(ctx, PurposeLink); err != nil {
			return err
		}
	}
	// Another replica may have been first: what the store holds now counts.
	set, err = k.load(ctx)
	if err != nil {
		return err
	}
	if set.newestToken == "" || set.newestLink == "" {
		return errors.New("the store did not keep the first signing keys")
	}
	return nil
}

func (k *Keys) addFirst(ctx context.Context, purpose string) error {
	key, err := k.make(purpose)
	if err != nil {
		return fmt.Errorf("make the first %s key: %w", purpose, err)
	}
	if err := k.store.AddFirstSigningKey(ctx, key); err != nil {
		return fmt.Errorf("store the first %s key: %w", purpose, err)
	}
	return nil
}

// make seals a new key.
func (k *Keys) make(purpose string) (store.SigningKey, error) {
	secret := make([]byte, secretLen)
	_, _ = rand.Read(secret) // never fails
	key := store.SigningKey{ID: rand.Text(), Purpose: purpose, CreatedAt: job.Time(k.now())}
	if purpose == PurposeToken {
		key.Public = ed25519.NewKeyFromSeed(secret).Public().(ed25519.PublicKey)
	}
	sealed, err := k.ring.Seal(secret, seal.SigningKeyAD(purpose, key.ID))
	key.KeyID, key.Sealed = sealed.KeyID, sealed.Ciphertext
	return key, err
}

// set returns keys that are younger than maxAge.
func (k *Keys) set(ctx context.Context, maxAge time.Duration) (*keySet, error) {
	if set := k.cached.Load(); set != nil && k.now().Sub(set.loadedAt) < maxAge {
		return set, nil
	}
	// One load for all who wait; it must not end with the call that began it.
	load := k.loading.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTimeout)
		defer cancel()
		return k.load(ctx)
	})
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for the signing keys: %w", context.Cause(ctx))
	case result := <-load:
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*keySet), nil
	}
}

// load fails when one key does not open: a replica with another keyset than
// the database's must not serve.
func (k *Keys) load(ctx context.Context) (*keySet, error) {
	loadedAt := k.now()
	rows, err := k.store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	set := &keySet{loadedAt: loadedAt, token: map[string]ed25519.PrivateKey{}, link: map[string][]byte{}}
	for _, row := range rows {
		if !row.RetiresAt.IsZero() && !loadedAt.Before(row.RetiresAt) {
			continue
		}
		secret, err := k.open(row)
		if err != nil {
			return nil, err
		}
		set.add(row, secret)
	}
	k.cached.Store(set)
	return set, nil
}

func (k *Keys) open(row store.SigningKey) ([]byte, error) {
	if err := k.ring.Require(row.KeyID); err != nil {
		return nil, err
	}
	sealed := seal.Sealed{KeyID: row.KeyID, Ciphertext: row.Sealed}
	secret, err := k.ring.Open(sealed, seal.SigningKeyAD(row.Purpose, row.ID))
	if err != nil {
		return nil, fmt.Errorf("open signing key %s: %w", row.ID, err)
	}
	if len(secret) != secretLen {
		return nil, fmt.Errorf("signing key %s has %d bytes, want %d", row.ID, len(secret), secretLen)
	}
	return secret, nil
}

// add ignores purposes that it does not know: a newer replica may use them.
func (s *keySet) add(row store.SigningKey, secret []byte) {
	active := !s.loadedAt.Before(row.ActiveAt)
	switch row.Purpose {
	case PurposeToken:
		private := ed25519.NewKeyFromSeed(secret)
		s.token[row.ID] = private
		if active {
			s.newestToken = row.ID
		}
		s.public.Keys = append(s.public.Keys, jose.JSONWebKey{
			Key: private.Public(), KeyID: row.ID, Algorithm: string(jose.EdDSA), Use: "sig",
		})
	case PurposeLink:
		s.link[row.ID] = secret
		if active {
			s.newestLink = row.ID
		}
	}
}

// find looks a key up and asks the store again when it is unknown, at most
// once in keysMinAge.
func find[K any](ctx context.Context, k *Keys, id string, in func(*keySet) map[string]K) (key K, ok bool, err error) {
	for _, maxAge := range []time.Duration{keysMaxAge, keysMinAge} {
		set, err := k.set(ctx, maxAge)
		if err != nil {
			return key, false, err
		}
		if key, ok = in(set)[id]; ok {
			return key, true, nil
		}
	}
	return key, false, nil
}

func tokenKeys(s *keySet) map[string]ed25519.PrivateKey { return s.token }
func linkKeys(s *keySet) map[string][]byte              { return s.link }

// JWKS is the public set (RFC 7517) as JSON.
func (k *Keys) JWKS(ctx context.Context) ([]byte, error) {
	set, err := k.set(ctx, keysMaxAge)
	if err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(set.public)
	if err != nil {
		return nil, fmt.Errorf("write the key set: %w", err)
	}
	return encoded, nil
}
