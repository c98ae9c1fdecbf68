package entstore

import (
	"context"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/signingkey"
	"github.com/pointscene/carillon/server/internal/store"
)

// SigningKeys implements store.SigningKeys.
func (s *Store) SigningKeys(ctx context.Context) (list []store.SigningKey, err error) {
	err = s.query(ctx, "read signing keys", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.SigningKey.Query().Order(ent.Asc(signingkey.FieldCreatedAt, signingkey.FieldID)).All(ctx)
		list = mapAll(rows, signingKeyOf)
		return err
	})
	return list, err
}

// AddFirstSigningKey implements store.SigningKeys.
func (s *Store) AddFirstSigningKey(ctx context.Context, key store.SigningKey) error {
	return s.tx(ctx, "add signing key", func(ctx context.Context, tx *ent.Tx) error {
		taken, err := tx.SigningKey.Query().Where(signingkey.Purpose(key.Purpose)).Exist(ctx)
		if err != nil || taken {
			return err
		}
		err = s.addSigningKey(ctx, tx, key, key.Purpose)
		if isDuplicate(err) {
			return errRaced
		}
		return err
	})
}

// addSigningKey stores a key in a slot, which no other key has.
func (s *Store) addSigningKey(ctx context.Context, tx *ent.Tx, key store.SigningKey, slot string) error {
	if err := s.sealable(ctx, tx, key.KeyID); err != nil {
		return err
	}
	return tx.SigningKey.Create().SetID(key.ID).SetPurpose(key.Purpose).SetSlot(slot).SetPublic(append([]byte{}, key.Public...)).
		SetKeyID(key.KeyID).SetSealed(key.Sealed).SetCreatedAt(micros(orNow(key.CreatedAt))).
		SetActiveAt(micros(key.ActiveAt)).SetRetiresAt(micros(key.RetiresAt)).Exec(ctx)
}

// RotateSigningKey implements store.SigningKeys.
func (s *Store) RotateSigningKey(ctx context.Context, key store.SigningKey, retire, now time.Time) error {
	return s.tx(ctx, "rotate signing key", func(ctx context.Context, tx *ent.Tx) error {
		older := signingkey.Purpose(key.Purpose)
		_, err := tx.SigningKey.Update().Where(older, signingkey.Or(signingkey.RetiresAt(0), signingkey.RetiresAtGT(micros(retire)))).
			SetRetiresAt(micros(retire)).Save(ctx)
		if err != nil {
			return err
		}
		if _, err := tx.SigningKey.Delete().Where(older, signingkey.RetiresAtLTE(micros(now))).Exec(ctx); err != nil {
			return err
		}
		return s.addSigningKey(ctx, tx, key, key.ID)
	})
}
