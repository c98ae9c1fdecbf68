package entstore

import (
	"context"
	"database/sql"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// jobQuery reads jobs as of $1 in one statement, so that definition, schedule
// and what is derived agree. An execution that was claimed ahead of its time
// is still the job's next run, and not counted yet as started.
const jobQuery = `
SELECT j.id, j.instance_id, j.name, j.description, j.managed_by, j.workflow, j.labels, j.version, j.created_at, j.updated_at,
  s.active, s.next_run, s.type, s.cron, s.minutes, s.time_zone, s.anchor, s.policies, s.paused_at,
  s.extras, s.trees, s.started, s.failures, j.pause_reason, j.pause_actor, j.pause_reauth, s.paused_until,
  i.pause_reason, i.pause_actor, i.paused_at, i.paused_until,
  EXISTS (SELECT 1 FROM occurrence_changes c WHERE c.job_id = j.id AND c.slot = s.next_run AND c.move_to = 0),
  (SELECT string_agg(CAST(u.resource_id AS text), ' ') FROM job_resources u WHERE u.job_id = j.id),
  (SELECT min(a.scheduled_for) FROM active_executions a WHERE a.job_id = j.id AND a.not_before > $1 AND ` + aheadOf + `),
  (SELECT count(*) FROM active_executions a WHERE a.job_id = j.id AND a.not_before > $1 AND ` + aheadOf + `),
  (SELECT max(a.started_at) FROM active_executions a WHERE a.job_id = j.id),
  (SELECT e.started_at FROM executions e WHERE e.job_id = j.id AND e.started_at > 0 ORDER BY e.id DESC LIMIT 1)
FROM jobs j JOIN schedules s ON s.id = j.id JOIN instances i ON i.id = j.instance_id
`

// aheadOf are rows made by the schedule that no replica has started; with
// not_before in the future they were claimed ahead of their time, or wait for
// it by jitter. Whether they have an owner makes no difference. What a caller
// has moved is never claimed ahead, and not among them.
const aheadOf = `"trigger" = 'SCHEDULE' AND started_at = 0 AND attempt <= 1 AND not_before >= scheduled_for`

// Job implements store.Jobs.
func (s *Store) Job(ctx context.Context, id int64) (j job.Job, err error) {
	err = s.query(ctx, "read job", func(ctx context.Context, c *ent.Client) error {
		j, err = jobByID(ctx, c, id, time.Now())
		return err
	})
	return j, err
}

// Jobs implements store.Jobs.
func (s *Store) Jobs(ctx context.Context, instanceID int64, page store.Page) (list []job.Job, err error) {
	err = s.query(ctx, "list jobs", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanJob, jobQuery+"WHERE j.instance_id = $2 AND j.id < $3 ORDER BY j.id DESC LIMIT $4",
			micros(time.Now()), instanceID, before(page), page.Limit)
		return err
	})
	return list, err
}

func jobByID(ctx context.Context, q querier, id int64, now time.Time) (job.Job, error) {
	return single(ctx, q, scanJob, jobQuery+"WHERE j.id = $2", micros(now), id)
}

// scanJob maps a row of jobQuery.
func scanJob(scan func(...any) error) (job.Job, error) {
	var j job.Job
	var labels []byte
	var workflow, policies, options, folders string
	var created, updated, next, anchor, paused, early int64
	var own, instance pauseColumns
	var uses sql.NullString
	var ahead, running, ended sql.NullInt64
	err := scan(&j.ID, &j.InstanceID, &j.Name, &j.Description, &j.ManagedBy, &workflow, &labels, &j.Version, &created, &updated,
		&j.Active, &next, &j.Schedule.Type, &j.Schedule.Cron, &j.Schedule.IntervalMinutes, &j.Schedule.TimeZone, &anchor, &policies, &paused,
		&options, &folders, &j.Started, &j.Failures, &own.reason, &own.actor, &own.reauth, &own.until,
		&instance.reason, &instance.actor, &instance.since, &instance.until, &j.NextLeftOut, &uses, &ahead, &early, &running, &ended)
	if err != nil {
		return j, err
	}
	j.Workflow = []byte(workflow)
	j.CreatedAt, j.UpdatedAt, j.PausedAt = timeOf(created), timeOf(updated), timeOf(paused)
	j.Schedule.Anchor = timeOf(anchor)
	if ahead.Valid && (next == 0 || ahead.Int64 < next) {
		next, j.NextLeftOut = ahead.Int64, false
	}
	own.since = paused
	j.Pause, j.Hold = own.pause(0), instance.pause(j.InstanceID)
	if j.Active {
		j.NextRun = timeOf(next)
	}
	j.Started = max(0, j.Started-early)
	j.LastRun = timeOf(max(running.Int64, ended.Int64))
	if j.Labels, err = labelsOf(labels); err != nil {
		return j, err
	}
	if j.ResourceIDs, err = usesOf(uses.String); err != nil {
		return j, err
	}
	if j.Schedule.ScheduleOptions, err = optionsOf(options); err != nil {
		return j, err
	}
	if j.Folders, err = foldersOf(folders); err != nil {
		return j, err
	}
	j.Policies, err = policiesOf(policies)
	return j, err
}
