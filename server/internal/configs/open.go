package configs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
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

// For returns the remotes that an execution of an instance may open. Execution 0
// is a caller who asks what one would do. Each opening leaves an audit event in
// the name of the execution or the caller, and fails if that can't be written.
func (s *Service) For(instanceID, executionID int64) task.Configs {
	return opener{service: s, instanceID: instanceID, executionID: executionID}
}

type opener struct {
	service                 *Service
	instanceID, executionID int64
	// tries says that a refusal is not noted, lest a test pause jobs.
	tries bool
}

// event tells of a use of a remote by the execution, or, without one, by the
// caller.
func (o opener) event(ctx context.Context, method string, r job.SealedRemote) audit.Event {
	actor := job.KindExecution.Format(o.executionID)
	if caller, ok := auth.From(ctx); o.executionID == 0 && ok {
		actor = caller.Subject
	}
	return audit.Event{
		Actor: actor, Method: method, Object: job.KindResource.Format(r.ResourceID), InstanceID: o.instanceID,
		Code: audit.CodeOK, Details: map[string]string{"remote": r.Name, "version": strconv.FormatInt(r.Version, 10)},
	}
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
	stored, options, err := o.service.open(ctx, id, name)
	if err != nil {
		return task.RemoteConfig{}, err
	}
	if stored.Refusal != nil {
		return task.RemoteConfig{}, refused(stored)
	}
	if err := o.service.store.AddAuditEvent(ctx, o.event(ctx, audit.OpenConfig, stored)); err != nil {
		return task.RemoteConfig{}, err
	}
	return o.opened(stored, options), nil
}

// opened is a stored remote that keeps what changes while it is open.
func (o opener) opened(stored job.SealedRemote, options map[string]string) task.RemoteConfig {
	one := &opening{opener: o, resourceID: stored.ResourceID, name: stored.Name, kind: stored.Type, version: stored.Version, known: maps.Clone(options)}
	return task.RemoteConfig{
		ResourceID: stored.ResourceID, Name: stored.Name, Type: stored.Type, Options: options,
		Save: one.save, Renew: one.renew, Refused: one.refuse,
	}
}

func missingResource(resourceID string) *job.Failure {
	return &job.Failure{Code: "NOT_FOUND", Reason: ReasonResourceNotFound,
		Message: fmt.Sprintf("%.40q is no resource of the job's instance", resourceID)}
}

func missingRemote(resourceID int64, name string) *job.Failure {
	return &job.Failure{Code: "NOT_FOUND", Reason: ReasonRemoteNotConfigured,
		Message: fmt.Sprintf("no remote %.64q is stored for resource %s: store it with AddConfig", name, job.KindResource.Format(resourceID))}
}

// refused is why an execution does not even try: asking a service again and
// again with credentials that it refuses locks accounts.
func refused(r job.SealedRemote) *job.Failure {
	return &job.Failure{Code: "UNAUTHENTICATED", Reason: job.ReasonReauth, Message: fmt.Sprintf(
		"the credentials of remote %q of resource %s have been refused since %s (%s): store new ones with AddConfig",
		r.Name, job.KindResource.Format(r.ResourceID), r.Refusal.Since.Format(time.RFC3339), r.Refusal.Reason)}
}

// open reads a remote and opens it.
func (s *Service) open(ctx context.Context, resourceID int64, name string) (stored job.SealedRemote, options map[string]string, err error) {
	stored, err = s.store.Remote(ctx, resourceID, name)
	if errors.Is(err, store.ErrNotFound) {
		return stored, nil, missingRemote(resourceID, name)
	}
	if err != nil {
		return stored, nil, fmt.Errorf("read remote %q of resource %d: %w", name, resourceID, err)
	}
	options, err = s.unseal(stored)
	return stored, options, err
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
