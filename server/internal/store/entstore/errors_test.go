package entstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/tests/pgtest"
)

// kind names what a caller can tell an error apart by.
func kind(err error) string {
	var unavailable *job.UnavailableError
	var exhausted *job.ExhaustedError
	switch {
	case err == nil:
		return "nil"
	case errors.Is(err, store.ErrNotFound):
		return "not found"
	case errors.As(err, &unavailable):
		return "unavailable"
	case errors.As(err, &exhausted):
		return exhausted.Reason
	default:
		return "other"
	}
}

func TestConvert(t *testing.T) {
	t.Parallel()
	postgres := func(code string) error {
		return fmt.Errorf("ent: %w", &pgconn.PgError{Code: code, Message: "secret wording"})
	}
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, "nil"},
		{sql.ErrNoRows, "not found"},
		{fmt.Errorf("read: %w", &ent.NotFoundError{}), "not found"},
		{store.ErrNotFound, "not found"},
		{context.DeadlineExceeded, "unavailable"},
		{context.Canceled, "other"},
		{io.ErrUnexpectedEOF, "unavailable"},
		{&net.OpError{Op: "dial", Err: errors.New("refused")}, "unavailable"},
		{errRaced, "unavailable"},
		{postgres("40001"), "unavailable"},
		{postgres("40P01"), "unavailable"},
		{postgres("57014"), "unavailable"},
		{postgres("57P01"), "unavailable"},
		{postgres("53300"), "unavailable"},
		{postgres("55P03"), "unavailable"},
		{postgres("08006"), "unavailable"},
		{postgres("53100"), "STORAGE_FULL"},
		{postgres("23505"), "other"},
		{postgres("42P01"), "other"},
		{errors.New("anything"), "other"},
	} {
		got := convert("do it", c.err)
		if kind(got) != c.want {
			t.Errorf("%v becomes %v, want %s", c.err, got, c.want)
		}
		if c.want == "unavailable" && strings.Contains(got.Error(), "secret") {
			t.Errorf("%v shows the database's wording", got)
		}
		if c.want == "other" && !strings.HasPrefix(got.Error(), "do it: ") {
			t.Errorf("%v does not name the operation", got)
		}
	}
}

func TestTypedErrorsPassThroughTransactions(t *testing.T) {
	t.Parallel()
	s := openFresh(t)
	want := &job.PreconditionError{Reason: "NO"}
	err := s.tx(t.Context(), "try", func(context.Context, *ent.Tx) error { return want })
	var got *job.PreconditionError
	if !errors.As(err, &got) || got != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestTransactionsRunAgainAfterALostRace(t *testing.T) {
	t.Parallel()
	s := openFresh(t)
	for losses, want := range map[int]string{0: "nil", 1: "nil", attempts - 1: "nil", attempts: "unavailable"} {
		runs := 0
		err := s.tx(t.Context(), "try", func(ctx context.Context, tx *ent.Tx) error {
			runs++
			if err := tx.Instance.Create().SetTitle("t").SetDescription("").SetCreatedAt(1).Exec(ctx); err != nil {
				return err
			}
			if runs <= losses {
				return errRaced
			}
			return nil
		})
		if kind(err) != want || runs != min(losses+1, attempts) {
			t.Errorf("%d losses: %d runs, error %v, want %s", losses, runs, err, want)
		}
	}
	list, err := s.Instances(t.Context(), nil, store.Page{Limit: 10})
	if err != nil || len(list) != 3 {
		t.Errorf("%d instances, error %v; want 3: runs that lost leave nothing", len(list), err)
	}
}

func TestPanicRollsBack(t *testing.T) {
	t.Parallel()
	s := openFresh(t)
	func() {
		defer func() { _ = recover() }()
		_ = s.tx(t.Context(), "try", func(context.Context, *ent.Tx) error { panic("change failed") })
	}()
	// SQLite's only writer must be free again.
	if _, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{}); err != nil {
		t.Error(err)
	}
}

// impatient opens a database again with a short timeout.
func impatient(t *testing.T, url string) *Store {
	t.Helper()
	return openWithin(t, url, 300*time.Millisecond)
}

func TestHeldLockIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(*testing.T) string{
		"sqlite":   sqliteURL,
		"postgres": func(t *testing.T) string { return pgtest.Open(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := url(t)
			s := openMigrated(t, address)
			in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
			if err != nil {
				t.Fatal(err)
			}
			j, err := s.CreateJob(t.Context(), job.Job{InstanceID: in.ID, Workflow: []byte("{}")}, store.Request{})
			if err != nil {
				t.Fatal(err)
			}
			hasty, other := impatient(t, address), openStore(t, address)
			rename := func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
				j.Name += "x"
				return true, nil, nil
			}
			err = s.tx(t.Context(), "hold", func(ctx context.Context, tx *ent.Tx) error {
				if _, err := s.lockJob(ctx, tx, j.ID); err != nil {
					return err
				}
				if _, err := hasty.UpdateJob(ctx, j.ID, time.Now, rename); kind(err) != "unavailable" {
					t.Errorf("update: got %v, want unavailable", err)
				}
				if _, err := other.Job(ctx, j.ID); err != nil {
					t.Errorf("readers must pass: %v", err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if j, err := other.UpdateJob(t.Context(), j.ID, time.Now, rename); err != nil || j.Name != "x" {
				t.Errorf("afterwards: name %q, error %v", j.Name, err)
			}
		})
	}
}

func TestFullSQLite(t *testing.T) {
	t.Parallel()
	s := openFresh(t)
	var pages int
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA page_count").Scan(&pages); err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages+2)); err != nil {
		t.Fatal(err)
	}
	big := job.Instance{Title: strings.Repeat("x", 1<<20)}
	if _, err := s.CreateInstance(t.Context(), big, 0, store.Request{}); kind(err) != "STORAGE_FULL" {
		t.Errorf("got %v, want STORAGE_FULL", err)
	}
	if _, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{}); err != nil {
		t.Errorf("a small one still fits: %v", err)
	}
}

func TestUnreachablePostgres(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s := impatient(t, "postgres://user:hunter2@"+address+"/db?sslmode=disable")
	_, read := s.Job(t.Context(), 1)
	_, write := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
	for _, err := range []error{read, write} {
		if kind(err) != "unavailable" {
			t.Errorf("got %v, want unavailable", err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "hunter2") {
				t.Errorf("%v shows the password", e)
			}
		}
	}
}

func TestLostConnectionsAreReplaced(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())"); err == nil {
		t.Fatal("the connection survived")
	}
	for try := 1; ; try++ {
		got, err := s.Instance(t.Context(), in.ID)
		if err == nil && got == in {
			return
		}
		if kind(err) != "unavailable" || try > 10 {
			t.Fatalf("try %d: got %+v, error %v", try, got, err)
		}
	}
}
