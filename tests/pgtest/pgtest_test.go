package pgtest

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestOpenGivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	first, second := Open(t), Open(t)
	if first == second {
		t.Fatalf("both are %s", first)
	}
	conn, err := pgx.Connect(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE mark (id int)"); err != nil {
		t.Fatal(err)
	}
	if got := tables(t, first); got != 1 {
		t.Errorf("the first database has %d tables, want 1", got)
	}
	if got := tables(t, second); got != 0 {
		t.Errorf("the second database has %d tables, want 0", got)
	}
	// The open connection must not keep the database from being dropped: the
	// clean-up would fail this test.
}

func TestOpenDropsTheDatabase(t *testing.T) {
	t.Parallel()
	var gone string
	t.Run("use", func(t *testing.T) { gone = Open(t) })
	if gone == "" {
		t.Skip("left out above")
	}
	conn, err := pgx.Connect(t.Context(), gone)
	if err == nil {
		_ = conn.Close(context.Background())
		t.Fatal("the database is still there")
	}
	if !strings.Contains(err.Error(), "3D000") {
		t.Fatalf("want invalid_catalog_name (3D000), got %v", err)
	}
}

// verdict records how a test ended instead of ending it.
type verdict struct {
	testing.TB
	failed, skipped bool
}

func (v *verdict) Helper()      {}
func (v *verdict) Fatal(...any) { v.failed = true }
func (v *verdict) Skip(...any)  { v.skipped = !v.failed } // Fatal would have ended the test

func TestWithoutServer(t *testing.T) {
	t.Setenv(EnvURL, "")
	for _, c := range []struct {
		ci   string
		want verdict
	}{
		{"", verdict{skipped: true}},
		{"true", verdict{failed: true}},
	} {
		t.Setenv("CI", c.ci)
		var got verdict
		if url := Open(&got); url != "" || got != c.want {
			t.Errorf("CI=%q: got %+v and URL %q, want %+v", c.ci, got, url, c.want)
		}
	}
}

func tables(t *testing.T, database string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
