package auth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	// Unlike encoding/json it refuses duplicate keys and names in another case.
	josejson "github.com/go-jose/go-jose/v4/json"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// maxToken holds the longest scopes that a client can have, in bytes.
	maxToken = 16 << 10
	// clockSkew is how far the clocks of two replicas may be apart.
	clockSkew = time.Minute
)

// Clients reads the programs that may ask for tokens.
type Clients interface {
	// Client returns store.ErrNotFound for one that is missing or deleted.
	Client(ctx context.Context, id int64) (job.Client, error)
}

// Verifier checks access tokens.
type Verifier struct {
	keys     *Keys
	clients  Clients
	identity Identity
	now      func() time.Time
}

// NewVerifier returns a verifier of tokens that carry identity.
func NewVerifier(keys *Keys, clients Clients, identity Identity, now func() time.Time) *Verifier {
	return &Verifier{keys: keys, clients: clients, identity: identity, now: now}
}

// errForged is every reason to distrust a token; the caller learns no more.
var errForged = errors.New("not a token of this issuer")

// Verify returns the caller that a token (without "Bearer ") stands for. A
// token that is not valid is a *job.UnauthenticatedError; other errors mean
// that it could not be checked.
func (v *Verifier) Verify(ctx context.Context, token string) (Principal, error) {
	payload, err := v.payload(ctx, token)
	if errors.Is(err, errForged) {
		return Principal{}, unauthenticated("the bearer token is not valid")
	}
	if err != nil {
		return Principal{}, fmt.Errorf("verify a token: %w", err)
	}
	var c claims
	if err := josejson.Unmarshal(payload, &c); err != nil {
		return Principal{}, unauthenticated("the bearer token is not valid")
	}
	if err := v.checkClaims(c); err != nil {
		return Principal{}, err
	}
	return v.principal(ctx, c)
}

func unauthenticated(message string) error { return &job.UnauthenticatedError{Message: message} }

// payload checks everything outside the claims.
func (v *Verifier) payload(ctx context.Context, token string) ([]byte, error) {
	keyID, err := readHeader(token)
	if err != nil {
		return nil, err
	}
	private, ok, err := find(ctx, v.keys, keyID, tokenKeys)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errForged
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA})
	if err != nil {
		return nil, errForged
	}
	payload, err := signed.Verify(private.Public())
	if err != nil {
		return nil, errForged
	}
	return payload, nil
}

// readHeader returns the key id. It accepts only what our issuer writes: three
// parts in canonical base64url, and a header of exactly alg, kid and typ. So
// jku, jwk, x5c, crit, b64 and whatever comes next are refused.
func readHeader(token string) (keyID string, err error) {
	if len(token) > maxToken {
		return "", errForged
	}
	parts, ok := CompactParts(token)
	if !ok {
		return "", errForged
	}
	var header map[string]any
	if err := josejson.Unmarshal(parts[0], &header); err != nil {
		return "", errForged
	}
	keyID, isText := header["kid"].(string)
	if len(header) != 3 || header["alg"] != string(jose.EdDSA) || header["typ"] != tokenType || !isText {
		return "", errForged
	}
	return keyID, nil
}

// CompactParts decodes the three parts of a signed token. It accepts only the
// one way to write each: Go's decoder skips line ends and ignores spare bits.
func CompactParts(token string) (decoded [3][]byte, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != len(decoded) {
		return decoded, false
	}
	for i, part := range parts {
		var err error
		decoded[i], err = base64.RawURLEncoding.DecodeString(part)
		if err != nil || base64.RawURLEncoding.EncodeToString(decoded[i]) != part {
			return decoded, false
		}
	}
	return decoded, true
}

// issuerOf is who issues tokens for a subject.
func (v *Verifier) issuerOf(subject string) string {
	if subject == SubjectOperator {
		return issuerOperator
	}
	return v.identity.Issuer
}

// checkClaims trusts the signature: what it refuses was signed by us for
// another deployment or another time.
func (v *Verifier) checkClaims(c claims) error {
	now := v.now()
	switch {
	case slices.Contains([]string{c.Issuer, c.Audience, c.Subject, c.TokenID}, ""),
		c.Issuer != v.issuerOf(c.Subject) || c.Audience != v.identity.Audience,
		c.IssuedAt <= 0 || c.NotBefore <= 0 || c.ExpiresAt <= 0:
		return unauthenticated("the bearer token is not valid")
	case now.Unix() >= c.ExpiresAt:
		return unauthenticated("the bearer token has expired: ask for a new one")
	case now.Add(clockSkew).Unix() < max(c.NotBefore, c.IssuedAt):
		return unauthenticated("the bearer token is not valid yet")
	}
	return nil
}

// principal looks the client up, so that a deleted one or a reset secret ends
// its tokens at once.
func (v *Verifier) principal(ctx context.Context, c claims) (Principal, error) {
	scopes, err := ParseScopes(c.Scope)
	if err != nil {
		return Principal{}, unauthenticated("the bearer token is not valid")
	}
	p := Principal{Subject: c.Subject, TokenID: c.TokenID, Scopes: scopes}
	if c.ClientID == "" && c.Subject == SubjectOperator {
		return p, nil
	}
	id, ok := job.KindClient.Parse(c.ClientID)
	if !ok || c.ClientID != job.KindClient.Format(id) || c.Subject != c.ClientID {
		return Principal{}, unauthenticated("the bearer token is not valid")
	}
	client, err := v.clients.Client(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Principal{}, fmt.Errorf("verify a token: read client %d: %w", id, err)
	}
	if err != nil || client.SecretVersion != c.SecretVersion {
		return Principal{}, unauthenticated("the bearer token was revoked: its client is gone or has a new secret")
	}
	p.ClientID = id
	return p, nil
}
