package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// now is the clock of what has no other one.
func now() time.Time { return job.Time(time.Now()) }

// Command is a command of the program as its audit event tells of it.
type Command struct {
	// Path is what was typed: carillon keys add.
	Path string
	// Method is the RPC that does the same, or one of package audit.
	Method string
	// Object is the identifier of what it acts on, "" for none.
	Object string
}

// event is what is known of a command before it runs.
func (c Command) event(scopes auth.Scopes) audit.Event {
	who := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		who = u.Username
	}
	return audit.Event{
		Actor: auth.SubjectOperator, Scopes: scopes.String(), Method: strings.TrimPrefix(c.Method, "/"), Object: c.Object,
		RequestID: rand.Text(), Details: map[string]string{"command": c.Path, "process": processName(), "user": who},
	}
}

// audited runs a command that works on the database itself. Its event is
// written with its first change, or when it has ended without one.
func audited(ctx context.Context, store *entstore.Store, command Command, scopes auth.Scopes, do func(context.Context) error) error {
	event := audit.NewPending(command.event(scopes))
	err := do(audit.With(ctx, event))
	if !event.Open() {
		return err
	}
	e := event.Event()
	e.Code = interceptor.CodeOf(err)
	// Also when the command was interrupted.
	return errors.Join(err, store.AddAuditEvent(context.WithoutCancel(ctx), e))
}

// CheckToken tells what is wrong with a call of OperatorToken, before anything
// is opened.
func CheckToken(scope string, ttl time.Duration) error {
	if _, err := auth.ParseScopes(scope); err != nil {
		return fmt.Errorf("--scope: %w", err)
	}
	if ttl < time.Second || ttl > auth.MaxTTL {
		return fmt.Errorf("--ttl: a token lives between 1s and %s, not %s", auth.MaxTTL, ttl)
	}
	return nil
}

// OperatorToken signs a token with the database's key, for a person on the
// machine that has the keyset. There is none without its audit event.
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
		if err != nil {
			return err
		}
		e := Command{Path: "carillon token", Method: audit.SignToken}.event(scopes)
		e.TokenID, e.Code = signed.ID, audit.CodeOK
		e.Details["expiresAt"] = signed.ExpiresAt.Format(time.RFC3339)
		if err := store.AddAuditEvent(ctx, e); err != nil {
			return err
		}
		token = signed.Text
		return nil
	})
	return token, err
}
