package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// Request is what a program sends to the token endpoint (RFC 6749).
type Request struct {
	GrantType    string
	ClientID     string
	ClientSecret seal.Secret
	// Scope is what the token shall carry; empty asks for all that the client
	// may have.
	Scope string
}

// Response is a bearer token for a Request.
type Response struct {
	AccessToken seal.Secret
	// ExpiresIn is in seconds.
	ExpiresIn int
	// Scope is what the token carries, in canonical form.
	Scope string
}

// OAuthError refuses a Request.
type OAuthError struct {
	// Code is one of RFC 6749's: invalid_client.
	Code string
	// Description is for people, in the characters that RFC 6749 allows.
	Description string
	// RetryAfter is not 0 when waiting helps.
	RetryAfter time.Duration
}

func (e *OAuthError) Error() string { return e.Code + ": " + e.Description }

// Exchanger is the token endpoint.
type Exchanger struct {
	clients  Clients
	links    Links
	issuer   *Issuer
	throttle *throttle
}

// NewExchanger returns a token endpoint that counts failures by the clock now.
func NewExchanger(clients Clients, links Links, issuer *Issuer, now func() time.Time) *Exchanger {
	return &Exchanger{clients: clients, links: links, issuer: issuer, throttle: newThrottle(now)}
}

// Exchange answers a token for a client's credentials. A refusal is an
// *OAuthError; other errors mean that the request could not be decided.
func (e *Exchanger) Exchange(ctx context.Context, r Request) (Response, error) {
	if err := checkGrantType(r.GrantType); err != nil {
		return Response{}, err
	}
	client, err := e.authenticate(ctx, r)
	if err != nil {
		return Response{}, err
	}
	scopes, err := e.scopes(ctx, client, r.Scope)
	if err != nil {
		return Response{}, err
	}
	token, err := e.issuer.ForClient(ctx, client, scopes, DefaultTTL)
	if err != nil {
		return Response{}, err
	}
	return Response{AccessToken: token.Text, ExpiresIn: int(DefaultTTL.Seconds()), Scope: scopes.String()}, nil
}

func checkGrantType(grantType string) error {
	switch grantType {
	case "client_credentials":
		return nil
	case "":
		return refuse("invalid_request", "grant_type is missing; it must be client_credentials")
	case "password", "refresh_token":
		return refuse("unsupported_grant_type", "the grant %s belongs to people's accounts, which an outside OpenID Connect "+
			"issuer keeps; programs use client_credentials here", grantType)
	default:
		return refuse("unsupported_grant_type", "the only grant offered here is client_credentials")
	}
}

// authenticate treats an unknown client and a wrong secret alike.
func (e *Exchanger) authenticate(ctx context.Context, r Request) (job.Client, error) {
	id, _ := job.KindClient.Parse(r.ClientID) // else 0, which no client has
	client, err := e.clients.Client(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return job.Client{}, fmt.Errorf("authenticate client %d: %w", id, err)
	}
	// First the hash, whether or not there is a client.
	if matches := secretMatches(r.ClientSecret, client.SecretHash); matches && err == nil {
		return client, nil
	}
	refusal := refuse("invalid_client", "the client is unknown or the secret is wrong")
	if wait := e.throttle.fail(id); wait > 0 {
		refusal.RetryAfter = wait
		refusal.Description += "; it was wrong too often, so wait before the next try"
	}
	return job.Client{}, refusal
}

// scopes returns what was asked for if the client may have it.
func (e *Exchanger) scopes(ctx context.Context, client job.Client, text string) (Scopes, error) {
	allowed, err := ParseScopes(strings.Join(client.Scopes, " "))
	if err != nil {
		return Scopes{}, fmt.Errorf("read the scopes of client %d: %w", client.ID, err)
	}
	asked, err := ParseScopes(text)
	if err != nil {
		return Scopes{}, refuse("invalid_scope", "%v", err)
	}
	if strings.Trim(text, " ") == "" {
		return allowed, nil
	}
	excess, err := e.excess(ctx, client.ID, allowed, asked)
	if err != nil {
		return Scopes{}, err
	}
	if excess != "" {
		return Scopes{}, refuse("invalid_scope", "the client may not have the scope %s", excess)
	}
	return asked, nil
}

// excess returns a scope that was asked for without being allowed, or "".
func (e *Exchanger) excess(ctx context.Context, clientID int64, allowed, asked Scopes) (string, error) {
	switch {
	case allowed.operator:
		return "", nil
	case asked.operator:
		return scopeOperator, nil
	case asked.create && !allowed.create:
		return scopeCreate, nil
	case asked.linked && !allowed.linked:
		return scopeLinked, nil
	}
	for _, o := range asked.objects() {
		has, wants := allowed.byID[o], asked.byID[o]
		if o.kind == job.KindInstance {
			var err error
			if has, err = instanceAccess(ctx, e.links, clientID, allowed, o.id); err != nil {
				return "", err
			}
		}
		if has < wants {
			return scopeOn(o, wants), nil
		}
	}
	return "", nil
}

// refuse makes an OAuthError. Characters that RFC 6749 forbids in a description
// are replaced.
func refuse(code, format string, args ...any) *OAuthError {
	description := strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < ' ' || r > '~' || r == '\\':
			return '?'
		}
		return r
	}, fmt.Sprintf(format, args...))
	return &OAuthError{Code: code, Description: description}
}
