package entstore

import (
	"context"
	"strconv"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/keyholder"
	"github.com/pointscene/carillon/ent/resourceconfig"
	"github.com/pointscene/carillon/ent/sealingkey"
	"github.com/pointscene/carillon/ent/signingkey"
	"github.com/pointscene/carillon/ent/webhook"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// sealedCounts counts sealed values by key.
const sealedCounts = `SELECT key_id, count(*) FROM (SELECT key_id FROM resource_configs UNION ALL SELECT key_id FROM signing_keys UNION ALL SELECT key_id FROM webhooks) AS sealed GROUP BY key_id`

// SealingView implements store.SealingKeys.
func (s *Store) SealingView(ctx context.Context) (v store.SealingView, err error) {
	err = s.tx(ctx, "read sealing keys", func(ctx context.Context, tx *ent.Tx) error {
		v, err = s.sealingView(ctx, tx)
		return err
	})
	return v, err
}

func (s *Store) sealingView(ctx context.Context, tx *ent.Tx) (store.SealingView, error) {
	now, err := s.databaseTime(ctx, tx)
	if err != nil {
		return store.SealingView{}, err
	}
	v := store.SealingView{Now: now, Sealed: map[uint32]int64{}}
	if v.Keys, err = sealingKeys(ctx, tx.Client()); err != nil {
		return v, err
	}
	holders, err := tx.KeyHolder.Query().Where(keyholder.LivesUntilGT(micros(now))).Order(keyholder.ByName(), keyholder.ByID()).All(ctx)
	if err != nil {
		return v, err
	}
	v.Holders = mapAll(holders, func(row *ent.KeyHolder) store.KeyHolder {
		return store.KeyHolder{ID: row.ID, Name: row.Name, Keys: row.Keys, Primary: row.PrimaryKey}
	})
	_, err = collect(ctx, tx, func(scan func(...any) error) (id uint32, err error) {
		var count int64
		err = scan(&id, &count)
		v.Sealed[id] = count
		return id, err
	}, sealedCounts)
	return v, err
}

// SealingStates implements store.SealingKeys.
func (s *Store) SealingStates(ctx context.Context) (keys []store.SealingKey, err error) {
	err = s.query(ctx, "read sealing keys", func(ctx context.Context, c *ent.Client) error {
		keys, err = sealingKeys(ctx, c)
		return err
	})
	return keys, err
}

func sealingKeys(ctx context.Context, c *ent.Client) ([]store.SealingKey, error) {
	rows, err := c.SealingKey.Query().Order(sealingkey.ByCreatedAt(), sealingkey.ByID()).All(ctx)
	return mapAll(rows, func(row *ent.SealingKey) store.SealingKey {
		return store.SealingKey{ID: uint32(row.ID), State: store.SealingState(row.State), CreatedAt: timeOf(row.CreatedAt), ChangedAt: timeOf(row.ChangedAt)}
	}), err
}

// ChangeSealingKeys implements store.SealingKeys. Whoever stores a sealed value
// shares the lock on its key's row until the commit: see sealable.
func (s *Store) ChangeSealingKeys(ctx context.Context, decide func(store.SealingView) ([]store.SealingKey, error)) error {
	return s.tx(ctx, "change sealing keys", func(ctx context.Context, tx *ent.Tx) error {
		if s.postgres() {
			if _, err := tx.SealingKey.Query().Order(sealingkey.ByID()).ForUpdate().IDs(ctx); err != nil {
				return err
			}
		}
		view, err := s.sealingView(ctx, tx)
		if err != nil {
			return err
		}
		changed, err := decide(view)
		if err != nil {
			return err
		}
		for _, key := range changed {
			err := tx.SealingKey.UpdateOneID(int64(key.ID)).SetState(string(key.State)).SetChangedAt(micros(view.Now)).Exec(ctx)
			if err != nil {
				return err
			}
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalKeys})
	})
}

// ReportKeys implements store.SealingKeys.
func (s *Store) ReportKeys(ctx context.Context, h store.KeyHolder, lives time.Duration) error {
	return s.tx(ctx, "report keys", func(ctx context.Context, tx *ent.Tx) error {
		now, err := s.databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := tx.KeyHolder.Delete().Where(keyholder.LivesUntilLTE(micros(now))).Exec(ctx); err != nil {
			return err
		}
		err = tx.KeyHolder.Create().SetID(h.ID).SetName(h.Name).SetKeys(h.Keys).SetPrimaryKey(h.Primary).SetLivesUntil(micros(now.Add(lives))).
			OnConflict(sql.ConflictColumns(keyholder.FieldID)).UpdateNewValues().Exec(ctx)
		if err != nil {
			return err
		}
		return addSealingKeys(ctx, tx, h, micros(now))
	})
}

// RenewKeyReport implements store.SealingKeys.
func (s *Store) RenewKeyReport(ctx context.Context, id string, lives time.Duration) error {
	clock := pgNow
	if !s.postgres() {
		clock = strconv.FormatInt(micros(time.Now()), 10)
	}
	return s.run(ctx, "renew the report of keys", func(ctx context.Context) error {
		result, err := s.db.ExecContext(ctx, "UPDATE key_holders SET lives_until = "+clock+" + $2 WHERE id = $1", id, lives.Microseconds())
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			return store.ErrNotFound
		}
		return err
	})
}

// addSealingKeys makes the keys of a holder known.
func addSealingKeys(ctx context.Context, tx *ent.Tx, h store.KeyHolder, now int64) error {
	known, err := tx.SealingKey.Query().All(ctx)
	if err != nil {
		return err
	}
	states := make(map[int64]string, len(known))
	primary := false
	for _, row := range known {
		states[row.ID] = row.State
		primary = primary || row.State == string(store.SealingPrimary)
	}
	for _, id := range h.Keys {
		if _, ok := states[int64(id)]; ok {
			continue
		}
		state := store.SealingEnabled
		if !primary && id == h.Primary {
			state = store.SealingPrimary
		}
		err := tx.SealingKey.Create().SetID(int64(id)).SetState(string(state)).SetCreatedAt(now).SetChangedAt(now).Exec(ctx)
		if isDuplicate(err) {
			return errRaced
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ForgetKeyHolder implements store.SealingKeys.
func (s *Store) ForgetKeyHolder(ctx context.Context, id string) error {
	return s.tx(ctx, "forget key holder", func(ctx context.Context, tx *ent.Tx) error {
		_, err := tx.KeyHolder.Delete().Where(keyholder.ID(id)).Exec(ctx)
		return err
	})
}

// SealedKeyIDs implements store.SealingKeys.
func (s *Store) SealedKeyIDs(ctx context.Context) (ids []uint32, err error) {
	err = s.query(ctx, "list sealing keys in use", func(ctx context.Context, c *ent.Client) error {
		ids, err = collect(ctx, c, func(scan func(...any) error) (id uint32, err error) {
			err = scan(&id)
			return id, err
		}, "SELECT key_id FROM resource_configs UNION SELECT key_id FROM signing_keys UNION SELECT key_id FROM webhooks ORDER BY key_id")
		return err
	})
	return ids, err
}

// RemotesToReseal implements store.SealingKeys.
func (s *Store) RemotesToReseal(ctx context.Context, keyID uint32, after store.RemoteRef, limit int) (list []job.SealedRemote, err error) {
	err = s.query(ctx, "list remotes to reseal", func(ctx context.Context, c *ent.Client) error {
		later := resourceconfig.Or(sql.FieldGT(resourceconfig.FieldResourceID, after.ResourceID),
			resourceconfig.And(resourceconfig.ResourceID(after.ResourceID), resourceconfig.NameGT(after.Name)))
		rows, err := c.ResourceConfig.Query().Where(resourceconfig.KeyIDNEQ(keyID), later).
			Order(resourceconfig.ByResourceID(), resourceconfig.ByName()).Limit(limit).All(ctx)
		list = mapAll(rows, remoteOf)
		return err
	})
	return list, err
}

// WebhooksToReseal implements store.SealingKeys.
func (s *Store) WebhooksToReseal(ctx context.Context, keyID uint32, after int64, limit int) (list []job.Webhook, err error) {
	err = s.query(ctx, "list webhooks to reseal", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Webhook.Query().Where(webhook.KeyIDNEQ(keyID), webhook.IDGT(after)).Order(webhook.ByID()).Limit(limit).All(ctx)
		if err != nil {
			return err
		}
		list, err = webhooksOf(rows)
		return err
	})
	return list, err
}

// ResealWebhooks implements store.SealingKeys.
func (s *Store) ResealWebhooks(ctx context.Context, list []job.Webhook) (resealed int, err error) {
	err = s.tx(ctx, "reseal webhooks", func(ctx context.Context, tx *ent.Tx) error {
		resealed = 0
		for _, w := range list {
			if err := s.sealable(ctx, tx, w.Secrets.KeyID); err != nil {
				return err
			}
			n, err := tx.Webhook.Update().
				Where(webhook.ID(w.ID), webhook.SecretVersion(w.Secrets.Version), webhook.KeyIDNEQ(w.Secrets.KeyID)).
				SetKeyID(w.Secrets.KeyID).SetCiphertext(w.Secrets.Ciphertext).Save(ctx)
			if err != nil {
				return err
			}
			resealed += n
		}
		return nil
	})
	return resealed, err
}

// Reseal implements store.SealingKeys.
func (s *Store) Reseal(ctx context.Context, remotes []job.SealedRemote, keys []store.SigningKey) (resealed int, err error) {
	err = s.tx(ctx, "reseal", func(ctx context.Context, tx *ent.Tx) error {
		resealed = 0
		for _, r := range remotes {
			if err := s.sealable(ctx, tx, r.KeyID); err != nil {
				return err
			}
			n, err := tx.ResourceConfig.Update().
				Where(resourceconfig.ResourceID(r.ResourceID), resourceconfig.Name(r.Name), resourceconfig.Version(r.Version), resourceconfig.KeyIDNEQ(r.KeyID)).
				SetKeyID(r.KeyID).SetCiphertext(r.Ciphertext).Save(ctx)
			if err != nil {
				return err
			}
			resealed += n
		}
		for _, key := range keys {
			if err := s.sealable(ctx, tx, key.KeyID); err != nil {
				return err
			}
			n, err := tx.SigningKey.Update().Where(signingkey.ID(key.ID), signingkey.KeyIDNEQ(key.KeyID)).
				SetKeyID(key.KeyID).SetSealed(key.Sealed).Save(ctx)
			if err != nil {
				return err
			}
			resealed += n
		}
		return nil
	})
	return resealed, err
}

// sealable refuses a value that was sealed by a key which is out of use by now,
// and keeps the key in use until the commit. A key that the database was not
// told of yet is in use.
func (s *Store) sealable(ctx context.Context, tx *ent.Tx, keyID uint32) error {
	q := tx.SealingKey.Query().Where(sealingkey.ID(int64(keyID)))
	if s.postgres() {
		q.ForShare()
	}
	key, err := q.Only(ctx)
	if ent.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if state := store.SealingState(key.State); state != store.SealingEnabled && state != store.SealingPrimary {
		return &job.AbortedError{Message: "The key that sealed this was retired meanwhile; try again."}
	}
	return nil
}
