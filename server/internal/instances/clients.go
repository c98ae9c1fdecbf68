package instances

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// NewClient is what is said of a client that is to be made.
type NewClient struct {
	Title  string
	Scopes []string
	// InstanceIDs are what instance-* stands for, as the caller wrote them.
	InstanceIDs []string
}

// CreateClient makes a client and answers its secret, this once.
func (s *Service) CreateClient(ctx context.Context, in NewClient, validateOnly bool) (job.Client, seal.Secret, error) {
	if err := s.auth.Operator(ctx); err != nil {
		return job.Client{}, seal.Secret{}, err
	}
	c, err := s.checkClient(ctx, in)
	if err != nil || validateOnly {
		return c, seal.Secret{}, err
	}
	secret, hash := auth.NewSecret()
	c.SecretHash = hash
	made, err := s.store.CreateClient(ctx, c)
	if err != nil {
		return job.Client{}, seal.Secret{}, err
	}
	return made, secret, nil
}

// checkClient refuses unknown scopes and missing instances, all at once.
func (s *Service) checkClient(ctx context.Context, in NewClient) (job.Client, error) {
	var bad job.InvalidError
	scopes, err := auth.ParseScopeList("scopes", in.Scopes)
	if err := bad.Under("", err); err != nil {
		return job.Client{}, err
	}
	c := job.Client{Title: in.Title, Scopes: scopes.List()}
	for i, text := range in.InstanceIDs {
		id, ok := job.KindInstance.Parse(text)
		if ok {
			_, err = s.store.Instance(ctx, id)
			if ok = !errors.Is(err, store.ErrNotFound); ok && err != nil {
				return job.Client{}, fmt.Errorf("read instance %d: %w", id, err)
			}
		}
		if !ok {
			bad.Add(task.Index("instanceIds", i), "INSTANCE_NOT_FOUND", "there is no such instance")
			continue
		}
		c.InstanceIDs = append(c.InstanceIDs, id)
	}
	slices.Sort(c.InstanceIDs)
	c.InstanceIDs = slices.Compact(c.InstanceIDs)
	return c, bad.Err()
}

// ListClients answers the clients, newest first.
func (s *Service) ListClients(ctx context.Context, page store.Page) ([]job.Client, error) {
	if err := s.auth.Operator(ctx); err != nil {
		return nil, err
	}
	return s.store.Clients(ctx, page)
}

// DeleteClient removes a client; its tokens stop working at once.
func (s *Service) DeleteClient(ctx context.Context, id int64) error {
	if err := s.auth.Operator(ctx); err != nil {
		return err
	}
	return store.OrMissing(s.store.DeleteClient(ctx, id), job.KindClient, id)
}

// ResetClientSecret gives a client a new secret, answered this once. The old
// one and every token made with it stop working at once.
func (s *Service) ResetClientSecret(ctx context.Context, id int64) (job.Client, seal.Secret, error) {
	if err := s.auth.Operator(ctx); err != nil {
		return job.Client{}, seal.Secret{}, err
	}
	secret, hash := auth.NewSecret()
	c, err := s.store.ResetClientSecret(ctx, id, hash)
	if err != nil {
		return job.Client{}, seal.Secret{}, store.OrMissing(err, job.KindClient, id)
	}
	return c, secret, nil
}
