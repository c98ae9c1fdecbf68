package tests

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

func part(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// jwt is a token with any header and claims, signed by any means.
func jwt(t *testing.T, header, claims object, sign func(input []byte) []byte) string {
	t.Helper()
	input := part(t, header) + "." + part(t, claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(input)))
}

func byEd25519(key ed25519.PrivateKey) func([]byte) []byte {
	return func(input []byte) []byte { return ed25519.Sign(key, input) }
}

func byHMAC(key []byte) func([]byte) []byte {
	return func(input []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write(input)
		return mac.Sum(nil)
	}
}

// changed is an object with members replaced, or removed where nil.
func changed(o, members object) object {
	out := maps.Clone(o)
	for name, value := range members {
		out[name] = value
		if value == nil {
			delete(out, name)
		}
	}
	return out
}

// headerForgeries are tokens that claim everything and that the issuer's key
// did not sign as they stand.
func headerForgeries(t *testing.T, header, claims object, public []byte) map[string]string {
	t.Helper()
	_, own, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ours := byEd25519(own)
	none := func([]byte) []byte { return nil }
	jwk := object{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(own.Public().(ed25519.PublicKey))}
	return map[string]string{
		"another key":                 jwt(t, header, claims, ours),
		"none":                        jwt(t, changed(header, object{"alg": "none"}), claims, none),
		"None":                        jwt(t, changed(header, object{"alg": "NoNe"}), claims, none),
		"no algorithm":                jwt(t, changed(header, object{"alg": nil}), claims, none),
		"HS256 with the public key":   jwt(t, changed(header, object{"alg": "HS256"}), claims, byHMAC(public)),
		"HS256 with its base64":       jwt(t, changed(header, object{"alg": "HS256"}), claims, byHMAC([]byte(base64.RawURLEncoding.EncodeToString(public)))),
		"HS256 with nothing":          jwt(t, changed(header, object{"alg": "HS256"}), claims, byHMAC(nil)),
		"jku":                         jwt(t, changed(header, object{"jku": "http://127.0.0.1:1/keys"}), claims, ours),
		"jwk":                         jwt(t, changed(header, object{"jwk": jwk}), claims, ours),
		"x5u":                         jwt(t, changed(header, object{"x5u": "http://127.0.0.1:1/c"}), claims, ours),
		"x5c":                         jwt(t, changed(header, object{"x5c": []string{"AA=="}}), claims, ours),
		"kid is a path":               jwt(t, changed(header, object{"kid": "../../../../dev/null"}), claims, byHMAC(nil)),
		"kid is a query":              jwt(t, changed(header, object{"kid": "x' OR '1'='1"}), claims, ours),
		"kid is unknown":              jwt(t, changed(header, object{"kid": "unknown"}), claims, ours),
		"no kid":                      jwt(t, changed(header, object{"kid": nil}), claims, ours),
		"crit":                        jwt(t, changed(header, object{"crit": []string{"exp"}}), claims, ours),
		"no signature":                jwt(t, header, claims, none),
		"zeros for a signature":       jwt(t, header, claims, func([]byte) []byte { return make([]byte, ed25519.SignatureSize) }),
		"two parts":                   part(t, header) + "." + part(t, claims),
		"four parts":                  jwt(t, header, claims, ours) + ".AA",
		"encrypted":                   part(t, object{"alg": "dir", "enc": "A256GCM"}) + "....",
		"JSON":                        `{"payload":"` + part(t, claims) + `","protected":"` + part(t, header) + `"}`,
		"no token":                    "x",
		"the operator, self-declared": part(t, object{"alg": "EdDSA", "typ": "at+jwt"}) + "." + part(t, object{"sub": "operator", "scope": "operator"}) + ".",
	}
}

// claimForgeries are tokens that the issuer's key did sign, for something else.
func claimForgeries(t *testing.T, header, claims object, key ed25519.PrivateKey) map[string]string {
	t.Helper()
	sign := byEd25519(key)
	now := time.Now().Unix()
	return map[string]string{
		"expired":          jwt(t, header, changed(claims, object{"exp": now - 1}), sign),
		"no end":           jwt(t, header, changed(claims, object{"exp": nil}), sign),
		"not yet":          jwt(t, header, changed(claims, object{"nbf": now + 3600}), sign),
		"another issuer":   jwt(t, header, changed(claims, object{"iss": "https://evil.example"}), sign),
		"no issuer":        jwt(t, header, changed(claims, object{"iss": nil}), sign),
		"our own issuer":   jwt(t, header, changed(claims, object{"iss": "urn:carillon:operator", "sub": "operator"}), sign),
		"another audience": jwt(t, header, changed(claims, object{"aud": "else"}), sign),
		"no audience":      jwt(t, header, changed(claims, object{"aud": nil}), sign),
		"an ID token":      jwt(t, changed(header, object{"typ": "JWT"}), claims, sign),
		"no type":          jwt(t, changed(header, object{"typ": nil}), claims, sign),
		"no subject":       jwt(t, header, changed(claims, object{"sub": nil}), sign),
		"jku beside":       jwt(t, changed(header, object{"jku": "http://127.0.0.1:1/keys"}), claims, sign),
	}
}

// refusedEverywhere sends each token through each door.
func refusedEverywhere(t *testing.T, server *harness.Server, instance string, forged map[string]string) {
	t.Helper()
	tried := 0
	for name, token := range forged {
		caller := server.As(token)
		for _, door := range []harness.Door{caller.GRPCDoor(), caller.RESTDoor(), caller.GraphQLDoor(false)} {
			tried++
			if refusal := harness.Refused(t, door, "GetInstance", object{"instanceId": instance}); refusal.Code != "UNAUTHENTICATED" {
				t.Errorf("%s by %s: %v", name, door.Name(), refusal)
			}
		}
	}
	t.Logf("%d forged tokens, %d tries, none accepted", len(forged), tried)
}

// twoHeaders sends a good token beside another one, in either order.
func twoHeaders(t *testing.T, server *harness.Server, good, path string) {
	t.Helper()
	for _, values := range [][]string{{"Bearer " + good, "Bearer x"}, {"Bearer x", "Bearer " + good}, {"Bearer " + good, "Bearer " + good}} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header["Authorization"] = values
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("two tokens are answered with %s", answer.Status)
		}
	}
}

// Whatever is made without the issuer's key gets nobody in, through any door.
func TestForgedTokens(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	answer, err := server.As("").HTTP(t.Context(), http.MethodGet, "/.well-known/jwks.json", "")
	var published struct {
		Keys []struct{ Kid, X string }
	}
	if err != nil || json.Unmarshal(answer.Body, &published) != nil || len(published.Keys) != 1 {
		t.Fatalf("the key set is %s, %v", answer.Body, err)
	}
	public, err := base64.RawURLEncoding.DecodeString(published.Keys[0].X)
	if err != nil {
		t.Fatal(err)
	}
	good := tenant.Operator.Token
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := object{}
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	forged := headerForgeries(t, object{"alg": "EdDSA", "kid": published.Keys[0].Kid, "typ": "at+jwt"}, claims, public)
	parts := strings.Split(good, ".")
	forged["more scope"] = parts[0] + "." + part(t, changed(claims, object{"scope": "operator instance-create"})) + "." + parts[2]
	forged["a longer life"] = parts[0] + "." + part(t, changed(claims, object{"exp": 99999999999})) + "." + parts[2]
	forged["another header"] = part(t, object{"alg": "EdDSA", "kid": published.Keys[0].Kid, "typ": "JWT"}) + "." + parts[1] + "." + parts[2]
	forged["expired"] = server.Token(t, "operator", "--ttl", "1s")
	harness.Wait(t, 10*time.Second, "the short token ends", func() bool {
		_, err := server.As(forged["expired"]).GRPCDoor().Call(t.Context(), "ListInstances", object{})
		return err != nil
	})
	refusedEverywhere(t, server, tenant.Instance, forged)
	twoHeaders(t, server, good, "/v1/instances")
}

// outsideIssuer is an OpenID Connect issuer with one key.
func outsideIssuer(t *testing.T) (address string, key ed25519.PrivateKey) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(object{"issuer": server.URL, "jwks_uri": server.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		key := object{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": base64.RawURLEncoding.EncodeToString(public)}
		_ = json.NewEncoder(w).Encode(object{"keys": []any{key}})
	})
	return server.URL, private
}

// With an outside issuer its tokens get in as far as their claims are mapped,
// forged ones don't, and the embedded issuer is off.
func TestOutsideIssuer(t *testing.T) {
	t.Parallel()
	address, key := outsideIssuer(t)
	server := harness.Start(t, harness.Options{Flags: []string{
		"--oidc-issuer", address, "--oidc-audience", "carillon-api", "--oidc-scope-claim", "realm.roles", "--oidc-scope-map", "admins=operator,team=instance-read-1",
	}})
	header := object{"alg": "EdDSA", "kid": "k1", "typ": "at+jwt"}
	claims := object{"iss": address, "aud": "carillon-api", "sub": "ann", "exp": time.Now().Unix() + 3600, "scope": "operator", "realm": object{"roles": []any{"admins"}}}
	good := jwt(t, header, claims, byEd25519(key))
	tenant := server.As(good).NewTenant(t)
	for _, door := range tenant.Operator.Doors() {
		harness.Must(t, door, "GetInstance", object{"instanceId": tenant.Instance})
	}
	reader := server.As(jwt(t, header, changed(claims, object{"sub": "bob", "realm": object{"roles": []any{"team", "others"}}}), byEd25519(key)))
	judge(t, reader, "GetInstance", object{"instanceId": tenant.Instance}, "")
	judge(t, reader, "DeleteInstance", object{"instanceId": tenant.Instance}, "PERMISSION_DENIED")
	nobody := server.As(jwt(t, header, changed(claims, object{"realm": nil}), byEd25519(key)))
	judge(t, nobody, "GetInstance", object{"instanceId": tenant.Instance}, "NOT_FOUND") // the claim scope is not the mapped one

	forged := headerForgeries(t, header, claims, key.Public().(ed25519.PublicKey))
	maps.Copy(forged, claimForgeries(t, header, claims, key))
	forged["our own token"] = server.Token(t, "operator")
	refusedEverywhere(t, server, tenant.Instance, forged)
	twoHeaders(t, server, good, "/v1/instances")

	answer, got := grant(t, server, url.Values{"grant_type": {"client_credentials"}, "client_id": {"client_1"}, "client_secret": {"x"}})
	if answer.Status != http.StatusBadRequest || !strings.Contains(harness.Text(got, "error_description"), address) {
		t.Errorf("the token endpoint answers %d %s", answer.Status, answer.Body)
	}
	result := server.Command(t, "token", "--scope", "operator", "--oidc-issuer", address)
	if result.Code != 2 || !strings.Contains(result.Stderr, "--oidc-issuer") || result.Stdout != "" {
		t.Errorf("carillon token ended with %d: %s", result.Code, result.Stderr)
	}
}
