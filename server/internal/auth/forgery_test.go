package auth_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/auth"
)

// signFunc signs the first two parts of a token.
type signFunc func(input []byte) []byte

func edDSA(key ed25519.PrivateKey) signFunc {
	return func(input []byte) []byte { return ed25519.Sign(key, input) }
}

func hmacWith(h func() hash.Hash, key []byte) signFunc {
	return func(input []byte) []byte {
		mac := hmac.New(h, key)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

func unsigned([]byte) []byte { return nil }

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// compact joins a token from JSON texts.
func compact(header, claims string, sign signFunc) string {
	input := b64([]byte(header)) + "." + b64([]byte(claims))
	return input + "." + b64(sign([]byte(input)))
}

func header(keyID string) string {
	return fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt"}`, keyID)
}

// with returns the object with members replaced, or removed where nil.
func with(object string, members map[string]any) string {
	var decoded map[string]any
	if err := json.Unmarshal([]byte(object), &decoded); err != nil {
		panic(err)
	}
	for name, value := range members {
		decoded[name] = value
		if value == nil {
			delete(decoded, name)
		}
	}
	encoded, err := json.Marshal(decoded)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// goodClaims are the claims of a valid token of client 3.
func goodClaims(b *bundle) string {
	now := b.clock.Now().Unix()
	return fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"client_3","client_id":"client_3","scope":"operator",`+
		`"jti":"t1","iat":%d,"nbf":%d,"exp":%d,"sv":2}`, identity.Issuer, identity.Audience, now, now, now+3600)
}

// TestForgedTokens checks tokens that are wrong in exactly one way. Those
// under "ours" are signed with the true key.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, seed := b.key(t, "token")
	linkID, linkKey := b.key(t, "link")
	private := ed25519.NewKeyFromSeed(seed)
	ours := edDSA(private)
	head, claims := header(id), goodClaims(b)
	good := compact(head, claims, ours)
	if p, err := b.verifier.Verify(t.Context(), good); err != nil || !p.Scopes.Operator() {
		t.Fatalf("the token that the others are made from: %+v, %v", p, err)
	}

	forged := map[string]string{}
	for _, set := range []map[string]string{
		otherAlgorithms(t, head, claims, id, private),
		otherKeys(t, head, claims, id, linkID, linkKey),
		wrongHeaders(head, claims, ours),
		wrongClaims(b, head, claims, ours),
		wrongShapes(head, claims, good, ours),
		wrongSignatures(head, claims, good, private),
	} {
		for name, token := range set {
			if _, twice := forged[name]; twice {
				t.Fatalf("two forgeries are called %q", name)
			}
			forged[name] = token
		}
	}
	if len(forged) < 100 {
		t.Errorf("%d forgeries, there were more once", len(forged))
	}
	for name, token := range forged {
		p, err := b.verifier.Verify(t.Context(), token)
		if got := verdictOf(t, err); got != unauthenticated {
			t.Errorf("%s: %s", name, got)
		}
		if err != nil && token != "" && len(token) > 20 && strings.Contains(err.Error(), token[:20]) {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
		if p.Subject != "" || p.Scopes.Operator() {
			t.Errorf("%s: principal %+v", name, p)
		}
	}
}

// A token of another deployment has another key, even under the same id.
func TestTokenOfAnotherDeployment(t *testing.T) {
	t.Parallel()
	ours, theirs := setup(t), setup(t)
	token := theirs.clientToken(t, "operator").Text.Reveal()
	if got := verdictOf(t, second(ours.verifier.Verify(t.Context(), token))); got != unauthenticated {
		t.Errorf("under its own key id: %s", got)
	}
	id, _ := ours.key(t, "token")
	_, seed := theirs.key(t, "token")
	renamed := compact(header(id), goodClaims(theirs), edDSA(ed25519.NewKeyFromSeed(seed)))
	if got := verdictOf(t, second(ours.verifier.Verify(t.Context(), renamed))); got != unauthenticated {
		t.Errorf("under our key id: %s", got)
	}
}

// Members that differ only in case mean nothing.
func TestClaimNamesAreExact(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id, seed := b.key(t, "token")
	claims := strings.Replace(goodClaims(b), `"scope":"operator"`, `"scope":"instance-read-1","SCOPE":"operator","Scope":"operator"`, 1)
	p, err := b.verifier.Verify(t.Context(), compact(header(id), claims, edDSA(ed25519.NewKeyFromSeed(seed))))
	if err != nil {
		t.Fatal(err)
	}
	if p.Scopes.String() != "instance-read-1" {
		t.Errorf("scopes %q", p.Scopes)
	}
}

func FuzzVerify(f *testing.F) {
	b := setup(f)
	token, err := b.issuer.ForClient(f.Context(), b.client, scopes(f, "operator"), auth.DefaultTTL)
	if err != nil {
		f.Fatal(err)
	}
	good := token.Text.Reveal()
	id, _ := b.key(f, "token")
	f.Add(good)
	f.Add("..")
	f.Add(compact(header(id), goodClaims(b), unsigned))
	f.Add(compact(`{"alg":"none"}`, "{}", unsigned))
	f.Fuzz(func(t *testing.T, text string) {
		_, err := b.verifier.Verify(t.Context(), text)
		if (err == nil) != (text == good) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			verdictOf(t, err)
		}
	})
}
