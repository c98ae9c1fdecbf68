package entstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/ent/replica"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// On PostgreSQL a replica is dead when its lease has ended, or when none of
// its connections is left: the server drops those of a killed process at once.
// The second sign counts only once the server itself has been up for longer
// than a lease, since a restart takes everybody's connections. On SQLite there
// is one process, which holds the data directory: every other row is dead.

// aliveAfterRestart is for how long after the database's start only leases
// count.
const aliveAfterRestart = "15 seconds"

// Register implements store.Replicas.
func (s *Store) Register(ctx context.Context, name string, lease time.Duration) (store.Replica, time.Time, error) {
	var r store.Replica
	var now time.Time
	err := s.tx(ctx, "register replica", func(ctx context.Context, tx *ent.Tx) error {
		var role string
		var err error
		if now, role, err = s.clock(ctx, tx); err != nil {
			return err
		}
		row, err := tx.Replica.Create().SetName(name).SetSession(s.session).SetRole(role).
			SetStartedAt(micros(now)).SetLeaseUntil(micros(now.Add(lease))).Save(ctx)
		if err != nil {
			return err
		}
		r = replicaOf(row)
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalReplica})
	})
	if err == nil {
		now, err = s.DatabaseTime(ctx)
	}
	return r, now, err
}

// answerTime is the database's time as it answers. It is asked by itself: one
// that a transaction read is older by the time of its commit.
func (s *Store) answerTime(ctx context.Context, on *pgxpool.Pool) (now time.Time, err error) {
	if !s.postgres() {
		return job.Time(time.Now()), nil
	}
	err = on.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&now)
	return job.Time(now), err
}

// DatabaseTime implements store.Replicas and store.Inspection.
func (s *Store) DatabaseTime(ctx context.Context) (now time.Time, err error) {
	err = s.run(ctx, "read the database's clock", func(ctx context.Context) error {
		now, err = s.answerTime(ctx, s.engine)
		return err
	})
	return now, err
}

// Renew implements store.Replicas.
func (s *Store) Renew(ctx context.Context, id int64, lease time.Duration) (now time.Time, err error) {
	if !s.postgres() {
		return job.Time(time.Now()), nil
	}
	err = s.run(ctx, "renew lease", func(ctx context.Context) error {
		err := s.pulse.QueryRow(ctx, `
UPDATE replicas SET lease_until = (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $2 WHERE id = $1
RETURNING id`, id, lease.Microseconds()).Scan(&id)
		if err == nil {
			now, err = s.answerTime(ctx, s.pulse)
		}
		return err
	})
	return now, err
}

// Replicas implements store.Replicas.
func (s *Store) Replicas(ctx context.Context) (list []store.Replica, err error) {
	err = s.query(ctx, "list replicas", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Replica.Query().Order(replica.ByID()).All(ctx)
		list = make([]store.Replica, len(rows))
		for i, row := range rows {
			list[i] = replicaOf(row)
		}
		return err
	})
	return list, err
}

func replicaOf(row *ent.Replica) store.Replica {
	return store.Replica{ID: row.ID, Name: row.Name, StartedAt: timeOf(row.StartedAt), LeaseUntil: timeOf(row.LeaseUntil)}
}

// clock is the database's time and user.
func (s *Store) clock(ctx context.Context, tx *ent.Tx) (now time.Time, role string, err error) {
	if !s.postgres() {
		return job.Time(time.Now()), "", nil
	}
	err = queryRow(ctx, tx, "SELECT clock_timestamp(), current_user", &now, &role)
	return job.Time(now), role, err
}

// ownerless are executions whose owner is no replica any more: it left, or was
// buried while it claimed them.
const ownerless = `owner <> 0 AND owner NOT IN (SELECT id FROM replicas)`

// orphaned is a row with id 0 when there are ownerless ones.
const orphaned = `SELECT 0, true WHERE EXISTS (SELECT 1 FROM active_executions WHERE ` + ownerless + `)`

// pgEnded says that the lease of a replica r has ended, and pgSilent that none of
// its connections is left.
const (
	pgEnded  = `r.lease_until < (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	pgSilent = `(pg_postmaster_start_time() < clock_timestamp() - interval '` + aliveAfterRestart + `'
  AND r.role = current_user
  AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.application_name = r.session))`
)

// pgSuspects lists replicas that look dead, and tells of which the lease has
// ended; the others have no connection left.
const pgSuspects = `
SELECT r.id, ` + pgEnded + ` FROM replicas r WHERE r.id <> $1 AND (` + pgEnded + ` OR ` + pgSilent + `)
UNION ALL ` + orphaned

const liteSuspects = `SELECT id, true FROM replicas WHERE id <> ?1 UNION ALL ` + orphaned

// A living replica that lost its connections alone connects again within
// connectsWithin. Where the one that looks has lost its own, all may have, by a
// failover or a crash that a standby or the postmaster survived: then it gives them
// reconnectsWithin.
const (
	connectsWithin   = 250 * time.Millisecond
	reconnectsWithin = 2 * time.Second
	// brokenFor is how young all connections are that were lost just now, and
	// connectedWithin how young a process that had no others yet.
	brokenFor       = 5 * time.Second
	connectedWithin = time.Second
)

// pgConnected is for how many seconds a session has been connected.
const pgConnected = `
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(backend_start)), 0)::float8
FROM pg_stat_activity WHERE application_name = $1`

// patience is how long a replica may have no connection.
func (s *Store) patience(ctx context.Context) (time.Duration, error) {
	var seconds float64
	err := s.run(ctx, "look how old the connections are", func(ctx context.Context) error {
		return s.engine.QueryRow(ctx, pgConnected, s.session).Scan(&seconds)
	})
	connected := time.Duration(seconds * float64(time.Second))
	if connected < brokenFor && connected < time.Since(s.opened)-connectedWithin {
		return reconnectsWithin, err
	}
	return connectsWithin, err
}

// Bury implements store.Replicas. Most calls find nothing, and cost one
// statement.
func (s *Store) Bury(ctx context.Context, self int64) (lost []store.Lost, err error) {
	dead, silent, err := s.suspects(ctx, self)
	if err == nil && len(silent) > 0 {
		dead, err = s.confirm(ctx, self, silent)
	}
	if err != nil || len(dead) == 0 {
		return nil, err
	}
	s.cutOff(ctx, dead)
	err = s.tx(ctx, "bury replicas", func(ctx context.Context, tx *ent.Tx) error {
		if err := s.removeDead(ctx, tx, self, dead); err != nil {
			return err
		}
		if lost, err = s.adopt(ctx, tx, self, ownerless); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return lost, err
}

// pgCutOff ends the connections of processes whose lease has ended. One that
// stands still in the midst of a transaction keeps what it has locked, and no
// timeout of the database ends a statement whose answer nobody reads.
const pgCutOff = `
SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a
WHERE a.usename = current_user AND a.application_name <> ''
  AND EXISTS (SELECT 1 FROM replicas r WHERE r.session = a.application_name AND r.id = ANY($1) AND ` + pgEnded + `)
  AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.session = a.application_name AND NOT ` + pgEnded + `)`

// cutOff ends what dead replicas may still be at in the database. It helps the
// burial, which does not depend on it.
func (s *Store) cutOff(ctx context.Context, dead []int64) {
	if !s.postgres() {
		return
	}
	err := s.run(ctx, "end connections", func(ctx context.Context) error {
		_, err := s.engine.Exec(ctx, pgCutOff, dead)
		return err
	})
	if err != nil {
		s.log.WarnContext(ctx, "can't end the connections of dead replicas", "error", err)
	}
}

// pgRemoveDead asks once more who is dead: the process that found it out may have
// stood still since. Who holds its own row at this moment lives.
const pgRemoveDead = `
DELETE FROM replicas WHERE id IN (
  SELECT r.id FROM replicas r WHERE r.id = ANY($1) AND (` + pgEnded + ` OR ` + pgSilent + `) FOR UPDATE SKIP LOCKED)`

// removeDead removes replicas that self found dead, if self lives.
func (s *Store) removeDead(ctx context.Context, tx *ent.Tx, self int64, dead []int64) error {
	if !s.postgres() {
		_, err := tx.Replica.Delete().Where(replica.IDIn(dead...), replica.IDNEQ(self)).Exec(ctx)
		return err
	}
	living, err := queryIDs(ctx, tx, pgAlive, self)
	if err == nil && len(living) == 0 {
		err = store.ErrNotFound
	}
	if err == nil {
		_, err = tx.ExecContext(ctx, pgRemoveDead, dead)
	}
	return err
}

// confirm looks again after a while: what is surely dead by then, and which of the
// silent ones still are.
func (s *Store) confirm(ctx context.Context, self int64, silent []int64) ([]int64, error) {
	wait, err := s.patience(ctx)
	if err != nil || !pauseFor(ctx, wait) {
		return nil, err
	}
	dead, still, err := s.suspects(ctx, self)
	return append(dead, slices.DeleteFunc(still, func(id int64) bool { return !slices.Contains(silent, id) })...), err
}

// suspects answers what is surely dead, 0 for executions whose owner is gone,
// and the replicas that have no connection at this moment.
func (s *Store) suspects(ctx context.Context, self int64) (dead, silent []int64, err error) {
	var id int64
	var surely bool
	tell := func() error {
		if surely {
			dead = append(dead, id)
		} else {
			silent = append(silent, id)
		}
		return nil
	}
	err = s.run(ctx, "look for dead replicas", func(ctx context.Context) error {
		dead, silent = nil, nil
		if !s.postgres() {
			return forEachRow(ctx, s.read, []any{&id, &surely}, tell, liteSuspects, self)
		}
		found, err := s.engine.Query(ctx, pgSuspects, self)
		if err == nil {
			_, err = pgx.ForEachRow(found, []any{&id, &surely}, tell)
		}
		return err
	})
	return dead, silent, err
}

// Leave implements store.Replicas.
func (s *Store) Leave(ctx context.Context, self int64) error {
	return s.tx(ctx, "leave", func(ctx context.Context, tx *ent.Tx) error {
		_, err := tx.Replica.Delete().Where(replica.ID(self)).Exec(ctx)
		return err
	})
}

// adopt lets go of executions (a condition on active_executions): those whose
// time has not come wait again, the others become self's under a new fence. The
// schedule rows are locked first and in order, as everywhere.
//
// The clock is asked when a row is looked at: a stopped replica that goes on may
// start what it has claimed while this waits for locks. What it may have looked at
// for the last time before a start counts as started.
func (s *Store) adopt(ctx context.Context, tx *ent.Tx, self int64, which string) ([]store.Lost, error) {
	clock := strconv.FormatInt(micros(time.Now()), 10)
	if s.postgres() {
		clock = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	}
	inOrder := `SELECT id FROM schedules WHERE id IN (SELECT job_id FROM active_executions WHERE ` + which + `) ORDER BY id`
	if s.postgres() {
		inOrder += " FOR UPDATE"
	}
	if _, err := queryIDs(ctx, tx, inOrder); err != nil {
		return nil, err
	}
	steps := []string{
		`UPDATE schedules SET fence = fence + 1 WHERE id IN (SELECT job_id FROM active_executions WHERE ` + which + `)`,
		`UPDATE active_executions SET owner = 0, attempt = attempt - 1, fence = 0 WHERE ` + which + `
		   AND started_at = 0 AND state = 'QUEUED' AND not_before > ` + clock + ` + ` + strconv.FormatInt(store.StartGuard.Microseconds(), 10),
	}
	for _, step := range steps {
		if _, err := tx.ExecContext(ctx, step); err != nil {
			return nil, err
		}
	}
	ids, err := queryIDs(ctx, tx, `
UPDATE active_executions SET owner = `+strconv.FormatInt(self, 10)+`,
  fence = coalesce((SELECT s.fence FROM schedules s WHERE s.id = active_executions.job_id), fence + 1)
WHERE `+which+` RETURNING id`)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if err := s.settleLost(ctx, tx, ids); err != nil {
		return nil, err
	}
	return readLost(ctx, tx, ids)
}

// readLost reads adopted executions; the job of one may be deleted by now.
func readLost(ctx context.Context, tx *ent.Tx, ids []int64) (lost []store.Lost, err error) {
	rows, err := tx.ActiveExecution.Query().Where(activeexecution.IDIn(ids...)).All(ctx)
	if err != nil {
		return nil, err
	}
	schedules, err := schedulesOf(ctx, tx, rows)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		e, err := executionOfActive(row)
		if err != nil {
			return nil, err
		}
		l := store.Lost{State: job.State(row.State), StartedAt: e.StartedAt, Tasks: e.Tasks, LogBytes: e.LogBytes}
		l.Claimed = store.Claimed{
			ExecutionID: e.ID, JobID: e.JobID, InstanceID: e.InstanceID, Trigger: e.Trigger, TriggerID: e.TriggerID,
			ScheduledFor: e.ScheduledFor, NotBefore: timeOf(row.NotBefore), CreatedAt: e.CreatedAt,
			FirstStartedAt: timeOf(row.FirstStartedAt), Attempt: e.Attempt, Fence: e.Fence,
		}
		if sched, ok := schedules[row.JobID]; ok {
			l.JobVersion = sched.Version
			// What can't be read has no policy: it ends WORKER_LOST.
			l.Schedule, _ = scheduleOf(sched)
			l.Policies, _ = policiesOf(sched.Policies)
		}
		lost = append(lost, l)
	}
	return lost, nil
}

func schedulesOf(ctx context.Context, tx *ent.Tx, rows []*ent.ActiveExecution) (map[int64]*ent.Schedule, error) {
	jobs := make([]int64, len(rows))
	for i, row := range rows {
		jobs[i] = row.JobID
	}
	found, err := tx.Schedule.Query().Where(entschedule.IDIn(jobs...)).All(ctx)
	byID := make(map[int64]*ent.Schedule, len(found))
	for _, s := range found {
		byID[s.ID] = s
	}
	return byID, err
}

// forEachRow is pgx.ForEachRow for SQLite.
func forEachRow(ctx context.Context, db *sql.DB, into []any, each func() error, query string, args ...any) (err error) {
	found, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, found.Close()) }()
	for found.Next() {
		if err := found.Scan(into...); err != nil {
			return err
		}
		if err := each(); err != nil {
			return err
		}
	}
	return found.Err()
}

func idList(ids []int64) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(text, ",")
}

// queryRow scans one row of a raw query.
func queryRow(ctx context.Context, tx *ent.Tx, query string, into ...any) (err error) {
	rows, err := tx.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if !rows.Next() {
		return errors.Join(sql.ErrNoRows, rows.Err())
	}
	return rows.Scan(into...)
}

func queryIDs(ctx context.Context, tx *ent.Tx, query string, args ...any) (ids []int64, err error) {
	rows, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}
