package entstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/resource"
	"github.com/pointscene/carillon/ent/resourceconfig"
	"github.com/pointscene/carillon/server/internal/job"
)

// Remotes implements store.Configs.
func (s *Store) Remotes(ctx context.Context, resourceID int64) (list []job.SealedRemote, err error) {
	err = s.query(ctx, "read remotes", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.ResourceConfig.Query().Where(resourceconfig.ResourceID(resourceID)).All(ctx)
		list = mapAll(rows, remoteOf)
		return err
	})
	// Sorted here: the databases don't agree on the order of names.
	slices.SortFunc(list, func(a, b job.SealedRemote) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

// Remote implements store.Configs.
func (s *Store) Remote(ctx context.Context, resourceID int64, name string) (r job.SealedRemote, err error) {
	err = s.query(ctx, "read remote", func(ctx context.Context, c *ent.Client) error {
		row, err := c.ResourceConfig.Query().Where(resourceconfig.ResourceID(resourceID), resourceconfig.Name(name)).Only(ctx)
		if err != nil {
			return err
		}
		r = remoteOf(row)
		return nil
	})
	return r, err
}

// ChangeRemotes implements store.Configs.
func (s *Store) ChangeRemotes(ctx context.Context, resourceID int64, puts []job.SealedRemote, removes []string) error {
	return s.tx(ctx, "change remotes", func(ctx context.Context, tx *ent.Tx) error {
		waiting, err := s.lockReauth(ctx, tx, resourceID, puts)
		if err != nil {
			return err
		}
		if err := s.lockResource(ctx, tx, resourceID); err != nil {
			return err
		}
		_, err = tx.ResourceConfig.Delete().Where(resourceconfig.ResourceID(resourceID), resourceconfig.NameIn(removes...)).Exec(ctx)
		if err != nil {
			return err
		}
		for _, put := range puts {
			if err := s.sealable(ctx, tx, put.KeyID); err != nil {
				return err
			}
			if err := putRemote(ctx, tx, resourceID, put); err != nil {
				return err
			}
		}
		return s.resumeReauth(ctx, tx, waiting, puts)
	})
}

// putRemote stores one remote as the next version of what is there.
func putRemote(ctx context.Context, tx *ent.Tx, resourceID int64, put job.SealedRemote) error {
	stored, err := tx.ResourceConfig.Query().Where(resourceconfig.ResourceID(resourceID), resourceconfig.Name(put.Name)).Only(ctx)
	var version int64
	switch {
	case err == nil:
		version = stored.Version
	case !ent.IsNotFound(err):
		return err
	}
	if put.Version != version+1 {
		return &job.AbortedError{Message: fmt.Sprintf("The configuration of remote %q was changed meanwhile; try again.", put.Name)}
	}
	if stored == nil {
		return tx.ResourceConfig.Create().SetResourceID(resourceID).SetName(put.Name).SetType(put.Type).SetKeys(put.Keys).
			SetVersion(put.Version).SetKeyID(put.KeyID).SetCiphertext(put.Ciphertext).SetUpdatedAt(micros(orNow(put.UpdatedAt))).
			SetAccount(put.Account).SetExpiresAt(micros(put.Expiry.Credentials)).SetTokenExpiresAt(micros(put.Expiry.Token)).Exec(ctx)
	}
	return tx.ResourceConfig.UpdateOne(stored).SetType(put.Type).SetKeys(put.Keys).SetVersion(put.Version).SetKeyID(put.KeyID).
		SetCiphertext(put.Ciphertext).SetUpdatedAt(micros(orNow(put.UpdatedAt))).
		SetAccount(put.Account).SetExpiresAt(micros(put.Expiry.Credentials)).SetTokenExpiresAt(micros(put.Expiry.Token)).
		SetRefusedAt(0).SetRefusedReason("").SetRenewer("").SetRenewerUntil(0).Exec(ctx)
}

// DeleteRemotes implements store.Configs.
func (s *Store) DeleteRemotes(ctx context.Context, resourceID int64) error {
	return s.tx(ctx, "delete remotes", func(ctx context.Context, tx *ent.Tx) error {
		if err := s.lockResource(ctx, tx, resourceID); err != nil {
			return err
		}
		_, err := tx.ResourceConfig.Delete().Where(resourceconfig.ResourceID(resourceID)).Exec(ctx)
		return err
	})
}

// lockResource keeps others from changing the resource's remotes.
func (s *Store) lockResource(ctx context.Context, tx *ent.Tx, id int64) error {
	q := tx.Resource.Query().Where(resource.ID(id))
	if s.postgres() {
		q.ForUpdate()
	}
	_, err := q.OnlyID(ctx)
	return err
}
