package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

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
