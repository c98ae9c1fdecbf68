package entstore

import (
	"database/sql"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	atlas "ariga.io/atlas/sql/migrate"
	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"entgo.io/ent/dialect/sql/schema"

	"github.com/pointscene/carillon/ent/migrate"
	"github.com/pointscene/carillon/tests/pgtest"
)

// newMigration writes migrations instead of comparing:
//
//	withpg go test ./server/internal/store/entstore -run TestMigrationsMatchSchema -migration add_labels
//
// It takes the files as they are, edits by hand included, renews the sums and
// adds a file with what the schema has beyond them.
var newMigration = flag.String("migration", "", "write what ent/schema has beyond the migrations into a new one of this name")

func TestMigrationsMatchSchema(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) *sql.DB{
		dialect.SQLite:   emptySQLite,
		dialect.Postgres: emptyPostgres,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := filepath.Join("migrations", map[string]string{dialect.SQLite: "sqlite", dialect.Postgres: "postgres"}[name])
			dir := workingDir(t, folder)
			err := diff(t, open(t), name, dir)
			switch {
			case errors.Is(err, atlas.ErrNoPlan):
			case err != nil:
				t.Fatal(err)
			case *newMigration == "":
				t.Errorf("ent/schema has changes that %s lacks; see -migration:\n%s", folder, newest(t, dir))
			}
		})
	}
}

// workingDir is the folder itself when it is to be written, else a copy.
func workingDir(t *testing.T, folder string) *atlas.LocalDir {
	t.Helper()
	if *newMigration == "" {
		copied := t.TempDir()
		if err := os.CopyFS(copied, os.DirFS(folder)); err != nil {
			t.Fatal(err)
		}
		folder = copied
	}
	dir, err := atlas.NewLocalDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if *newMigration != "" {
		sums, err := dir.Checksum()
		if err != nil {
			t.Fatal(err)
		}
		if err := atlas.WriteSumFile(dir, sums); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// diff replays dir on the empty database and writes what the schema has beyond
// it into dir; ErrNoPlan says that there is nothing.
func diff(t *testing.T, db *sql.DB, name string, dir atlas.Dir) error {
	t.Helper()
	m, err := schema.NewMigrate(entsql.OpenDB(name, db),
		schema.WithDir(dir), schema.WithMigrationMode(schema.ModeReplay), schema.WithDialect(name),
		schema.WithFormatter(atlas.DefaultFormatter), schema.WithErrNoPlan(true),
		schema.WithDropColumn(true), schema.WithDropIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	title := *newMigration
	if title == "" {
		title = "drift"
	}
	return m.NamedDiff(t.Context(), title, migrate.Tables...)
}

// newest is the text of the last file.
func newest(t *testing.T, dir atlas.Dir) string {
	t.Helper()
	list, err := dir.Files()
	if err != nil {
		t.Fatal(err)
	}
	return string(list[len(list)-1].Bytes())
}

func emptySQLite(t *testing.T) *sql.DB {
	return openDB(t, "sqlite", "file:drift?mode=memory&_pragma=foreign_keys(1)")
}

func emptyPostgres(t *testing.T) *sql.DB { return openDB(t, "pgx", pgtest.Open(t)) }

func openDB(t *testing.T, driver, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, url)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1) // a database in memory is that of its connection
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
