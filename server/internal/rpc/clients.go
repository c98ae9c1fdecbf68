package rpc

import (
	"context"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// The RPCs of the InstanceService that are about clients.

func (s *instanceServer) CreateClient(ctx context.Context, in *carillonv1.CreateClientRequest) (*carillonv1.Client, error) {
	asked := instances.NewClient{
		Title: in.GetClient().GetTitle(), Scopes: in.GetClient().GetScopes(), InstanceIDs: in.GetClient().GetInstanceIds(),
	}
	made, secret, err := s.instances.CreateClient(ctx, asked, in.GetValidateOnly())
	if err != nil {
		return nil, err
	}
	return clientWithSecret(made, secret), nil
}

func (s *instanceServer) ListClients(ctx context.Context, in *carillonv1.ListClientsRequest) (*carillonv1.ListClientsResponse, error) {
	q := query{carillonv1.InstanceService_ListClients_FullMethodName}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Client, *carillonv1.Client]{
		read:    func(page store.Page) ([]job.Client, error) { return s.instances.ListClients(ctx, page) },
		id:      func(c job.Client) int64 { return c.ID },
		message: always(clientMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListClientsResponse{Clients: page, NextPageToken: next}, nil
}

func (s *instanceServer) DeleteClient(ctx context.Context, in *carillonv1.DeleteClientRequest) (*carillonv1.DeleteClientResponse, error) {
	id, err := idOf(job.KindClient, in.GetClientId())
	if err != nil {
		return nil, err
	}
	if err := s.instances.DeleteClient(ctx, id); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteClientResponse{}, nil
}

func (s *instanceServer) ResetClientSecret(ctx context.Context, in *carillonv1.ResetClientSecretRequest) (*carillonv1.Client, error) {
	id, err := idOf(job.KindClient, in.GetClientId())
	if err != nil {
		return nil, err
	}
	c, secret, err := s.instances.ResetClientSecret(ctx, id)
	if err != nil {
		return nil, err
	}
	return clientWithSecret(c, secret), nil
}

func clientMessage(c job.Client) *carillonv1.Client {
	return &carillonv1.Client{
		Id: textOf(job.KindClient, c.ID), Title: c.Title, Scopes: c.Scopes,
		InstanceIds: mapAll(c.InstanceIDs, job.KindInstance.Format), CreatedAt: stamp(c.CreatedAt),
	}
}

func clientWithSecret(c job.Client, secret seal.Secret) *carillonv1.Client {
	out := clientMessage(c)
	out.ClientSecret = new(secret.Reveal())
	return out
}
