// Package oidc verifies access tokens of an outside OpenID Connect issuer and
// turns one of their claims into scopes.
//
// Rules:
//   - Only what the configured issuer signed for the configured audience counts.
//     Its keys come from its discovery document and from nowhere else: a
//     token's jku, jwk, x5u and the like are refused.
//   - A key verifies the algorithms of its own kind only, or the one that it
//     names; symmetric keys and "none" are never accepted.
//   - A token has a subject, an end, and the configured type. It may come from a
//     clock that is a minute ahead.
//   - A claim's values that mean nothing here grant nothing. With a map, only
//     what stands in the map does.
//   - Unknown keys make us ask the issuer again, at most once in [askEvery]. An
//     issuer that does not answer takes no known key away for [staleFor].
package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	// Unlike encoding/json it refuses duplicate keys and names in another case.
	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

// The types of tokens that an issuer may mark its access tokens with.
const (
	// TypeAccessToken is that of RFC 9068.
	TypeAccessToken = "at+jwt"
	// TypeJWT is what issuers write who don't follow it: JWT, or nothing.
	TypeJWT = "jwt"
)

// Options of a Verifier.
type Options struct {
	// Issuer is the URL that tokens name, without a final slash unless the
	// issuer's own has one.
	Issuer string
	// Audience must be among a token's.
	Audience string
	// TokenType is TypeAccessToken or TypeJWT.
	TokenType string
	// ScopeClaim is a claim, or a path of them with dots, whose value is text
	// separated by spaces or a list of text.
	ScopeClaim string
	// ScopeMap are VALUE=SCOPE; empty means that the values are scopes.
	ScopeMap []string
	// Client calls the issuer; nil means one with limits.
	Client *http.Client
	Now    func() time.Time
}

// Verifier checks access tokens. It is safe for concurrent use.
type Verifier struct {
	o      Options
	keys   *keySet
	mapped map[string]auth.Scopes
}

// New checks the options; the issuer is asked when the first token comes.
func New(o Options) (*Verifier, error) {
	v := &Verifier{o: o, keys: newKeySet(o.Issuer, o.Client, o.Now)}
	if len(o.ScopeMap) > 0 {
		v.mapped = map[string]auth.Scopes{}
	}
	for _, entry := range o.ScopeMap {
		i := strings.LastIndex(entry, "=")
		if i <= 0 {
			return nil, fmt.Errorf("%q is not VALUE=SCOPES", entry)
		}
		scopes, err := auth.ParseScopes(entry[i+1:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", entry[:i], err)
		}
		v.mapped[entry[:i]] = scopes
	}
	return v, nil
}

const (
	// maxToken is in bytes.
	maxToken = 16 << 10
	// clockSkew is how far the issuer's clock may be ahead.
	clockSkew = time.Minute
	// maxSubject is in bytes, as OpenID Connect says.
	maxSubject = 255
)

// errForged is every reason to distrust a token; the caller learns no more.
var errForged = errors.New("not a token of this issuer")

func refused(message string) error { return &job.UnauthenticatedError{Message: message} }

// claims are what is read of a token; times in seconds since 1970.
type claims struct {
	Issuer    string   `json:"iss"`
	Audience  audience `json:"aud"`
	Subject   string   `json:"sub"`
	TokenID   string   `json:"jti"`
	ExpiresAt *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
}

// audience is one text or a list.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(a))
}

// Verify returns the caller that a token (without "Bearer ") stands for. A
// token that is not valid is a *job.UnauthenticatedError; an issuer that does
// not answer is a *job.UnavailableError.
func (v *Verifier) Verify(ctx context.Context, token string) (auth.Principal, error) {
	payload, err := v.payload(ctx, token)
	var c claims
	var all map[string]any
	if err == nil && (josejson.Unmarshal(payload, &c) != nil || josejson.Unmarshal(payload, &all) != nil) {
		err = errForged
	}
	if errors.Is(err, errForged) {
		return auth.Principal{}, refused("the bearer token is not valid")
	}
	if err != nil {
		return auth.Principal{}, err
	}
	if err := v.check(c); err != nil {
		return auth.Principal{}, err
	}
	return auth.Principal{Subject: "oidc:" + c.Subject, TokenID: c.TokenID, Scopes: v.scopes(all)}, nil
}

// payload checks everything outside the claims.
func (v *Verifier) payload(ctx context.Context, token string) ([]byte, error) {
	if len(token) > maxToken {
		return nil, errForged
	}
	parts, ok := auth.CompactParts(token)
	if !ok {
		return nil, errForged
	}
	var header map[string]any
	if err := josejson.Unmarshal(parts[0], &header); err != nil {
		return nil, errForged
	}
	for _, forbidden := range []string{"jku", "jwk", "x5u", "crit", "b64", "zip", "enc"} {
		if _, has := header[forbidden]; has {
			return nil, errForged
		}
	}
	id, _ := header["kid"].(string)
	if id == "" || !v.typed(header["typ"]) {
		return nil, errForged
	}
	key, err := v.keys.find(ctx, id)
	if err != nil {
		return nil, err
	}
	signed, err := jose.ParseSignedCompact(token, algorithmsOf(key))
	if err != nil {
		return nil, errForged
	}
	payload, err := signed.Verify(key.Key)
	if err != nil {
		return nil, errForged
	}
	return payload, nil
}

// typed tells whether a header's typ is the configured one.
func (v *Verifier) typed(typ any) bool {
	text, isText := typ.(string)
	text = strings.TrimPrefix(strings.ToLower(text), "application/")
	if v.o.TokenType == TypeJWT {
		return typ == nil || isText && text == "jwt"
	}
	return isText && text == TypeAccessToken
}

func (v *Verifier) check(c claims) error {
	now := float64(v.o.Now().Unix())
	switch {
	case c.Issuer != v.o.Issuer || !slices.Contains(c.Audience, v.o.Audience),
		c.Subject == "" || len(c.Subject) > maxSubject || strings.ContainsFunc(c.Subject, func(r rune) bool { return r < ' ' || r > '~' }),
		c.ExpiresAt == nil || math.IsNaN(*c.ExpiresAt):
		return refused("the bearer token is not valid: it must name the issuer, the audience, a subject and its end")
	case now >= *c.ExpiresAt:
		return refused("the bearer token has expired: ask its issuer for a new one")
	}
	for _, from := range []*float64{c.NotBefore, c.IssuedAt} {
		if from != nil && now+clockSkew.Seconds() < *from {
			return refused("the bearer token is not valid yet")
		}
	}
	return nil
}

// scopes are what the claim's values stand for.
func (v *Verifier) scopes(all map[string]any) auth.Scopes {
	var granted []string
	for _, value := range valuesOf(all, v.o.ScopeClaim) {
		scopes, known := v.mapped[value]
		if v.mapped == nil {
			var err error
			scopes, err = auth.ParseScopes(value)
			known = err == nil
		}
		if known {
			granted = append(granted, scopes.List()...)
		}
	}
	scopes, _ := auth.ParseScopes(strings.Join(granted, " ")) // each was parsed before; too many grant nothing
	return scopes
}

// valuesOf reads a claim: by its whole name, which may hold dots as URLs do,
// else by a path of names.
func valuesOf(all map[string]any, claim string) (values []string) {
	value, ok := all[claim]
	if !ok {
		value = all
		for name := range strings.SplitSeq(claim, ".") {
			object, _ := value.(map[string]any)
			value = object[name]
		}
	}
	switch value := value.(type) {
	case string:
		return strings.Fields(value)
	case []any:
		for _, one := range value {
			if text, ok := one.(string); ok {
				values = append(values, text)
			}
		}
	}
	return values
}
