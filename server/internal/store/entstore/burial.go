package entstore

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

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
	if _, err := single(ctx, tx, scanID, pgAlive, self); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, pgRemoveDead, dead)
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
	var found []suspect
	err = s.run(ctx, "look for dead replicas", func(ctx context.Context) (err error) {
		if !s.postgres() {
			found, err = collect(ctx, s.read, scanSuspect, liteSuspects, self)
			return err
		}
		rows, err := s.engine.Query(ctx, pgSuspects, self)
		if err == nil {
			found, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (suspect, error) { return scanSuspect(r.Scan) })
		}
		return err
	})
	for _, one := range found {
		if one.surely {
			dead = append(dead, one.id)
		} else {
			silent = append(silent, one.id)
		}
	}
	return dead, silent, err
}

// suspect is a replica that looks dead.
type suspect struct {
	id     int64
	surely bool
}

func scanSuspect(scan func(...any) error) (p suspect, err error) {
	err = scan(&p.id, &p.surely)
	return p, err
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
	if _, err := collect(ctx, tx, scanID, inOrder); err != nil {
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
	ids, err := collect(ctx, tx, scanID, `
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
