package entstore

import (
	"context"
	"errors"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/activeexecution"
	"github.com/pointscene/carillon/ent/backfill"
	entschedule "github.com/pointscene/carillon/ent/schedule"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// maxBackfillsALook bounds how many backfills one look advances.
const maxBackfillsALook = 20

// nextSlots answers up to limit slots of a schedule in (after, before).
type nextSlots func(s job.Schedule, jobID int64, after, before time.Time, limit int) []time.Time

// AdvanceBackfills implements store.Engine. Each backfill is advanced in a
// transaction of its own, under the locks of its job and then its row.
func (s *Store) AdvanceBackfills(ctx context.Context, now time.Time, next func(job.Schedule, int64, time.Time, time.Time, int) []time.Time) (made int, err error) {
	any := false
	err = s.run(ctx, "look for backfills", func(ctx context.Context) error {
		return s.read.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM backfills WHERE finished_at = 0)").Scan(&any)
	})
	if err != nil || !any {
		return 0, err
	}
	var open []*ent.Backfill
	err = s.query(ctx, "look for backfills", func(ctx context.Context, c *ent.Client) error {
		open, err = c.Backfill.Query().Where(backfill.FinishedAt(0), backfill.IDGT(s.backfillTurn.Load())).
			Order(backfill.ByID()).Limit(maxBackfillsALook).All(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	// The next look goes on behind these, and begins anew after the last.
	if len(open) == maxBackfillsALook {
		s.backfillTurn.Store(open[len(open)-1].ID)
	} else {
		s.backfillTurn.Store(0)
	}
	var problems []error
	for _, b := range open {
		err := s.tx(ctx, "advance a backfill", func(ctx context.Context, tx *ent.Tx) error {
			n, err := s.advance(ctx, tx, b, now, next)
			made += n
			return err
		})
		if err != nil {
			problems = append(problems, err) // the others go on
		}
	}
	return made, errors.Join(problems...)
}

func (s *Store) advance(ctx context.Context, tx *ent.Tx, seen *ent.Backfill, now time.Time, next nextSlots) (made int, err error) {
	if _, err := s.lockJob(ctx, tx, seen.JobID); err != nil {
		if ent.IsNotFound(err) {
			return 0, endBackfill(ctx, tx, seen.ID, now, job.BackfillCancelled) // its job is deleted
		}
		return 0, err
	}
	b, err := tx.Backfill.Get(ctx, seen.ID)
	if err != nil || b.FinishedAt != 0 {
		return 0, err
	}
	sched, err := tx.Schedule.Query().Where(entschedule.ID(b.JobID)).Only(ctx)
	if err != nil {
		return 0, err
	}
	active, err := tx.ActiveExecution.Query().
		Where(activeexecution.JobID(b.JobID), activeexecution.TriggerID(job.KindBackfill.Format(b.ID))).Count(ctx)
	if err != nil {
		return 0, err
	}
	after := timeOf(b.Cursor)
	if b.Started == 0 {
		after = timeOf(b.RangeFrom).Add(-1) // the range includes its start
	}
	spec, err := scheduleOf(sched)
	if err != nil {
		return 0, err
	}
	slots := next(spec, b.JobID, after, timeOf(b.RangeTo), b.Concurrency-active)
	room, err := s.takeRoom(ctx, tx, b.InstanceID, now, len(slots))
	switch {
	case err != nil:
		return 0, err
	case room < len(slots): // the rest waits for the next hour
		if slots = slots[:room]; room == 0 {
			return 0, nil
		}
	}
	if len(slots) == 0 {
		if active == 0 {
			return 0, endBackfill(ctx, tx, b.ID, now, job.BackfillFinished)
		}
		return 0, nil
	}
	if err := enqueueSlots(ctx, tx, b, slots, sched.Trees, now); err != nil {
		return 0, err
	}
	err = tx.Backfill.UpdateOneID(b.ID).SetCursor(micros(slots[len(slots)-1])).AddStarted(len(slots)).Exec(ctx)
	if err != nil {
		return 0, err
	}
	return len(slots), s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
}

func enqueueSlots(ctx context.Context, tx *ent.Tx, b *ent.Backfill, slots []time.Time, trees string, now time.Time) error {
	rows := make([]*ent.ActiveExecutionCreate, len(slots))
	for i, slot := range slots {
		rows[i] = tx.ActiveExecution.Create().
			SetJobID(b.JobID).SetInstanceID(b.InstanceID).
			SetTrigger(string(job.TriggerBackfill)).SetTriggerID(job.KindBackfill.Format(b.ID)).
			SetScheduledFor(micros(slot)).SetNotBefore(micros(now)).SetCreatedAt(micros(now)).
			SetWaits(b.Overlap != string(job.OverlapAllow)).
			SetOwner(0).SetState(string(job.StateQueued)).SetAttempt(0).SetFence(0).
			SetFirstStartedAt(0).SetStartedAt(0).SetError("").SetTasks("").SetLogBytes(0).SetTrees(trees)
	}
	return tx.ActiveExecution.CreateBulk(rows...).Exec(ctx)
}

func endBackfill(ctx context.Context, tx *ent.Tx, id int64, now time.Time, state job.BackfillState) error {
	return tx.Backfill.UpdateOneID(id).SetState(string(state)).SetFinishedAt(micros(now)).Exec(ctx)
}
