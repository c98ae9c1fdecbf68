package auth_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/sealtest"
	"github.com/pointscene/carillon/server/internal/store"
)

func TestEnsureKeysMakesOnePerPurpose(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if len(b.store.keys) != 2 {
		t.Fatalf("%d keys, want one for tokens and one for links", len(b.store.keys))
	}
	for _, row := range b.store.keys {
		_, secret := b.key(t, row.Purpose)
		if len(secret) != 32 || bytes.Contains(row.Sealed, secret) || bytes.Contains(row.Public, secret) {
			t.Errorf("the %s key is not 32 sealed bytes", row.Purpose)
		}
		if !row.CreatedAt.Equal(b.clock.Now().Truncate(time.Microsecond)) {
			t.Errorf("made at %s", row.CreatedAt)
		}
	}
	before := len(b.store.keys)
	if err := b.keys.EnsureKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.store.keys) != before {
		t.Error("the second start made keys")
	}
}

func TestReplicasThatRaceAgree(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.store.keys = nil
	replicas := make([]*auth.Keys, 8)
	var starts sync.WaitGroup
	for i := range replicas {
		replicas[i] = auth.NewKeys(b.store, b.ring, b.clock.Now)
		starts.Go(func() {
			if err := replicas[i].EnsureKeys(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	if len(b.store.keys) != 2 {
		t.Fatalf("%d keys", len(b.store.keys))
	}
	for i, issuing := range replicas {
		token, err := auth.NewIssuer(issuing, identity, b.clock.Now).ForOperator(t.Context(), scopes(t, "operator"), time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for j, verifying := range replicas {
			v := auth.NewVerifier(verifying, b.store, identity, b.clock.Now)
			if _, err := v.Verify(t.Context(), token.Text.Reveal()); err != nil {
				t.Errorf("replica %d refuses the token of %d: %v", j, i, err)
			}
		}
	}
}

// Who can write to the database but has no keyset must not get a key in.
func TestKeysThatTheKeysetDidNotSeal(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		change func(b *bundle, other *seal.Keyring, token, link *store.SigningKey)
		want   string
	}{
		"another keyset": {func(_ *bundle, other *seal.Keyring, token, _ *store.SigningKey) {
			sealed, _ := other.Seal(make([]byte, 32), seal.SigningKeyAD("token", token.ID))
			token.KeyID, token.Sealed = sealed.KeyID, sealed.Ciphertext
		}, "--keyset"},
		"another id":      {func(_ *bundle, _ *seal.Keyring, token, _ *store.SigningKey) { token.ID += "x" }, "open signing key"},
		"another purpose": {func(_ *bundle, _ *seal.Keyring, token, _ *store.SigningKey) { token.Purpose = "link" }, "open signing key"},
		"swapped": {func(_ *bundle, _ *seal.Keyring, token, link *store.SigningKey) {
			token.Sealed, link.Sealed = link.Sealed, token.Sealed
		}, "open signing key"},
		"cut": {func(_ *bundle, _ *seal.Keyring, token, _ *store.SigningKey) { token.Sealed = token.Sealed[:40] }, "open signing key"},
		"short": {func(b *bundle, _ *seal.Keyring, token, _ *store.SigningKey) {
			sealed, _ := b.ring.Seal(make([]byte, 16), seal.SigningKeyAD("token", token.ID))
			token.Sealed = sealed.Ciphertext
		}, "16 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var token, link *store.SigningKey
			for i := range b.store.keys {
				if b.store.keys[i].Purpose == "token" {
					token = &b.store.keys[i]
				} else {
					link = &b.store.keys[i]
				}
			}
			c.change(b, sealtest.Keyring(t), token, link)
			err := auth.NewKeys(b.store, b.ring, b.clock.Now).EnsureKeys(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestStoredPublicPartIsNotTrusted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b.store.keys {
		b.store.keys[i].Public = public
	}
	keys := auth.NewKeys(b.store, b.ring, b.clock.Now)
	if err := keys.EnsureKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, _ := b.key(t, "token")
	forged := compact(header(id), goodClaims(b), edDSA(private))
	if _, err := auth.NewVerifier(keys, b.store, identity, b.clock.Now).Verify(t.Context(), forged); err == nil {
		t.Error("a token signed with the written public key was accepted")
	}
}

func TestUnknownPurposeIsIgnored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sealed, err := b.ring.Seal(make([]byte, 32), seal.SigningKeyAD("later", "k"))
	if err != nil {
		t.Fatal(err)
	}
	b.store.keys = append(b.store.keys, store.SigningKey{ID: "k", Purpose: "later", KeyID: sealed.KeyID, Sealed: sealed.Ciphertext})
	if err := auth.NewKeys(b.store, b.ring, b.clock.Now).EnsureKeys(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestJWKS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	encoded, err := b.keys.JWKS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id, seed := b.key(t, "token")
	public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
	var got any
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	// Exactly these members: no private part, and no key for links.
	want := map[string]any{"keys": []any{map[string]any{
		"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": id,
		"x": base64.RawURLEncoding.EncodeToString(public),
	}}}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Error(diff)
	}
}

// addKey gives the store a second token key, as a rotation will.
func (b *bundle) addKey(t *testing.T, id string) {
	t.Helper()
	sealed, err := b.ring.Seal(bytes.Repeat([]byte{7}, 32), seal.SigningKeyAD("token", id))
	if err != nil {
		t.Fatal(err)
	}
	b.store.change(func() {
		b.store.keys = append(b.store.keys, store.SigningKey{ID: id, Purpose: "token", KeyID: sealed.KeyID, Sealed: sealed.Ciphertext})
	})
}

func TestNewKeyIsFoundAndOldOneStaysValid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	old, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.addKey(t, "second")
	// Another replica starts now, so it signs with the new key.
	other := auth.NewIssuer(auth.NewKeys(b.store, b.ring, b.clock.Now), identity, b.clock.Now)
	fresh, err := other.ForOperator(t.Context(), scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Second)
	for name, token := range map[string]auth.Token{"old": old, "new": fresh} {
		if _, err := b.verifier.Verify(t.Context(), token.Text.Reveal()); err != nil {
			t.Errorf("the %s token: %v", name, err)
		}
	}
}

func TestUnknownKeysAskTheStoreOncePerSecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	forged := compact(header("unknown"), goodClaims(b), edDSA(private))
	for range 3 {
		b.clock.advance(time.Second)
		for range 100 {
			if _, err := b.verifier.Verify(t.Context(), forged); err == nil {
				t.Fatal("accepted")
			}
		}
	}
	if diff := cmp.Diff([]string{"SigningKeys", "SigningKeys", "SigningKeys"}, b.store.takeCalls()); diff != "" {
		t.Error(diff)
	}
}

func TestRemovedKeyDiesWithinAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b.store.change(func() { b.store.keys = nil })
	b.clock.advance(time.Minute)
	if got := verdictOf(t, second(b.verifier.Verify(t.Context(), token.Text.Reveal()))); got != unauthenticated {
		t.Errorf("after a minute: %s", got)
	}
	if _, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), time.Hour); err == nil {
		t.Error("signed without a key")
	}
	if _, err := b.links.Sign(t.Context(), 1, b.clock.Now().Add(time.Minute)); err == nil {
		t.Error("signed a link without a key")
	}
}

func second[A any](_ A, err error) error { return err }

func TestFailingStoreIsNotAVerdict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	token, err := b.issuer.ForClient(t.Context(), b.client, scopes(t, "operator"), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no database")
	b.store.change(func() { b.store.err = broken })
	if _, err := b.verifier.Verify(t.Context(), token.Text.Reveal()); !errors.Is(err, broken) {
		t.Errorf("when the client can't be read: %v", err)
	}
	b.clock.advance(time.Minute)
	if _, err := b.verifier.Verify(t.Context(), token.Text.Reveal()); !errors.Is(err, broken) {
		t.Errorf("when the keys can't be read: %v", err)
	}
	if err := b.links.Verify(t.Context(), auth.Link{}); !errors.Is(err, broken) {
		t.Errorf("for a link: %v", err)
	}
	if _, err := b.keys.JWKS(t.Context()); !errors.Is(err, broken) {
		t.Errorf("for the key set: %v", err)
	}
	if err := b.keys.EnsureKeys(t.Context()); !errors.Is(err, broken) {
		t.Errorf("at start: %v", err)
	}
}

// A slow store delays each caller only as long as the caller wants, is asked
// once for all of them, and the first to give up does not end it for the rest.
func TestSlowStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	synctest.Test(t, func(t *testing.T) {
		b.clock.advance(time.Hour)
		hold := make(chan struct{})
		b.store.change(func() { b.store.hold = hold })
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var callers sync.WaitGroup
		callers.Go(func() {
			if _, err := b.keys.JWKS(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the caller's deadline", err)
			}
		})
		synctest.Wait()
		for range 10 {
			callers.Go(func() {
				if _, err := b.keys.JWKS(t.Context()); err != nil {
					t.Errorf("a patient caller: %v", err)
				}
			})
		}
		<-impatient.Done()
		synctest.Wait()
		close(hold)
		callers.Wait()
		if diff := cmp.Diff([]string{"SigningKeys"}, b.store.takeCalls()); diff != "" {
			t.Error(diff)
		}
	})
}

// A store that never answers must not hold callers without a deadline.
func TestHangingStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	synctest.Test(t, func(t *testing.T) {
		b.clock.advance(time.Hour)
		b.store.change(func() { b.store.hold = make(chan struct{}) })
		started := time.Now()
		if _, err := b.keys.JWKS(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want a deadline", err)
		}
		if waited := time.Since(started); waited != 10*time.Second {
			t.Errorf("waited %s", waited)
		}
	})
}
