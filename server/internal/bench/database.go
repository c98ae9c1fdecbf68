package bench

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// database is a new, migrated one for one run.
type database struct {
	url      string
	postgres bool
	// db is a connection of the benchmark's own.
	db   *sql.DB
	drop func(context.Context) error
}

// newDatabase makes one in the PostgreSQL server at a URL, or, when that is
// empty, in a new file under folder.
func newDatabase(ctx context.Context, server, folder string) (d *database, err error) {
	if server == "" {
		d, err = newSQLite(folder)
	} else {
		d, err = newPostgres(ctx, server)
	}
	if err != nil {
		return nil, fmt.Errorf("make a database: %w", err)
	}
	s, err := entstore.Open(ctx, entstore.Options{URL: d.url})
	if err == nil {
		_, err = s.Migrate(ctx)
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrate: %w", err), d.close(ctx))
	}
	return d, nil
}

func newSQLite(folder string) (*database, error) {
	folder, err := os.MkdirTemp(folder, "carillon-bench-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, "carillon.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	return &database{url: "file:" + path, db: db, drop: func(context.Context) error { return os.RemoveAll(folder) }}, nil
}

func newPostgres(ctx context.Context, server string) (*database, error) {
	address, err := url.Parse(server)
	if err != nil {
		return nil, errors.New("the server's URL is malformed") // not the text: it may hold a password
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		return nil, err
	}
	name := "carillon_bench_" + strings.ToLower(rand.Text())
	if _, err := admin.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	address.Path = "/" + name
	db, err := sql.Open("pgx", address.String())
	if err != nil {
		return nil, errors.Join(err, admin.Close())
	}
	return &database{url: address.String(), postgres: true, db: db, drop: func(ctx context.Context) error {
		_, err := admin.ExecContext(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return errors.Join(err, admin.Close())
	}}, nil
}

// close drops the database.
func (d *database) close(ctx context.Context) error {
	return errors.Join(d.db.Close(), d.drop(context.WithoutCancel(ctx)))
}

func (d *database) name() string {
	if d.postgres {
		return "PostgreSQL"
	}
	return "SQLite"
}

// durable refuses a server whose commits do not survive a power cut.
func (d *database) durable(ctx context.Context) error {
	if !d.postgres {
		return nil // entstore opens SQLite with synchronous = FULL
	}
	for _, setting := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := d.db.QueryRowContext(ctx, "SHOW "+setting).Scan(&value); err != nil {
			return err
		}
		if value != "on" {
			return fmt.Errorf("the database server has %s = %s: run it with `withpg -durable`", setting, value)
		}
	}
	return nil
}

// herd describes jobs to insert.
type herd struct {
	instance int64
	jobs     int
	// first is when the first of them is due, to the second; perSecond is how
	// many are due at each second from then on, 0 for all at once.
	first     time.Time
	perSecond int
	// jitter spreads the starts over the time after the slot.
	jitter time.Duration
	// policies is as the store keeps them.
	policies string
	// workflow is that of every job; one util.noop when empty. distinct gives each
	// another name.
	workflow string
	distinct bool
}

// last is when the last job is due.
func (h herd) last() time.Time {
	if h.perSecond == 0 {
		return h.first
	}
	return h.first.Add(time.Duration((h.jobs-1)/h.perSecond) * time.Second)
}

const workflowText = `{"name":"bench","tasks":[{"name":"only","type":"util.noop"}]}`

// insert stores the jobs, and lets the database settle as it would have since
// their creation.
func (d *database) insert(ctx context.Context, h herd) error {
	var ids int64
	if err := d.db.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM jobs").Scan(&ids); err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	schedules, err := h.schedules()
	if err != nil {
		return fmt.Errorf("insert jobs: %w", err)
	}
	workflow := h.workflow
	if workflow == "" {
		workflow = workflowText
	}
	text := "'" + workflow + "'"
	if h.distinct {
		text = `replace(` + text + `, '"bench"', '"bench ' || i || '"')`
	}
	due := h.first.UnixMicro()
	numbers := fmt.Sprintf("WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", h.jobs-1)
	statements := []string{
		fmt.Sprintf("INSERT INTO instances (id, title, description, created_at) VALUES (%d, 'bench', '', %d)", h.instance, due),
		numbers + fmt.Sprintf(`
INSERT INTO jobs (id, instance_id, name, description, workflow, version, created_at, updated_at)
SELECT %d + i, %d, 'bench', '', %s, 1, %d, %d FROM n`, ids+1, h.instance, text, due, due),
		numbers + fmt.Sprintf(`
INSERT INTO schedules (id, instance_id, active, policies, version, fence, paused_at, skip_id, time_zone, next_run, anchor, type, cron, minutes, extras)
SELECT %d + i, %d, true, '%s', 1, 0, 0, 0, 'Europe/Berlin', %s FROM n`, ids+1, h.instance, h.policies, schedules),
	}
	if d.postgres {
		statements = append(statements, "VACUUM ANALYZE", "CHECKPOINT")
	} else {
		statements = append(statements, "ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	for _, statement := range statements {
		if _, err := d.db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("insert jobs: %w", err)
		}
	}
	return nil
}

// example tells of an execution that did not succeed, if there is one.
func (d *database) example(ctx context.Context, h herd) string {
	var id, started, finished, attempt int64
	var state, failure, tasks string
	err := d.db.QueryRowContext(ctx, fmt.Sprintf(`SELECT id, state, started_at, finished_at, attempt, error, tasks FROM executions
		WHERE instance_id = %d AND (state <> 'SUCCEEDED' OR started_at = 0 OR finished_at < started_at OR tasks = '') LIMIT 1`, h.instance)).
		Scan(&id, &state, &started, &finished, &attempt, &failure, &tasks)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("; execution %d is %s in attempt %d, started at %d and finished at %d: %s %s", id, state, attempt, started, finished, failure, tasks)
}

// schedules are the columns next_run, anchor, type, cron, minutes and extras of
// job i. Half of those that are due at once are cron jobs; every job is due
// again a day later.
func (h herd) schedules() (string, error) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		return "", err
	}
	first, local := h.first.UnixMicro(), h.first.In(zone)
	if h.perSecond == 0 {
		return fmt.Sprintf(`%d, CASE WHEN i %% 2 = 0 THEN 0 ELSE %d END, CASE WHEN i %% 2 = 0 THEN 'CRON_BASED' ELSE 'INTERVAL_BASED' END,
			CASE WHEN i %% 2 = 0 THEN '%d %d * * *' ELSE '' END, CASE WHEN i %% 2 = 0 THEN 0 ELSE 1440 END, ''`,
			first, first-day, local.Minute(), local.Hour()), nil
	}
	extras, err := json.Marshal(job.ScheduleOptions{Jitter: h.jitter})
	return fmt.Sprintf("%d + i / %d * CAST(1000000 AS bigint), %d + i / %d * CAST(1000000 AS bigint), 'INTERVAL_BASED', '', 1440, '%s'",
		first, h.perSecond, first-day, h.perSecond, extras), err
}

// verify is an error unless each job of the instance ran exactly once, with
// success, and nothing is active or due.
func (d *database) verify(ctx context.Context, h herd) error {
	var rows, jobs, succeeded, active, due int
	for query, into := range map[string][]any{
		fmt.Sprintf(`SELECT count(*), count(DISTINCT job_id), coalesce(sum(CASE WHEN state = 'SUCCEEDED' AND started_at > 0
			AND finished_at >= started_at AND tasks <> '' THEN 1 ELSE 0 END), 0) FROM executions WHERE instance_id = %d`, h.instance): {&rows, &jobs, &succeeded},
		fmt.Sprintf("SELECT count(*) FROM active_executions WHERE instance_id = %d", h.instance):                                  {&active},
		fmt.Sprintf("SELECT count(*) FROM schedules WHERE instance_id = %d AND next_run <= %d", h.instance, h.last().UnixMicro()): {&due},
	} {
		if err := d.db.QueryRowContext(ctx, query).Scan(into...); err != nil {
			return fmt.Errorf("verify: %w", err)
		}
	}
	if rows != h.jobs || jobs != h.jobs || succeeded != h.jobs || active != 0 || due != 0 {
		return fmt.Errorf("verify: of %d jobs, %d have an execution, %d executions are in the history, %d of them succeeded, %d are active, %d jobs are still due%s",
			h.jobs, jobs, rows, succeeded, active, due, d.example(ctx, h))
	}
	return nil
}
