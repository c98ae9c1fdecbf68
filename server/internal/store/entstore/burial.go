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
// The first sign counts only for one that has renewed its own lease for longer
// than a lease without a gap: while the database was away, or when its clock made
// a step, nobody could renew, and everybody gets a lease's time to come back. The
// second counts only while a lease lasts, and once the server itself has been up
// for longer than one, since a restart takes everybody's connections. On SQLite
// there is one process, which holds the data directory: every other row is dead.

// aliveAfterRestart is for how long after the database's start only leases
// count.
const aliveAfterRestart = "15 seconds"

// ownerless are executions whose owner is no replica any more.
const ownerless = `owner <> 0 AND owner NOT IN (SELECT id FROM replicas)`

// orphaned is a row with id 0 when there are ownerless ones. A claim keeps its
// owner from being buried, and who leaves any behind stays to be buried; so there
// are none but by another hand. To look costs a walk through all that is active,
// hence once.
const orphaned = ` UNION ALL SELECT 0, true WHERE EXISTS (SELECT 1 FROM active_executions WHERE ` + ownerless + `)`

// These ask about a replica r, with self as $1, its lease in microseconds as $2 and
// its session as $3: whether r's lease has ended, whether none of r's connections is
// left, and whether self may judge by leases.
const (
	pgNow    = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
	pgEnded  = `r.lease_until < ` + pgNow
	pgSilent = `(pg_postmaster_start_time() < clock_timestamp() - interval '` + aliveAfterRestart + `'
  AND r.role = current_user
  AND NOT EXISTS (SELECT 1 FROM pg_stat_activity a WHERE a.application_name = r.session))`
	pgSteady = `EXISTS (SELECT 1 FROM replicas s WHERE s.id = $1 AND s.lease_until >= ` + pgNow + ` AND s.steady_since <= ` + pgNow + ` - $2)`
	// What this process was before has stored what it knows, and so has who gave the
	// lease up.
	pgSurely = `(` + pgEnded + ` AND (r.lease_until = 0 OR r.session = $3 OR ` + pgSteady + `))`
	pgDead   = `r.id <> $1 AND (` + pgSurely + ` OR NOT ` + pgEnded + ` AND ` + pgSilent + `)`
)

// pgSuspects lists replicas that look dead, and tells of which the lease has
// ended; the others have no connection left.
const pgSuspects = `
SELECT r.id, ` + pgSurely + ` FROM replicas r WHERE ` + pgDead

const liteSuspects = `SELECT id, true FROM replicas WHERE id <> ?1`

// A living replica that lost its connections alone connects again within
// connectsWithin. Where all may have lost theirs, by a failover or a crash that a
// standby or the postmaster survived, each gets reconnectsWithin from then on.
const (
	connectsWithin   = 250 * time.Millisecond
	reconnectsWithin = 2 * time.Second
)

// pgBroken is how many seconds ago all connections may have been lost, at the
// latest: none that a replica has is older. It does not matter to a silent replica
// whose first connections, which were made within a second, came after the oldest.
const pgBroken = `
SELECT coalesce(min((
  SELECT CASE WHEN min(a.backend_start) < to_timestamp(r.started_at / 1000000.0) + interval '1 second' THEN 3600
    ELSE coalesce(extract(epoch FROM clock_timestamp() - min(a.backend_start)), 0) END
  FROM pg_stat_activity a JOIN replicas o ON o.session = a.application_name WHERE a.usename = current_user)), 3600)::float8
FROM replicas r WHERE r.id = ANY($1)`

// patience is for how long silent replicas are looked at before they are buried.
func (s *Store) patience(ctx context.Context, silent []int64) (time.Duration, error) {
	var seconds float64
	err := s.run(ctx, "look how old the connections are", func(ctx context.Context) error {
		return s.engine.QueryRow(ctx, pgBroken, silent).Scan(&seconds)
	})
	left := reconnectsWithin - time.Duration(seconds*float64(time.Second))
	return min(max(left, connectsWithin), reconnectsWithin), err
}

// Bury implements store.Replicas. Most calls find nothing, and cost one
// statement.
func (s *Store) Bury(ctx context.Context, self int64, lease time.Duration) (lost []store.Lost, err error) {
	dead, silent, err := s.suspects(ctx, self, lease)
	if err == nil && len(silent) > 0 {
		dead, err = s.confirm(ctx, self, lease, silent)
	}
	if err != nil {
		return nil, err
	}
	if len(dead) == 0 {
		s.orphansSought.Store(true)
		return nil, nil
	}
	s.cutOff(ctx, dead)
	err = s.tx(ctx, "bury replicas", func(ctx context.Context, tx *ent.Tx) error {
		if err := s.removeDead(ctx, tx, self, lease, dead); err != nil {
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
  SELECT r.id FROM replicas r WHERE r.id = ANY($4) AND ` + pgDead + ` FOR UPDATE OF r SKIP LOCKED)`

// removeDead removes replicas that self found dead, if self lives.
func (s *Store) removeDead(ctx context.Context, tx *ent.Tx, self int64, lease time.Duration, dead []int64) error {
	if !s.postgres() {
		_, err := tx.Replica.Delete().Where(replica.IDIn(dead...), replica.IDNEQ(self)).Exec(ctx)
		return err
	}
	if _, err := single(ctx, tx, scanID, pgAlive, self); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, pgRemoveDead, self, lease.Microseconds(), s.session, dead)
	return err
}

// confirm looks again after a while: what is surely dead by then, and which of the
// silent ones still are.
func (s *Store) confirm(ctx context.Context, self int64, lease time.Duration, silent []int64) ([]int64, error) {
	wait, err := s.patience(ctx, silent)
	if err != nil || !pauseFor(ctx, wait) {
		return nil, err
	}
	dead, still, err := s.suspects(ctx, self, lease)
	return append(dead, slices.DeleteFunc(still, func(id int64) bool { return !slices.Contains(silent, id) })...), err
}

// suspects answers what is surely dead, 0 for executions whose owner is gone,
// and the replicas that have no connection at this moment.
func (s *Store) suspects(ctx context.Context, self int64, lease time.Duration) (dead, silent []int64, err error) {
	var found []suspect
	orphans := ""
	if !s.orphansSought.Load() {
		orphans = orphaned
	}
	err = s.run(ctx, "look for dead replicas", func(ctx context.Context) (err error) {
		if !s.postgres() {
			found, err = collect(ctx, s.read, scanSuspect, liteSuspects+orphans, self)
			return err
		}
		rows, err := s.engine.Query(ctx, pgSuspects+orphans, self, lease.Microseconds(), s.session)
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
		clock = pgNow
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
