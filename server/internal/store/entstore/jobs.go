package entstore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	entjob "github.com/pointscene/carillon/ent/job"
	"github.com/pointscene/carillon/ent/jobmemory"
	"github.com/pointscene/carillon/ent/jobresource"
	"github.com/pointscene/carillon/ent/occurrencechange"
	"github.com/pointscene/carillon/ent/resource"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// soon is how near a run must be for tickers to be woken up at once: one that
// sleeps claims what is due within two seconds and a half by itself.
const soon = 3 * time.Second

// CreateJob implements store.Jobs.
func (s *Store) CreateJob(ctx context.Context, j job.Job, req store.Request) (made job.Job, err error) {
	err = s.tx(ctx, "create job", func(ctx context.Context, tx *ent.Tx) error {
		return once(ctx, tx, req, func() (int64, error) {
			return s.insertJob(ctx, tx, j)
		}, func(id int64) error {
			made, err = jobByID(ctx, tx, id, time.Now())
			return err
		})
	})
	return made, err
}

func (s *Store) insertJob(ctx context.Context, tx *ent.Tx, j job.Job) (int64, error) {
	created := orNow(j.CreatedAt)
	in, err := s.shareInstance(ctx, tx, j.InstanceID)
	if err != nil {
		return 0, err
	}
	if err := s.countJob(ctx, tx, in); err != nil {
		return 0, err
	}
	pause := orNoPause(j.Pause)
	row, err := tx.Job.Create().SetInstanceID(j.InstanceID).SetName(j.Name).SetDescription(j.Description).SetWorkflow(string(j.Workflow)).
		SetLabels(j.Labels).SetVersion(1).SetCreatedAt(micros(created)).SetUpdatedAt(micros(created)).
		SetPauseReason(pause.Reason).SetPauseActor(pause.Actor).SetPauseReauth(pause.Reauth).SetManagedBy(j.ManagedBy).Save(ctx)
	if err != nil {
		return 0, nameTaken(j, err)
	}
	next := visit(j)
	err = tx.Schedule.Create().SetID(row.ID).SetInstanceID(j.InstanceID).SetActive(j.Active).SetNextRun(micros(next)).
		SetType(string(j.Schedule.Type)).SetCron(j.Schedule.Cron).SetMinutes(j.Schedule.IntervalMinutes).SetTimeZone(j.Schedule.TimeZone).
		SetAnchor(micros(j.Schedule.Anchor)).SetOptions(optionsText(j.Schedule.ScheduleOptions)).SetFolders(foldersText(j.Folders)).
		SetPolicies(policiesText(j.Policies)).SetPriority(j.Policies.Priority).SetVersion(1).
		SetPausedAt(micros(j.PausedAt)).SetPausedUntil(micros(pause.Until)).Exec(ctx)
	if err != nil {
		return 0, err
	}
	if err := addUses(ctx, tx, row.ID, j.InstanceID, j.ResourceIDs); err != nil {
		return 0, err
	}
	audit.Made(ctx, job.KindJob, row.ID, j.InstanceID)
	return row.ID, s.wakeFor(ctx, tx, next, time.Now())
}

// nameTaken tells a name that another job of the same manager has from other
// errors: it is the only unique index of the table.
func nameTaken(j job.Job, err error) error {
	if !isDuplicate(err) {
		return err
	}
	return &job.PreconditionError{
		Reason:   "MANAGED_NAME_TAKEN",
		Message:  fmt.Sprintf("The instance has another job %q that is managed by %q.", j.Name, j.ManagedBy),
		Metadata: map[string]string{"name": j.Name, "managedBy": j.ManagedBy},
	}
}

// visit is when the ticker comes by a job, zero for never.
func visit(j job.Job) time.Time {
	if j.Active {
		return j.NextRun
	}
	return orNoPause(j.Pause).Until
}

// orNoPause is p, or the pause of which nothing is known.
func orNoPause(p *job.Pause) job.Pause {
	if p == nil {
		return job.Pause{}
	}
	return *p
}

// addUses binds a job to resources of its instance; the references keep them
// from being deleted.
func addUses(ctx context.Context, tx *ent.Tx, jobID, instanceID int64, resourceIDs []int64) error {
	ids := slices.Compact(slices.Sorted(slices.Values(resourceIDs)))
	if len(ids) == 0 {
		return nil
	}
	gone := &job.PreconditionError{Reason: "RESOURCE_GONE", Message: "A resource that the workflow names is not in the instance any more."}
	found, err := tx.Resource.Query().Where(idsIn(ids), resource.InstanceID(instanceID)).Count(ctx)
	if err != nil {
		return err
	}
	if found != len(ids) {
		return gone
	}
	uses := make([]*ent.JobResourceCreate, len(ids))
	for i, id := range ids {
		uses[i] = tx.JobResource.Create().SetJobID(jobID).SetResourceID(id)
	}
	if err := tx.JobResource.CreateBulk(uses...).Exec(ctx); isReference(err) {
		return gone
	} else if err != nil {
		return err
	}
	return nil
}

// wakeFor tells the tickers about a run that is due before they look again.
func (s *Store) wakeFor(ctx context.Context, tx *ent.Tx, next, now time.Time) error {
	if next.IsZero() || next.Sub(now) > soon {
		return nil
	}
	return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
}

// UpdateJob implements store.Jobs.
func (s *Store) UpdateJob(ctx context.Context, id int64, clock store.Clock, change func(*job.Job, time.Time) (bool, []job.Skip, error)) (result job.Job, err error) {
	defer s.change()()
	err = s.tx(ctx, "update job", func(ctx context.Context, tx *ent.Tx) error {
		row, err := s.lockJob(ctx, tx, id)
		if err != nil {
			return err
		}
		now, err := s.lockAhead(ctx, tx, "job_id = $1", id, clock)
		if err != nil {
			return err
		}
		if result, err = jobByID(ctx, tx, id, now); err != nil {
			return err
		}
		j := result
		j.Labels, j.ResourceIDs = maps.Clone(j.Labels), slices.Clone(j.ResourceIDs)
		wishes, err := changesOf(ctx, tx.OccurrenceChange, id)
		if err != nil {
			return err
		}
		j.Changes = slices.Clone(wishes)
		changed, skips, err := change(&j, now)
		if err != nil || !changed {
			return err
		}
		if err := s.storeJob(ctx, tx, row, result, j, now); err != nil {
			return err
		}
		if _, err := storeChanges(ctx, tx, id, wishes, j.Changes); err != nil {
			return err
		}
		if err := addSkips(ctx, tx, row, skips, forgotten(wishes, j.Changes, now)); err != nil {
			return err
		}
		result, err = jobByID(ctx, tx, id, now)
		return err
	})
	if err != nil {
		return job.Job{}, err
	}
	return result, nil
}

// storeJob writes the new definition and takes back what was claimed under the
// old one.
func (s *Store) storeJob(ctx context.Context, tx *ent.Tx, row *ent.Schedule, old, j job.Job, now time.Time) error {
	version := old.Version + 1
	var pause job.Pause
	if !j.Active {
		pause = orNoPause(j.Pause)
	} else if !old.Active {
		if _, err := tx.ExecContext(ctx, stoodStill, old.ID, micros(old.PausedAt), micros(now)); err != nil {
			return err
		}
	}
	err := tx.Job.Update().Where(entjob.ID(row.ID)).SetName(j.Name).SetDescription(j.Description).SetWorkflow(string(j.Workflow)).
		SetLabels(j.Labels).SetVersion(version).SetUpdatedAt(micros(now)).
		SetPauseReason(pause.Reason).SetPauseActor(pause.Actor).SetPauseReauth(pause.Reauth).SetManagedBy(j.ManagedBy).Exec(ctx)
	if err != nil {
		return nameTaken(j, err)
	}
	next := visit(j)
	err = tx.Schedule.Update().Where(entschedule.ID(row.ID)).SetActive(j.Active).SetNextRun(micros(next)).
		SetType(string(j.Schedule.Type)).SetCron(j.Schedule.Cron).SetMinutes(j.Schedule.IntervalMinutes).SetTimeZone(j.Schedule.TimeZone).
		SetAnchor(micros(j.Schedule.Anchor)).SetOptions(optionsText(j.Schedule.ScheduleOptions)).SetFolders(foldersText(j.Folders)).
		SetPolicies(policiesText(j.Policies)).SetPriority(j.Policies.Priority).SetStarted(j.Started).SetFailures(j.Failures).
		SetVersion(version).SetPausedAt(micros(j.PausedAt)).SetPausedUntil(micros(pause.Until)).Exec(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(old.ResourceIDs, j.ResourceIDs) {
		if _, err := tx.JobResource.Delete().Where(jobresource.JobID(row.ID)).Exec(ctx); err != nil {
			return err
		}
		if err := addUses(ctx, tx, row.ID, row.InstanceID, j.ResourceIDs); err != nil {
			return err
		}
	}
	if _, _, err := s.withdraw(ctx, tx, row.ID, now); err != nil {
		return err
	}
	if folders := foldersText(j.Folders); folders != row.Folders {
		// What waits runs the new workflow; what runs keeps the folders it has.
		_, err := tx.ExecContext(ctx, `UPDATE active_executions SET trees = $2, waiting_for = 0 WHERE job_id = $1 AND owner = 0`, row.ID, folders)
		if err != nil {
			return err
		}
	}
	return s.wakeFor(ctx, tx, next, now)
}

// DeleteJob implements store.Jobs.
func (s *Store) DeleteJob(ctx context.Context, id int64, clock store.Clock, check func(job.Job) error) error {
	defer s.change()()
	return s.tx(ctx, "delete job", func(ctx context.Context, tx *ent.Tx) error {
		if _, err := s.lockJob(ctx, tx, id); err != nil {
			return err
		}
		now, err := s.lockAhead(ctx, tx, "job_id = $1", id, clock)
		if err != nil {
			return err
		}
		j, err := jobByID(ctx, tx, id, now)
		if err != nil {
			return err
		}
		if err := check(j); err != nil {
			return err
		}
		if err := s.lockActive(ctx, tx, "job_id = $1", id); err != nil {
			return err
		}
		if _, _, err := s.withdraw(ctx, tx, id, now); err != nil {
			return err
		}
		why := &job.Failure{Code: "CANCELLED", Reason: "JOB_DELETED", Message: "The job was deleted."}
		if err := archive(ctx, tx, "job_id = $1 AND owner = 0", id, now, why); err != nil {
			return err
		}
		if err := s.askToEnd(ctx, tx, "job_id = $1", id, why); err != nil {
			return err
		}
		if _, err := tx.OccurrenceChange.Delete().Where(occurrencechange.JobID(id)).Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.JobMemory.Delete().Where(jobmemory.JobID(id)).Exec(ctx); err != nil {
			return err
		}
		for _, table := range []string{"job_streaks WHERE id = $1", "job_freshnesses WHERE job_id = $1"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table, id); err != nil {
				return err
			}
		}
		if err := tx.Schedule.DeleteOneID(id).Exec(ctx); err != nil {
			return err
		}
		return tx.Job.DeleteOneID(id).Exec(ctx) // its uses go with it
	})
}

// lockJob locks the job's schedule row: nobody claims executions of the job or
// changes it until the transaction ends.
func (s *Store) lockJob(ctx context.Context, tx *ent.Tx, id int64) (*ent.Schedule, error) {
	q := tx.Schedule.Query().Where(entschedule.ID(id))
	if s.postgres() {
		q.ForUpdate()
	}
	return q.Only(ctx)
}
