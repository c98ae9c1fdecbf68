package entstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/backfill"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// CreateBackfill implements store.Backfills.
func (s *Store) CreateBackfill(ctx context.Context, b job.Backfill, req store.Request) (made job.Backfill, err error) {
	err = s.tx(ctx, "backfill job", func(ctx context.Context, tx *ent.Tx) error {
		row, err := s.lockJob(ctx, tx, b.JobID)
		if err != nil {
			return err
		}
		return once(ctx, tx, req, func() (int64, error) {
			if err := refuseMany(ctx, tx, b.JobID); err != nil {
				return 0, err
			}
			added, err := tx.Backfill.Create().SetJobID(b.JobID).SetInstanceID(row.InstanceID).
				SetRangeFrom(micros(b.From)).SetRangeTo(micros(b.To)).SetConcurrency(b.Concurrency).SetOverlap(string(b.Overlap)).
				SetState(string(job.BackfillRunning)).SetTotal(b.Total).SetStarted(0).SetCursor(micros(b.From)).
				SetCreatedAt(micros(orNow(b.CreatedAt))).SetFinishedAt(0).Save(ctx)
			if err != nil {
				return 0, err
			}
			audit.Made(ctx, job.KindBackfill, added.ID, row.InstanceID)
			return added.ID, s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
		}, func(id int64) error {
			row, err := tx.Backfill.Get(ctx, id)
			if err != nil {
				return err
			}
			made = backfillOf(row)
			return nil
		})
	})
	return made, err
}

// refuseMany refuses a backfill beyond those that a job may have open.
func refuseMany(ctx context.Context, tx *ent.Tx, jobID int64) error {
	open, err := tx.Backfill.Query().Where(backfill.JobID(jobID), backfill.FinishedAt(0)).Count(ctx)
	if err == nil && open >= job.MaxOpenBackfills {
		err = &job.ExhaustedError{
			Reason: job.SkipQuota, Message: fmt.Sprintf("%d backfills of the job have not ended; wait for one, or cancel one.", open),
		}
	}
	return err
}

// Backfill implements store.Backfills.
func (s *Store) Backfill(ctx context.Context, id int64) (b job.Backfill, err error) {
	err = s.query(ctx, "read backfill", func(ctx context.Context, c *ent.Client) error {
		row, err := c.Backfill.Get(ctx, id)
		if err != nil {
			return err
		}
		b = backfillOf(row)
		return nil
	})
	return b, err
}

// CancelBackfill implements store.Backfills.
func (s *Store) CancelBackfill(ctx context.Context, id int64, now time.Time, why job.Failure) (b job.Backfill, err error) {
	err = s.tx(ctx, "cancel backfill", func(ctx context.Context, tx *ent.Tx) error {
		row, err := tx.Backfill.Get(ctx, id)
		if err != nil {
			return err
		}
		// The job may be deleted: then nobody advances its backfills.
		if _, err := s.lockJob(ctx, tx, row.JobID); err != nil && !ent.IsNotFound(err) {
			return err
		}
		if row, err = tx.Backfill.Get(ctx, id); err != nil {
			return err
		}
		b = backfillOf(row)
		switch b.State {
		case job.BackfillCancelled:
			return nil
		case job.BackfillFinished:
			return &job.PreconditionError{Reason: "ALREADY_ENDED", Message: "The backfill has ended already."}
		}
		if row, err = row.Update().SetState(string(job.BackfillCancelled)).SetFinishedAt(micros(now)).Save(ctx); err != nil {
			return err
		}
		b = backfillOf(row)
		return s.endExecutionsOf(ctx, tx, b, now, why)
	})
	if err != nil {
		return job.Backfill{}, err
	}
	return b, nil
}

// endExecutionsOf ends those executions of a backfill that have not ended.
func (s *Store) endExecutionsOf(ctx context.Context, tx *ent.Tx, b job.Backfill, now time.Time, why job.Failure) error {
	mine := fmt.Sprintf(`job_id = $1 AND "trigger" = 'BACKFILL' AND trigger_id = '%s'`, job.KindBackfill.Format(b.ID))
	if err := s.lockActive(ctx, tx, mine, b.JobID); err != nil {
		return err
	}
	if err := archive(ctx, tx, mine+" AND owner = 0", b.JobID, now, &why); err != nil {
		return err
	}
	return s.askToEnd(ctx, tx, mine, b.JobID, &why)
}

// pruneBackfills deletes what ended before the cutoff.
func pruneBackfills(ctx context.Context, tx *ent.Tx, cutoff time.Time, limit int) (int, error) {
	ids, err := tx.Backfill.Query().Where(backfill.FinishedAtGT(0), backfill.FinishedAtLT(micros(cutoff))).
		Order(backfill.ByID()).Limit(limit).IDs(ctx)
	if err != nil {
		return 0, err
	}
	_, err = tx.Backfill.Delete().Where(idsIn(ids)).Exec(ctx)
	return len(ids), err
}
