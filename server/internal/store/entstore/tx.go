package entstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pointscene/carillon/ent"
)

// attempts bounds how often one call tries a transaction that the database
// keeps rolling back.
const attempts = 6

// tx runs fn in a transaction and commits it when fn answers nil, together with
// the audit event that ctx carries. fn runs again when the database rolled it
// back for reasons of concurrency, so it must not keep anything from an earlier
// run. All runs together have the store's timeout. What must happen only after
// the commit goes into a hook ([ent.Tx.OnCommit]).
func (s *Store) tx(ctx context.Context, name string, fn func(ctx context.Context, tx *ent.Tx) error) error {
	return s.heard(s.run(ctx, name, func(ctx context.Context) error {
		tx, err := s.client.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after a commit it does nothing; else the error that led here says more
		if err := fn(ctx, tx); err != nil {
			return err
		}
		event, err := audited(ctx, tx)
		if err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return err
		}
		if event != nil {
			event.Written()
		}
		return nil
	}))
}

// query runs fn, which only reads: in the snapshot of ctx, if there is one.
// Otherwise a statement sees one state of the database; two of them may see two,
// so fn has one wherever that matters.
func (s *Store) query(ctx context.Context, name string, fn func(ctx context.Context, c *ent.Client) error) error {
	c, inside := ctx.Value(snapshotKey{s}).(*ent.Client)
	if !inside {
		c = s.readClient
	}
	return s.heard(s.run(ctx, name, func(ctx context.Context) error { return fn(ctx, c) }))
}

// heard notes that a caller had an answer.
func (s *Store) heard(err error) error {
	if err == nil {
		s.answered.Store(int64(time.Since(s.opened)))
	}
	return err
}

// snapshotKey finds the snapshot of a store in a context.
type snapshotKey struct{ *Store }

// Snapshot implements store.Snapshots.
func (s *Store) Snapshot(ctx context.Context, fn func(context.Context) error) error {
	o := &sql.TxOptions{ReadOnly: true} // SQLite's readers see the state of their first statement
	if s.postgres() {
		o.Isolation = sql.LevelRepeatableRead
	}
	var inner error
	err := s.run(ctx, "read a snapshot", func(ctx context.Context) error {
		inner = nil
		tx, err := s.readClient.BeginTx(ctx, o)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // there is nothing to commit
		inner = fn(context.WithValue(ctx, snapshotKey{s}, tx.Client()))
		return inner
	})
	if inner != nil {
		return inner
	}
	return err
}

// run gives fn the store's timeout, repeats it while the database rolls it
// back, and converts its error.
func (s *Store) run(parent context.Context, name string, fn func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(parent, s.timeout)
	defer cancel()
	err := fn(ctx)
	for n := 1; n < attempts && again(ctx, err, n); n++ {
		err = fn(ctx)
	}
	if err != nil && parent.Err() != nil {
		// The caller gave up: that is not the database's fault.
		return fmt.Errorf("%s: %w", name, parent.Err())
	}
	return convert(name, err)
}

// again waits before the next attempt: until a start has passed, or a random
// time so that those who collided don't meet again. It answers false when there
// is no use in another one.
func again(ctx context.Context, err error, attempt int) bool {
	var soon *startsSoon
	switch {
	case errors.As(err, &soon):
		return pauseFor(ctx, soon.wait)
	case isTransient(err):
		return pauseFor(ctx, rand.N(5*time.Millisecond<<attempt))
	}
	return false
}
