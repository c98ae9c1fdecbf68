package entstore

import (
	"context"

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
		err = tx.SigningKey.Create().SetID(key.ID).SetPurpose(key.Purpose).SetSlot(key.Purpose).SetPublic(append([]byte{}, key.Public...)).
			SetKeyID(key.KeyID).SetSealed(key.Sealed).SetCreatedAt(micros(orNow(key.CreatedAt))).Exec(ctx)
		if isDuplicate(err) {
			return errRaced
		}
		return err
	})
}

// SealedKeyIDs implements store.SigningKeys.
func (s *Store) SealedKeyIDs(ctx context.Context) (ids []uint32, err error) {
	err = s.query(ctx, "list sealing keys in use", func(ctx context.Context, c *ent.Client) error {
		ids, err = collect(ctx, c, func(scan func(...any) error) (id uint32, err error) {
			err = scan(&id)
			return id, err
		}, "SELECT key_id FROM resource_configs UNION SELECT key_id FROM signing_keys ORDER BY key_id")
		return err
	})
	return ids, err
}
