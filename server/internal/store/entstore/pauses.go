package entstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/instance"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// PauseInstance implements store.Instances.
func (s *Store) PauseInstance(ctx context.Context, id int64, clock store.Clock, p job.Pause) (in job.Instance, err error) {
	defer s.change()()
	err = s.tx(ctx, "pause instance", func(ctx context.Context, tx *ent.Tx) error {
		old, err := s.lockInstance(ctx, tx, id)
		if err != nil {
			return err
		}
		now, err := s.withdrawAll(ctx, tx, id, clock)
		if err != nil {
			return err
		}
		since := now
		if !old.Pause.Over(now) {
			since = old.Pause.Since
		} else if old.Pause != nil {
			_, err := tx.ExecContext(ctx, stoodStillBefore, id, micros(old.Pause.Since), micros(old.Pause.Until))
			if err != nil {
				return err
			}
		}
		row, err := tx.Instance.UpdateOneID(id).SetPausedAt(micros(since)).SetPausedUntil(micros(p.Until)).
			SetPauseReason(p.Reason).SetPauseActor(p.Actor).Save(ctx)
		if err != nil {
			return err
		}
		in = instanceOf(row)
		return nil
	})
	return in, err
}

// withdrawAll takes back what was claimed ahead of its time for the jobs of an
// instance that is locked, so that nothing more is claimed, and answers the
// time from which on nothing starts. Only jobs with such claims are touched.
// Replicas look again before they start what they have claimed.
func (s *Store) withdrawAll(ctx context.Context, tx *ent.Tx, instanceID int64, clock store.Clock) (time.Time, error) {
	const ahead = "instance_id = $1 AND " + aheadOf
	jobs := "SELECT id FROM schedules WHERE id IN (SELECT job_id FROM active_executions WHERE " + ahead + ") ORDER BY id"
	if s.postgres() { // in the order of ids, as others lock them
		jobs += " FOR UPDATE"
	}
	if _, err := collect(ctx, tx, scanID, jobs, instanceID); err != nil {
		return time.Time{}, err
	}
	now, err := s.lockAhead(ctx, tx, "instance_id = $1", instanceID, clock)
	if err != nil {
		return now, err
	}
	for _, step := range []string{dueAgain, "DELETE FROM active_executions WHERE not_before > $2 AND " + ahead} {
		if _, err := tx.ExecContext(ctx, step, instanceID, micros(now)); err != nil {
			return now, err
		}
	}
	return now, nil
}

// dueAgain puts jobs of instance $1 back to what was claimed for after $2.
const dueAgain = `
UPDATE schedules SET
  next_run = (SELECT min(scheduled_for) FROM active_executions WHERE job_id = schedules.id AND not_before > $2 AND ` + aheadOf + `),
  started = CASE WHEN started = 0 THEN 0 ELSE started - (SELECT count(*) FROM active_executions
    WHERE job_id = schedules.id AND not_before > $2 AND ` + aheadOf + `) END
WHERE id IN (SELECT job_id FROM active_executions WHERE instance_id = $1 AND not_before > $2 AND ` + aheadOf + `)`

// ResumeInstance implements store.Instances.
func (s *Store) ResumeInstance(ctx context.Context, id int64, clock store.Clock) (in job.Instance, err error) {
	err = s.tx(ctx, "resume instance", func(ctx context.Context, tx *ent.Tx) error {
		if in, err = s.lockInstance(ctx, tx, id); err != nil {
			return err
		}
		now := clock()
		if in.Pause.Over(now) {
			return nil
		}
		row, err := tx.Instance.UpdateOneID(id).SetPausedUntil(micros(now)).Save(ctx)
		if err != nil {
			return err
		}
		in = instanceOf(row)
		if _, err := tx.ExecContext(ctx, lookAtFreshness, id, micros(now)); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return in, err
}

// lockInstance locks an instance: no job is made in it, nothing is claimed for
// it, and nobody pauses or resumes it, until the transaction ends.
func (s *Store) lockInstance(ctx context.Context, tx *ent.Tx, id int64) (job.Instance, error) {
	q := tx.Instance.Query().Where(instance.ID(id))
	if s.postgres() {
		q.ForUpdate()
	}
	row, err := q.Only(ctx)
	if err != nil {
		return job.Instance{}, err
	}
	return instanceOf(row), nil
}

// shareInstance keeps an instance from being deleted until the transaction,
// which makes a job in it, ends.
func (s *Store) shareInstance(ctx context.Context, tx *ent.Tx, id int64) (job.Instance, error) {
	q := tx.Instance.Query().Where(instance.ID(id))
	if s.postgres() {
		q.ForShare()
	}
	row, err := q.Only(ctx)
	if ent.IsNotFound(err) {
		return job.Instance{}, fmt.Errorf("instance %d: %w", id, store.ErrNotFound)
	}
	if err != nil {
		return job.Instance{}, err
	}
	return instanceOf(row), nil
}
