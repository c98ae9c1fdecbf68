package entstore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// errRaced is answered inside a transaction that lost a race which a second
// look decides: the transaction is run again.
var errRaced = errors.New("lost a race")

// convert turns an error of the operation op into what package store promises.
// Typed errors of package job stay findable below the operation's name.
func convert(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case ent.IsNotFound(err), errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("%s: %w", op, store.ErrNotFound)
	case isFull(err):
		return &job.ExhaustedError{Reason: "STORAGE_FULL", Message: "The database has no space left."}
	case isTransient(err), isUnreachable(err):
		return &job.UnavailableError{Message: "The database does not answer at the moment; try again.", Cause: fmt.Errorf("%s: %w", op, err)}
	default:
		return fmt.Errorf("%s: %w", op, err)
	}
}

// isTransient tells whether the transaction was rolled back by the database
// and may succeed when it is run again.
func isTransient(err error) bool {
	var soon *startsSoon
	if errors.Is(err, errRaced) || errors.As(err, &soon) {
		return true
	}
	switch postgresCode(err) {
	case "40001", "40P01": // serialization failure, deadlock
		return true
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	return false
}

// unreachableCodes are PostgreSQL's: cancelled by timeout, lock not available,
// shutting down or starting, idle too long, read-only after a failover, I/O.
var unreachableCodes = []string{"57014", "55P03", "57P01", "57P02", "57P03", "57P05", "25P03", "25006", "58030"}

// isUnreachable tells whether the database could not be asked or did not
// answer in time.
func isUnreachable(err error) bool {
	if code := postgresCode(err); code != "" {
		// Class 08 is connections, 53 is resources; a full disk was seen before.
		return strings.HasPrefix(code, "08") || strings.HasPrefix(code, "53") || slices.Contains(unreachableCodes, code)
	}
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL:
		return true
	}
	for _, sentinel := range []error{context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, driver.ErrBadConn, sql.ErrConnDone, net.ErrClosed} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err)
}

// isFull tells whether there is no space left.
func isFull(err error) bool {
	return postgresCode(err) == "53100" || sqliteCode(err) == sqlite3.SQLITE_FULL
}

// isDuplicate tells whether a unique index refused a row.
func isDuplicate(err error) bool {
	code := sqliteExtendedCode(err)
	return postgresCode(err) == "23505" || code == sqlite3.SQLITE_CONSTRAINT_UNIQUE || code == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
}

// isReference tells whether a foreign key refused a row or its deletion.
func isReference(err error) bool {
	code := sqliteExtendedCode(err)
	// SQLite reports ON DELETE RESTRICT as the trigger that it is made of.
	return postgresCode(err) == "23503" || postgresCode(err) == "23001" ||
		code == sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY || code == sqlite3.SQLITE_CONSTRAINT_TRIGGER
}

// postgresCode is the SQLSTATE, empty when err is not PostgreSQL's.
func postgresCode(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// sqliteCode is the primary result code, 0 when err is not SQLite's.
func sqliteCode(err error) int { return sqliteExtendedCode(err) & 0xff }

func sqliteExtendedCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}
