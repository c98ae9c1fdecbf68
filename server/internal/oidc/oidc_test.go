package oidc_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/oidc"
)

// issuer is an outside issuer whose documents a test decides.
type issuer struct {
	*httptest.Server
	mu    sync.Mutex
	keys  []jose.JSONWebKey
	asked atomic.Int64
	down  atomic.Bool
	// names is the issuer that the discovery document names; empty for its own.
	names string

	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	var err, err2, err3 error
	i.rsa, err = rsa.GenerateKey(rand.Reader, 2048)
	i.ec, err2 = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, i.ed, err3 = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	i.keys = []jose.JSONWebKey{
		{Key: i.rsa.Public(), KeyID: "rsa", Use: "sig"},
		{Key: i.ec.Public(), KeyID: "ec", Algorithm: "ES256"},
		{Key: i.ed.Public(), KeyID: "ed", Algorithm: "EdDSA", Use: "sig"},
		{Key: i.rsa.Public(), KeyID: "pinned", Algorithm: "RS256"},
		{Key: i.rsa.Public(), KeyID: "encrypting", Use: "enc"},
		{Key: []byte("a secret that should not be here"), KeyID: "symmetric", Algorithm: "HS256"},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.asked.Add(1)
		if i.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		name := i.names
		if name == "" {
			name = i.URL
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": name, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: i.keys})
	})
	i.Server = httptest.NewServer(mux)
	t.Cleanup(i.Close)
	return i
}

type object = map[string]any

// sign makes a token with any header and claims.
func sign(t *testing.T, header, claims object, key any) string {
	t.Helper()
	input := encode(t, header) + "." + encode(t, claims)
	var signature []byte
	var err error
	digest := crypto.SHA256.New()
	digest.Write([]byte(input))
	switch key := key.(type) {
	case ed25519.PrivateKey:
		signature = ed25519.Sign(key, []byte(input))
	case *rsa.PrivateKey:
		if header["alg"] == "PS256" {
			signature, err = rsa.SignPSS(rand.Reader, key, crypto.SHA256, digest.Sum(nil), nil)
			break
		}
		signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest.Sum(nil))
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest.Sum(nil))
		err = signErr
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case []byte: // HMAC
		signer, signErr := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: key, KeyID: header["kid"].(string)}},
			(&jose.SignerOptions{}).WithType("at+jwt"))
		if signErr != nil {
			t.Fatal(signErr)
		}
		text, _ := json.Marshal(claims)
		signed, _ := signer.Sign(text)
		compact, _ := signed.CompactSerialize()
		return compact
	}
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// with replaces members of an object, or removes them where nil.
func with(o, members object) object {
	out := maps.Clone(o)
	for name, value := range members {
		out[name] = value
		if value == nil {
			delete(out, name)
		}
	}
	return out
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// bench is a verifier of one issuer, with a clock that tests move.
type bench struct {
	*issuer
	verifier       *oidc.Verifier
	now            atomic.Int64
	header, claims object
}

func newBench(t *testing.T, edit ...func(*oidc.Options)) *bench {
	t.Helper()
	b := &bench{issuer: newIssuer(t)}
	b.now.Store(noon.Unix())
	o := oidc.Options{Issuer: b.URL, Audience: "carillon", TokenType: oidc.TypeAccessToken, ScopeClaim: "scope",
		Now: func() time.Time { return time.Unix(b.now.Load(), 0) }}
	for _, e := range edit {
		e(&o)
	}
	var err error
	if b.verifier, err = oidc.New(o); err != nil {
		t.Fatal(err)
	}
	b.header = object{"alg": "EdDSA", "kid": "ed", "typ": "at+jwt"}
	b.claims = object{"iss": b.URL, "aud": "carillon", "sub": "ann@example.com", "scope": "openid instance-read-1 email",
		"exp": noon.Unix() + 600, "iat": noon.Unix(), "nbf": noon.Unix(), "jti": "t1"}
	return b
}

func (b *bench) advance(d time.Duration) { b.now.Add(int64(d.Seconds())) }

func (b *bench) accepts(t *testing.T, what, token string) {
	t.Helper()
	if _, err := b.verifier.Verify(t.Context(), token); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func (b *bench) refuses(t *testing.T, what, token string) {
	t.Helper()
	p, err := b.verifier.Verify(t.Context(), token)
	var refused *job.UnauthenticatedError
	if !errors.As(err, &refused) || p.Subject != "" || len(p.Scopes.List()) > 0 {
		t.Errorf("%s: %+v, %v; want it refused", what, p, err)
	}
}

func TestGoodTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for name, c := range map[string]struct {
		header object
		key    any
	}{
		"Ed25519": {b.header, b.ed},
		"ECDSA":   {with(b.header, object{"alg": "ES256", "kid": "ec"}), b.ec},
		"RSA":     {with(b.header, object{"alg": "RS256", "kid": "rsa"}), b.rsa},
		"typ":     {with(b.header, object{"typ": "application/at+jwt"}), b.ed},
		"x5t":     {with(b.header, object{"x5t": "abc"}), b.ed},
	} {
		b.accepts(t, name, sign(t, c.header, b.claims, c.key))
	}
	b.accepts(t, "several audiences", sign(t, b.header, with(b.claims, object{"aud": []string{"other", "carillon"}}), b.ed))
	b.accepts(t, "from a clock ahead", sign(t, b.header, with(b.claims, object{"iat": noon.Unix() + 59, "nbf": noon.Unix() + 59}), b.ed))
	p, err := b.verifier.Verify(t.Context(), sign(t, b.header, b.claims, b.ed))
	if err != nil || p.Subject != "oidc:ann@example.com" || p.TokenID != "t1" || p.Scopes.String() != "instance-read-1" || p.ClientID != 0 {
		t.Errorf("the caller is %+v, %v", p, err)
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(b.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, b.header, b.claims, b.ed)
	parts := strings.Split(good, ".")
	forged := map[string]string{
		"another key":                sign(t, b.header, b.claims, foreign),
		"none":                       encode(t, with(b.header, object{"alg": "none"})) + "." + parts[1] + ".",
		"None":                       encode(t, with(b.header, object{"alg": "None"})) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":  sign(t, object{"kid": "rsa"}, b.claims, public),
		"HS256 with a published one": sign(t, object{"kid": "symmetric"}, b.claims, []byte("a secret that should not be here")),
		"EdDSA under an RSA key":     sign(t, with(b.header, object{"kid": "rsa"}), b.claims, b.ed),
		"RS256 under an EC key":      sign(t, with(b.header, object{"kid": "ec", "alg": "RS256"}), b.claims, b.rsa),
		"PS256 by a pinned key":      sign(t, with(b.header, object{"kid": "pinned", "alg": "PS256"}), b.claims, b.rsa),
		"a key for encryption":       sign(t, with(b.header, object{"kid": "encrypting", "alg": "RS256"}), b.claims, b.rsa),
		"no kid":                     sign(t, with(b.header, object{"kid": nil}), b.claims, b.ed),
		"kid is a number":            sign(t, with(b.header, object{"kid": 7}), b.claims, b.ed),
		"kid is a path":              sign(t, with(b.header, object{"kid": "../../etc/passwd"}), b.claims, b.ed),
		"kid is unknown":             sign(t, with(b.header, object{"kid": "x"}), b.claims, b.ed),
		"jku":                        sign(t, with(b.header, object{"jku": b.URL + "/keys"}), b.claims, b.ed),
		"jwk":                        sign(t, with(b.header, object{"jwk": object{"kty": "OKP"}}), b.claims, b.ed),
		"x5u":                        sign(t, with(b.header, object{"x5u": b.URL}), b.claims, b.ed),
		"crit":                       sign(t, with(b.header, object{"crit": []string{"b64"}}), b.claims, b.ed),
		"b64":                        sign(t, with(b.header, object{"b64": false}), b.claims, b.ed),
		"an ID token":                sign(t, with(b.header, object{"typ": "JWT"}), b.claims, b.ed),
		"no type":                    sign(t, with(b.header, object{"typ": nil}), b.claims, b.ed),
		"another issuer":             sign(t, b.header, with(b.claims, object{"iss": "https://evil.example"}), b.ed),
		"issuer with a slash":        sign(t, b.header, with(b.claims, object{"iss": b.URL + "/"}), b.ed),
		"no issuer":                  sign(t, b.header, with(b.claims, object{"iss": nil}), b.ed),
		"another audience":           sign(t, b.header, with(b.claims, object{"aud": "carillon2"}), b.ed),
		"no audience":                sign(t, b.header, with(b.claims, object{"aud": nil}), b.ed),
		"empty audiences":            sign(t, b.header, with(b.claims, object{"aud": []string{}}), b.ed),
		"no subject":                 sign(t, b.header, with(b.claims, object{"sub": nil}), b.ed),
		"subject with a line end":    sign(t, b.header, with(b.claims, object{"sub": "a\nb"}), b.ed),
		"long subject":               sign(t, b.header, with(b.claims, object{"sub": strings.Repeat("a", 256)}), b.ed),
		"expired":                    sign(t, b.header, with(b.claims, object{"exp": noon.Unix()}), b.ed),
		"no end":                     sign(t, b.header, with(b.claims, object{"exp": nil}), b.ed),
		"end is text":                sign(t, b.header, with(b.claims, object{"exp": "never"}), b.ed),
		"not yet":                    sign(t, b.header, with(b.claims, object{"nbf": noon.Unix() + 61}), b.ed),
		"issued later":               sign(t, b.header, with(b.claims, object{"iat": noon.Unix() + 61}), b.ed),
		"two headers":                parts[0] + "." + good,
		"changed claims":             parts[0] + "." + encode(t, with(b.claims, object{"scope": "operator"})) + "." + parts[2],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"padded":                     good + "=",
		"line end":                   good[:20] + "\n" + good[20:],
		"JSON serialization":         `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"empty":                      "",
		"huge":                       strings.Repeat("a", 20<<10),
	}
	if len(forged) < 40 {
		t.Errorf("%d forgeries, there were more once", len(forged))
	}
	for name, token := range forged {
		b.refuses(t, name, token)
	}
	duplicate := base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"` + b.URL + `","aud":"carillon","sub":"a","exp":99999999999,"scope":"instance-read-1","scope":"operator"}`))
	input := parts[0] + "." + duplicate
	b.refuses(t, "duplicate claim", input+"."+base64.RawURLEncoding.EncodeToString(ed25519.Sign(b.ed, []byte(input))))
	b.accepts(t, "the good one", good)
}

func TestScopes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		claim, want string
		mapped      []string
		claims      object
	}{
		"text":            {"scope", "instance-create operator", nil, object{"scope": "operator openid instance-create"}},
		"list":            {"roles", "instance-read-1", nil, object{"roles": []any{"instance-read-1", 7, "admin"}}},
		"nested":          {"realm_access.roles", "operator", nil, object{"realm_access": object{"roles": []any{"operator"}}}},
		"a URL":           {"https://example.com/scopes", "operator", nil, object{"https://example.com/scopes": []any{"operator"}}},
		"mapped":          {"groups", "instance-write-1 instance-read-2", []string{"team=instance-write-1 instance-read-2"}, object{"groups": []any{"team", "operator"}}},
		"missing":         {"scope", "", nil, object{"scope": nil}},
		"of another kind": {"scope", "", nil, object{"scope": 7}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, func(o *oidc.Options) { o.ScopeClaim, o.ScopeMap = c.claim, c.mapped })
			p, err := b.verifier.Verify(t.Context(), sign(t, b.header, with(b.claims, c.claims), b.ed))
			if err != nil || p.Scopes.String() != c.want {
				t.Errorf("the scopes are %q, %v; want %q", p.Scopes, err, c.want)
			}
		})
	}
	for _, bad := range []string{"team", "=operator", "team=everything"} {
		if _, err := oidc.New(oidc.Options{Issuer: "https://a", ScopeMap: []string{bad}}); err == nil {
			t.Errorf("the map %q is accepted", bad)
		}
	}
}

func TestPlainTokenType(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *oidc.Options) { o.TokenType = oidc.TypeJWT })
	b.accepts(t, "JWT", sign(t, with(b.header, object{"typ": "JWT"}), b.claims, b.ed))
	b.accepts(t, "no type", sign(t, with(b.header, object{"typ": nil}), b.claims, b.ed))
	b.refuses(t, "another type", sign(t, with(b.header, object{"typ": "logout+jwt"}), b.claims, b.ed))
}

// Unknown keys make us ask now and then, and a new key of the issuer is found.
func TestKeysAreAskedForInBounds(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	good := sign(t, b.header, b.claims, b.ed)
	unknown := sign(t, with(b.header, object{"kid": "new"}), b.claims, b.ed)
	for range 50 {
		b.accepts(t, "a good token", good)
		b.refuses(t, "an unknown key", unknown)
	}
	if n := b.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	b.mu.Lock()
	b.keys = append(b.keys, jose.JSONWebKey{Key: b.ed.Public(), KeyID: "new"})
	b.mu.Unlock()
	b.advance(10 * time.Second)
	b.accepts(t, "a new key", unknown)
	if n := b.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want twice", n)
	}
}

// An issuer that is down takes no known key away, and is no verdict.
func TestIssuerDown(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.claims["exp"] = noon.Unix() + 1_000_000
	good := sign(t, b.header, b.claims, b.ed)
	unavailable := func(what, token string) {
		t.Helper()
		var down *job.UnavailableError
		if _, err := b.verifier.Verify(t.Context(), token); !errors.As(err, &down) {
			t.Errorf("%s: %v, want that the issuer does not answer", what, err)
		}
	}
	b.down.Store(true)
	unavailable("before the first look", good)
	b.down.Store(false)
	b.advance(11 * time.Second)
	b.accepts(t, "after it has come up", good)
	b.down.Store(true)
	b.advance(20 * time.Minute)
	b.accepts(t, "with keys of before", good)
	unavailable("with an unknown key", sign(t, with(b.header, object{"kid": "new"}), b.claims, b.ed))
	b.advance(24 * time.Hour)
	unavailable("with keys of long before", good)
}

func TestForeignDiscovery(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.names = "https://evil.example"
	var down *job.UnavailableError
	if _, err := b.verifier.Verify(t.Context(), sign(t, b.header, b.claims, b.ed)); !errors.As(err, &down) {
		t.Errorf("a discovery document of another issuer: %v", err)
	}
	for _, bad := range []string{"", "login.example.com", "http://login.example.com", "https://u@login.example.com", "https://a?b=c", "ftp://a"} {
		if oidc.CheckURL(bad) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
	for _, ok := range []string{"https://login.example.com/realms/main", "http://127.0.0.1:8080", "http://localhost/x"} {
		if err := oidc.CheckURL(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
}
