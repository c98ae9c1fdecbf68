package auth_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
)

// tick is longer than any replica goes without asking the store.
const tick = 11 * time.Second

func (b *bundle) token(t *testing.T) string {
	t.Helper()
	token, err := b.issuer.ForOperator(t.Context(), scopes(t, "operator"), auth.MaxTTL)
	if err != nil {
		t.Fatal(err)
	}
	return token.Text.Reveal()
}

func (b *bundle) rotate(t *testing.T, purpose string, revoke bool) string {
	t.Helper()
	key, err := b.keys.Rotate(t.Context(), purpose, revoke)
	if err != nil {
		t.Fatal(err)
	}
	return key.ID
}

// A new key is published before it signs, and the old one stays until the last
// of its tokens has ended.
func TestRotationOfTokenKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := auth.NewKeys(b.store, b.ring, b.clock.Now)
	elsewhere := auth.NewVerifier(other, b.store, identity, b.clock.Now)
	if _, err := other.JWKS(t.Context()); err != nil { // it knows the old key
		t.Fatal(err)
	}
	oldID, _ := b.key(t, auth.PurposeToken)
	old := b.token(t)
	fresh := b.rotate(t, auth.PurposeToken, false)
	if b.keyIDOf(t, b.token(t)) != oldID {
		t.Error("the new key signs before other replicas can know it")
	}
	jwks, err := b.keys.JWKS(t.Context())
	if err != nil || !bytes.Contains(jwks, []byte(fresh)) || !bytes.Contains(jwks, []byte(oldID)) {
		t.Errorf("published are %s, %v; want both keys", jwks, err)
	}
	b.clock.advance(tick)
	b.clock.advance(tick)
	signed := b.token(t)
	if b.keyIDOf(t, signed) != fresh {
		t.Error("the new key does not sign after its time")
	}
	for name, token := range map[string]string{"old": old, "new": signed} {
		if _, err := elsewhere.Verify(t.Context(), token); err != nil {
			t.Errorf("another replica refuses the %s token: %v", name, err)
		}
	}
	b.clock.advance(auth.MaxTTL - 3*tick)
	if _, err := elsewhere.Verify(t.Context(), old); err != nil {
		t.Errorf("the old token shortly before its end: %v", err)
	}
	b.clock.advance(5 * tick)
	jwks, err = other.JWKS(t.Context())
	if err != nil || bytes.Contains(jwks, []byte(oldID)) {
		t.Errorf("after its last token the old key is still published: %s, %v", jwks, err)
	}
}

// keyIDOf is the key that signed a token.
func (b *bundle) keyIDOf(t *testing.T, token string) string {
	t.Helper()
	for _, key := range b.store.keys {
		if bytes.Contains(headerOf(t, token), []byte(key.ID)) {
			return key.ID
		}
	}
	t.Fatal("no key of the store signed the token")
	return ""
}

func headerOf(t *testing.T, token string) []byte {
	t.Helper()
	encoded, _, _ := strings.Cut(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRevocationEndsTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := auth.NewKeys(b.store, b.ring, b.clock.Now)
	elsewhere := auth.NewVerifier(other, b.store, identity, b.clock.Now)
	old := b.token(t)
	if _, err := elsewhere.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	b.rotate(t, auth.PurposeToken, true)
	if got := verdictOf(t, second(b.verifier.Verify(t.Context(), old))); got != unauthenticated {
		t.Errorf("here an old token is %s at once", got)
	}
	b.clock.advance(tick)
	if got := verdictOf(t, second(elsewhere.Verify(t.Context(), old))); got != unauthenticated {
		t.Errorf("elsewhere an old token is %s after a while", got)
	}
	if _, err := elsewhere.Verify(t.Context(), b.token(t)); err != nil {
		t.Errorf("a new token: %v", err)
	}
}

func TestRotationOfLinkKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sign := func() auth.Link {
		link, err := b.links.Sign(t.Context(), 7, b.clock.Now().Add(auth.LinkTTL))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	old, token := sign(), b.token(t)
	b.rotate(t, auth.PurposeLink, false)
	b.clock.advance(2 * tick)
	fresh := sign()
	if fresh.KeyID == old.KeyID {
		t.Error("the new key does not sign")
	}
	for _, link := range []auth.Link{old, fresh} {
		if err := b.links.Verify(t.Context(), link); err != nil {
			t.Errorf("a link from before its end: %v", err)
		}
	}
	b.rotate(t, auth.PurposeLink, true)
	for _, link := range []auth.Link{old, fresh} {
		if got := verdictOf(t, b.links.Verify(t.Context(), link)); got != unauthenticated {
			t.Errorf("a revoked link is %s", got)
		}
	}
	if _, err := b.verifier.Verify(t.Context(), token); err != nil {
		t.Errorf("a token ends with the links: %v", err)
	}
	listed, err := b.keys.List(t.Context())
	if err != nil || len(listed) != 2 {
		t.Fatalf("%d keys are listed, %v; want one of each purpose", len(listed), err)
	}
	for _, key := range listed {
		if key.Sealed != nil {
			t.Error("a list shows the sealed part")
		}
	}
}
