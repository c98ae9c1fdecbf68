package bench

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store/entstore"
)

// rawRow is what the statements need of one job: read, and its outcome made
// up, before the clock starts.
type rawRow struct {
	id, instance, due int64
	// row is its ctid on PostgreSQL.
	row   pgtype.TID
	tasks string
}

// rawRows reads the jobs in the order in which a claim finds them.
func (d *database) rawRows(ctx context.Context, h herd) ([]rawRow, error) {
	query := "SELECT id, instance_id, next_run FROM schedules WHERE next_run > 0 ORDER BY next_run, id"
	if d.postgres {
		query = "SELECT id, instance_id, next_run, ctid::text FROM schedules WHERE next_run > 0 ORDER BY next_run, ctid"
	}
	found, err := d.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	now := job.Time(time.Now())
	rows := make([]rawRow, 0, h.jobs)
	for found.Next() {
		var r rawRow
		places := []any{&r.id, &r.instance, &r.due, &r.row}
		if !d.postgres {
			places = places[:3]
		}
		if err := found.Scan(places...); err != nil {
			return nil, err
		}
		tasks, err := json.Marshal([]job.TaskRecord{{Name: "only", Type: "util.noop", State: job.TaskSucceeded, StartedAt: now, FinishedAt: now}})
		if err != nil {
			return nil, err
		}
		r.tasks = string(tasks)
		rows = append(rows, r)
	}
	return rows, found.Err()
}

// day is how far the claim moves a schedule.
const day = int64(24 * time.Hour / time.Microsecond)

// rawSQL runs the engine's statements for all jobs and returns a function to
// call when the clock runs.
func (d *database) rawSQL(ctx context.Context, h herd, beside bool) (run func() error, done func() error, err error) {
	rows, err := d.rawRows(ctx, h)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare raw SQL: %w", err)
	}
	if d.postgres {
		return d.rawPostgres(ctx, rows, beside)
	}
	return d.rawSQLite(ctx, rows)
}

// rawBatch holds the arguments of one batch on PostgreSQL.
type rawBatch struct{ lock, holds, workflows, behind, move, insert, finish []any }

func rawBatches(rows []rawRow) (batches []rawBatch) {
	now := time.Now().UnixMicro()
	for from := 0; from < len(rows); from += claimBatch {
		part := rows[from:min(from+claimBatch, len(rows))]
		n := len(part)
		one, times, ids := make([]int64, n), make([]int64, n), make([]int64, n)
		jobs, instances, due, next := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
		tasks, ctids := make([]string, n), make([]pgtype.TID, n)
		var usual []int64 // NULL, as the store gives it
		for i, r := range part {
			one[i], times[i], ids[i] = 1, now, int64(from+i+1)
			jobs[i], instances[i], due[i], next[i] = r.id, r.instance, r.due, r.due+day
			ctids[i], tasks[i] = r.row, r.tasks
		}
		batches = append(batches, rawBatch{
			lock:      []any{now, n, now},
			holds:     []any{slices.Compact(slices.Clone(instances))},
			workflows: []any{jobs, instances}, behind: []any{jobs},
			move:   []any{ctids, next, one, usual},
			insert: []any{now, int64(1), jobs, instances, due, usual, []bool(nil), one},
			finish: []any{make([]pgtype.TID, 0, n), ids, one, times, times, usual, []string(nil), []string(nil), tasks},
		})
	}
	return batches
}

// rawPostgres claims batch after batch. The end of each follows it or, beside,
// goes with the next claim, on a connection of its own, as in the engine: more is
// done in a second, and the same work takes more of the processors.
func (d *database) rawPostgres(ctx context.Context, rows []rawRow, beside bool) (run, done func() error, err error) {
	batches := rawBatches(rows)
	claims, err := d.rawConnection(ctx)
	if err != nil {
		return nil, nil, err
	}
	ends := claims
	if beside {
		if ends, err = d.rawConnection(ctx); err != nil {
			return nil, nil, errors.Join(err, claims.Close(ctx))
		}
	}
	run = func() error {
		ended := make(chan error, 1)
		ended <- nil
		for _, b := range batches {
			if err := errors.Join(b.claim(ctx, claims), <-ended); err != nil {
				return err
			}
			if beside {
				go func() { ended <- b.end(ctx, ends) }()
			} else {
				ended <- b.end(ctx, ends)
			}
		}
		return <-ended
	}
	return run, func() error {
		ctx := context.WithoutCancel(ctx)
		return errors.Join(claims.Close(ctx), ends.Close(ctx)) // closing twice is none
	}, nil
}

// rawConnection is like the store's connections for the engine.
func (d *database) rawConnection(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(d.url)
	if err != nil {
		return nil, errors.New("the database's URL is malformed")
	}
	config.RuntimeParams["jit"], config.RuntimeParams["enable_seqscan"] = "off", "off"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		entstore.FastArrays(conn)
	}
	return conn, err
}

func (b rawBatch) claim(ctx context.Context, conn *pgx.Conn) error {
	sql := entstore.HotPath
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		return errors.Join(execute(ctx, tx, sql.PostgresLock, b.lock), execute(ctx, tx, sql.PostgresHolds, b.holds), execute(ctx, tx, sql.PostgresWorkflows, b.workflows), execute(ctx, tx, sql.PostgresBehind, b.behind),
			execute(ctx, tx, sql.PostgresChanges, b.behind),
			execute(ctx, tx, sql.PostgresMove, b.move), b.insertInto(ctx, tx))
	})
}

func (b rawBatch) end(ctx context.Context, conn *pgx.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return execute(ctx, tx, entstore.HotPath.PostgresFinish, b.finish) })
}

// insertInto inserts the executions and notes where they lie, for their end.
func (b rawBatch) insertInto(ctx context.Context, tx pgx.Tx) error {
	found, err := tx.Query(ctx, entstore.HotPath.PostgresInsert, b.insert...)
	if err != nil {
		return err
	}
	var row pgtype.TID
	rows := b.finish[0].([]pgtype.TID)
	_, err = pgx.ForEachRow(found, []any{&row, nil, nil, nil}, func() error { rows = append(rows, row); return nil })
	b.finish[0] = rows
	return err
}

func execute(ctx context.Context, tx pgx.Tx, statement string, args []any) error {
	_, err := tx.Exec(ctx, statement, args...)
	return err
}

func (d *database) rawSQLite(ctx context.Context, rows []rawRow) (run, done func() error, err error) {
	db, err := sql.Open("sqlite", d.url+"?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=cache_size(-65536)")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	hot := entstore.HotPath
	statements, err := prepareAll(ctx, db, hot.SQLiteDue, hot.SQLiteHolds, hot.SQLiteChanges, hot.SQLiteMove, hot.SQLiteInsert, hot.SQLiteHistory, hot.SQLiteGone)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	run = func() error {
		for from := 0; from < len(rows); from += claimBatch {
			part := rows[from:min(from+claimBatch, len(rows))]
			if err := rawClaimSQLite(ctx, db, statements, part); err != nil {
				return err
			}
			if err := rawFinishSQLite(ctx, db, statements, part, int64(from)); err != nil {
				return err
			}
		}
		return nil
	}
	return run, db.Close, nil
}

func prepareAll(ctx context.Context, db *sql.DB, texts ...string) ([]*sql.Stmt, error) {
	statements := make([]*sql.Stmt, len(texts))
	for i, text := range texts {
		var err error
		if statements[i], err = db.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return statements, nil
}

func rawClaimSQLite(ctx context.Context, db *sql.DB, statements []*sql.Stmt, part []rawRow) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		now := time.Now().UnixMicro()
		if err := readAll(ctx, tx.StmtContext(ctx, statements[0]), now, now, len(part)); err != nil {
			return err
		}
		if err := readAll(ctx, tx.StmtContext(ctx, statements[1]), fmt.Sprintf("[%d]", part[0].instance)); err != nil {
			return err
		}
		if err := readAll(ctx, tx.StmtContext(ctx, statements[2]), idsOf(part)); err != nil {
			return err
		}
		move, insert := tx.StmtContext(ctx, statements[3]), tx.StmtContext(ctx, statements[4])
		for _, r := range part {
			if _, err := move.ExecContext(ctx, r.due+day, 1, 0, r.id); err != nil {
				return err
			}
			if _, err := insert.ExecContext(ctx, r.id, r.instance, r.due, r.due, false, now, 1, 1, 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// readAll steps through the rows of a query; what they say is known already.
func readAll(ctx context.Context, statement *sql.Stmt, args ...any) error {
	found, err := statement.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer found.Close()
	for found.Next() {
		continue
	}
	return found.Err()
}

// idsOf is a JSON array.
func idsOf(rows []rawRow) string {
	ids := make([]int64, len(rows))
	for i, r := range rows {
		ids[i] = r.id
	}
	text, _ := json.Marshal(ids) // numbers always encode
	return string(text)
}

func rawFinishSQLite(ctx context.Context, db *sql.DB, statements []*sql.Stmt, part []rawRow, before int64) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		now := time.Now().UnixMicro()
		history, gone := tx.StmtContext(ctx, statements[5]), tx.StmtContext(ctx, statements[6])
		for i, r := range part {
			id := before + int64(i) + 1
			if _, err := history.ExecContext(ctx, now, now, string(job.StateSucceeded), "", r.tasks, 0, id, 1); err != nil {
				return err
			}
			if _, err := gone.ExecContext(ctx, id, 1); err != nil {
				return err
			}
		}
		return nil
	})
}

func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
