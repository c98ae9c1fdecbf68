package jobs

import (
	"context"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// CheckResources refuses a workflow that names resources outside its instance,
// with a *job.InvalidError. It is for an execution that starts: what was true
// when the workflow was stored may not be any more.
func (s *Service) CheckResources(ctx context.Context, instanceID int64, refs []task.ResourceRef) error {
	var bad job.InvalidError
	if _, err := s.checkResources(ctx, instanceID, refs, &bad); err != nil {
		return err
	}
	return bad.Err()
}
