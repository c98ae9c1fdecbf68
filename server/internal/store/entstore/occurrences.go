package entstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/occurrencechange"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// OccurrenceChanges implements store.Occurrences.
func (s *Store) OccurrenceChanges(ctx context.Context, jobID int64) (list []job.OccurrenceChange, err error) {
	err = s.query(ctx, "list changed occurrences", func(ctx context.Context, c *ent.Client) error {
		list, err = changesOf(ctx, c.OccurrenceChange, jobID)
		return err
	})
	return list, err
}

// changesOf lists the wishes of a job by slot.
func changesOf(ctx context.Context, c *ent.OccurrenceChangeClient, jobID int64) ([]job.OccurrenceChange, error) {
	rows, err := c.Query().Where(occurrencechange.JobID(jobID)).Order(occurrencechange.BySlot()).All(ctx)
	return mapAll(rows, changeOfRow), err
}

// ChangeOccurrences implements store.Occurrences.
func (s *Store) ChangeOccurrences(ctx context.Context, jobID int64, clock store.Clock, change func(*job.Job, time.Time) ([]job.Skip, error)) (result job.Job, err error) {
	defer s.change()()
	err = s.tx(ctx, "change occurrences", func(ctx context.Context, tx *ent.Tx) error {
		row, err := s.lockJob(ctx, tx, jobID)
		if err != nil {
			return err
		}
		now, err := s.lockAhead(ctx, tx, "job_id = $1", jobID, clock)
		if err != nil {
			return err
		}
		if result, err = jobByID(ctx, tx, jobID, now); err != nil {
			return err
		}
		old, err := changesOf(ctx, tx.OccurrenceChange, jobID)
		if err != nil {
			return err
		}
		result.Changes = slices.Clone(old)
		skips, err := change(&result, now)
		if err != nil || slices.Equal(old, result.Changes) {
			return err
		}
		if _, _, err := s.withdraw(ctx, tx, jobID, now); err != nil {
			return err
		}
		set, err := storeChanges(ctx, tx, jobID, old, result.Changes)
		if err != nil {
			return err
		}
		if err := refuseStarted(ctx, tx, jobID, set); err != nil {
			return err
		}
		if err := addSkips(ctx, tx, row, skips, forgotten(old, result.Changes, now)); err != nil {
			return err
		}
		if !result.Active {
			return nil // the ticker comes by when the pause ends
		}
		err = tx.Schedule.Update().Where(entschedule.ID(jobID)).SetNextRun(micros(result.NextRun)).SetStarted(result.Started).Exec(ctx)
		if err != nil {
			return err
		}
		return s.wakeFor(ctx, tx, result.NextRun, now)
	})
	if err != nil {
		return job.Job{}, err
	}
	return result, nil
}

// storeChanges stores the wishes that differ from the old ones and answers the
// slots for which there is a new one.
func storeChanges(ctx context.Context, tx *ent.Tx, jobID int64, old, wanted []job.OccurrenceChange) (set []time.Time, err error) {
	var gone []int64
	for _, c := range old {
		if !slices.Contains(wanted, c) {
			gone = append(gone, micros(c.Slot))
		}
	}
	if len(gone) > 0 {
		_, err := tx.OccurrenceChange.Delete().Where(occurrencechange.JobID(jobID), occurrencechange.SlotIn(gone...)).Exec(ctx)
		if err != nil {
			return nil, err
		}
	}
	for _, c := range wanted {
		if slices.Contains(old, c) {
			continue
		}
		moveTo := micros(c.MoveTo)
		if c.Done {
			moveTo = moveDone
		}
		if err := tx.OccurrenceChange.Create().SetJobID(jobID).SetSlot(micros(c.Slot)).SetMoveTo(moveTo).Exec(ctx); err != nil {
			return nil, err
		}
		set = append(set, c.Slot)
	}
	return set, nil
}

// refuseStarted refuses slots that have an execution by schedule.
func refuseStarted(ctx context.Context, tx *ent.Tx, jobID int64, slots []time.Time) error {
	for _, slot := range slots {
		started, err := single(ctx, tx, scanID, `
SELECT id FROM active_executions WHERE job_id = $1 AND scheduled_for = $2 AND trigger_id = ''
UNION ALL SELECT id FROM executions WHERE job_id = $1 AND scheduled_for = $2 AND trigger_id = ''`, jobID, micros(slot))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return err
		}
		id := job.KindExecution.Format(started)
		return &job.PreconditionError{
			Reason:   "ALREADY_STARTED",
			Message:  fmt.Sprintf("The occurrence has become %s already.", id),
			Metadata: map[string]string{"executionId": id},
		}
	}
	return nil
}
