package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"hash"
	"math/big"
	"strings"
	"testing"
	"time"

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

// otherAlgorithms use what an attacker knows (the public key) or owns.
func otherAlgorithms(t *testing.T, head, claims, id string, private ed25519.PrivateKey) map[string]string {
	public := private.Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	asJWK := fmt.Appendf(nil, `{"kty":"OKP","crv":"Ed25519","kid":%q,"x":%q}`, id, b64(public))
	alg := func(name any) string { return with(head, map[string]any{"alg": name}) }
	genuine := b64(ed25519.Sign(private, []byte(b64([]byte(head))+"."+b64([]byte(claims)))))

	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	es256 := func(input []byte) []byte {
		digest := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, ec, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rs256 := func(input []byte) []byte {
		digest := sha256.Sum256(input)
		signature, err := rsa.SignPKCS1v15(nil, rsaKey, crypto.SHA256, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	return map[string]string{
		"none":                         compact(alg("none"), claims, unsigned),
		"None":                         compact(alg("None"), claims, unsigned),
		"NONE":                         compact(alg("NONE"), claims, unsigned),
		"none, genuine signature":      b64([]byte(alg("none"))) + "." + b64([]byte(claims)) + "." + genuine,
		"none, signed by us":           compact(alg("none"), claims, edDSA(private)),
		"empty algorithm":              compact(alg(""), claims, edDSA(private)),
		"no algorithm":                 compact(alg(nil), claims, edDSA(private)),
		"algorithm is a list":          compact(alg([]string{"EdDSA"}), claims, edDSA(private)),
		"algorithm in lower case":      compact(alg("eddsa"), claims, edDSA(private)),
		"Ed25519 for EdDSA":            compact(alg("Ed25519"), claims, edDSA(private)),
		"HS256 with the public key":    compact(alg("HS256"), claims, hmacWith(sha256.New, public)),
		"HS256 with the key as PEM":    compact(alg("HS256"), claims, hmacWith(sha256.New, asPEM)),
		"HS256 with the key as DER":    compact(alg("HS256"), claims, hmacWith(sha256.New, der)),
		"HS256 with the key as JWK":    compact(alg("HS256"), claims, hmacWith(sha256.New, asJWK)),
		"HS256 with an empty key":      compact(alg("HS256"), claims, hmacWith(sha256.New, nil)),
		"HS256 with the private seed":  compact(alg("HS256"), claims, hmacWith(sha256.New, private.Seed())),
		"HS512 with the public key":    compact(alg("HS512"), claims, hmacWith(sha512.New, public)),
		"EdDSA header, HMAC signature": compact(head, claims, hmacWith(sha512.New, public)),
		"ES256 with an own key":        compact(alg("ES256"), claims, es256),
		"EdDSA header, ES256 inside":   compact(head, claims, es256),
		"RS256 with an own key":        compact(alg("RS256"), claims, rs256),
		"ES256 of zeros":               compact(alg("ES256"), claims, func([]byte) []byte { return make([]byte, 64) }),
	}
}

// otherKeys are signed with a key that is not the issuer's token key.
func otherKeys(t *testing.T, head, claims, id, linkID string, linkKey []byte) map[string]string {
	public, own, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	mine := edDSA(own)
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(public), "kid": id}
	add := func(name string, value any) string { return with(head, map[string]any{name: value}) }
	kid := func(value any) string { return with(head, map[string]any{"kid": value}) }
	devNull := hmacWith(sha256.New, nil)
	return map[string]string{
		"own key under our id":       compact(head, claims, mine),
		"own key in jwk":             compact(add("jwk", jwk), claims, mine),
		"own key in jwk, no id":      compact(with(head, map[string]any{"jwk": jwk, "kid": nil}), claims, mine),
		"own key at jku":             compact(add("jku", "https://attacker.example/jwks.json"), claims, mine),
		"own key at x5u":             compact(add("x5u", "https://attacker.example/cert.pem"), claims, mine),
		"own key in x5c":             compact(add("x5c", []string{"MIIB"}), claims, mine),
		"unknown key id":             compact(kid("unknown"), claims, mine),
		"key id is a path":           compact(kid("../../../../dev/null"), claims, devNull),
		"key id is a path, HS256":    compact(with(head, map[string]any{"kid": "/dev/null", "alg": "HS256"}), claims, devNull),
		"key id is SQL":              compact(kid("' UNION SELECT 'key' --"), claims, mine),
		"key id is a URL":            compact(kid("https://attacker.example/key"), claims, mine),
		"key id has a NUL":           compact(kid(id+"\x00"), claims, mine),
		"key id has a space":         compact(kid(id+" "), claims, mine),
		"key id in lower case":       compact(kid(strings.ToLower(id)), claims, mine),
		"key id is empty":            compact(kid(""), claims, mine),
		"key id is a number":         compact(kid(1), claims, mine),
		"key id is a list":           compact(kid([]string{id}), claims, mine),
		"no key id":                  compact(kid(nil), claims, mine),
		"link key id":                compact(kid(linkID), claims, mine),
		"link key as HMAC":           compact(with(head, map[string]any{"kid": linkID, "alg": "HS256"}), claims, hmacWith(sha256.New, linkKey)),
		"link key as a seed":         compact(kid(linkID), claims, edDSA(ed25519.NewKeyFromSeed(linkKey))),
		"link key under our id":      compact(head, claims, edDSA(ed25519.NewKeyFromSeed(linkKey))),
		"all-zero key under our id":  compact(head, claims, edDSA(ed25519.NewKeyFromSeed(make([]byte, 32)))),
		"low-order key, zero scalar": compact(head, claims, func([]byte) []byte { return append([]byte{1}, make([]byte, 63)...) }),
	}
}

// wrongHeaders are signed by us under a header that we never write.
func wrongHeaders(head, claims string, ours signFunc) map[string]string {
	add := func(name string, value any) string { return with(head, map[string]any{name: value}) }
	unencoded := with(head, map[string]any{"b64": false, "crit": []string{"b64"}})
	return map[string]string{
		"typ JWT":             compact(add("typ", "JWT"), claims, ours),
		"typ in upper case":   compact(add("typ", "AT+JWT"), claims, ours),
		"typ of an ID token":  compact(add("typ", "id+jwt"), claims, ours),
		"typ with media type": compact(add("typ", "application/at+jwt"), claims, ours),
		"typ is a list":       compact(add("typ", []string{"at+jwt"}), claims, ours),
		"no typ":              compact(add("typ", nil), claims, ours),
		"crit":                compact(add("crit", []string{"exp"}), claims, ours),
		"crit unknown":        compact(with(head, map[string]any{"crit": []string{"x"}, "x": 1}), claims, ours),
		"crit empty":          compact(add("crit", []string{}), claims, ours),
		"b64":                 compact(unencoded, claims, ours),
		"b64, raw payload": b64([]byte(unencoded)) + "." + b64([]byte(claims)) + "." +
			b64(ours([]byte(b64([]byte(unencoded))+"."+claims))),
		"jku beside our key":      compact(add("jku", "https://attacker.example"), claims, ours),
		"cty":                     compact(add("cty", "JWT"), claims, ours),
		"zip":                     compact(add("zip", "DEF"), claims, ours),
		"enc":                     compact(add("enc", "A256GCM"), claims, ours),
		"unknown header":          compact(add("x", "y"), claims, ours),
		"two algorithms":          compact(strings.Replace(head, "{", `{"alg":"none",`, 1), claims, ours),
		"two key ids":             compact(strings.Replace(head, "{", `{"kid":"other",`, 1), claims, ours),
		"two types":               compact(strings.Replace(head, "}", `,"typ":"at+jwt"}`, 1), claims, ours),
		"names in another case":   compact(strings.Replace(head, `"alg"`, `"ALG"`, 1), claims, ours),
		"header is a list":        compact("["+head+"]", claims, ours),
		"header is null":          compact("null", claims, ours),
		"header is empty":         compact("", claims, ours),
		"header with a tail":      compact(head+head, claims, ours),
		"header is no JSON":       compact("alg: EdDSA", claims, ours),
		"header is deeply nested": compact(strings.Repeat("[", 5000), claims, ours),
	}
}

// wrongClaims are signed by us but meant for something else.
func wrongClaims(b *bundle, head, claims string, ours signFunc) map[string]string {
	now := b.clock.Now().Unix()
	forged := map[string]string{}
	for name, members := range map[string]map[string]any{
		"other audience":                {"aud": "other"},
		"audience with a slash":         {"aud": identity.Audience + "/"},
		"audience among others":         {"aud": []string{"other", identity.Audience}},
		"no audience":                   {"aud": nil},
		"other issuer":                  {"iss": "https://attacker.example"},
		"issuer with a slash":           {"iss": identity.Issuer + "/"},
		"issuer in upper case":          {"iss": strings.ToUpper(identity.Issuer)},
		"no issuer":                     {"iss": nil},
		"expired":                       {"exp": now - 1},
		"expires now":                   {"exp": now},
		"expired long ago":              {"exp": 1},
		"never expires":                 {"exp": nil},
		"expires at zero":               {"exp": 0},
		"expires before 1970":           {"exp": -now - 3600},
		"expiry as text":                {"exp": fmt.Sprint(now + 3600)},
		"expiry with a fraction":        {"exp": float64(now) + 3600.5},
		"expiry beyond all numbers":     {"exp": json.RawMessage("1e300")},
		"expiry is true":                {"exp": true},
		"not yet valid":                 {"nbf": now + 62},
		"valid in 2100":                 {"nbf": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).Unix()},
		"no start":                      {"nbf": nil},
		"issued in the future":          {"iat": now + 62},
		"no time of issue":              {"iat": nil},
		"no token id":                   {"jti": nil},
		"no subject":                    {"sub": nil},
		"other subject":                 {"sub": "client_4"},
		"operator with a client":        {"sub": "operator"},
		"client without id":             {"client_id": nil},
		"client that does not exist":    {"sub": "client_4", "client_id": "client_4"},
		"client as a number":            {"sub": "3", "client_id": "3"},
		"client with another prefix":    {"sub": "inst_3", "client_id": "inst_3"},
		"client zero":                   {"sub": "client_0", "client_id": "client_0"},
		"older secret":                  {"sv": 1},
		"newer secret":                  {"sv": 3},
		"no secret version":             {"sv": nil},
		"unknown scope":                 {"scope": "operator root"},
		"scope as a list":               {"scope": []string{"operator"}},
		"client token without a client": {"sub": "client_3", "client_id": ""},
	} {
		forged[name] = compact(head, with(claims, members), ours)
	}
	for name, payload := range map[string]string{
		"two expiries":       strings.Replace(claims, "{", `{"exp":1,`, 1),
		"two scopes":         strings.Replace(claims, "}", `,"scope":"operator"}`, 1),
		"two unknown claims": strings.Replace(claims, "{", `{"x":1,"x":2,`, 1),
		"claims in a list":   "[" + claims + "]",
		"claims with a tail": claims + claims,
		"claims are null":    "null",
		"claims are text":    `"operator"`,
		"no claims":          "",
		"claims cut short":   claims[:len(claims)-1],
	} {
		forged[name] = compact(head, payload, ours)
	}
	return forged
}

// wrongShapes are other spellings of a good token.
func wrongShapes(head, claims, good string, ours signFunc) map[string]string {
	parts := strings.Split(good, ".")
	padded := base64.URLEncoding.EncodeToString
	huge := with(claims, map[string]any{"scope": strings.Repeat("operator ", 2000)})
	last := good[len(good)-1]
	withUnderscore := compact(head, with(claims, map[string]any{"jti": "????????"}), ours)
	return map[string]string{
		"empty":               "",
		"one dot":             ".",
		"two dots":            "..",
		"three dots":          "...",
		"header only":         parts[0],
		"no signature part":   parts[0] + "." + parts[1],
		"empty signature":     parts[0] + "." + parts[1] + ".",
		"detached payload":    parts[0] + ".." + parts[2],
		"no header":           "." + parts[1] + "." + parts[2],
		"four parts":          good + "." + parts[2],
		"dot at the end":      good + ".",
		"dot at the start":    "." + good,
		"five parts":          good + "." + parts[1] + "." + parts[2],
		"twice":               good + good,
		"two tokens":          good + " " + good,
		"with its scheme":     "Bearer " + good,
		"space before":        " " + good,
		"space after":         good + " ",
		"line end after":      good + "\n",
		"line end inside":     parts[0] + "." + parts[1][:10] + "\n" + parts[1][10:] + "." + parts[2],
		"NUL after":           good + "\x00",
		"padded":              padded([]byte(head)) + "." + padded([]byte(claims)) + "." + parts[2] + "==",
		"standard alphabet":   strings.NewReplacer("-", "+", "_", "/").Replace(withUnderscore),
		"spare bits set":      good[:len(good)-1] + string(spareBit(last)),
		"flattened JSON":      fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, parts[0], parts[1], parts[2]),
		"general JSON":        fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, parts[1], parts[0], parts[2]),
		"huge, signed by us":  compact(head, huge, ours),
		"a megabyte of dots":  strings.Repeat(".", 1<<20),
		"a megabyte of text":  strings.Repeat("A", 1<<20) + "." + parts[1] + "." + parts[2],
		"invalid UTF-8":       good[:20] + "\xff\xfe" + good[22:],
		"full-width dots":     strings.ReplaceAll(good, ".", "\uff0e"),
		"JWT inside":          compact(head, `"`+good+`"`, ours),
		"percent-encoded dot": strings.Replace(good, ".", "%2e", 1),
	}
}

// spareBit returns the base64url character with its lowest bit turned, which
// carries nothing at the end of 64 bytes.
func spareBit(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

// wrongSignatures change the signature or what it stands for.
func wrongSignatures(head, claims, good string, private ed25519.PrivateKey) map[string]string {
	parts := strings.Split(good, ".")
	input := parts[0] + "." + parts[1]
	signature := ed25519.Sign(private, []byte(input))
	forged := map[string]string{
		"signature cut":             input + "." + b64(signature[:63]),
		"signature longer":          input + "." + b64(append(signature[:64:64], 0)),
		"signature twice":           input + "." + b64(append(signature[:64:64], signature...)),
		"signature of zeros":        input + "." + b64(make([]byte, 64)),
		"signature in other words":  input + "." + b64(malleate(signature)),
		"signature of the claims":   input + "." + b64(ed25519.Sign(private, []byte(claims))),
		"signature of another":      input + "." + strings.Split(compact(head, with(claims, map[string]any{"jti": "t2"}), edDSA(private)), ".")[2],
		"signature of a digest":     input + "." + b64(digestSignature(private, input)),
		"other scope, old sign":     parts[0] + "." + b64([]byte(with(claims, map[string]any{"scope": "operator instance-*"}))) + "." + parts[2],
		"later expiry, old sign":    parts[0] + "." + b64([]byte(with(claims, map[string]any{"exp": 9999999999}))) + "." + parts[2],
		"respelt claims, old sign":  parts[0] + "." + b64([]byte(claims+" ")) + "." + parts[2],
		"respelt header, old sign":  b64([]byte(head+" ")) + "." + parts[1] + "." + parts[2],
		"header and claims swapped": parts[1] + "." + parts[0] + "." + parts[2],
	}
	for i := range signature {
		changed := append([]byte(nil), signature...)
		changed[i] ^= 0x01
		forged[fmt.Sprintf("signature byte %d", i)] = input + "." + b64(changed)
	}
	return forged
}

// malleate adds the group's order to the scalar of an Ed25519 signature: the
// same signature in other bytes.
func malleate(signature []byte) []byte {
	order, _ := new(big.Int).SetString("1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed", 16)
	scalar := make([]byte, 32)
	for i, c := range signature[32:] {
		scalar[31-i] = c
	}
	sum := new(big.Int).Add(new(big.Int).SetBytes(scalar), order).FillBytes(make([]byte, 32))
	changed := append([]byte(nil), signature[:32]...)
	for i := range sum {
		changed = append(changed, sum[31-i])
	}
	return changed
}

func digestSignature(private ed25519.PrivateKey, input string) []byte {
	digest := sha512.Sum512([]byte(input))
	signature, err := private.Sign(nil, digest[:], crypto.SHA512) // Ed25519ph
	if err != nil {
		panic(err)
	}
	return signature
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
