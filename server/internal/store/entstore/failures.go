package entstore

import (
	"fmt"
	"slices"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// countFailures counts the ends of jobs that are to be paused after several
// failures in a row, in the order of the ends, and pauses those that have had
// enough. Only these jobs pay for it. The missing ends were not written.
func countFailures(ends []*store.Finish, missing map[int64]bool, r runner) error {
	var counted []*store.Finish
	for _, end := range ends {
		if end.PauseAfter > 0 && !missing[end.ExecutionID] && end.State != job.StateCancelled {
			counted = append(counted, end)
		}
	}
	slices.SortStableFunc(counted, func(a, b *store.Finish) int { return a.FinishedAt.Compare(b.FinishedAt) })
	for _, end := range counted {
		if err := countFailure(end, r); err != nil {
			return err
		}
	}
	return nil
}

func countFailure(end *store.Finish, r runner) error {
	var failures int
	var active bool
	found, err := r.row(`
UPDATE schedules SET failures = CASE WHEN $2 THEN 0 ELSE failures + 1 END WHERE id = $1 RETURNING failures, active`,
		[]any{&failures, &active}, end.JobID, end.State == job.StateSucceeded)
	if err != nil || !found || !active || failures < end.PauseAfter {
		return err
	}
	last := job.KindExecution.Format(end.ExecutionID)
	reason := fmt.Sprintf("%d executions in a row did not succeed; the last was %s", failures, last)
	if failures == 1 {
		reason = "the execution " + last + " did not succeed"
	}
	if end.Error != nil {
		reason += ": " + end.Error.Reason
	}
	clock := end.Now
	if clock == nil {
		clock = store.At(end.FinishedAt)
	}
	return pauseJob(r, end.JobID, clock, reason, false)
}

// pauseJob pauses a job for the system. A slot that is overdue belongs to the
// pause, so that resuming tells it. What is about to start does so, since nobody
// waits here; its slot counts as before the pause.
func pauseJob(r runner, id int64, clock store.Clock, reason string, reauth bool) error {
	if err := r.exec(r.lockAhead(), id); err != nil {
		return err
	}
	now := micros(clock())
	ahead := now + store.StartGuard.Microseconds()
	for _, w := range []write{
		{`UPDATE schedules SET started = started - (SELECT count(*) FROM active_executions WHERE job_id = $1 AND not_before > $2 AND ` + aheadOf + `)
WHERE id = $1 AND started > 0`, []any{id, ahead}},
		{`DELETE FROM active_executions WHERE job_id = $1 AND not_before > $2 AND ` + aheadOf, []any{id, ahead}},
		{`UPDATE schedules SET active = false, paused_until = 0, version = version + 1,
  paused_at = CASE WHEN next_run > 0 AND next_run <= $2 THEN next_run - 1 ELSE coalesce(
    (SELECT max(scheduled_for) FROM active_executions WHERE job_id = $1 AND scheduled_for > $2 AND ` + aheadOf + `), $2) END,
  next_run = 0 WHERE id = $1`, []any{id, now}},
		{`UPDATE jobs SET pause_reason = $2, pause_actor = $3, pause_reauth = $5, version = version + 1, updated_at = $4 WHERE id = $1`,
			[]any{id, reason, job.ActorSystem, now, reauth}},
	} {
		if err := r.exec(w.sql, w.args...); err != nil {
			return err
		}
	}
	return r.notify(store.Signal{Kind: store.SignalWithdraw, ID: id})
}
