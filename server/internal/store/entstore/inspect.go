package entstore

import (
	"context"
	"time"

	"github.com/pointscene/carillon/ent"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// buried is how long after its lease's end a replica must be gone: the others
// look for dead ones twice a second.
const buried = 30 * time.Second

// OverdueJobs implements store.Inspection.
func (s *Store) OverdueJobs(ctx context.Context, before time.Time, limit int) (list []store.Overdue, err error) {
	err = s.query(ctx, "look for overdue jobs", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Schedule.Query().Where(entschedule.NextRunGT(0), entschedule.NextRunLT(micros(before))).
			Order(ent.Asc(entschedule.FieldNextRun)).Limit(limit).All(ctx)
		list = mapAll(rows, func(row *ent.Schedule) store.Overdue {
			return store.Overdue{JobID: row.ID, InstanceID: row.InstanceID, NextRun: timeOf(row.NextRun)}
		})
		return err
	})
	return list, err
}

const openColumns = `a.id, a.job_id, a.instance_id, a.state, a.owner, a.not_before, a.started_at`

func scanOpen(scan func(...any) error, more ...any) (o store.Open, err error) {
	var notBefore, started int64
	err = scan(append([]any{&o.ExecutionID, &o.JobID, &o.InstanceID, &o.State, &o.Owner, &notBefore, &started}, more...)...)
	o.NotBefore, o.StartedAt = timeOf(notBefore), timeOf(started)
	return o, err
}

func scanPlain(scan func(...any) error) (store.Open, error) { return scanOpen(scan) }

// orphans takes as $1 since when a replica's lease must not have ended.
const orphans = `
SELECT ` + openColumns + ` FROM active_executions a
WHERE a.owner <> 0 AND NOT EXISTS (SELECT 1 FROM replicas r WHERE r.id = a.owner AND r.lease_until >= $1)
ORDER BY a.id LIMIT $2`

// Orphans implements store.Inspection.
func (s *Store) Orphans(ctx context.Context, limit int) (list []store.Open, err error) {
	err = s.query(ctx, "look for orphaned executions", func(ctx context.Context, c *ent.Client) error {
		now, err := s.databaseTime(ctx, c)
		if err != nil {
			return err
		}
		since := int64(1) // on SQLite leases are not renewed, but may be given up: the one process holds the data directory
		if s.postgres() {
			since = micros(now.Add(-buried))
		}
		list, err = collect(ctx, c, scanPlain, orphans, since, limit)
		return err
	})
	return list, err
}

// One that waits behind another one of its job, or for one that has or gets its
// folders first, waits for something. One that waits for approval does until it
// expires, which is its not_before.
const stuckWaiting = `
SELECT ` + openColumns + ` FROM active_executions a
WHERE a.state IN ('QUEUED', 'AWAITING_APPROVAL') AND a.not_before < $1 AND (a.owner = 0 OR a.started_at = 0)
  AND NOT (a.waits AND EXISTS (SELECT 1 FROM active_executions o WHERE o.job_id = a.job_id AND o.id <> a.id))
  AND NOT (a.waiting_for <> 0 AND EXISTS (SELECT 1 FROM active_executions o
    WHERE length(o.trees) > 0 AND o.state <> 'AWAITING_APPROVAL'
      AND (o.id = a.waiting_for OR a.waiting_for < 0 AND o.instance_id <> a.instance_id)))
ORDER BY a.not_before LIMIT $2`

// The words CROSS JOIN make SQLite begin with the few that are active, where it would
// read every schedule for the time limits.
const runningWithLimit = `
SELECT ` + openColumns + `, s.policies FROM active_executions a CROSS JOIN schedules s
WHERE s.id = a.job_id AND a.owner <> 0 AND a.started_at > 0 AND a.started_at < $1 AND s.policies LIKE '%"timeLimit"%'
ORDER BY a.started_at LIMIT $2`

// Stuck implements store.Inspection.
func (s *Store) Stuck(ctx context.Context, before time.Time, limit int) (list []store.Open, err error) {
	err = s.query(ctx, "look for stuck executions", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanPlain, stuckWaiting, micros(before), limit)
		if err != nil {
			return err
		}
		limited, err := collect(ctx, c, scanLimited, runningWithLimit, micros(before), limit)
		for _, o := range limited {
			if o.TimeLimit > 0 && o.StartedAt.Add(o.TimeLimit).Before(before) && len(list) < limit {
				list = append(list, o)
			}
		}
		return err
	})
	return list, err
}

func scanLimited(scan func(...any) error) (store.Open, error) {
	var text string
	o, err := scanOpen(scan, &text)
	if err != nil {
		return o, err
	}
	p, err := policiesOf(text)
	o.TimeLimit = p.TimeLimit
	return o, err
}

// A second execution of an occurrence that is found when it ends is kept under
// a trigger id of its own (Finish). One that has not ended has the other one in
// the history.
const (
	doublesEnded = `
SELECT job_id, instance_id, scheduled_for, id FROM (
  SELECT job_id, instance_id, scheduled_for, id, "trigger", trigger_id FROM executions ORDER BY id DESC LIMIT $1) h
WHERE h."trigger" = 'SCHEDULE' AND h.trigger_id <> '' ORDER BY id LIMIT $2`
	doublesOpen = `
SELECT a.job_id, a.instance_id, a.scheduled_for, a.id FROM (
  SELECT job_id, instance_id, scheduled_for, id, "trigger" FROM active_executions ORDER BY id DESC LIMIT $1) a
WHERE a."trigger" = 'SCHEDULE' AND EXISTS (
  SELECT 1 FROM executions e WHERE e.job_id = a.job_id AND e.scheduled_for = a.scheduled_for AND e."trigger" = 'SCHEDULE')
ORDER BY a.id LIMIT $2`
)

// Doubles implements store.Inspection.
func (s *Store) Doubles(ctx context.Context, newest, limit int) (list []store.Double, err error) {
	scanDouble := func(scan func(...any) error) (d store.Double, err error) {
		var scheduled int64
		err = scan(&d.JobID, &d.InstanceID, &scheduled, &d.ExecutionID)
		d.ScheduledFor = timeOf(scheduled)
		return d, err
	}
	err = s.query(ctx, "look for doubled executions", func(ctx context.Context, c *ent.Client) error {
		list = nil
		for _, query := range []string{doublesEnded, doublesOpen} {
			found, err := collect(ctx, c, scanDouble, query, newest, limit)
			if err != nil {
				return err
			}
			list = append(list, found...)
		}
		return nil
	})
	return list[:min(limit, len(list))], err
}

// AllJobs implements store.Inspection.
func (s *Store) AllJobs(ctx context.Context, page store.Page) (list []job.Job, err error) {
	err = s.query(ctx, "list all jobs", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanJob, jobQuery+"WHERE j.id < $2 ORDER BY j.id DESC LIMIT $3", micros(time.Now()), before(page), page.Limit)
		return err
	})
	return list, err
}

// toldOf is a question of the indexes for each job, whatever the tables hold.
func (s *Store) toldOf() string {
	one := s.inList("job_id", 1)
	return `
SELECT job_id FROM active_executions WHERE ` + one + `
UNION SELECT job_id FROM executions WHERE ` + one + ` AND scheduled_for >= $2 AND scheduled_for < $3
UNION SELECT job_id FROM skips WHERE ` + one + ` AND last >= $2 AND first < $3
UNION SELECT job_id FROM occurrence_changes WHERE ` + one
}

// Told implements store.Inspection.
func (s *Store) Told(ctx context.Context, jobIDs []int64, from, to time.Time) (told map[int64]bool, err error) {
	err = s.query(ctx, "look which jobs have a ledger", func(ctx context.Context, c *ent.Client) error {
		found, err := collect(ctx, c, scanID, s.toldOf(), s.list(jobIDs), micros(from), micros(to))
		told = make(map[int64]bool, len(found))
		for _, id := range found {
			told[id] = true
		}
		return err
	})
	return told, err
}

const runsBetween = `
SELECT id, scheduled_for FROM active_executions WHERE job_id = $1 AND scheduled_for >= $2 AND scheduled_for < $3 AND "trigger" = 'SCHEDULE'
UNION ALL
SELECT id, scheduled_for FROM executions WHERE job_id = $1 AND scheduled_for >= $2 AND scheduled_for < $3 AND "trigger" = 'SCHEDULE'
ORDER BY scheduled_for, id`

// Runs implements store.Inspection.
func (s *Store) Runs(ctx context.Context, jobID int64, from, to time.Time) (runs []store.Run, err error) {
	err = s.query(ctx, "read the runs of a job", func(ctx context.Context, c *ent.Client) error {
		runs, err = collect(ctx, c, func(scan func(...any) error) (r store.Run, err error) {
			var scheduled int64
			err = scan(&r.ExecutionID, &scheduled)
			r.ScheduledFor = timeOf(scheduled)
			return r, err
		}, runsBetween, jobID, micros(from), micros(to))
		return err
	})
	return runs, err
}

// What lies before the newest is taken for a start: nobody knows that there was
// none.
const takenUp = `
WITH newest AS (SELECT created_at, started_at, finished_at, attempt FROM executions WHERE job_id = $1 ORDER BY id DESC LIMIT $4)
SELECT EXISTS (SELECT 1 FROM newest WHERE started_at >= $2 AND started_at < $3 OR created_at >= $2 AND created_at < $3
  OR attempt > 1 AND created_at < $3 AND finished_at >= $2)
OR (SELECT count(*) = $4 AND min(created_at) > $2 FROM newest)
OR EXISTS (SELECT 1 FROM active_executions WHERE job_id = $1 AND created_at < $3 AND (started_at >= $2 AND started_at < $3 OR created_at >= $2
  OR attempt > 1 OR attempt = 1 AND started_at = 0))`

// TakenUp implements store.Inspection.
func (s *Store) TakenUp(ctx context.Context, jobID int64, from, to time.Time, newest int) (taken bool, err error) {
	err = s.query(ctx, "look for starts of a job", func(ctx context.Context, c *ent.Client) error {
		taken, err = single(ctx, c, func(scan func(...any) error) (found bool, err error) {
			err = scan(&found)
			return found, err
		}, takenUp, jobID, micros(from), micros(to), newest)
		return err
	})
	return taken, err
}
