// Package entstore is the store on ent, for SQLite and PostgreSQL. It is the
// only package that knows ent, SQL and the two drivers.
//
// Rules:
//   - Rows become job values in mapping.go, or beside the one role that reads
//     them. Other packages see no type of ent.
//   - What runs once per request goes through ent, or is one statement for
//     both databases where ent would need several; what runs for every
//     execution is hand-written SQL, a statement per batch, in files that end
//     in _postgres.go and _sqlite.go; what both share stands in the files that
//     are named without: claim.go, queue.go, finish.go.
//   - SQLite has one writer: every transaction begins IMMEDIATE on one
//     connection. PostgreSQL takes row locks, always the job's schedule row
//     first, so that two transactions can't wait for each other.
//   - Every call has a deadline ([Options.Timeout]); a statement that waits
//     longer is cancelled and the call is a *job.UnavailableError.
package entstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"entgo.io/ent/dialect"
	entsql "entgo.io/ent/dialect/sql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ store.Store = (*Store)(nil)

// Options say which database and how patient to be.
type Options struct {
	// URL is postgres://… or file:PATH for SQLite.
	URL string
	// Timeout bounds each call; 5 s when zero.
	Timeout time.Duration
	// MaxConns bounds the connections to PostgreSQL; 16 when zero. The engine
	// has engineConns more to itself.
	MaxConns int32
	// Limits are those of instances that the operator gave none.
	Limits job.Limits
	// Driver is the database/sql driver of SQLite; empty means the usual one.
	Driver string
	// ReadOnly refuses every write, and to make a file that is missing.
	ReadOnly bool
	Log      *slog.Logger
}

// Store is one open database.
type Store struct {
	client  *ent.Client
	db      *sql.DB
	timeout time.Duration
	log     *slog.Logger

	// pool is nil on SQLite, and so is engine: the connections of what runs for
	// every execution.
	pool, engine *pgxpool.Pool
	// pulse is the connection that renews the lease, which nothing else may hold up;
	// nil on SQLite.
	pulse *pgxpool.Pool
	// read is SQLite's pool of readers: WAL lets them pass the one writer.
	// On PostgreSQL it is db.
	read *sql.DB
	// readClient is ent on read.
	readClient *ent.Client

	// local carries signals inside the process on SQLite.
	local *localSignals
	// listening is while signals of other processes arrive; PostgreSQL only.
	listening atomic.Bool
	// turn is the instance that the last round of turns ended with, 0 for all.
	turn atomic.Int64
	// backfillTurn is the same for backfills.
	backfillTurn atomic.Int64
	// orphansSought is once this process has looked for executions without an owner.
	orphansSought atomic.Bool
	// changing counts the changes that are being made, for SQLite's readers,
	// which see no locks.
	changing atomic.Int64
	// limits are those of instances that were not given any.
	limits job.Limits
	quotas quotas
	// answered is when after it was opened the database last answered a caller: by
	// other connections than those of the engine.
	opened   time.Time
	answered atomic.Int64
	// feedSettled is where the feeds of notices may begin.
	feedSettled atomic.Pointer[settledID]
	// session is the application_name of this process's connections, by which
	// other replicas see that it lives; PostgreSQL only.
	session string
}

// Open opens the database; it does not migrate it.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Driver == "" {
		o.Driver = "sqlite"
	}
	switch {
	case strings.HasPrefix(o.URL, "postgres://"), strings.HasPrefix(o.URL, "postgresql://"):
		return openPostgres(ctx, o)
	case strings.HasPrefix(o.URL, "file:"):
		return openSQLite(ctx, o)
	default:
		return nil, errors.New("the database URL must begin with postgres:// or, for SQLite, with file: and a path")
	}
}

func openPostgres(ctx context.Context, o Options) (*Store, error) {
	config, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		// The parser's error quotes the URL, which may hold a password.
		return nil, errors.New("the database URL is not a valid postgres:// URL")
	}
	config.MaxConns = o.MaxConns
	if config.MaxConns == 0 {
		config.MaxConns = 16
	}
	params := config.ConnConfig.RuntimeParams
	// jit costs 100-300 ms per statement once the planner's guess is high.
	params["jit"] = "off"
	session := "carillon-" + rand.Text()
	params["application_name"] = session
	params["timezone"] = "UTC"
	if o.ReadOnly {
		params["default_transaction_read_only"] = "on"
	}
	// What a process that stands still has locked must be free again before its
	// lease ends: others pass over the executions that it was about to claim.
	params["idle_in_transaction_session_timeout"] = fmt.Sprint((o.Timeout + time.Second).Milliseconds())
	params["statement_timeout"] = fmt.Sprint(o.Timeout.Milliseconds())
	config.ConnConfig.ConnectTimeout = o.Timeout
	config.AfterConnect = prepare
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	engine, err := openEngine(ctx, config, o.Timeout)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	config.MaxConns = 1
	config.ShouldPing = idleLong
	pulse, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		pool.Close()
		engine.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	db := stdlib.OpenDBFromPool(pool)
	db.SetMaxIdleConns(0) // the pool keeps them
	client := ent.NewClient(ent.Driver(entsql.OpenDB(dialect.Postgres, db)))
	return &Store{opened: time.Now(), client: client, db: db, timeout: o.Timeout, log: o.Log, limits: o.Limits, pool: pool, engine: engine, pulse: pulse, read: db, readClient: client, session: session}, nil
}

// prepare sets what a connection needs. What was acknowledged must survive a crash
// of the database, whatever its administrator has chosen for others.
func prepare(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'")
	if err != nil {
		return err
	}
	return noticeDeath(ctx, conn)
}

// noticeDeath makes the server look, also while a statement runs or waits for a
// lock, whether its client still lives: others count connections to find out. A
// server that can't look does without.
func noticeDeath(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, "SET client_connection_check_interval = '100ms'")
	if postgresCode(err) != "" {
		return nil
	}
	return err
}

// idleLong tells whether a connection is asked whether it still stands before it is
// used. The loops that use it come again when it does not, so what they do every
// few seconds does without.
func idleLong(_ context.Context, p pgxpool.ShouldPingParams) bool {
	return p.IdleDuration > 10*time.Second
}

// engineConns are enough for one claim, one group of ends, and what runs now
// and then beside them.
const engineConns = 4

// stalledAfter is how long a process may stand still within a claim: a second, with
// the usual timeout. While it does, others pass over the jobs that it has locked, and
// wait for its folders.
func stalledAfter(timeout time.Duration) time.Duration { return timeout / 5 }

// openEngine opens the engine's connections: its own, so that callers can't
// take them all. They read no table from end to end. PostgreSQL keeps the plan
// of a statement that it made while a table was empty, as active_executions is
// most of the time, and to read an empty table whole seems cheapest then; in
// the next herd it would do so for every row.
func openEngine(ctx context.Context, config *pgxpool.Config, timeout time.Duration) (*pgxpool.Pool, error) {
	config = config.Copy()
	config.MaxConns = engineConns
	config.ShouldPing = idleLong
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		FastArrays(conn)
		return prepare(ctx, conn)
	}
	config.ConnConfig.RuntimeParams["enable_seqscan"] = "off"
	config.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = fmt.Sprint(stalledAfter(timeout).Milliseconds())
	return pgxpool.NewWithConfig(ctx, config)
}

func openSQLite(ctx context.Context, o Options) (*Store, error) {
	dsn, err := sqliteDSN(o)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := makePrivate(o.URL); err != nil {
			return nil, err
		}
	}
	db, err := sql.Open(o.Driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db.SetMaxOpenConns(1)
	if err := db.PingContext(ctx); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open database file: %w", err)
	}
	s := &Store{opened: time.Now(), db: db, timeout: o.Timeout, log: o.Log, limits: o.Limits, read: db, local: newLocalSignals()}
	s.client = ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, db)))
	s.readClient = s.client
	if !strings.Contains(o.URL, "mode=memory") {
		s.read, err = sql.Open(o.Driver, dsn+"&_pragma=query_only(1)")
		if err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("open database: %w", err)
		}
		s.read.SetMaxOpenConns(4)
		s.readClient = ent.NewClient(ent.Driver(entsql.OpenDB(dialect.SQLite, s.read)))
	}
	return s, nil
}

// makePrivate creates the database file for its owner alone; the files that
// SQLite adds get the same mode.
func makePrivate(raw string) error {
	name, query, _ := strings.Cut(strings.TrimPrefix(raw, "file:"), "?")
	if name == "" || strings.Contains(query, "mode=") {
		return nil
	}
	name, err := url.PathUnescape(name)
	if err != nil {
		return errors.New("the database URL has a malformed path")
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open database file: %w", err)
	}
	return file.Close()
}

// sqliteDSN adds the settings that durability and speed need: synchronous
// stays FULL, since an acknowledged write must survive a power cut.
func sqliteDSN(o Options) (string, error) {
	name, query, _ := strings.Cut(o.URL, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return "", errors.New("the database URL has a malformed query")
	}
	values.Set("_txlock", "immediate")
	for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "cache_size(-65536)", fmt.Sprintf("busy_timeout(%d)", o.Timeout.Milliseconds())} {
		values.Add("_pragma", p)
	}
	if o.ReadOnly {
		values.Set("mode", "rw") // that of WAL needs its shared memory, which mode=ro can't make
		values.Add("_pragma", "query_only(1)")
	}
	return name + "?" + values.Encode(), nil
}

// Silence is for how long no caller has had an answer of the database.
func (s *Store) Silence() time.Duration {
	return time.Since(s.opened) - time.Duration(s.answered.Load())
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return s.read.PingContext(ctx)
}

// Close lets go of the database.
func (s *Store) Close() error {
	err := s.client.Close()
	if s.read != s.db {
		err = errors.Join(err, s.read.Close())
	}
	if s.pool != nil {
		s.pool.Close()
		s.engine.Close()
		s.pulse.Close()
	}
	return err
}

// change notes that claims may be withdrawn, until what it answers is called.
func (s *Store) change() (done func()) {
	s.changing.Add(1)
	return func() { s.changing.Add(-1) }
}

// postgres tells which of the two dialects is spoken.
func (s *Store) postgres() bool { return s.pool != nil }
