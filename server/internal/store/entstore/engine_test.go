package entstore_test

import (
	"path/filepath"
	"testing"

	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/store/storetest"
	"github.com/pointscene/carillon/tests/pgtest"
)

func TestEngineSQLite(t *testing.T) {
	t.Parallel()
	storetest.RunEngine(t, func(t *testing.T) store.Store {
		return open(t, "file:"+filepath.Join(t.TempDir(), "carillon.db"))
	})
}

func TestEnginePostgres(t *testing.T) {
	t.Parallel()
	storetest.RunEngine(t, func(t *testing.T) store.Store { return open(t, pgtest.Open(t)) })
}

func open(t *testing.T, url string) *entstore.Store {
	t.Helper()
	s, err := entstore.Open(t.Context(), entstore.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if _, err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}
