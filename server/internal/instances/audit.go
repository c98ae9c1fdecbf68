package instances

import (
	"context"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// AuditEvents answers who did what, newest first: in the instance of the filter
// to who may write it; without one in every instance that the caller may write,
// and everywhere to the operator.
func (s *Service) AuditEvents(ctx context.Context, f audit.Filter, page store.Page) ([]audit.Event, error) {
	if f.InstanceID == 0 {
		writable, err := s.auth.InstancesFor(ctx, auth.Write)
		if err != nil {
			return nil, err
		}
		if !writable.All {
			f.InstanceIDs = writable.IDs
		}
	} else if _, err := s.load(ctx, f.InstanceID, auth.Write); err != nil {
		return nil, err
	}
	if !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return nil, job.Invalid("to", task.ReasonOutOfRange, "must be after from")
	}
	return s.store.AuditEvents(ctx, f, page)
}
