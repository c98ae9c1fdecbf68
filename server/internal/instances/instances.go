// Package instances holds what callers can do with tenants, their quotas and
// audit events, resources and clients: the rules behind the InstanceService and
// the AuditService, without gRPC.
//
// Rules:
//   - Every call checks the caller's access to what it acts on, on top of what
//     the door has checked.
//   - An instance that a client makes is linked to that client, so that its
//     instance-* stands for it from then on.
//   - A pause that has ended by itself is none, whether or not somebody has
//     looked since.
//   - A client's secret exists in the clear only in the answer that makes it;
//     what is stored is its hash.
package instances

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	store.Instances
	store.Quotas
	store.Clients
	store.Audit
}

// Service is the use cases. Its methods return the errors of package job that
// callers can tell apart; the caller is the principal of the context.
type Service struct {
	store Store
	auth  *auth.Authorizer
	now   func() time.Time
}

// New returns a Service that works by the clock now.
func New(s Store, authorizer *auth.Authorizer, now func() time.Time) *Service {
	return &Service{store: s, auth: authorizer, now: func() time.Time { return job.Time(now()) }}
}

// Options are how something is made.
type Options struct {
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
	// Request makes a repeat answer the first result.
	Request store.Request
}

// Create makes an instance.
func (s *Service) Create(ctx context.Context, in job.Instance, o Options) (job.Instance, error) {
	if err := s.auth.CreateInstance(ctx); err != nil {
		return job.Instance{}, err
	}
	if o.ValidateOnly {
		return in, nil
	}
	maker, err := auth.Require(ctx)
	if err != nil {
		return job.Instance{}, err
	}
	return s.show(s.store.CreateInstance(ctx, in, maker.ClientID, o.Request))
}

// Get answers one instance.
func (s *Service) Get(ctx context.Context, id int64) (job.Instance, error) {
	return s.show(s.load(ctx, id, auth.Read))
}

// List answers the instances that the caller may read, newest first.
func (s *Service) List(ctx context.Context, page store.Page) ([]job.Instance, error) {
	readable, err := s.auth.InstancesFor(ctx, auth.Read)
	if err != nil {
		return nil, err
	}
	only := readable.IDs
	if readable.All {
		only = nil
	} else if len(only) == 0 {
		return nil, nil
	}
	list, err := s.store.Instances(ctx, only, page)
	for i := range list {
		list[i], _ = s.show(list[i], nil)
	}
	return list, err
}

// Delete removes an instance that is empty.
func (s *Service) Delete(ctx context.Context, id int64) error {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return err
	}
	return store.OrMissing(s.store.DeleteInstance(ctx, id), job.KindInstance, id)
}

// CreateResource makes a resource in the instance that r names.
func (s *Service) CreateResource(ctx context.Context, r job.Resource, o Options) (job.Resource, error) {
	if _, err := s.load(ctx, r.InstanceID, auth.Write); err != nil {
		return job.Resource{}, err
	}
	if o.ValidateOnly {
		return r, nil
	}
	made, err := s.store.CreateResource(ctx, r, o.Request)
	return made, store.OrMissing(err, job.KindInstance, r.InstanceID)
}

// GetResource answers one resource.
func (s *Service) GetResource(ctx context.Context, id int64) (job.Resource, error) {
	return s.loadResource(ctx, id, auth.Read)
}

// ListResources answers the resources of an instance, newest first.
func (s *Service) ListResources(ctx context.Context, instanceID int64, page store.Page) ([]job.Resource, error) {
	if _, err := s.load(ctx, instanceID, auth.Read); err != nil {
		return nil, err
	}
	return s.store.Resources(ctx, instanceID, page)
}

// DeleteResource removes a resource that no job uses, with its config.
func (s *Service) DeleteResource(ctx context.Context, id int64) error {
	if _, err := s.loadResource(ctx, id, auth.Write); err != nil {
		return err
	}
	return store.OrMissing(s.store.DeleteResource(ctx, id), job.KindResource, id)
}

// load reads an instance and checks the caller's access to it.
func (s *Service) load(ctx context.Context, id int64, access auth.Access) (job.Instance, error) {
	return auth.Load(ctx, s.auth, job.KindInstance, id, access, s.store.Instance, func(job.Instance) int64 { return id })
}

// loadResource reads a resource and checks the caller's access to it.
func (s *Service) loadResource(ctx context.Context, id int64, access auth.Access) (job.Resource, error) {
	return auth.Load(ctx, s.auth, job.KindResource, id, access, s.store.Resource, func(r job.Resource) int64 { return r.InstanceID })
}
