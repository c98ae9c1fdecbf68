// Package configs keeps the credentials of remotes: the rules behind the
// ConfigService, without gRPC, and their opening for an execution.
//
// Rules:
//   - Values go in and never come out through the API: callers learn names,
//     types and which keys are set. No error and no log line holds a value.
//   - Each remote is sealed as a whole, bound to its resource, name and
//     version, and changed by compare and swap.
//   - Everything is checked before anything is stored; several remotes of one
//     request are stored together or not at all.
//   - An execution opens only remotes of resources of its own instance. That
//     is checked at each opening, whatever the workflow was checked for before.
package configs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pointscene/carillon/internal/places"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// maxConfig bounds what one request stores, in bytes of JSON.
const maxConfig = 64 << 10

// maxTries bounds how often a change is repeated because of others.
const maxTries = 8

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	store.Configs
	Resource(ctx context.Context, id int64) (job.Resource, error)
	AddAuditEvent(ctx context.Context, e audit.Event) error
}

// Parse checks the configuration of one remote and returns its type and its
// other keys as text. What it refuses is a *job.InvalidError with paths below
// config.<name>.
type Parse func(name string, raw map[string]any) (kind string, options map[string]string, err error)

// Facts tells what of a remote's options may be read without opening them: who
// its account is (job.Folder) and when its credentials end, counted from now.
type Facts func(kind string, options map[string]string, now time.Time) (account string, expiry job.Expiry)

// Service is the use cases. Its methods return the errors of package job that
// callers can tell apart; the caller is the principal of the context.
type Service struct {
	store Store
	auth  *auth.Authorizer
	ring  *seal.Keyring
	parse Parse
	facts Facts
	now   func() time.Time

	try    Try
	places *places.Places[int64]
}

// New returns a Service that seals with ring.
func New(s Store, authorizer *auth.Authorizer, ring *seal.Keyring, parse Parse, facts Facts, now func() time.Time) *Service {
	return &Service{store: s, auth: authorizer, ring: ring, parse: parse, facts: facts, now: func() time.Time { return job.Time(now()) }}
}

// plain is a remote in the clear, on its way to be sealed.
type plain struct {
	kind    string
	options map[string]string
}

// Add stores remotes of a resource by name; the value null removes one.
func (s *Service) Add(ctx context.Context, resourceID int64, config map[string]any) error {
	if err := s.check(ctx, resourceID, auth.Write); err != nil {
		return err
	}
	puts, removes, err := s.read(config)
	if err != nil {
		return err
	}
	return s.swap(func() error {
		versions, err := s.versions(ctx, resourceID)
		if err != nil {
			return err
		}
		sealed := make([]job.SealedRemote, 0, len(puts))
		for _, name := range slices.Sorted(maps.Keys(puts)) {
			one, err := s.seal(resourceID, name, versions[name]+1, puts[name])
			if err != nil {
				return err
			}
			sealed = append(sealed, one)
		}
		// Names that are not there may be text that the database can't look for.
		present := slices.DeleteFunc(slices.Clone(removes), func(name string) bool { return versions[name] == 0 })
		return s.store.ChangeRemotes(ctx, resourceID, sealed, present)
	}, resourceID)
}

// read checks a request's remotes, all at once.
func (s *Service) read(config map[string]any) (puts map[string]plain, removes []string, err error) {
	// Whoever sends more than the limit learns only that: checking all of it
	// would be work for nothing.
	if text, err := json.Marshal(config); err != nil || len(text) > maxConfig {
		return nil, nil, job.Invalid("config", "TOO_LARGE", "has more than %d bytes, or numbers that JSON can't write", maxConfig)
	}
	var bad job.InvalidError
	puts = map[string]plain{}
	for _, name := range slices.Sorted(maps.Keys(config)) {
		switch raw := config[name].(type) {
		case nil:
			removes = append(removes, name)
		case map[string]any:
			kind, options, err := s.parse(name, raw)
			if err := bad.Under("", err); err != nil {
				return nil, nil, errors.New("check the configuration of a remote") // the cause may quote it
			}
			puts[name] = plain{kind: kind, options: options}
		default:
			bad.Add(job.JoinPath("config", task.Field(name)), task.ReasonWrongType, "must be an object with a type, or null to remove it")
		}
	}
	return puts, removes, bad.Err()
}

// swap repeats a change that others have overtaken.
func (s *Service) swap(change func() error, resourceID int64) error {
	for range maxTries {
		err := change()
		var overtaken *job.AbortedError
		if !errors.As(err, &overtaken) {
			return store.OrMissing(err, job.KindResource, resourceID)
		}
	}
	return &job.UnavailableError{Message: "the config is being changed by others all the time; try again later"}
}

func (s *Service) versions(ctx context.Context, resourceID int64) (map[string]int64, error) {
	stored, err := s.store.Remotes(ctx, resourceID)
	if err != nil {
		return nil, fmt.Errorf("read the remotes of resource %d: %w", resourceID, err)
	}
	versions := make(map[string]int64, len(stored))
	for _, r := range stored {
		versions[r.Name] = r.Version
	}
	return versions, nil
}

func (s *Service) seal(resourceID int64, name string, version int64, p plain) (job.SealedRemote, error) {
	text, err := json.Marshal(p.options)
	if err != nil {
		return job.SealedRemote{}, errors.New("encode the configuration of a remote")
	}
	sealed, err := s.ring.Seal(text, seal.RemoteAD(resourceID, name, version))
	if err != nil {
		return job.SealedRemote{}, fmt.Errorf("seal a remote of resource %d: %w", resourceID, err)
	}
	now := s.now()
	account, expiry := s.facts(p.kind, p.options, now)
	return job.SealedRemote{
		ResourceID: resourceID, Name: name, Type: p.kind, Keys: setKeys(p.options),
		Version: version, KeyID: sealed.KeyID, Ciphertext: sealed.Ciphertext, UpdatedAt: now,
		Account: account, Expiry: expiry,
	}, nil
}

// setKeys are the names of the options that have a value, in order.
func setKeys(options map[string]string) []string {
	keys := []string{}
	for key, value := range options {
		if value != "" {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// Get answers what is stored for a resource, by name. The values stay sealed.
func (s *Service) Get(ctx context.Context, resourceID int64) ([]job.SealedRemote, error) {
	if err := s.check(ctx, resourceID, auth.Read); err != nil {
		return nil, err
	}
	return s.store.Remotes(ctx, resourceID)
}

// Delete removes every remote of a resource.
func (s *Service) Delete(ctx context.Context, resourceID int64) error {
	if err := s.check(ctx, resourceID, auth.Write); err != nil {
		return err
	}
	return store.OrMissing(s.store.DeleteRemotes(ctx, resourceID), job.KindResource, resourceID)
}

// check reads the resource and checks the caller's access to it.
func (s *Service) check(ctx context.Context, resourceID int64, access auth.Access) error {
	_, err := s.resource(ctx, resourceID, access)
	return err
}

func (s *Service) resource(ctx context.Context, id int64, access auth.Access) (job.Resource, error) {
	return auth.Load(ctx, s.auth, job.KindResource, id, access, s.store.Resource, func(r job.Resource) int64 { return r.InstanceID })
}
