package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// keysMaxAge is how long keys are used without asking the issuer, and so how
	// long a key that it has withdrawn lives on.
	keysMaxAge = 15 * time.Minute
	// askEvery is how often tokens with unknown keys can make us ask.
	askEvery = 10 * time.Second
	// staleFor is how long keys serve while the issuer does not answer.
	staleFor = 24 * time.Hour
	// askLimit bounds one look at the issuer, and maxAnswer its answers in bytes.
	askLimit  = 5 * time.Second
	maxAnswer = 1 << 20
	// minRSA is in bits.
	minRSA = 2048
)

// algorithmsOf are those that a key may verify: asymmetric ones of its own kind.
func algorithmsOf(key jose.JSONWebKey) (list []jose.SignatureAlgorithm) {
	switch public := key.Key.(type) {
	case ed25519.PublicKey:
		list = []jose.SignatureAlgorithm{jose.EdDSA}
	case *ecdsa.PublicKey:
		list = map[int][]jose.SignatureAlgorithm{256: {jose.ES256}, 384: {jose.ES384}, 521: {jose.ES512}}[public.Curve.Params().BitSize]
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSA {
			list = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512}
		}
	}
	if key.Algorithm == "" {
		return list
	}
	for _, one := range list {
		if string(one) == key.Algorithm {
			return []jose.SignatureAlgorithm{one}
		}
	}
	return nil
}

// keySet holds the issuer's keys.
type keySet struct {
	issuer string
	client *http.Client
	now    func() time.Time
	asking singleflight.Group
	state  atomic.Pointer[state]
}

// state is what the last look at the issuer led to; it never changes.
type state struct {
	keys map[string]jose.JSONWebKey
	// readAt is when the keys were read, askedAt when the issuer was last asked.
	readAt, askedAt time.Time
	// failure is why the last look failed; nil if it did not.
	failure error
}

func newKeySet(issuer string, client *http.Client, now func() time.Time) *keySet {
	if client == nil {
		client = &http.Client{Timeout: askLimit}
	}
	bounded := *client
	// A redirect could lead anywhere; an issuer has none.
	bounded.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &keySet{issuer: issuer, client: &bounded, now: now}
	s.state.Store(&state{})
	return s
}

// find looks a key up, and asks the issuer when it is unknown or all are old.
func (s *keySet) find(ctx context.Context, id string) (jose.JSONWebKey, error) {
	current, now := s.state.Load(), s.now()
	key, ok := current.keys[id]
	if fresh := ok && now.Sub(current.readAt) < keysMaxAge; !fresh && (current.askedAt.IsZero() || now.Sub(current.askedAt) >= askEvery) {
		if err := s.ask(ctx); err != nil {
			return key, err
		}
		current = s.state.Load()
		key, ok = current.keys[id]
	}
	switch {
	case ok && now.Sub(current.readAt) < staleFor:
		return key, nil
	case current.failure != nil:
		return key, &job.UnavailableError{Message: "the issuer of tokens does not answer; try again later", Cause: current.failure}
	}
	return key, errForged
}

// ask reads the keys again, once for all who wait.
func (s *keySet) ask(ctx context.Context) error {
	done := s.asking.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
		defer cancel()
		before, now := s.state.Load(), s.now()
		keys, err := s.read(ctx)
		next := &state{keys: keys, readAt: now, askedAt: now}
		if err != nil {
			next = &state{keys: before.keys, readAt: before.readAt, askedAt: now, failure: err}
		}
		s.state.Store(next)
		return nil, nil
	})
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait for the issuer's keys: %w", context.Cause(ctx))
	case <-done:
		return nil
	}
}

// read follows the discovery document, which must be the issuer's own, to the
// keys.
func (s *keySet) read(ctx context.Context) (map[string]jose.JSONWebKey, error) {
	var document struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := s.get(ctx, strings.TrimSuffix(s.issuer, "/")+"/.well-known/openid-configuration", &document); err != nil {
		return nil, err
	}
	if document.Issuer != s.issuer {
		return nil, fmt.Errorf("the discovery document is that of the issuer %q", document.Issuer)
	}
	if err := CheckURL(document.JWKSURI); err != nil {
		return nil, fmt.Errorf("jwks_uri of the discovery document: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := s.get(ctx, document.JWKSURI, &set); err != nil {
		return nil, err
	}
	keys := map[string]jose.JSONWebKey{}
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// One of a kind that we don't know is none of ours.
		if key.UnmarshalJSON(raw) != nil || key.KeyID == "" || key.Use != "" && key.Use != "sig" || len(algorithmsOf(key)) == 0 {
			continue
		}
		if _, twice := keys[key.KeyID]; twice {
			return nil, errors.New("two keys of the issuer have the same id")
		}
		keys[key.KeyID] = key
	}
	return keys, nil
}

func (s *keySet) get(ctx context.Context, address string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	answer, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, answer.Status)
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("%s answered no JSON document", address)
	}
	return nil
}

// CheckURL refuses an address that others could answer in the issuer's place:
// plain http beyond this machine.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("must be an https address without query, such as https://login.example.com/realms/main")
	}
	ip := net.ParseIP(u.Hostname())
	if u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()) {
		return nil
	}
	return errors.New("must be an https address: plain http is for loopback")
}
