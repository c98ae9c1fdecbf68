package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// LinkTTL is how long a signed link can live.
const LinkTTL = 15 * time.Minute

// Link permits its holder to read the log of one execution, and nothing else,
// until it expires.
type Link struct {
	ExecutionID int64
	// Expires is in seconds since 1970.
	Expires   int64
	KeyID     string
	Signature string
}

// Query is the link's URL query; the execution stands in the path.
func (l Link) Query() url.Values {
	return url.Values{
		"expires":   {strconv.FormatInt(l.Expires, 10)},
		"key_id":    {l.KeyID},
		"signature": {l.Signature},
	}
}

// LinkSigner signs links with a key that serves nothing else.
type LinkSigner struct {
	keys *Keys
	now  func() time.Time
}

// NewLinkSigner returns a signer whose links are valid on every replica.
func NewLinkSigner(keys *Keys, now func() time.Time) *LinkSigner {
	return &LinkSigner{keys: keys, now: now}
}

// Sign makes a link that ends at expires, at most LinkTTL from now; fractions
// of a second are cut off.
func (s *LinkSigner) Sign(ctx context.Context, executionID int64, expires time.Time) (Link, error) {
	if left := expires.Sub(s.now()); left <= 0 || left > LinkTTL {
		return Link{}, fmt.Errorf("sign a link to execution %d: it would live %s, the limit is %s", executionID, left, LinkTTL)
	}
	set, err := s.keys.set(ctx, keysMaxAge)
	if err != nil {
		return Link{}, err
	}
	if set.newestLink == "" {
		return Link{}, errors.New("there is no key to sign links with")
	}
	link := Link{ExecutionID: executionID, Expires: expires.Unix(), KeyID: set.newestLink}
	link.Signature = link.sign(set.link[set.newestLink])
	return link, nil
}

// Verify returns nil for a link of ours that has not expired. A bad link is a
// *job.UnauthenticatedError; other errors mean that it could not be checked.
func (s *LinkSigner) Verify(ctx context.Context, link Link) error {
	key, ok, err := find(ctx, s.keys, link.KeyID, linkKeys)
	if err != nil {
		return fmt.Errorf("verify a link: %w", err)
	}
	if !ok || subtle.ConstantTimeCompare([]byte(link.Signature), []byte(link.sign(key))) != 1 {
		return unauthenticated("the link is not valid")
	}
	if s.now().Unix() >= link.Expires {
		return unauthenticated("the link has expired: read the execution again for a new one")
	}
	return nil
}

// sign covers every field and the method. The free-text field comes last, so
// that no two links have the same text.
func (l Link) sign(key []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "carillon/log-link/v1|GET|%d|%d|%s", l.ExecutionID, l.Expires, l.KeyID)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
