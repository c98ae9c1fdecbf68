package auth_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

func (b *bundle) link(t testing.TB, executionID int64) auth.Link {
	t.Helper()
	link, err := b.links.Sign(t.Context(), executionID, b.clock.Now().Add(auth.LinkTTL))
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestLink(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link := b.link(t, 100234)
	id, key := b.key(t, "link")
	if link.ExecutionID != 100234 || link.KeyID != id || link.Expires != b.clock.Now().Add(15*time.Minute).Unix() {
		t.Errorf("link %+v", link)
	}
	if err := b.links.Verify(t.Context(), link); err != nil {
		t.Fatal(err)
	}
	// Another replica, which reads the keys anew.
	other := auth.NewLinkSigner(auth.NewKeys(b.store, b.ring, b.clock.Now), b.clock.Now)
	if err := other.Verify(t.Context(), link); err != nil {
		t.Errorf("on another replica: %v", err)
	}
	query := link.Query()
	want := map[string]string{"expires": fmt.Sprint(link.Expires), "key_id": id, "signature": link.Signature}
	for name, value := range want {
		if diff := cmp.Diff([]string{value}, query[name]); diff != "" {
			t.Error(diff)
		}
	}
	if len(query) != len(want) || strings.Contains(query.Encode(), "%") {
		t.Errorf("query %s", query.Encode())
	}
	if len(key) != sha256.Size || len(link.Signature) != 43 {
		t.Errorf("a key of %d bytes, a signature of %d", len(key), len(link.Signature))
	}
}

func TestLinkLife(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := b.clock.Now()
	for _, expires := range []time.Time{now, now.Add(-time.Hour), {}, now.Add(auth.LinkTTL + 1), now.Add(24 * time.Hour)} {
		if link, err := b.links.Sign(t.Context(), 1, expires); err == nil || link.Signature != "" {
			t.Errorf("signed a link that ends at %s", expires)
		}
	}
	link := b.link(t, 1)
	b.clock.advance(auth.LinkTTL - time.Second)
	if err := b.links.Verify(t.Context(), link); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	b.clock.advance(time.Second)
	err := b.links.Verify(t.Context(), link)
	if got := verdictOf(t, err); got != unauthenticated || !strings.Contains(err.Error(), "expired") {
		t.Errorf("at its end: %v", err)
	}
}

func TestForgedLinks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	good := b.link(t, 12)
	tokenKeyID, tokenKey := b.key(t, "token")
	forged := map[string]auth.Link{"zero": {}}
	for name, change := range map[string]func(l *auth.Link){
		"other execution":      func(l *auth.Link) { l.ExecutionID = 13 },
		"digit moved":          func(l *auth.Link) { l.ExecutionID, l.Expires = 1, l.Expires+20_000_000_000 },
		"negative execution":   func(l *auth.Link) { l.ExecutionID = -12 },
		"later":                func(l *auth.Link) { l.Expires++ },
		"much later":           func(l *auth.Link) { l.Expires = 1 << 62 },
		"earlier":              func(l *auth.Link) { l.Expires-- },
		"no expiry":            func(l *auth.Link) { l.Expires = 0 },
		"no key":               func(l *auth.Link) { l.KeyID = "" },
		"unknown key":          func(l *auth.Link) { l.KeyID = "unknown" },
		"token key":            func(l *auth.Link) { l.KeyID = tokenKeyID },
		"token key used":       func(l *auth.Link) { l.KeyID, l.Signature = tokenKeyID, macOf(*l, tokenKeyID, tokenKey) },
		"token key, our id":    func(l *auth.Link) { l.Signature = macOf(*l, l.KeyID, tokenKey) },
		"empty key":            func(l *auth.Link) { l.Signature = macOf(*l, l.KeyID, nil) },
		"no signature":         func(l *auth.Link) { l.Signature = "" },
		"cut signature":        func(l *auth.Link) { l.Signature = l.Signature[:42] },
		"longer signature":     func(l *auth.Link) { l.Signature += "A" },
		"padded signature":     func(l *auth.Link) { l.Signature += "=" },
		"spare bits set":       func(l *auth.Link) { l.Signature = l.Signature[:42] + string(spareBit(l.Signature[42])) },
		"huge signature":       func(l *auth.Link) { l.Signature = strings.Repeat("A", 1<<20) },
		"signature of another": func(l *auth.Link) { l.Signature = b.link(t, 13).Signature },
	} {
		link := good
		change(&link)
		forged[name] = link
	}
	for i := range good.Signature {
		link := good
		link.Signature = good.Signature[:i] + string(spareBit(good.Signature[i])) + good.Signature[i+1:]
		forged[fmt.Sprintf("signature at %d", i)] = link
	}
	for name, link := range forged {
		err := b.links.Verify(t.Context(), link)
		if got := verdictOf(t, err); got != unauthenticated || strings.Contains(err.Error(), "expired") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Shows that macOf computes what the signer does.
	_, linkKey := b.key(t, "link")
	if macOf(good, good.KeyID, linkKey) != good.Signature {
		t.Error("the forger's own computation is wrong, so the table proves little")
	}
}

func macOf(l auth.Link, keyID string, key []byte) string {
	text := fmt.Sprintf("carillon/log-link/v1|GET|%d|%d|%s", l.ExecutionID, l.Expires, keyID)
	return b64(hmacWith(sha256.New, key)([]byte(text)))
}

func FuzzVerifyLink(f *testing.F) {
	b := setup(f)
	good := b.link(f, 12)
	f.Add(good.ExecutionID, good.Expires, good.KeyID, good.Signature)
	f.Add(int64(0), int64(0), "", "")
	f.Fuzz(func(t *testing.T, executionID, expires int64, keyID, signature string) {
		link := auth.Link{ExecutionID: executionID, Expires: expires, KeyID: keyID, Signature: signature}
		err := b.links.Verify(t.Context(), link)
		if (err == nil) != (link == good) {
			t.Fatalf("%+v: %v", link, err)
		}
		var refused *job.UnauthenticatedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%+v: %v", link, err)
		}
	})
}
