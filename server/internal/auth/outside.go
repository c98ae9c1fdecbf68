package auth

import (
	"context"

	"github.com/pointscene/carillon/server/internal/job"
)

// Outside stands in the place of the embedded issuer where an outside one is
// trusted instead: it issues nothing and publishes no keys.
type Outside struct {
	// Issuer is the outside one's URL.
	Issuer string
}

// Exchange refuses every grant.
func (o Outside) Exchange(context.Context, Request) (Response, error) {
	return Response{}, refuse("unsupported_grant_type", "tokens come from the outside issuer %s; this server issues none", o.Issuer)
}

// JWKS refuses: the issuer publishes its keys itself.
func (o Outside) JWKS(context.Context) ([]byte, error) {
	return nil, &job.PreconditionError{Reason: "OUTSIDE_ISSUER", Message: "tokens come from the outside issuer " + o.Issuer + ", which publishes their keys itself"}
}
