package entstore

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/server/internal/store"
)

// pgRunner runs statements one by one.
type pgRunner struct {
	ctx context.Context
	tx  pgx.Tx
}

func (r pgRunner) exec(sql string, args ...any) error {
	_, err := r.tx.Exec(r.ctx, sql, args...)
	return err
}

func (r pgRunner) row(sql string, into []any, args ...any) (found bool, err error) {
	err = r.tx.QueryRow(r.ctx, sql, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

func (pgRunner) lockAhead() string {
	return "SELECT id FROM active_executions WHERE job_id = $1 AND " + aheadOf + " ORDER BY id FOR UPDATE"
}

func (r pgRunner) rows(sql string, each func(scan func(...any) error) error, args ...any) error {
	found, err := r.tx.Query(r.ctx, sql, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		if err := each(found.Scan); err != nil {
			return err
		}
	}
	return found.Err()
}

func (r pgRunner) notify(sig store.Signal) error {
	return r.exec("SELECT pg_notify($1, $2)", channel, signalText(sig))
}

// pgAlive finds a replica that nobody has buried, and keeps it from being buried
// until the transaction ends. It waits for nobody: who is being buried is passed
// over.
const pgAlive = `SELECT id FROM replicas WHERE id = $1 FOR KEY SHARE SKIP LOCKED`

// queueAlive makes a batch fail with pgx.ErrNoRows when the owner of its claims
// was buried, as one that stood still may have been. 0 is nobody.
func queueAlive(work *pgx.Batch, owner int64) {
	if owner != 0 {
		work.Queue(pgAlive, owner).QueryRow(func(row pgx.Row) error { return row.Scan(&owner) })
	}
}

// pgTwice runs a statement for rows, and again for those that it did not
// write: one that it had to wait for is locked then, but its new version is
// not in the snapshot that the statement began with. What is missing after the
// second look has another fence.
func pgTwice[T, V any](rows []T, id func(T) int64, run func([]T) (map[int64]V, error)) (map[int64]V, error) {
	written, err := run(rows)
	if err != nil || len(written) == len(rows) {
		return written, err
	}
	missed := slices.DeleteFunc(slices.Clone(rows), func(row T) bool {
		_, ok := written[id(row)]
		return ok
	})
	more, err := run(missed)
	maps.Copy(written, more)
	return written, err
}

func pgIDs(ctx context.Context, tx pgx.Tx, atMost int, statement string, args ...any) (map[int64]bool, error) {
	found, err := tx.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	ids := make(map[int64]bool, atMost)
	var id int64
	_, err = pgx.ForEachRow(found, []any{&id}, func() error { ids[id] = true; return nil })
	return ids, err
}

// pgTx runs fn in a transaction with the store's deadline. A serialisation
// failure or deadlock can't happen to the statements above (rows are locked in
// one order and passed over when taken), so there is no retry here: the
// callers are loops that come again.
func (s *Store) pgTx(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return pgx.BeginFunc(ctx, s.engine, func(tx pgx.Tx) error { return fn(ctx, tx) })
}
