package auth_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"time"
)

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
		"no client and no version":      {"sub": "client_4", "client_id": "client_4", "sv": nil},
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
	huge := with(claims, map[string]any{"x": strings.Repeat("x", 16<<10)})
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
