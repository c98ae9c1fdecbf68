package instances

import (
	"context"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Quota is what an instance may use and uses.
type Quota struct {
	InstanceID int64
	// Own is what the operator gave to it, Limits what holds.
	Own    job.Quota
	Limits job.Limits
	Usage  job.Usage
}

// Quota answers an instance's quota.
func (s *Service) Quota(ctx context.Context, id int64) (Quota, error) {
	in, err := s.load(ctx, id, auth.Read)
	if err != nil {
		return Quota{}, err
	}
	limits, err := s.store.Limits(ctx, id)
	if err != nil {
		return Quota{}, store.OrMissing(err, job.KindInstance, id)
	}
	usage, err := s.store.Usage(ctx, id)
	return Quota{InstanceID: id, Own: in.Quota, Limits: limits, Usage: usage}, err
}

// SetQuota replaces what the operator gave to an instance.
func (s *Service) SetQuota(ctx context.Context, id int64, own job.Quota) (Quota, error) {
	if err := s.auth.Operator(ctx); err != nil {
		return Quota{}, err
	}
	if err := s.store.SetQuota(ctx, id, own); err != nil {
		return Quota{}, store.OrMissing(err, job.KindInstance, id)
	}
	return s.Quota(ctx, id)
}
