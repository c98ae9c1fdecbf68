package entstore

import (
	"context"
	"fmt"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/clientinstance"
	"github.com/pointscene/carillon/ent/serviceclient"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// CreateClient implements store.Clients.
func (s *Store) CreateClient(ctx context.Context, c job.Client) (made job.Client, err error) {
	err = s.tx(ctx, "create client", func(ctx context.Context, tx *ent.Tx) error {
		row, err := tx.ServiceClient.Create().SetTitle(c.Title).SetScopes(c.Scopes).SetSecretHash(c.SecretHash).
			SetSecretVersion(c.SecretVersion).SetCreatedAt(micros(orNow(c.CreatedAt))).Save(ctx)
		if err != nil {
			return err
		}
		links := make([]*ent.ClientInstanceCreate, len(c.InstanceIDs))
		for i, id := range c.InstanceIDs {
			links[i] = tx.ClientInstance.Create().SetClientID(row.ID).SetInstanceID(id)
		}
		if err := tx.ClientInstance.CreateBulk(links...).Exec(ctx); isReference(err) {
			return fmt.Errorf("link to instances: %w", store.ErrNotFound)
		} else if err != nil {
			return err
		}
		audit.Made(ctx, job.KindClient, row.ID, 0)
		made, err = clientByID(ctx, tx.Client(), row.ID)
		return err
	})
	return made, err
}

// Client implements store.Clients.
func (s *Store) Client(ctx context.Context, id int64) (found job.Client, err error) {
	err = s.query(ctx, "read client", func(ctx context.Context, c *ent.Client) error {
		found, err = clientByID(ctx, c, id)
		return err
	})
	return found, err
}

// Clients implements store.Clients.
func (s *Store) Clients(ctx context.Context, page store.Page) (list []job.Client, err error) {
	err = s.query(ctx, "list clients", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.ServiceClient.Query().Where(serviceclient.IDLT(before(page))).Order(ent.Desc(serviceclient.FieldID)).
			Limit(page.Limit).WithLinks(byInstance).All(ctx)
		list = mapAll(rows, clientOf)
		return err
	})
	return list, err
}

// DeleteClient implements store.Clients.
func (s *Store) DeleteClient(ctx context.Context, id int64) error {
	return s.tx(ctx, "delete client", func(ctx context.Context, tx *ent.Tx) error {
		return tx.ServiceClient.DeleteOneID(id).Exec(ctx)
	})
}

// ResetClientSecret implements store.Clients.
func (s *Store) ResetClientSecret(ctx context.Context, id int64, hash []byte) (changed job.Client, err error) {
	err = s.tx(ctx, "reset client secret", func(ctx context.Context, tx *ent.Tx) error {
		if err := tx.ServiceClient.UpdateOneID(id).SetSecretHash(hash).AddSecretVersion(1).Exec(ctx); err != nil {
			return err
		}
		changed, err = clientByID(ctx, tx.Client(), id)
		return err
	})
	return changed, err
}

// Linked implements store.Clients.
func (s *Store) Linked(ctx context.Context, clientID, instanceID int64) (linked bool, err error) {
	err = s.query(ctx, "read link", func(ctx context.Context, c *ent.Client) error {
		linked, err = c.ClientInstance.Query().Where(clientinstance.ClientID(clientID), clientinstance.InstanceID(instanceID)).Exist(ctx)
		return err
	})
	return linked, err
}

// LinkedInstances implements store.Clients.
func (s *Store) LinkedInstances(ctx context.Context, clientID int64) (ids []int64, err error) {
	err = s.query(ctx, "list links", func(ctx context.Context, c *ent.Client) error {
		ids, err = collect(ctx, c, scanID, "SELECT instance_id FROM client_instances WHERE client_id = $1 ORDER BY instance_id", clientID)
		return err
	})
	return ids, err
}

func clientByID(ctx context.Context, c *ent.Client, id int64) (job.Client, error) {
	row, err := c.ServiceClient.Query().Where(serviceclient.ID(id)).WithLinks(byInstance).Only(ctx)
	if err != nil {
		return job.Client{}, err
	}
	return clientOf(row), nil
}

func byInstance(q *ent.ClientInstanceQuery) { q.Order(ent.Asc(clientinstance.FieldInstanceID)) }
