package entstore

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// An execution that waits for approval lies among the active ones without an
// owner, in its own state, which no claim takes. Its not_before is when the
// approval expires.

const putApproval = `
INSERT INTO approvals (id, attempt, state, digest, plans, snapshot, requested_at, expires_at, decided_by, decided_at)
VALUES ($1, $2, 'PENDING', $3, $4, $5, $6, $7, '', 0)
ON CONFLICT (id) DO UPDATE SET attempt = excluded.attempt, state = excluded.state, digest = excluded.digest, plans = excluded.plans,
  snapshot = excluded.snapshot, requested_at = excluded.requested_at, expires_at = excluded.expires_at, decided_by = '', decided_at = 0`

// putApprovals stores the approvals of the ends that were put back.
func putApprovals(r runner, ends []*store.Finish, kept map[int64]bool) error {
	for _, end := range ends {
		a := end.Approval
		if a == nil || !kept[end.ExecutionID] {
			continue
		}
		err := r.exec(putApproval, end.ExecutionID, int64(a.Attempt), a.Digest, encode(a.Plans), string(a.Snapshot), micros(a.RequestedAt), micros(end.RetryAt))
		if err != nil {
			return err
		}
	}
	return nil
}

// What an attempt needed to go on is kept no longer than its execution runs.
const (
	settleApproval = `
UPDATE approvals SET snapshot = '' WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM active_executions e WHERE e.id = approvals.id)`
	// cancelApprovals are those of executions ($2, a query) that are cancelled
	// where they wait, at $1.
	cancelApprovals = `
UPDATE approvals SET snapshot = '', decided_at = CASE state WHEN 'PENDING' THEN CAST($1 AS bigint) ELSE decided_at END,
  state = CASE state WHEN 'PENDING' THEN 'CANCELLED' ELSE state END
WHERE id IN (SELECT id FROM active_executions WHERE `
)

// settleApprovals forgets what was kept for the ends that were written.
func settleApprovals(r runner, ends []*store.Finish, missing map[int64]bool) error {
	for _, end := range ends {
		if !end.Decided || missing[end.ExecutionID] {
			continue
		}
		if err := r.exec(settleApproval, end.ExecutionID); err != nil {
			return err
		}
	}
	return nil
}

// Approval implements store.Approvals.
func (s *Store) Approval(ctx context.Context, executionID int64) (a job.Approval, err error) {
	err = s.query(ctx, "read approval", func(ctx context.Context, c *ent.Client) error {
		row, err := c.Approval.Get(ctx, executionID)
		if err != nil {
			return err
		}
		a, err = approvalOf(row)
		return err
	})
	return a, err
}

func approvalOf(row *ent.Approval) (job.Approval, error) {
	plans, err := decode[[]job.Plan](row.Plans)
	return job.Approval{
		ExecutionID: row.ID, Attempt: row.Attempt, State: job.ApprovalState(row.State), Digest: row.Digest, Plans: plans,
		RequestedAt: timeOf(row.RequestedAt), ExpiresAt: timeOf(row.ExpiresAt),
		DecidedBy: row.DecidedBy, DecidedAt: timeOf(row.DecidedAt), Snapshot: []byte(row.Snapshot),
	}, err
}

// Approve implements store.Approvals.
func (s *Store) Approve(ctx context.Context, executionID int64, now time.Time, digest, actor string) (e job.Execution, err error) {
	err = s.changeExecution(ctx, "approve execution", executionID, func(ctx context.Context, tx *ent.Tx, waiting job.Execution) error {
		a, err := tx.Approval.Get(ctx, executionID)
		switch {
		case err == nil && a.State == string(job.ApprovalApproved) && a.Digest == digest:
			e = waiting // it was approved before, whatever became of it
			return nil
		case waiting.State != job.StateAwaitingApproval, ent.IsNotFound(err):
			return notAwaiting(waiting)
		case err != nil:
			return err
		case a.ExpiresAt <= micros(now):
			return &job.PreconditionError{Reason: job.ReasonApprovalExpired, Message: "The time for an approval is over."}
		case a.Digest != digest:
			return &job.PreconditionError{
				Reason: job.ReasonPlanChanged, Message: "The execution waits for the approval of another plan: read it again.",
				Metadata: map[string]string{"digest": a.Digest},
			}
		}
		if err := a.Update().SetState(string(job.ApprovalApproved)).SetDecidedBy(actor).SetDecidedAt(micros(now)).Exec(ctx); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE active_executions SET state = 'QUEUED', not_before = $2 WHERE id = $1`, executionID, micros(now))
		if err != nil {
			return err
		}
		if e, err = executionByID(ctx, tx, executionID); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDue})
	})
	return e, err
}

// Reject implements store.Approvals.
func (s *Store) Reject(ctx context.Context, executionID int64, now time.Time, actor string, why job.Failure) (e job.Execution, err error) {
	err = s.changeExecution(ctx, "reject execution", executionID, func(ctx context.Context, tx *ent.Tx, waiting job.Execution) error {
		if waiting.State != job.StateAwaitingApproval {
			return notAwaiting(waiting)
		}
		if err := endAwaiting(ctx, tx, waiting, now, job.ApprovalRejected, actor, why); err != nil {
			return err
		}
		e, err = executionByID(ctx, tx, executionID)
		return err
	})
	return e, err
}

func notAwaiting(e job.Execution) error {
	return &job.PreconditionError{
		Reason:   job.ReasonNotAwaiting,
		Message:  fmt.Sprintf("The execution does not wait for an approval: it is %s.", e.State),
		Metadata: map[string]string{"state": string(e.State)},
	}
}

// endAwaiting moves an execution that waits for approval to the history as
// failed.
func endAwaiting(ctx context.Context, tx *ent.Tx, e job.Execution, now time.Time, state job.ApprovalState, actor string, why job.Failure) error {
	for i := range e.Tasks {
		switch t := &e.Tasks[i]; t.State {
		case job.TaskAwaitingApproval:
			t.State, t.Error = job.TaskFailed, &why
		case job.TaskPending:
			t.State = job.TaskCancelled
		}
	}
	_, err := tx.ExecContext(ctx, `
INSERT INTO executions (`+historyColumns+`)
SELECT id, job_id, instance_id, "trigger", trigger_id, scheduled_for, created_at, started_at, CAST($2 AS bigint),
  'FAILED', attempt, fence, CAST($3 AS text), CAST($4 AS text), log_bytes
FROM active_executions WHERE id = $1`, e.ID, micros(now), failureText(&why), tasksText(e.Tasks))
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM active_executions WHERE id = $1", e.ID); err != nil {
		return err
	}
	return tx.Approval.UpdateOneID(e.ID).SetState(string(state)).SetSnapshot("").SetDecidedBy(actor).SetDecidedAt(micros(now)).Exec(ctx)
}

const expiredApprovals = `
SELECT id FROM active_executions WHERE owner = 0 AND not_before <= $1 AND state = 'AWAITING_APPROVAL' ORDER BY not_before LIMIT $2`

// ExpireApprovals implements store.Engine. Each ends in a transaction of its
// own; one that was approved meanwhile goes on.
func (s *Store) ExpireApprovals(ctx context.Context, now time.Time, limit int, why job.Failure) (expired []int64, err error) {
	var due []int64
	err = s.query(ctx, "look for expired approvals", func(ctx context.Context, c *ent.Client) error {
		due, err = collect(ctx, c, scanID, expiredApprovals, micros(now), limit)
		return err
	})
	for _, id := range due {
		ended := false
		err := s.changeExecution(ctx, "expire approval", id, func(ctx context.Context, tx *ent.Tx, e job.Execution) error {
			a, err := tx.Approval.Get(ctx, id)
			if err != nil || e.State != job.StateAwaitingApproval || a.ExpiresAt > micros(now) {
				return err
			}
			ended = true
			return endAwaiting(ctx, tx, e, now, job.ApprovalExpired, job.ActorSystem, why)
		})
		if err != nil {
			return expired, err
		}
		if ended {
			expired = append(expired, id)
		}
	}
	return expired, err
}
