package entstore

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/jobmemory"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// filesRead bounds how many records one call of Files reads.
const filesRead = 20_000

// fileColumns are what scanFile reads.
const fileColumns = `id, attempt, task, remote, action, state, path, size, reason, message, at`

const (
	// ownFence locks the execution against its end while it is still owned. A
	// write whose execution has another fence finds no row.
	pgOwnFence   = `SELECT id FROM active_executions WHERE id = $1 AND fence = $2 AND owner <> 0 FOR SHARE`
	liteOwnFence = `SELECT id FROM active_executions WHERE id = $1 AND fence = $2 AND owner <> 0`

	pgInsertFiles = `
INSERT INTO execution_files (execution_id, attempt, task, remote, action, state, path, size, reason, message, at)
SELECT $1, u.* FROM unnest($2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::text[], $10::text[], $11::bigint[]) u`
	liteInsertFile = `
INSERT INTO execution_files (execution_id, attempt, task, remote, action, state, path, size, reason, message, at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	announce     = `INSERT INTO file_announcements (execution_id, files) VALUES ($1, $2) RETURNING id`
	pgSettled    = `DELETE FROM file_announcements WHERE id = ANY($1::bigint[]) AND execution_id = $2`
	liteSettled  = `DELETE FROM file_announcements WHERE id IN (SELECT value FROM json_each($1)) AND execution_id = $2`
	announcedFor = `SELECT id, execution_id, files FROM file_announcements WHERE `
)

// AnnounceFiles implements store.Files.
func (s *Store) AnnounceFiles(ctx context.Context, executionID, fence int64, files []job.FileRecord) (id int64, err error) {
	text := encode(files)
	if s.postgres() {
		err = s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			if err := own(pgRunner{ctx, tx}, pgOwnFence, executionID, fence); err != nil {
				return err
			}
			return tx.QueryRow(ctx, announce, executionID, text).Scan(&id)
		})
	} else {
		err = s.liteTx(ctx, func(tx *liteTx) error {
			if err := own(liteRunner{tx, nil}, liteOwnFence, executionID, fence); err != nil {
				return err
			}
			return tx.query(announce, func(scan func(...any) error) error { return scan(&id) }, executionID, text)
		})
	}
	return id, convert("announce files", err)
}

// RecordFiles implements store.Files.
func (s *Store) RecordFiles(ctx context.Context, executionID, fence int64, files []job.FileRecord, settled []int64) error {
	if s.postgres() {
		return convert("record files", s.pgTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
			r := pgRunner{ctx, tx}
			if err := own(r, pgOwnFence, executionID, fence); err != nil {
				return err
			}
			if err := pgAddFiles(r, executionID, files); err != nil || len(settled) == 0 {
				return err
			}
			return r.exec(pgSettled, settled, executionID)
		}))
	}
	return convert("record files", s.liteTx(ctx, func(tx *liteTx) error {
		r := liteRunner{tx, nil}
		if err := own(r, liteOwnFence, executionID, fence); err != nil {
			return err
		}
		for _, f := range files {
			if err := r.exec(liteInsertFile, executionID, f.Attempt, f.Task, f.Remote, string(f.Action), string(f.State),
				f.Path, f.Size, f.Reason, f.Message, micros(f.At)); err != nil {
				return err
			}
		}
		if len(settled) == 0 {
			return nil
		}
		return r.exec(liteSettled, jsonIDs(settled), executionID)
	}))
}

// own is store.ErrStale when the fence is no longer the execution's.
func own(r runner, query string, executionID, fence int64) error {
	var id int64
	found, err := r.row(query, []any{&id}, executionID, fence)
	if err == nil && !found {
		err = store.ErrStale
	}
	return err
}

func pgAddFiles(r pgRunner, executionID int64, files []job.FileRecord) error {
	n := len(files)
	attempts, sizes, ats := make([]int64, n), make([]int64, n), make([]int64, n)
	tasks, remotes, actions, states := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	paths, reasons, messages := make([]string, n), make([]string, n), make([]string, n)
	for i, f := range files {
		attempts[i], sizes[i], ats[i] = int64(f.Attempt), f.Size, micros(f.At)
		tasks[i], remotes[i], actions[i], states[i] = f.Task, f.Remote, string(f.Action), string(f.State)
		paths[i], reasons[i], messages[i] = f.Path, f.Reason, f.Message
	}
	if n == 0 {
		return nil
	}
	return r.exec(pgInsertFiles, executionID, attempts, tasks, remotes, actions, states, paths, sizes, reasons, messages, ats)
}

// Files implements store.Files. It reads by key and filters what it reads, so
// that a filter that matches little costs no more than one that matches all.
func (s *Store) Files(ctx context.Context, q store.FileQuery) (records []job.FileRecord, more int64, err error) {
	args := []any{q.ExecutionID, q.After, filesRead, q.Limit, string(q.Action), string(q.State), q.Prefix}
	err = s.query(ctx, "list files", func(ctx context.Context, c *ent.Client) error {
		last, err := single(ctx, c, scanOptionalID, `
SELECT max(id) FROM (SELECT id FROM execution_files WHERE execution_id = $1 AND id > $2 ORDER BY id LIMIT $3) head`, args[:3]...)
		if err != nil || last == 0 {
			return err
		}
		records, err = collect(ctx, c, scanFile, `
SELECT `+fileColumns+` FROM execution_files WHERE execution_id = $1 AND id > $2 AND id <= $3
  AND ($5 = '' OR action = $5) AND ($6 = '' OR state = $6) AND substr(path, 1, length(CAST($7 AS text))) = CAST($7 AS text)
ORDER BY id LIMIT $4`, append([]any{q.ExecutionID, q.After, last}, args[3:]...)...)
		if err != nil {
			return err
		}
		if len(records) == q.Limit {
			last = records[len(records)-1].ID
		}
		more, err = single(ctx, c, scanOptionalID, `SELECT min(id) FROM execution_files WHERE execution_id = $1 AND id > $2`, q.ExecutionID, last)
		if more != 0 {
			more = last
		}
		return err
	})
	return records, more, err
}

func scanFile(scan func(...any) error) (f job.FileRecord, err error) {
	var at int64
	err = scan(&f.ID, &f.Attempt, &f.Task, &f.Remote, &f.Action, &f.State, &f.Path, &f.Size, &f.Reason, &f.Message, &at)
	f.At = timeOf(at)
	return f, err
}

// announcement is what a replica was about to change.
type announcement struct {
	id, executionID int64
	files           []job.FileRecord
}

func scanAnnouncement(scan func(...any) error) (a announcement, err error) {
	var text string
	if err := scan(&a.id, &a.executionID, &text); err != nil {
		return a, err
	}
	a.files, err = decode[[]job.FileRecord](text)
	return a, err
}

// settleLost records what adopted executions had announced and not recorded:
// nobody knows what became of it.
func (s *Store) settleLost(ctx context.Context, tx *ent.Tx, executions []int64) error {
	open, err := collect(ctx, tx, scanAnnouncement, announcedFor+s.inList("execution_id", 1)+` ORDER BY id`, s.list(executions))
	if err != nil || len(open) == 0 {
		return err
	}
	ids := make([]int64, len(open))
	for i, a := range open {
		ids[i] = a.id
		known, err := collect(ctx, tx, scanFileKey, `
SELECT task, remote, path FROM execution_files WHERE execution_id = $1 AND attempt = $2`, a.executionID, a.files[0].Attempt)
		if err != nil {
			return err
		}
		recorded := make(map[fileKey]bool, len(known))
		for _, key := range known {
			recorded[key] = true
		}
		for _, f := range a.files {
			if recorded[fileKey{f.Task, f.Remote, f.Path}] {
				continue
			}
			_, err := tx.ExecutionFile.Create().SetExecutionID(a.executionID).SetAttempt(f.Attempt).SetTask(f.Task).SetRemote(f.Remote).
				SetAction(string(f.Action)).SetState(string(job.FileUnknown)).SetPath(f.Path).SetSize(f.Size).
				SetReason(job.ReasonLost).SetMessage("The server died before it could tell.").SetAt(micros(f.At)).Save(ctx)
			if err != nil {
				return err
			}
		}
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM file_announcements WHERE `+s.inList("id", 1), s.list(ids))
	return err
}

type fileKey struct{ task, remote, path string }

func scanFileKey(scan func(...any) error) (k fileKey, err error) {
	err = scan(&k.task, &k.remote, &k.path)
	return k, err
}

// pruneFiles deletes the records of executions, so many at a time that nobody
// waits for it.
func (s *Store) pruneFiles(ctx context.Context, executions []int64) error {
	for {
		var gone int64
		err := s.tx(ctx, "prune files", func(ctx context.Context, tx *ent.Tx) error {
			done, err := tx.ExecContext(ctx, `
DELETE FROM execution_files WHERE id IN (SELECT id FROM execution_files WHERE `+s.inList("execution_id", 1)+` LIMIT $2)`, s.list(executions), filesRead)
			if err != nil {
				return err
			}
			gone, err = done.RowsAffected()
			return err
		})
		if err != nil || gone < filesRead {
			return err
		}
	}
}

// Recall implements store.Memories.
func (s *Store) Recall(ctx context.Context, jobID int64, key string) (value []byte, err error) {
	err = s.query(ctx, "recall", func(ctx context.Context, c *ent.Client) error {
		row, err := c.JobMemory.Query().Where(jobmemory.JobID(jobID), jobmemory.Key(key)).Only(ctx)
		if ent.IsNotFound(err) {
			return nil
		}
		if err == nil {
			value = row.Value
		}
		return err
	})
	return value, err
}

// Remember implements store.Memories.
func (s *Store) Remember(ctx context.Context, jobID, executionID, fence int64, key string, value []byte) error {
	return s.tx(ctx, "remember", func(ctx context.Context, tx *ent.Tx) error {
		// The job's row first, so that none is remembered of a deleted job.
		if _, err := s.lockJob(ctx, tx, jobID); err != nil {
			return err
		}
		query := liteOwnFence
		if s.postgres() {
			query = pgOwnFence
		}
		if err := own(txRunner{s, ctx, tx}, query, executionID, fence); err != nil {
			return err
		}
		return tx.JobMemory.Create().SetJobID(jobID).SetKey(key).SetValue(value).
			OnConflictColumns(jobmemory.FieldJobID, jobmemory.FieldKey).UpdateValue().Exec(ctx)
	})
}
