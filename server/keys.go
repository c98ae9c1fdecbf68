package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/kms"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// WithKeys opens the database and the keyset for one command about keys, which
// leaves an audit event unless its method is empty. It acts as the operator, who
// is whoever may read both.
func WithKeys(ctx context.Context, c Config, command Command, do func(context.Context, *keys.Service) error) error {
	scopes, err := auth.ParseScopes("operator")
	if err != nil {
		return err
	}
	if err := c.hasKeyset(); err != nil {
		return err
	}
	return withStore(ctx, c, func(store *entstore.Store) error {
		ring, err := openKeyring(ctx, &c, store, false)
		if err != nil {
			return err
		}
		signing := auth.NewKeys(store, ring, now)
		service := newRotation(store, ring, signing, auth.NewAuthorizer(store), "this command, "+processName(), slog.New(slog.DiscardHandler))
		// Also after a failed start: it may have reported before it failed.
		defer service.Leave(context.WithoutCancel(ctx))
		if err := service.Start(ctx); err != nil {
			return fmt.Errorf("--keyset: %w", err)
		}
		ctx := auth.With(ctx, auth.Principal{Subject: auth.SubjectOperator, Scopes: scopes})
		if command.Method == "" {
			return do(ctx, service)
		}
		return audited(ctx, store, command, scopes, func(ctx context.Context) error { return do(ctx, service) })
	})
}

// WrapKeyset encrypts the keyset file by the key of --keyset-kms.
func WrapKeyset(ctx context.Context, c Config, command Command) error {
	if err := c.hasKeyset(); err != nil {
		return err
	}
	if c.KeysetKMS == "" {
		return errors.New("--keyset-kms: name the key to wrap the keyset by")
	}
	wrapper, err := kms.Open(ctx, c.KeysetKMS)
	if err != nil {
		return fmt.Errorf("--keyset-kms: %w", err)
	}
	return withStore(ctx, c, func(store *entstore.Store) error {
		return audited(ctx, store, command, auth.Scopes{}, func(ctx context.Context) error {
			if err := (seal.Source{Path: c.keyset()}).Wrap(ctx, wrapper); err != nil {
				return fmt.Errorf("--keyset: %w", err)
			}
			return nil
		})
	})
}

// hasKeyset tells a command that looks at the wrong place so.
func (c *Config) hasKeyset() error {
	if _, err := os.Stat(c.keyset()); os.IsNotExist(err) {
		return fmt.Errorf("--keyset: %s does not exist: start `carillon serve` once, or name the folder of the running one by --data-dir", c.keyset())
	}
	return nil
}

// processName tells people which process this is.
func processName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
