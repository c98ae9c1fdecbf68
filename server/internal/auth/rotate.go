package auth

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// activeAfter is how long a new key is only published before it signs: longer
// than any replica goes without asking the store, with clocks a little apart.
const activeAfter = keysMaxAge + 5*time.Second

// Rotate makes a new key for a purpose. It signs after a while; the older ones
// verify until the last token or link that they signed has ended. With revoke
// they end now, and with them everything that they signed: on other replicas
// within keysMaxAge.
func (k *Keys) Rotate(ctx context.Context, purpose string, revoke bool) (store.SigningKey, error) {
	now := job.Time(k.now())
	key, err := k.make(purpose)
	if err != nil {
		return key, fmt.Errorf("make a %s key: %w", purpose, err)
	}
	retire := now
	if !revoke {
		key.ActiveAt = now.Add(activeAfter)
		retire = key.ActiveAt.Add(longest(purpose) + keysMaxAge)
	}
	if err := k.store.RotateSigningKey(ctx, key, retire, now); err != nil {
		return key, fmt.Errorf("store a %s key: %w", purpose, err)
	}
	_, err = k.load(ctx)
	return key, err
}

// longest is how long what a key signs can live.
func longest(purpose string) time.Duration {
	if purpose == PurposeLink {
		return LinkTTL
	}
	return MaxTTL
}

// List answers the keys that have not retired, oldest first, without their
// private parts.
func (k *Keys) List(ctx context.Context) ([]store.SigningKey, error) {
	rows, err := k.store.SigningKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	now := k.now()
	var living []store.SigningKey
	for _, row := range rows {
		if row.RetiresAt.IsZero() || now.Before(row.RetiresAt) {
			row.Sealed = nil
			living = append(living, row)
		}
	}
	return living, nil
}
