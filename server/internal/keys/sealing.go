package keys

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// Key is a sealing key as operators see it.
type Key struct {
	store.SealingKey
	// Sealed is how many stored values it seals.
	Sealed int64
	// MissingAt and SealingAt are the names of living processes: those whose
	// file lacks the key, and those that seal with it.
	MissingAt, SealingAt []string
}

// List is every sealing key.
type List struct {
	// Keys are in the order of their creation.
	Keys []Key
	// WrappedBy is the kind of KMS that wraps this process's file, or "".
	WrappedBy string
	// Holders are the names of the living processes.
	Holders []string
}

// The reasons of refusals.
const (
	ReasonKeyUnknown    = "KEY_NOT_HELD"
	ReasonKeyPrimary    = "KEY_IS_PRIMARY"
	ReasonKeySealing    = "KEY_STILL_SEALS"
	ReasonKeyInUse      = "KEY_IN_USE"
	ReasonKeyDestroyed  = "KEY_DESTROYED"
	ReasonKeyTooYoung   = "KEY_DISABLED_RECENTLY"
	ReasonKeysetNotOurs = "KEYSET_READ_ONLY"
)

// destroyAfter is how long a key must have been disabled: whoever restores a
// backup from before its rewrap needs it.
const destroyAfter = 24 * time.Hour

// List answers the sealing keys.
func (s *Service) List(ctx context.Context) (List, error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return List{}, err
	}
	view, err := s.o.Store.SealingView(ctx)
	if err != nil {
		return List{}, fmt.Errorf("read the sealing keys: %w", err)
	}
	list := List{}
	if wrapper := s.o.Keyring.Source().Wrapper; wrapper != nil {
		list.WrappedBy = wrapper.Name
	}
	for _, key := range view.Keys {
		list.Keys = append(list.Keys, keyOf(view, key))
	}
	for _, h := range view.Holders {
		list.Holders = append(list.Holders, h.Name)
	}
	return list, nil
}

func keyOf(view store.SealingView, key store.SealingKey) Key {
	k := Key{SealingKey: key, Sealed: view.Sealed[key.ID]}
	for _, h := range view.Holders {
		if !slices.Contains(h.Keys, key.ID) {
			k.MissingAt = append(k.MissingAt, h.Name)
		}
		if h.Primary == key.ID {
			k.SealingAt = append(k.SealingAt, h.Name)
		}
	}
	return k
}

// Add puts a new key into this process's keyset file.
func (s *Service) Add(ctx context.Context) (Key, error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return Key{}, err
	}
	id, err := s.o.Keyring.Source().AddKey(ctx)
	if err != nil {
		return Key{}, fileTrouble("add a key", err)
	}
	if _, err := s.o.Keyring.Reload(ctx, s.needed); err != nil {
		return Key{}, fmt.Errorf("take key %d over: %w", id, err)
	}
	if err := s.report(ctx, time.Time{}); err != nil {
		return Key{}, err
	}
	return s.known(ctx, id)
}

// fileTrouble tells what to do about a keyset file that could not be changed.
func fileTrouble(what string, err error) error {
	switch {
	case errors.Is(err, seal.ErrReadOnly):
		return &job.PreconditionError{Reason: ReasonKeysetNotOurs,
			Message: "the server may not change its keyset file: run `carillon keys add` or `destroy` where the file is kept, and give it to every replica"}
	case errors.Is(err, seal.ErrKMS):
		return &job.UnavailableError{Message: "the KMS that wraps the keyset does not answer, so nothing was changed; try again", Cause: err}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// known answers a key; one that no process has reported yet is told as it will
// be.
func (s *Service) known(ctx context.Context, id uint32) (Key, error) {
	view, err := s.o.Store.SealingView(ctx)
	if err != nil {
		return Key{}, fmt.Errorf("read the sealing keys: %w", err)
	}
	key, ok := find(view, id)
	if !ok {
		key = store.SealingKey{ID: id, State: store.SealingEnabled, CreatedAt: view.Now, ChangedAt: view.Now}
	}
	return keyOf(view, key), nil
}

func find(view store.SealingView, id uint32) (store.SealingKey, bool) {
	i := slices.IndexFunc(view.Keys, func(k store.SealingKey) bool { return k.ID == id })
	if i < 0 {
		return store.SealingKey{}, false
	}
	return view.Keys[i], true
}

// change decides about one key that must be known, and answers it as it is
// afterwards.
func (s *Service) change(ctx context.Context, id uint32, decide func(store.SealingView, Key) ([]store.SealingKey, error)) (Key, error) {
	if err := s.o.Authorizer.Operator(ctx); err != nil {
		return Key{}, err
	}
	err := s.o.Store.ChangeSealingKeys(ctx, func(view store.SealingView) ([]store.SealingKey, error) {
		key, ok := find(view, id)
		if !ok {
			return nil, job.KindKey.Missing(int64(id))
		}
		return decide(view, keyOf(view, key))
	})
	if err != nil {
		return Key{}, err
	}
	if _, err := s.follow(ctx); err != nil {
		return Key{}, err
	}
	if err := s.report(ctx, time.Time{}); err != nil {
		return Key{}, err
	}
	return s.known(ctx, id)
}

// Promote makes a key the one that seals.
func (s *Service) Promote(ctx context.Context, id uint32) (Key, error) {
	return s.change(ctx, id, func(view store.SealingView, key Key) ([]store.SealingKey, error) {
		switch {
		case key.State == store.SealingPrimary:
			return nil, nil
		case key.State == store.SealingDestroyed:
			return nil, refuse(ReasonKeyDestroyed, id, "is destroyed")
		case len(key.MissingAt) > 0:
			return nil, refuse(ReasonKeyUnknown, id, "is not in the keyset of %s: give it the file, or wait until it has read it again", strings.Join(key.MissingAt, ", "))
		case !slices.Contains(s.o.Keyring.KeyIDs(), id):
			return nil, refuse(ReasonKeyUnknown, id, "is not in the keyset that answers")
		}
		changed := []store.SealingKey{{ID: id, State: store.SealingPrimary}}
		for _, other := range view.Keys {
			if other.State == store.SealingPrimary {
				changed = append(changed, store.SealingKey{ID: other.ID, State: store.SealingEnabled})
			}
		}
		return changed, nil
	})
}

// Disable takes a key out of use.
func (s *Service) Disable(ctx context.Context, id uint32) (Key, error) {
	return s.change(ctx, id, func(_ store.SealingView, key Key) ([]store.SealingKey, error) {
		switch {
		case key.State == store.SealingDisabled || key.State == store.SealingDestroyed:
			return nil, nil
		case key.State == store.SealingPrimary:
			return nil, refuse(ReasonKeyPrimary, id, "is the one that seals: promote another one first")
		case key.Sealed > 0:
			return nil, refuse(ReasonKeySealing, id, "still seals %d values: rewrap them first", key.Sealed)
		case len(key.SealingAt) > 0:
			return nil, refuse(ReasonKeyInUse, id, "is still what %s seals with: wait until it has followed", strings.Join(key.SealingAt, ", "))
		}
		return []store.SealingKey{{ID: id, State: store.SealingDisabled}}, nil
	})
}

// Destroy deletes a disabled key from this process's file and forbids it to
// the others.
func (s *Service) Destroy(ctx context.Context, id uint32, force bool) (Key, error) {
	key, err := s.change(ctx, id, func(view store.SealingView, key Key) ([]store.SealingKey, error) {
		left := key.ChangedAt.Add(destroyAfter).Sub(view.Now)
		switch {
		case key.State == store.SealingDestroyed:
			return nil, nil
		case key.State != store.SealingDisabled:
			return nil, refuse(ReasonKeyInUse, id, "is in use: disable it first")
		case key.Sealed > 0: // by a restored row
			return nil, refuse(ReasonKeySealing, id, "still seals %d values: promote it again, and then another one", key.Sealed)
		case left > 0 && !force:
			return nil, refuse(ReasonKeyTooYoung, id, "was disabled less than a day ago, and older backups need it: wait %s, or force it", left.Round(time.Minute))
		}
		return []store.SealingKey{{ID: id, State: store.SealingDestroyed}}, nil
	})
	if err != nil {
		return key, err
	}
	ring := s.o.Keyring
	err = ring.Source().RemoveKey(ctx, id, ring.PrimaryKeyID())
	if err != nil {
		return key, fileTrouble(fmt.Sprintf("destroy key %d", id), err)
	}
	if _, err := ring.Reload(ctx, s.needed); err != nil {
		return key, fmt.Errorf("destroy key %d: %w", id, err)
	}
	if err := s.report(ctx, time.Time{}); err != nil {
		return key, err
	}
	return s.known(ctx, id)
}

func refuse(reason string, id uint32, format string, args ...any) error {
	return &job.PreconditionError{Reason: reason, Message: job.KindKey.Format(int64(id)) + " " + fmt.Sprintf(format, args...)}
}
