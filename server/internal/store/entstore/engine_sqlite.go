package entstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pointscene/carillon/server/internal/store"
)

// liteRunner runs statements one by one; signals are sent after the commit.
type liteRunner struct {
	tx      *liteTx
	signals *[]store.Signal
}

func (r liteRunner) exec(text string, args ...any) error {
	_, err := r.tx.exec(text, args...)
	return err
}

func (r liteRunner) row(text string, into []any, args ...any) (found bool, err error) {
	err = r.tx.query(text, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	}, args...)
	return found, err
}

// lockAhead locks nothing: the transaction has the database to itself.
func (liteRunner) lockAhead() string { return "SELECT ?1" }

func (r liteRunner) rows(text string, each func(scan func(...any) error) error, args ...any) error {
	return r.tx.query(text, each, args...)
}

func (r liteRunner) notify(sig store.Signal) error {
	*r.signals = append(*r.signals, sig)
	return nil
}

// liteTx is a write transaction that prepares each statement once.
type liteTx struct {
	ctx      context.Context
	tx       *sql.Tx
	prepared map[string]*sql.Stmt
}

func (s *Store) liteTx(ctx context.Context, fn func(*liteTx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	t := &liteTx{ctx: ctx, tx: tx, prepared: make(map[string]*sql.Stmt)}
	if err := fn(t); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (t *liteTx) statement(text string) (*sql.Stmt, error) {
	if st, ok := t.prepared[text]; ok {
		return st, nil
	}
	st, err := t.tx.PrepareContext(t.ctx, text)
	if err == nil {
		t.prepared[text] = st
	}
	return st, err
}

func (t *liteTx) exec(text string, args ...any) (sql.Result, error) {
	st, err := t.statement(text)
	if err != nil {
		return nil, err
	}
	// To watch for the end of a context costs the driver as much as a short
	// statement. The transaction has one already: it ends between two.
	return st.ExecContext(context.WithoutCancel(t.ctx), args...)
}

func (t *liteTx) query(text string, each func(scan func(...any) error) error, args ...any) error {
	st, err := t.statement(text)
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(t.ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
