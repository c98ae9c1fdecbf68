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
func (s *Store) PauseInstance(ctx context.Context, id int64, p job.Pause) (in job.Instance, err error) {
	err = s.tx(ctx, "pause instance", func(ctx context.Context, tx *ent.Tx) error {
		old, err := s.lockInstance(ctx, tx, id)
		if err != nil {
			return err
		}
		since := p.Since
		if !old.Pause.Over(p.Since) {
			since = old.Pause.Since
		}
		row, err := tx.Instance.UpdateOneID(id).SetPausedAt(micros(since)).SetPausedUntil(micros(p.Until)).
			SetPauseReason(p.Reason).SetPauseActor(p.Actor).Save(ctx)
		if err != nil {
			return err
		}
		in = instanceOf(row)
		return s.hold(ctx, tx, id, p)
	})
	return in, err
}

// holdJobs holds the jobs of instance $1 from $2 until $3. One that is held
// already stays so since then, and a slot that is overdue belongs to the pause.
const holdJobs = `
UPDATE schedules SET next_run = $3,
  held_at = CASE WHEN held_at > 0 THEN held_at WHEN active AND next_run > 0 AND next_run <= $2 THEN next_run - 1 ELSE $2 END,
  started = CASE WHEN started = 0 THEN 0 ELSE started - (SELECT count(*) FROM active_executions
    WHERE job_id = schedules.id AND scheduled_for > $2 AND ` + aheadOf + `) END
WHERE id IN (SELECT id FROM jobs WHERE instance_id = $1)`

// hold stops the jobs of an instance and takes back what was claimed ahead of
// its time. Replicas look again before they start what they have claimed.
func (s *Store) hold(ctx context.Context, tx *ent.Tx, instanceID int64, p job.Pause) error {
	now := micros(p.Since)
	if s.postgres() { // in the order of ids, as others lock them
		_, err := collect(ctx, tx, scanID, `
SELECT s.id FROM jobs j JOIN schedules s ON s.id = j.id WHERE j.instance_id = $1 ORDER BY s.id FOR UPDATE OF s`, instanceID)
		if err != nil {
			return err
		}
	}
	ahead := "instance_id = $1 AND scheduled_for > $2 AND " + aheadOf
	if err := s.lockActive(ctx, tx, ahead, instanceID, now); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, holdJobs, instanceID, now, micros(p.Until)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM active_executions WHERE "+ahead, instanceID, now)
	return err
}

// ResumeInstance implements store.Instances.
func (s *Store) ResumeInstance(ctx context.Context, id int64, now time.Time) (in job.Instance, err error) {
	err = s.tx(ctx, "resume instance", func(ctx context.Context, tx *ent.Tx) error {
		if in, err = s.lockInstance(ctx, tx, id); err != nil || in.Pause == nil {
			return err
		}
		row, err := tx.Instance.UpdateOneID(id).SetPausedAt(0).SetPausedUntil(0).SetPauseReason("").SetPauseActor("").Save(ctx)
		if err != nil {
			return err
		}
		in = instanceOf(row)
		// The ticker tells what a job has missed and moves it on.
		_, err = tx.ExecContext(ctx, `
UPDATE schedules SET next_run = $2 WHERE held_at > 0 AND id IN (SELECT id FROM jobs WHERE instance_id = $1)`, id, micros(now))
		if err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return in, err
}

// lockInstance locks an instance: no job is made in it, and nobody pauses or
// resumes it, until the transaction ends.
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

// shareInstance keeps an instance from being paused or resumed until the
// transaction, which makes a job in it, ends.
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
