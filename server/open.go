package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/kms"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

// openDataDir makes the data folder and takes it for this process.
func (s *Server) openDataDir() error {
	if err := os.MkdirAll(s.c.DataDir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	lock := flock.New(filepath.Join(s.c.DataDir, "lock"))
	taken, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("--data-dir: lock %s: %w", s.c.DataDir, err)
	}
	if !taken {
		return fmt.Errorf("--data-dir: %s belongs to another running carillon; give each process its own", s.c.DataDir)
	}
	s.later("data folder", func(context.Context) error { return lock.Close() })
	return nil
}

// openStore opens the database and sees that its tables fit this program.
func (s *Server) openStore(ctx context.Context) error {
	var err error
	s.store, err = entstore.Open(ctx, entstore.Options{URL: s.c.databaseURL(), Limits: s.c.Limits, Log: s.log})
	if err != nil {
		return fmt.Errorf("--database-url: %w", err)
	}
	s.later("database", func(context.Context) error { return s.store.Close() })
	if s.c.migrate() {
		applied, err := migrate(ctx, s.store, "carillon serve")
		if len(applied) > 0 {
			s.log.Info("migrated the database", "applied", applied)
		}
		return err
	}
	pending, err := s.store.Pending(ctx)
	if err != nil {
		return fmt.Errorf("--database-url: %w", err)
	}
	if len(pending) > 0 {
		return fmt.Errorf("the database lacks migrations (%s): run `carillon migrate`, or serve with --migrate", strings.Join(pending, ", "))
	}
	return nil
}

// openKeys opens the keyset and the signing keys, and makes both on the first
// start.
func (s *Server) openKeys(ctx context.Context) error {
	ring, err := openKeyring(ctx, &s.c, s.store, true)
	if err != nil {
		return err
	}
	if !s.c.sqlite() && s.c.PublicURL == "" {
		s.log.Warn("--public-url is not set: tokens that this replica issues name its own address, and other replicas refuse them")
	}
	s.keyring = ring
	telemetry.NewKeyset(s.registry, s.c.KeysetKMS != "")
	s.authorizer = auth.NewAuthorizer(s.store)
	s.keys = auth.NewKeys(s.store, ring, now)
	s.rotation = newRotation(s.store, ring, s.keys, s.authorizer, processName(), s.log)
	if err := s.rotation.Start(ctx); err != nil {
		return fmt.Errorf("--keyset: %w", err)
	}
	s.later("report of held keys", func(ctx context.Context) error { s.rotation.Leave(ctx); return nil })
	if err := s.keys.EnsureKeys(ctx); err != nil {
		return err
	}
	s.issuer = auth.NewIssuer(s.keys, s.identity(), now)
	return nil
}

func newRotation(store *entstore.Store, ring *seal.Keyring, signing *auth.Keys, authorizer *auth.Authorizer, name string, log *slog.Logger) *keys.Service {
	return keys.New(keys.Options{Store: store, Keyring: ring, Signing: signing, Authorizer: authorizer, Name: name, Log: log})
}

// openKeyring opens the keyset; it makes a new one only if nothing was sealed
// with an older one, and only if mayCreate.
func openKeyring(ctx context.Context, c *Config, store *entstore.Store, mayCreate bool) (*seal.Keyring, error) {
	used, err := store.SealedKeyIDs(ctx)
	if err != nil {
		return nil, fmt.Errorf("--database-url: %w", err)
	}
	options := seal.Options{}
	if c.KeysetKMS != "" {
		if options.Wrapper, err = kms.Open(ctx, c.KeysetKMS); err != nil {
			return nil, fmt.Errorf("--keyset-kms: %w", err)
		}
	}
	if mayCreate {
		options.MayCreate = func(context.Context) (bool, error) { return len(used) == 0, nil }
	}
	ring, err := seal.LoadOrCreate(ctx, c.keyset(), options)
	if err == nil {
		err = ring.Require(used...)
	}
	if err != nil {
		return nil, fmt.Errorf("--keyset: %w", err)
	}
	return ring, nil
}

// identity is what tokens of this server carry.
func (s *Server) identity() auth.Identity {
	return auth.Identity{Issuer: s.doors.publicURL, Audience: audience}
}

// audience is the same for every server: a token is bound to its database by
// the key that signed it.
const audience = "carillon"

func (s *Server) openLogs(ctx context.Context) error {
	address, err := s.c.logStore()
	if err != nil {
		return fmt.Errorf("--log-store: %w", err)
	}
	s.logs, err = executionlog.Open(ctx, address, executionlog.Options{
		OnFailure: func(err error) { s.log.Error("the log store failed; lines may be missing", "error", err) },
	})
	if err != nil {
		return fmt.Errorf("--log-store: %w", err)
	}
	s.later("log store", func(context.Context) error { return s.logs.Close() })
	return nil
}

// Migrate brings the tables up to date and tells what it did.
func Migrate(ctx context.Context, c Config) (applied []string, err error) {
	err = withStore(ctx, c, func(store *entstore.Store) error {
		applied, err = migrate(ctx, store, "carillon migrate")
		return err
	})
	return applied, err
}

// migrate leaves an audit event when it changed anything or failed; a database
// that never came so far as to have a table for it has none.
func migrate(ctx context.Context, store *entstore.Store, command string) (applied []string, err error) {
	applied, err = store.Migrate(ctx)
	if err != nil {
		err = fmt.Errorf("--database-url: %w", err)
	}
	if len(applied) == 0 && err == nil {
		return nil, nil
	}
	e := Command{Path: command, Method: audit.Migrate}.event(auth.Scopes{})
	e.Code = interceptor.CodeOf(err)
	e.Details["applied"] = strings.Join(applied, " ")
	if written := store.AddAuditEvent(context.WithoutCancel(ctx), e); err == nil {
		err = written
	}
	return applied, err
}

// withStore opens the database for one command.
func withStore(ctx context.Context, c Config, do func(*entstore.Store) error) (err error) {
	if c.sqlite() {
		if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
			return fmt.Errorf("--data-dir: %w", err)
		}
	}
	store, err := entstore.Open(ctx, entstore.Options{URL: c.databaseURL()})
	if err != nil {
		return fmt.Errorf("--database-url: %w", err)
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	return do(store)
}
