package keys

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// rewrapPage is how many values one transaction seals anew.
	rewrapPage = 500
	// rewrapFor is how long one call goes on.
	rewrapFor = 5 * time.Second
)

// Rewrap seals values anew that another key than the primary seals, for a few
// seconds at most, and answers how many it did and how many are left.
func (s *Service) Rewrap(ctx context.Context) (rewrapped, remaining int64, err error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return 0, 0, err
	}
	// This process may have been told of a promotion less than a look ago.
	if _, err := s.follow(ctx); err != nil {
		return 0, 0, err
	}
	primary := s.o.Keyring.PrimaryKeyID()
	keys, err := s.rewrapKeys(ctx, primary)
	if err != nil {
		return 0, 0, err
	}
	webhooks, err := s.rewrapWebhooks(ctx, primary)
	if err != nil {
		return 0, 0, err
	}
	done, err := s.rewrapRemotes(ctx, primary)
	rewrapped = keys + webhooks + done
	if err != nil && rewrapped == 0 {
		return 0, 0, err
	}
	view, err := s.o.Store.SealingView(ctx)
	if err != nil {
		return rewrapped, 0, fmt.Errorf("count what is left: %w", err)
	}
	for id, count := range view.Sealed {
		if id != primary {
			remaining += count
		}
	}
	return rewrapped, remaining, nil
}

// rewrapRemotes goes through the remotes page by page. One that does not open
// stays as it is and keeps no other waiting; the error names it.
func (s *Service) rewrapRemotes(ctx context.Context, primary uint32) (rewrapped int64, unreadable error) {
	bounded, cancel := context.WithTimeout(ctx, rewrapFor)
	defer cancel()
	for after := (store.RemoteRef{}); bounded.Err() == nil; {
		page, err := s.o.Store.RemotesToReseal(ctx, primary, after, rewrapPage)
		if err != nil {
			return rewrapped, fmt.Errorf("read what is to be sealed anew: %w", err)
		}
		if len(page) == 0 {
			break
		}
		last := page[len(page)-1]
		after = store.RemoteRef{ResourceID: last.ResourceID, Name: last.Name}
		var opened []job.SealedRemote
		for _, r := range page {
			sealed, err := s.reseal(seal.Sealed{KeyID: r.KeyID, Ciphertext: r.Ciphertext}, seal.RemoteAD(r.ResourceID, r.Name, r.Version))
			if err != nil {
				unreadable = &job.PreconditionError{Reason: "CONFIG_UNREADABLE", Message: fmt.Sprintf(
					"the config of remote %q of resource %s does not open: store it again with AddConfig, or delete it", r.Name, job.KindResource.Format(r.ResourceID))}
				continue
			}
			r.KeyID, r.Ciphertext = sealed.KeyID, sealed.Ciphertext
			opened = append(opened, r)
		}
		done, err := s.o.Store.Reseal(ctx, opened, nil)
		if err != nil {
			return rewrapped, fmt.Errorf("store what was sealed anew: %w", err)
		}
		rewrapped += int64(done)
	}
	return rewrapped, unreadable
}

// rewrapKeys does the same for the signing keys, which are few.
func (s *Service) rewrapKeys(ctx context.Context, primary uint32) (int64, error) {
	rows, err := s.o.Store.SigningKeys(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the signing keys: %w", err)
	}
	var keys []store.SigningKey
	for _, row := range rows {
		if row.KeyID == primary {
			continue
		}
		sealed, err := s.reseal(seal.Sealed{KeyID: row.KeyID, Ciphertext: row.Sealed}, seal.SigningKeyAD(row.Purpose, row.ID))
		if err != nil {
			return 0, fmt.Errorf("open signing key %s: %w", row.ID, err)
		}
		row.KeyID, row.Sealed = sealed.KeyID, sealed.Ciphertext
		keys = append(keys, row)
	}
	done, err := s.o.Store.Reseal(ctx, nil, keys)
	if err != nil {
		return 0, fmt.Errorf("store what was sealed anew: %w", err)
	}
	return int64(done), nil
}

// rewrapWebhooks does the same for the secrets of webhooks. One that does not
// open stays as it is, and counts as left.
func (s *Service) rewrapWebhooks(ctx context.Context, primary uint32) (rewrapped int64, err error) {
	bounded, cancel := context.WithTimeout(ctx, rewrapFor)
	defer cancel()
	for after := int64(0); bounded.Err() == nil; {
		page, err := s.o.Store.WebhooksToReseal(ctx, primary, after, rewrapPage)
		if err != nil {
			return rewrapped, fmt.Errorf("read what is to be sealed anew: %w", err)
		}
		if len(page) == 0 {
			break
		}
		after = page[len(page)-1].ID
		var opened []job.Webhook
		for _, w := range page {
			sealed, err := s.reseal(seal.Sealed{KeyID: w.Secrets.KeyID, Ciphertext: w.Secrets.Ciphertext}, seal.WebhookAD(w.ID, w.Secrets.Version))
			if err != nil {
				continue
			}
			w.Secrets.KeyID, w.Secrets.Ciphertext = sealed.KeyID, sealed.Ciphertext
			opened = append(opened, w)
		}
		done, err := s.o.Store.ResealWebhooks(ctx, opened)
		if err != nil {
			return rewrapped, fmt.Errorf("store what was sealed anew: %w", err)
		}
		rewrapped += int64(done)
	}
	return rewrapped, nil
}

func (s *Service) reseal(value seal.Sealed, place seal.AD) (seal.Sealed, error) {
	plaintext, err := s.o.Keyring.Open(value, place)
	if err != nil {
		return seal.Sealed{}, err
	}
	defer clear(plaintext)
	return s.o.Keyring.Seal(plaintext, place)
}

// RotateSigning makes a new key for tokens or links; see [auth.Keys.Rotate].
func (s *Service) RotateSigning(ctx context.Context, purpose string, revoke bool) (store.SigningKey, error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return store.SigningKey{}, err
	}
	return s.o.Signing.Rotate(ctx, purpose, revoke)
}

// ListSigning answers the signing keys that have not retired, oldest first.
func (s *Service) ListSigning(ctx context.Context) ([]store.SigningKey, error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return nil, err
	}
	return s.o.Signing.List(ctx)
}
