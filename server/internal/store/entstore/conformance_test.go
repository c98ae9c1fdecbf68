package entstore

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/storetest"
	"github.com/pointscene/carillon/tests/pgtest"
	"github.com/pointscene/carillon/tests/sqlitetest"
)

func TestSQLite(t *testing.T) {
	t.Parallel()
	runAll(t, func(t *testing.T) store.Store { return openFresh(t) })
}

func TestPostgres(t *testing.T) {
	t.Parallel()
	databases := databasePool{parent: t}
	databases.give(databases.take()) // skips here where there is no server
	runAll(t, func(t *testing.T) store.Store {
		url := databases.take()
		t.Cleanup(func() { // after the store is closed
			empty(t, url)
			databases.give(url)
		})
		return openStore(t, url)
	})
}

func runAll(t *testing.T, open storetest.Open) {
	storetest.Run(t, open)
	storetest.RunEngine(t, open)
}

// databasePool hands migrated databases from test to test: to make one takes
// longer than most tests.
type databasePool struct {
	parent *testing.T
	mu     sync.Mutex
	free   []string
}

func (p *databasePool) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		url := p.free[last]
		p.free = p.free[:last]
		return url
	}
	url := pgtest.Open(p.parent)
	s, err := Open(context.Background(), Options{URL: url})
	if err != nil {
		p.parent.Fatal(err)
	}
	if _, err := s.Migrate(context.Background()); err != nil {
		p.parent.Fatal(err)
	}
	if err := s.Close(); err != nil {
		p.parent.Fatal(err)
	}
	return url
}

func (p *databasePool) give(url string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, url)
}

// empty removes all rows.
func empty(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, `DO $$ BEGIN EXECUTE (
		SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ') || ' RESTART IDENTITY'
		FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'schema_revisions'); END $$`)
	if err != nil {
		t.Fatal(err)
	}
}

func sqliteURL(t *testing.T) string {
	return "file:" + filepath.Join(t.TempDir(), "carillon.db")
}

// openStore opens a database for the time of a test. Many tests share the
// machine, so the timeout is generous.
func openStore(t *testing.T, url string) *Store {
	t.Helper()
	return openWithin(t, url, time.Minute)
}

func openWithin(t *testing.T, url string, timeout time.Duration) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{URL: url, Timeout: timeout, MaxConns: 8})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// openFresh opens an empty, migrated SQLite database.
func openFresh(t *testing.T) *Store {
	t.Helper()
	return openStore(t, sqlitetest.Open(t, func(url string) error {
		s, err := Open(t.Context(), Options{URL: url, Timeout: time.Minute})
		if err != nil {
			return err
		}
		_, err = s.Migrate(t.Context())
		return errors.Join(err, s.Close())
	}))
}

func openMigrated(t *testing.T, url string) *Store {
	t.Helper()
	s := openStore(t, url)
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
