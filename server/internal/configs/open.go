package configs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// The reasons of failures that this package gives to an execution.
const (
	ReasonResourceNotFound    = "RESOURCE_NOT_FOUND"
	ReasonRemoteNotConfigured = "REMOTE_NOT_CONFIGURED"
	ReasonConfigUnreadable    = "CONFIG_UNREADABLE"
)

// For returns the remotes that executions of an instance may open.
func (s *Service) For(instanceID int64) task.Configs { return opener{s, instanceID} }

type opener struct {
	service    *Service
	instanceID int64
}

// Remote opens the configuration that is stored under name for a resource of
// the instance. It acts for the execution, not for a caller: the instance is
// the whole permission.
func (o opener) Remote(ctx context.Context, resourceID, name string) (task.RemoteConfig, error) {
	id, ok := job.KindResource.Parse(resourceID)
	if !ok {
		return task.RemoteConfig{}, missingResource(resourceID)
	}
	r, err := o.service.store.Resource(ctx, id)
	missing := errors.Is(err, store.ErrNotFound)
	if err != nil && !missing {
		return task.RemoteConfig{}, fmt.Errorf("read resource %d: %w", id, err)
	}
	if missing || r.InstanceID != o.instanceID {
		return task.RemoteConfig{}, missingResource(resourceID)
	}
	kind, options, err := o.service.open(ctx, id, name)
	if err != nil {
		return task.RemoteConfig{}, err
	}
	saver := &saver{service: o.service, resourceID: id, name: name, kind: kind, known: maps.Clone(options)}
	return task.RemoteConfig{ResourceID: id, Name: name, Type: kind, Options: options, Save: saver.save}, nil
}

func missingResource(resourceID string) *job.Failure {
	return &job.Failure{Code: "NOT_FOUND", Reason: ReasonResourceNotFound,
		Message: fmt.Sprintf("%.40q is no resource of the job's instance", resourceID)}
}

func missingRemote(resourceID int64, name string) *job.Failure {
	return &job.Failure{Code: "NOT_FOUND", Reason: ReasonRemoteNotConfigured,
		Message: fmt.Sprintf("no remote %.64q is stored for resource %s: store it with AddConfig", name, job.KindResource.Format(resourceID))}
}

// open reads a remote and opens it.
func (s *Service) open(ctx context.Context, resourceID int64, name string) (kind string, options map[string]string, err error) {
	stored, err := s.store.Remote(ctx, resourceID, name)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil, missingRemote(resourceID, name)
	}
	if err != nil {
		return "", nil, fmt.Errorf("read remote %q of resource %d: %w", name, resourceID, err)
	}
	options, err = s.unseal(stored)
	return stored.Type, options, err
}

func (s *Service) unseal(r job.SealedRemote) (map[string]string, error) {
	unreadable := &job.Failure{Code: "DATA_LOSS", Reason: ReasonConfigUnreadable,
		Message: fmt.Sprintf("the config of remote %q of resource %s does not open: store it again with AddConfig", r.Name, job.KindResource.Format(r.ResourceID))}
	text, err := s.ring.Open(seal.Sealed{KeyID: r.KeyID, Ciphertext: r.Ciphertext}, seal.RemoteAD(r.ResourceID, r.Name, r.Version))
	if err != nil {
		return nil, unreadable
	}
	var options map[string]string
	if json.Unmarshal(text, &options) != nil {
		return nil, unreadable
	}
	return options, nil
}

// saver stores options that a remote changes while it is open, such as a
// refreshed token.
type saver struct {
	service    *Service
	resourceID int64
	name       string
	kind       string

	mu sync.Mutex
	// known are the stored options as this opening last saw them.
	known map[string]string
}

// save stores a new value on top of the one that the remote was opened with.
// A value that somebody else has stored since is newer than the one which this
// one came from, and stays.
func (s *saver) save(ctx context.Context, key, value string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.service.swap(func() error {
		stored, err := s.service.store.Remote(ctx, s.resourceID, s.name)
		if errors.Is(err, store.ErrNotFound) {
			return missingRemote(s.resourceID, s.name)
		}
		if err != nil {
			return fmt.Errorf("read remote %q of resource %d: %w", s.name, s.resourceID, err)
		}
		options, err := s.service.unseal(stored)
		if err != nil {
			return err
		}
		if stored.Type != s.kind || options[key] != s.known[key] {
			return nil
		}
		options[key] = value
		sealed, err := s.service.seal(s.resourceID, s.name, stored.Version+1, plain{kind: stored.Type, options: options})
		if err != nil {
			return err
		}
		if err := s.service.store.ChangeRemotes(ctx, s.resourceID, []job.SealedRemote{sealed}, nil); err != nil {
			return err
		}
		s.known[key] = value
		return nil
	}, s.resourceID)
}
