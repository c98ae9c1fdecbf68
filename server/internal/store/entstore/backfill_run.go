package entstore

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/ent/backfill"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// maxBackfillsALook bounds how many backfills one look advances.
const maxBackfillsALook = 20

// AdvanceBackfills implements store.Engine. Each backfill is advanced in a
// transaction of its own, under the locks of its job and then its row.
func (s *Store) AdvanceBackfills(ctx context.Context, now time.Time, next store.NextSlots) error {
	var open []*ent.Backfill
	err := s.query(ctx, "look for backfills", func(ctx context.Context, c *ent.Client) (err error) {
		open, err = c.Backfill.Query().Where(backfill.FinishedAt(0), backfill.IDGT(s.backfillTurn.Load())).
			Order(backfill.ByID()).Limit(maxBackfillsALook).All(ctx)
		return err
	})
	if err != nil {
		return err
	}
	// The next look goes on behind these, and begins anew after the last.
	if len(open) == maxBackfillsALook {
		s.backfillTurn.Store(open[len(open)-1].ID)
	} else {
		s.backfillTurn.Store(0)
	}
	var problems []error // one does not keep the others
	for _, b := range open {
		problems = append(problems, s.tx(ctx, "advance a backfill", func(ctx context.Context, tx *ent.Tx) error {
			return s.advance(ctx, tx, b, now, next)
		}))
	}
	return errors.Join(problems...)
}

func (s *Store) advance(ctx context.Context, tx *ent.Tx, seen *ent.Backfill, now time.Time, next store.NextSlots) error {
	sched, err := s.lockJob(ctx, tx, seen.JobID)
	if ent.IsNotFound(err) {
		return endBackfill(ctx, tx, seen.ID, now, job.BackfillCancelled) // its job is deleted
	}
	if err != nil {
		return err
	}
	b, err := tx.Backfill.Get(ctx, seen.ID)
	if err != nil || b.FinishedAt != 0 {
		return err
	}
	active, err := tx.ActiveExecution.Query().
		Where(activeexecution.JobID(b.JobID), activeexecution.TriggerID(job.KindBackfill.Format(b.ID))).Count(ctx)
	if err != nil {
		return err
	}
	after := timeOf(b.Cursor)
	if b.Started == 0 {
		after = timeOf(b.RangeFrom).Add(-1) // the range includes its start
	}
	spec, err := scheduleOf(sched)
	if err != nil {
		return err
	}
	slots := next(spec, b.JobID, after, timeOf(b.RangeTo), b.Concurrency-active)
	if len(slots) == 0 {
		if active > 0 {
			return nil
		}
		return endBackfill(ctx, tx, b.ID, now, job.BackfillFinished)
	}
	room, err := s.takeRoom(ctx, tx, b.InstanceID, now, len(slots))
	if err != nil || room == 0 {
		return err
	}
	slots = slots[:room] // the rest waits for the next hour
	if err := enqueueSlots(ctx, tx, b, slots, sched.Folders, now); err != nil {
		return err
	}
	err = tx.Backfill.UpdateOneID(b.ID).SetCursor(micros(slots[len(slots)-1])).AddStarted(len(slots)).Exec(ctx)
	if err != nil {
		return err
	}
	return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
}

func enqueueSlots(ctx context.Context, tx *ent.Tx, b *ent.Backfill, slots []time.Time, folders string, now time.Time) error {
	rows := make([]*ent.ActiveExecutionCreate, len(slots))
	for i, slot := range slots {
		rows[i] = tx.ActiveExecution.Create().
			SetJobID(b.JobID).SetInstanceID(b.InstanceID).
			SetTrigger(string(job.TriggerBackfill)).SetTriggerID(job.KindBackfill.Format(b.ID)).
			SetScheduledFor(micros(slot)).SetNotBefore(micros(now)).SetCreatedAt(micros(now)).
			SetWaits(b.Overlap != string(job.OverlapAllow)).
			SetOwner(0).SetState(string(job.StateQueued)).SetAttempt(0).SetFence(0).
			SetFirstStartedAt(0).SetStartedAt(0).SetError("").SetTasks("").SetLogBytes(0).SetFolders(folders)
	}
	return tx.ActiveExecution.CreateBulk(rows...).Exec(ctx)
}

func endBackfill(ctx context.Context, tx *ent.Tx, id int64, now time.Time, state job.BackfillState) error {
	return tx.Backfill.UpdateOneID(id).SetState(string(state)).SetFinishedAt(micros(now)).Exec(ctx)
}
