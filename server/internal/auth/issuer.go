package auth

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
)

const (
	// DefaultTTL is how long a token lives unless somebody says otherwise.
	DefaultTTL = 14399 * time.Second
	// MaxTTL is how long a token can live.
	MaxTTL = 30 * 24 * time.Hour
)

const (
	// SubjectOperator is the subject of tokens without a client.
	SubjectOperator = "operator"
	// issuerOperator is their issuer: the command line has the database's keys,
	// but need not know under which address the server is reached.
	issuerOperator = "urn:carillon:operator"
)

// tokenType marks access tokens, so that no other JWT passes for one.
const tokenType = "at+jwt"

// Identity is what tokens say of where they come from and where they belong.
// It is the same on every replica of one database and on its command line.
type Identity struct {
	Issuer   string
	Audience string
}

// claims are what a token holds; times in seconds since 1970.
type claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	Subject   string `json:"sub"`
	ClientID  string `json:"client_id,omitempty"`
	Scope     string `json:"scope"`
	TokenID   string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	NotBefore int64  `json:"nbf"`
	ExpiresAt int64  `json:"exp"`
	// SecretVersion is the version of the client's secret; a reset raises it.
	SecretVersion int64 `json:"sv,omitempty"`
}

// Token is a signed access token.
type Token struct {
	Text      seal.Secret
	ID        string
	ExpiresAt time.Time
}

// Issuer signs access tokens.
type Issuer struct {
	keys     *Keys
	identity Identity
	now      func() time.Time
}

// NewIssuer returns an issuer of tokens that carry identity.
func NewIssuer(keys *Keys, identity Identity, now func() time.Time) *Issuer {
	return &Issuer{keys: keys, identity: identity, now: now}
}

// ForClient signs a token for a client. What the client may have is for the
// caller to check.
func (i *Issuer) ForClient(ctx context.Context, client job.Client, scopes Scopes, ttl time.Duration) (Token, error) {
	id := job.KindClient.Format(client.ID)
	return i.issue(ctx, claims{Issuer: i.identity.Issuer, Subject: id, ClientID: id, SecretVersion: client.SecretVersion}, scopes, ttl)
}

// ForOperator signs a token for the person at the machine's command line. It
// lives until it expires.
func (i *Issuer) ForOperator(ctx context.Context, scopes Scopes, ttl time.Duration) (Token, error) {
	return i.issue(ctx, claims{Issuer: issuerOperator, Subject: SubjectOperator}, scopes, ttl)
}

func (i *Issuer) issue(ctx context.Context, c claims, scopes Scopes, ttl time.Duration) (Token, error) {
	if ttl < time.Second || ttl > MaxTTL {
		return Token{}, fmt.Errorf("a token lives between 1s and %s, not %s", MaxTTL, ttl)
	}
	set, err := i.keys.set(ctx, keysMaxAge)
	if err != nil {
		return Token{}, err
	}
	if set.newestToken == "" {
		return Token{}, errors.New("there is no key to sign tokens with")
	}
	now := i.now()
	c.Audience, c.Scope = i.identity.Audience, scopes.String()
	c.TokenID = rand.Text()
	c.IssuedAt, c.NotBefore, c.ExpiresAt = now.Unix(), now.Unix(), now.Add(ttl).Unix()
	text, err := sign(set, c)
	if err != nil {
		return Token{}, fmt.Errorf("sign a token: %w", err)
	}
	return Token{Text: seal.NewSecret(text), ID: c.TokenID, ExpiresAt: time.Unix(c.ExpiresAt, 0).UTC()}, nil
}

func sign(set *keySet, c claims) (string, error) {
	key := jose.JSONWebKey{Key: set.token[set.newestToken], KeyID: set.newestToken}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: key}, (&jose.SignerOptions{}).WithType(tokenType))
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
