package executions

import (
	"context"
	"errors"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Approve lets an execution that waits for approval go on with the plan of
// this digest.
func (s *Service) Approve(ctx context.Context, id int64, digest string) (job.Execution, error) {
	return s.decide(ctx, id, func(actor string) (job.Execution, error) {
		return s.store.Approve(ctx, id, s.now(), digest, actor)
	})
}

// Reject ends an execution that waits for approval; reason is for people and
// may be empty.
func (s *Service) Reject(ctx context.Context, id int64, reason string) (job.Execution, error) {
	return s.decide(ctx, id, func(actor string) (job.Execution, error) {
		why := job.Failure{Code: "FAILED_PRECONDITION", Reason: job.ReasonPlanRejected, Message: "rejected by " + actor}
		if reason != "" {
			why.Message += ": " + reason
		}
		return s.store.Reject(ctx, id, s.now(), actor, why)
	})
}

func (s *Service) decide(ctx context.Context, id int64, decide func(actor string) (job.Execution, error)) (job.Execution, error) {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return job.Execution{}, err
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Execution{}, err
	}
	e, err := decide(caller.Subject)
	return e, store.OrMissing(err, job.KindExecution, id)
}

// ApprovalOf answers what an execution waits or waited for, nil for nothing.
// The caller has read the execution.
func (s *Service) ApprovalOf(ctx context.Context, executionID int64) (*job.Approval, error) {
	a, err := s.store.Approval(ctx, executionID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil //nolint:nilnil // most executions have none
	}
	return &a, err
}

// Files lists what became of single files, and after which record to go on, 0
// at the end.
func (s *Service) Files(ctx context.Context, q store.FileQuery) ([]job.FileRecord, int64, error) {
	if _, err := s.load(ctx, q.ExecutionID, auth.Read); err != nil {
		return nil, 0, err
	}
	return s.store.Files(ctx, q)
}
