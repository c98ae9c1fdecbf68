package server

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// now is the clock of what has no other one.
func now() time.Time { return job.Time(time.Now()) }

// OperatorToken signs a token with the database's key, for a person on the
// machine that has the keyset.
func OperatorToken(ctx context.Context, c Config, scope string, ttl time.Duration) (token seal.Secret, err error) {
	scopes, err := auth.ParseScopes(scope)
	if err != nil {
		return token, fmt.Errorf("--scope: %w", err)
	}
	if err := c.hasKeyset(); err != nil {
		return token, err
	}
	err = withStore(ctx, c, func(store *entstore.Store) error {
		ring, err := openKeyring(ctx, &c, store, false)
		if err != nil {
			return err
		}
		issuer := auth.NewIssuer(auth.NewKeys(store, ring, now), auth.Identity{Audience: audience}, now)
		signed, err := issuer.ForOperator(ctx, scopes, ttl)
		token = signed.Text
		return err
	})
	return token, err
}
