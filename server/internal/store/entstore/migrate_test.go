package entstore

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	atlas "ariga.io/atlas/sql/migrate"
	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/tests/pgtest"
)

// onBoth runs a test on an empty database of each kind.
func onBoth(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, sqliteURL(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, pgtest.Open(t))
	})
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		known, err := s.migrations()
		if err != nil || len(known) == 0 {
			t.Fatalf("%d migrations, error %v", len(known), err)
		}
		for _, step := range []struct {
			what string
			do   func() ([]string, error)
			want []string
		}{
			{"pending before", func() ([]string, error) { return s.Pending(t.Context()) }, names(known)},
			{"applied", func() ([]string, error) { return s.Migrate(t.Context()) }, names(known)},
			{"pending after", func() ([]string, error) { return s.Pending(t.Context()) }, []string{}},
			{"applied again", func() ([]string, error) { return s.Migrate(t.Context()) }, []string{}},
		} {
			got, err := step.do()
			if err != nil {
				t.Fatalf("%s: %v", step.what, err)
			}
			if diff := cmp.Diff(step.want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", step.what, diff)
			}
		}
		// References are checked again after the migration.
		if _, err := s.CreateJob(t.Context(), job.Job{InstanceID: 99}, store.Request{}); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a job without instance: got error %v, want ErrNotFound", err)
		}
	})
}

func TestMigrateAtTheSameTime(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		var all sync.WaitGroup
		var mu sync.Mutex
		var applied []string
		for range 5 {
			s := openStore(t, url)
			all.Go(func() {
				mine, err := s.Migrate(t.Context())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				applied = append(applied, mine...)
			})
		}
		all.Wait()
		known, err := openStore(t, url).migrations()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(names(known), applied); diff != "" {
			t.Errorf("applied by all together (-want +got):\n%s", diff)
		}
	})
}

func TestForeignHistoryIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ statement, want string }{
		"newer":   {"INSERT INTO schema_revisions VALUES ('99991231235959', '99991231235959_later.sql', 'h', 1)", "newer carillon"},
		"changed": {"UPDATE schema_revisions SET hash = 'other'", "another build"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, url string) {
				s := openMigrated(t, url)
				if _, err := s.db.ExecContext(t.Context(), c.statement); err != nil {
					t.Fatal(err)
				}
				_, pending := s.Pending(t.Context())
				_, migrate := s.Migrate(t.Context())
				for _, err := range []error{pending, migrate} {
					if err == nil || !strings.Contains(err.Error(), c.want) {
						t.Errorf("got error %v, want one that says %q", err, c.want)
					}
				}
			})
		})
	}
}

func TestFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, url string) {
		s := openStore(t, url)
		// A table is in the way of the first migration's last statements.
		if _, err := s.db.ExecContext(t.Context(), "CREATE TABLE resource_configs (id int); CREATE TABLE skips (id int)"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Migrate(t.Context()); err == nil {
			t.Fatal("the migration went through")
		}
		pending, err := s.Pending(t.Context())
		if err != nil || len(pending) == 0 {
			t.Errorf("pending %v, error %v; want all", pending, err)
		}
		if _, err := s.db.ExecContext(t.Context(), "SELECT 1 FROM jobs"); err == nil {
			t.Error("table jobs was left behind")
		}
	})
}

func TestTamperedMigrationsAreRefused(t *testing.T) {
	t.Parallel()
	folder := fstest.MapFS{}
	entries, err := os.ReadDir("migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		text, err := os.ReadFile("migrations/sqlite/" + entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		folder[entry.Name()] = &fstest.MapFile{Data: text}
	}
	if _, err := readMigrations(folder); err != nil {
		t.Fatalf("untouched: %v", err)
	}
	folder["20991231000000_evil.sql"] = &fstest.MapFile{Data: []byte("DROP TABLE jobs;")}
	if _, err := readMigrations(folder); !errors.Is(err, atlas.ErrChecksumMismatch) {
		t.Errorf("with a file more: got error %v, want a checksum mismatch", err)
	}
}

func TestHotTablesAreVacuumedEagerly(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	for table, fill := range map[string]string{"schedules": "fillfactor=50", "active_executions": "fillfactor=90"} {
		var options []string
		if err := s.pool.QueryRow(t.Context(), "SELECT reloptions FROM pg_class WHERE relname = $1", table).Scan(&options); err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(options, " "); !strings.Contains(text, fill) || !strings.Contains(text, "autovacuum_vacuum_scale_factor") {
			t.Errorf("%s has options %q", table, text)
		}
	}
}
