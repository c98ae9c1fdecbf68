package entstore

import (
	"context"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/store"
)

// runner runs statements one by one in a transaction: one of ent, or of the
// engine on either database.
type runner interface {
	exec(sql string, args ...any) error
	// lockAhead is a statement that locks what was claimed ahead for the job $1.
	lockAhead() string
	// row reads one row, and answers false when there is none.
	row(sql string, into []any, args ...any) (found bool, err error)
	// rows calls each for every row.
	rows(sql string, each func(scan func(...any) error) error, args ...any) error
	// notify sends a signal when the transaction commits.
	notify(sig store.Signal) error
}

// txRunner runs statements one by one in a transaction of ent.
type txRunner struct {
	s   *Store
	ctx context.Context
	tx  *ent.Tx
}

func (r txRunner) exec(sql string, args ...any) error {
	_, err := r.tx.ExecContext(r.ctx, sql, args...)
	return err
}

func (r txRunner) row(sql string, into []any, args ...any) (found bool, err error) {
	err = r.rows(sql, func(scan func(...any) error) error {
		found = true
		return scan(into...)
	}, args...)
	return found, err
}

func (r txRunner) lockAhead() string {
	if r.s.postgres() {
		return pgRunner{}.lockAhead()
	}
	return liteRunner{}.lockAhead()
}

func (r txRunner) rows(sql string, each func(scan func(...any) error) error, args ...any) error {
	_, err := collect(r.ctx, r.tx, func(scan func(...any) error) (struct{}, error) { return struct{}{}, each(scan) }, sql, args...)
	return err
}

func (r txRunner) notify(sig store.Signal) error { return r.s.notify(r.ctx, r.tx, sig) }
