package auth

import (
	"context"

	"github.com/pointscene/carillon/server/internal/job"
)

// Principal is an authenticated caller.
type Principal struct {
	// ClientID is 0 for a token that the operator made on the command line.
	ClientID int64
	// Subject is the token's sub: "client_3" or "operator".
	Subject string
	// TokenID is the token's jti.
	TokenID string
	Scopes  Scopes
}

// ByHand tells whether the operator made the token on the command line. Those have
// one subject, whoever has them.
func (p Principal) ByHand() bool { return p.ClientID == 0 && p.Subject == SubjectOperator }

type principalKey struct{}

// With returns ctx for calls in the name of p.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the caller, if there is one.
func From(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}

// Require returns the caller or a *job.UnauthenticatedError.
func Require(ctx context.Context) (Principal, error) {
	p, ok := From(ctx)
	if !ok {
		return Principal{}, &job.UnauthenticatedError{Message: "the call needs a bearer token"}
	}
	return p, nil
}
