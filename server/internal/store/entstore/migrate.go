package entstore

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	atlas "ariga.io/atlas/sql/migrate"
)

// files holds the migrations, one folder a dialect, with the checksums of
// atlas.sum. The test of this package writes them.
//
//go:embed migrations
var files embed.FS

// migrationLock is the key of PostgreSQL's advisory lock.
const migrationLock = 0x6361_7269_6c6c_6f6e // "carillon"

// migration is one file.
type migration struct {
	version, name string
	// hash covers the file and all before it.
	hash       string
	statements []string
}

// Migrate applies what the database lacks in one transaction and answers the
// names of what it applied. Of processes that migrate at the same time one
// does it and the others find it done.
func (s *Store) Migrate(ctx context.Context) (applied []string, err error) {
	known, err := s.migrations()
	if err != nil {
		return nil, err
	}
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if !s.postgres() {
		// Rebuilding a table must not cascade, and inside of a transaction the
		// setting has no effect; the references are checked before the commit.
		if _, err := conn.ExecContext(ctx, "PRAGMA foreign_keys = off"); err != nil {
			return nil, fmt.Errorf("migrate: %w", err)
		}
		defer func() {
			_, on := conn.ExecContext(context.WithoutCancel(ctx), "PRAGMA foreign_keys = on")
			err = errors.Join(err, on)
		}()
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	pending, err := s.lockPending(ctx, tx, known)
	if err != nil {
		return nil, err
	}
	for _, m := range pending {
		if err := m.apply(ctx, tx); err != nil {
			return nil, fmt.Errorf("apply migration %s: %w", m.name, err)
		}
	}
	if err := s.checkReferences(ctx, tx); err != nil {
		return nil, err
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	return names(pending), nil
}

// Pending lists the migrations that the database lacks. It fails when the
// database was migrated by a newer or another build.
func (s *Store) Pending(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	known, err := s.migrations()
	if err != nil {
		return nil, err
	}
	exists := "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'schema_revisions')"
	if s.postgres() {
		exists = "SELECT to_regclass('schema_revisions') IS NOT NULL"
	}
	var found bool
	if err := s.db.QueryRowContext(ctx, exists).Scan(&found); err != nil {
		return nil, fmt.Errorf("look for the migrations: %w", err)
	}
	if !found {
		return names(known), nil
	}
	pending, err := unapplied(ctx, s.db, known)
	return names(pending), err
}

// migrations reads the embedded files of the dialect and checks their sums.
func (s *Store) migrations() ([]migration, error) {
	folder := "migrations/sqlite"
	if s.postgres() {
		folder = "migrations/postgres"
	}
	sub, err := fs.Sub(files, folder)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return readMigrations(sub)
}

func readMigrations(folder fs.FS) ([]migration, error) {
	dir, err := memDir(folder)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	if err := atlas.Validate(dir); err != nil {
		return nil, fmt.Errorf("check migrations: %w", err)
	}
	sums, err := dir.Checksum()
	if err != nil {
		return nil, fmt.Errorf("check migrations: %w", err)
	}
	list, err := dir.Files()
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	var all []migration
	for _, file := range list {
		m := migration{version: file.Version(), name: file.Name()}
		if m.hash, err = sums.SumByName(file.Name()); err != nil {
			return nil, fmt.Errorf("check migration %s: %w", m.name, err)
		}
		if m.statements, err = file.Stmts(); err != nil {
			return nil, fmt.Errorf("read migration %s: %w", m.name, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// memDir copies a folder into the form that atlas reads.
func memDir(folder fs.FS) (*atlas.MemDir, error) {
	dir := new(atlas.MemDir)
	entries, err := fs.ReadDir(folder, ".")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		text, err := fs.ReadFile(folder, entry.Name())
		if err != nil {
			return nil, err
		}
		if err := dir.WriteFile(entry.Name(), text); err != nil {
			return nil, err
		}
	}
	return dir, nil
}

// lockPending keeps other migrators out until the transaction ends (SQLite's
// began IMMEDIATE) and answers what is left to do.
func (s *Store) lockPending(ctx context.Context, tx *sql.Tx, known []migration) ([]migration, error) {
	var prepare []string
	if s.postgres() {
		prepare = []string{
			// A migration may take longer than a request.
			"SET LOCAL statement_timeout = 0",
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", migrationLock),
		}
	}
	prepare = append(prepare, `CREATE TABLE IF NOT EXISTS schema_revisions (
		version text PRIMARY KEY, name text NOT NULL, hash text NOT NULL, applied_at bigint NOT NULL)`)
	for _, statement := range prepare {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, fmt.Errorf("prepare to migrate: %w", err)
		}
	}
	return unapplied(ctx, tx, known)
}

// unapplied compares the known migrations with those that the database has.
func unapplied(ctx context.Context, db interface {
	QueryContext(context.Context, string, ...any) (*sql.Rows, error)
}, known []migration) ([]migration, error) {
	rows, err := db.QueryContext(ctx, "SELECT name, hash FROM schema_revisions ORDER BY version")
	if err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	defer rows.Close()
	applied := 0
	for rows.Next() {
		var name, hash string
		if err := rows.Scan(&name, &hash); err != nil {
			return nil, fmt.Errorf("read applied migrations: %w", err)
		}
		if applied == len(known) {
			return nil, fmt.Errorf("the database has migration %s, which this build does not know: it was migrated by a newer carillon; upgrade this one", name)
		}
		if m := known[applied]; m.name != name || m.hash != hash {
			return nil, fmt.Errorf("the database has migration %s where this build has %s with other content: it was migrated by another build of carillon", name, m.name)
		}
		applied++
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read applied migrations: %w", err)
	}
	return known[applied:], nil
}

func (m migration) apply(ctx context.Context, tx *sql.Tx) error {
	for i, statement := range m.statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("statement %d: %w", i+1, err)
		}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO schema_revisions (version, name, hash, applied_at) VALUES ($1, $2, $3, $4)",
		m.version, m.name, m.hash, micros(time.Now()))
	return err
}

// checkReferences finds rows whose reference a rebuilt table broke; PostgreSQL
// checks as it goes.
func (s *Store) checkReferences(ctx context.Context, tx *sql.Tx) error {
	if s.postgres() {
		return nil
	}
	var table string
	err := tx.QueryRowContext(ctx, `SELECT "table" FROM pragma_foreign_key_check`).Scan(&table)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("check references: %w", err)
	default:
		return fmt.Errorf("the migration would leave rows of table %s without what they refer to", table)
	}
}

func names(all []migration) []string {
	list := make([]string, 0, len(all))
	for _, m := range all {
		list = append(list, m.name)
	}
	return list
}
