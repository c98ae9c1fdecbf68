package entstore

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// CancelExecution implements store.Executions.
func (s *Store) CancelExecution(ctx context.Context, id int64, now time.Time, why job.Failure) (e job.Execution, err error) {
	err = s.changeExecution(ctx, "cancel execution", id, func(ctx context.Context, tx *ent.Tx, found job.Execution) error {
		if found.State.Ended() {
			return &job.PreconditionError{Reason: "ALREADY_ENDED", Message: "The execution has ended already."}
		}
		if err := archive(ctx, tx, "id = $1 AND owner = 0", id, now, &why); err != nil {
			return err
		}
		if err := s.askToEnd(ctx, tx, "id = $1", id, &why); err != nil {
			return err
		}
		e, err = executionByID(ctx, tx, id)
		return err
	})
	return e, err
}

// changeExecution locks an execution and its job, in the order of all others.
func (s *Store) changeExecution(ctx context.Context, name string, executionID int64, fn func(ctx context.Context, tx *ent.Tx, e job.Execution) error) error {
	return s.tx(ctx, name, func(ctx context.Context, tx *ent.Tx) error {
		e, err := executionByID(ctx, tx, executionID)
		if err != nil {
			return err
		}
		// The job may be deleted: then its executions have ended.
		if _, err := s.lockJob(ctx, tx, e.JobID); err != nil && !ent.IsNotFound(err) {
			return err
		}
		if err := s.lockActive(ctx, tx, "id = $1", executionID); err != nil {
			return err
		}
		if e, err = executionByID(ctx, tx, executionID); err != nil {
			return err
		}
		return fn(ctx, tx, e)
	})
}

// archive moves active executions that wait for a replica to the history as
// cancelled. condition has one parameter, key; the rows are locked.
func archive(ctx context.Context, tx *ent.Tx, condition string, key int64, now time.Time, why *job.Failure) error {
	if _, err := tx.ExecContext(ctx, strings.Replace(cancelApprovals, "$1", "$2", 1)+condition+")", key, micros(now)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
INSERT INTO executions (`+historyColumns+`)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, CAST($2 AS bigint),
  'CANCELLED', attempt, fence, CAST($3 AS text), `+tasksCancelled+`, log_bytes
FROM active_executions WHERE `+condition, key, micros(now), failureText(why))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM active_executions WHERE "+condition, key)
	return err
}

// tasksCancelled are the tasks of an execution that ends where it waits: none
// of them waits any more. No name holds an unescaped quote.
const tasksCancelled = `replace(replace(tasks, '"state":"AWAITING_APPROVAL"', '"state":"CANCELLED"'), '"state":"PENDING"', '"state":"CANCELLED"')`

// askToEnd marks active executions that have an owner and tells the owners.
// The first reason stays: it becomes the execution's error.
func (s *Store) askToEnd(ctx context.Context, tx *ent.Tx, condition string, key int64, why *job.Failure) error {
	asked, err := collect(ctx, tx, scanID, `
UPDATE active_executions SET state = 'CANCELLING', error = $2
WHERE owner <> 0 AND state <> 'CANCELLING' AND `+condition+` RETURNING id`, key, failureText(why))
	if err != nil {
		return err
	}
	for _, id := range asked {
		if err := s.notify(ctx, tx, store.Signal{Kind: store.SignalCancel, ID: id}); err != nil {
			return err
		}
	}
	return nil
}

// lockAhead locks the executions (a condition with the parameter $1) that may
// be withdrawn, and then asks the clock. It is the moment that parts what starts
// before a change from what is withdrawn: a replica that looks at a claim later
// waits for the change, and one that has looked before starts within the guard.
// What starts within the guard is let pass first.
func (s *Store) lockAhead(ctx context.Context, tx *ent.Tx, condition string, key int64, clock store.Clock) (time.Time, error) {
	if err := s.lockActive(ctx, tx, condition+" AND "+aheadOf, key); err != nil {
		return time.Time{}, err
	}
	now := clock()
	soon, err := collect(ctx, tx, scanID, "SELECT not_before FROM active_executions WHERE "+condition+" AND not_before > $2 AND not_before <= $3 AND owner <> 0 AND "+aheadOf,
		key, micros(now), micros(now.Add(store.StartGuard)))
	if err == nil && len(soon) > 0 {
		err = &startsSoon{wait: timeOf(slices.Max(soon)).Sub(now)}
	}
	return now, err
}

// startsSoon rolls a change back that must wait for a start.
type startsSoon struct{ wait time.Duration }

func (*startsSoon) Error() string { return "an execution of the job is about to start" }

// withdraw takes back executions of a job that were claimed ahead of their
// time, and answers the earliest of their slots, zero for none, and how many
// they were. What counts them is the caller's to correct.
func (s *Store) withdraw(ctx context.Context, tx *ent.Tx, jobID int64, now time.Time) (earliest time.Time, n int64, err error) {
	slots, err := collect(ctx, tx, scanID,
		"DELETE FROM active_executions WHERE job_id = $1 AND not_before > $2 AND "+aheadOf+" RETURNING scheduled_for", jobID, micros(now))
	if err != nil || len(slots) == 0 {
		return time.Time{}, 0, err
	}
	return timeOf(slices.Min(slots)), int64(len(slots)), s.notify(ctx, tx, store.Signal{Kind: store.SignalWithdraw, ID: jobID})
}

// lockActive locks active executions in the order of their ids, so that no
// replica reports, ends or gives back one between two statements about them. On
// SQLite the transaction has the database to itself.
func (s *Store) lockActive(ctx context.Context, tx *ent.Tx, condition string, args ...any) error {
	if !s.postgres() {
		return nil
	}
	_, err := collect(ctx, tx, scanID, "SELECT id FROM active_executions WHERE "+condition+" ORDER BY id FOR UPDATE", args...)
	return err
}
