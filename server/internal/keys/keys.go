package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	store.SealingKeys
	SigningKeys(ctx context.Context) ([]store.SigningKey, error)
	// Listening tells whether Wake is called when the roles have changed.
	Listening() bool
}

// Options are what a Service works with.
type Options struct {
	Store      Store
	Keyring    *seal.Keyring
	Signing    *auth.Keys
	Authorizer *auth.Authorizer
	// Name tells people which process this is.
	Name string
	Log  *slog.Logger
}

// Service is the use cases, and this process's part in a rotation. Its methods
// return the errors of package job that callers can tell apart; the caller is
// the principal of the context.
type Service struct {
	o Options
	// id is this process's among the holders.
	id string
	// wake makes Run look now, followed is when it last asked the database.
	wake     chan struct{}
	followed time.Time

	mu sync.Mutex
	// reported is what the database was last told, and when.
	reported   store.KeyHolder
	reportedAt time.Time
	// complained is the last trouble that was logged.
	complained string
}

const (
	// lookEvery is the time between looks at the file, and at the database unless
	// signals tell of its changes: then it is looked at when Wake is called, and
	// after followEvery.
	lookEvery   = time.Second
	followEvery = 10 * time.Second
	// reportEvery is the least time between reports without a change.
	reportEvery = 5 * time.Second
	// livesFor is how long after a report a process counts as living.
	livesFor = 15 * time.Second
)

// New returns a Service that has told nobody of itself.
func New(o Options) *Service { return &Service{o: o, id: rand.Text(), wake: make(chan struct{}, 1)} }

// Wake makes the service look at the database now.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake already
	}
}

// Start reports what this process holds and takes over the roles of the keys.
// It fails, naming the keyset's flag, when the keyset is not the database's.
func (s *Service) Start(ctx context.Context) error {
	states, err := s.states(ctx)
	if err != nil {
		return err
	}
	// First the roles: the keys of a foreign keyset must not become known.
	if err := s.o.Keyring.Assign(roles(states)); err != nil {
		return err
	}
	if err := s.report(ctx, time.Time{}); err != nil {
		return err
	}
	// A key may have been promoted before this process was seen to lack it.
	_, err = s.follow(ctx)
	return err
}

// Run follows the file and the database until ctx ends.
func (s *Service) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.wake:
			s.followed = time.Time{}
		}
		if done, err := s.look(ctx, time.Now()); done {
			s.complain(ctx, err)
		}
	}
}

// Leave takes this process's report back.
func (s *Service) Leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookEvery)
	defer cancel()
	if err := s.o.Store.ForgetKeyHolder(ctx, s.id); err != nil {
		s.o.Log.WarnContext(ctx, "can't take the report of held keys back; it ends by itself", "error", err)
	}
}

// look takes over what has changed, and reports. It is not done when the file is
// as before and it is not yet time to ask the database.
func (s *Service) look(ctx context.Context, now time.Time) (done bool, err error) {
	changed, reloadErr := s.o.Keyring.Reload(ctx, s.needed)
	if changed {
		s.o.Log.InfoContext(ctx, "read the keyset file again", "keys", s.o.Keyring.KeyIDs())
	} else if reloadErr == nil && s.o.Store.Listening() && now.Sub(s.followed) < followEvery {
		return false, nil
	}
	states, err := s.follow(ctx)
	if err != nil {
		return true, err
	}
	if err := s.report(ctx, now); err != nil {
		return true, err
	}
	s.followed = now
	if reloadErr != nil {
		return true, reloadErr
	}
	return true, s.leftover(states)
}

// needed are the keys that a changed file must not lack.
func (s *Service) needed(ctx context.Context) ([]uint32, error) {
	ids, err := s.o.Store.SealedKeyIDs(ctx)
	return append(ids, s.o.Keyring.PrimaryKeyID()), err
}

func (s *Service) states(ctx context.Context) ([]store.SealingKey, error) {
	states, err := s.o.Store.SealingStates(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the sealing keys: %w", err)
	}
	return states, nil
}

// follow gives the keys the roles that the database tells.
func (s *Service) follow(ctx context.Context) ([]store.SealingKey, error) {
	states, err := s.states(ctx)
	if err != nil {
		return nil, err
	}
	before := s.o.Keyring.PrimaryKeyID()
	if err := s.o.Keyring.Assign(roles(states)); err != nil {
		return nil, err
	}
	if now := s.o.Keyring.PrimaryKeyID(); now != before {
		s.o.Log.InfoContext(ctx, "another key seals now", "key", now, "before", before)
	}
	return states, nil
}

// leftover complains about a destroyed key that this process's file still has.
func (s *Service) leftover(states []store.SealingKey) error {
	for _, key := range states {
		if key.State == store.SealingDestroyed && slices.Contains(s.o.Keyring.KeyIDs(), key.ID) {
			return fmt.Errorf("keyset %q still holds %s, which was destroyed: delete it with `carillon keys destroy`, or take the file of the others",
				s.o.Keyring.Source().Path, job.KindKey.Format(int64(key.ID)))
		}
	}
	return nil
}

// roles are what the states say to a keyring.
func roles(states []store.SealingKey) (r seal.Roles) {
	for _, key := range states {
		switch key.State {
		case store.SealingPrimary:
			r.Primary = key.ID
		case store.SealingDisabled, store.SealingDestroyed:
			r.Retired = append(r.Retired, key.ID)
		}
	}
	return r
}

// report tells the database what this process holds, when that has changed or
// the last report is old.
func (s *Service) report(ctx context.Context, now time.Time) error {
	h := store.KeyHolder{ID: s.id, Name: s.o.Name, Keys: s.o.Keyring.KeyIDs(), Primary: s.o.Keyring.PrimaryKeyID()}
	s.mu.Lock()
	same := slices.Equal(s.reported.Keys, h.Keys) && s.reported.Primary == h.Primary
	fresh := same && now.Sub(s.reportedAt) < reportEvery
	s.mu.Unlock()
	if fresh {
		return nil
	}
	err := store.ErrNotFound
	if same {
		err = s.o.Store.RenewKeyReport(ctx, s.id, livesFor)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = s.o.Store.ReportKeys(ctx, h, livesFor)
	}
	if err != nil {
		return fmt.Errorf("report the keys that this process holds: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reported, s.reportedAt = h, now
	return nil
}

// complain logs a trouble once, and when it is over.
func (s *Service) complain(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	s.mu.Lock()
	before := s.complained
	s.complained = text
	s.mu.Unlock()
	switch {
	case text == before:
	case err != nil:
		s.o.Log.WarnContext(ctx, "the keyset needs a look; the keys of before stay in use", "error", err)
	default:
		s.o.Log.InfoContext(ctx, "the keyset is in order again")
	}
}
