// Package webhooks holds what callers can do with the receivers of notices and
// with deliveries: the rules behind the NoticeService, without gRPC.
//
// Rules:
//   - Every call checks the caller's access to what it acts on, on top of what
//     the door has checked.
//   - A secret is answered when it is made and never again. It is sealed
//     together with the one before, which signs as well for [keepPrevious].
//   - Everything is checked before anything is stored.
package webhooks

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/notice"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// keepPrevious is how long a secret signs after it was replaced.
const keepPrevious = 24 * time.Hour

// Store is what this package needs of the database; package store has the
// contracts.
type Store interface {
	store.Webhooks
	store.Notices
	Instance(ctx context.Context, id int64) (job.Instance, error)
	InstanceOf(ctx context.Context, kind job.Kind, id int64) (int64, error)
}

// Service is the use cases. Its methods return the errors of package job that
// callers can tell apart; the caller is the principal of the context.
type Service struct {
	store Store
	auth  *auth.Authorizer
	ring  *seal.Keyring
	now   func() time.Time
}

// New returns a Service that seals with ring.
func New(s Store, authorizer *auth.Authorizer, ring *seal.Keyring, now func() time.Time) *Service {
	return &Service{store: s, auth: authorizer, ring: ring, now: func() time.Time { return job.Time(now()) }}
}

// Create asks for a new webhook.
type Create struct {
	InstanceID int64
	Fields     Fields
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
	Request      store.Request
}

// Create makes a webhook and answers its secret, which is empty for a repeat.
func (s *Service) Create(ctx context.Context, c Create) (w job.Webhook, secret seal.Secret, err error) {
	if err := s.checkInstance(ctx, c.InstanceID, auth.Write); err != nil {
		return w, secret, err
	}
	w, err = s.apply(ctx, job.Webhook{InstanceID: c.InstanceID, Enabled: true}, c.Fields)
	if err != nil || c.ValidateOnly {
		return w, secret, err
	}
	w.CreatedAt = s.now()
	text := newSecret()
	made, fresh, err := s.store.CreateWebhook(ctx, w, func(id int64) (job.SealedSecrets, error) {
		return s.sealSecrets(id, job.SealedSecrets{Version: 1}, secrets{Current: text})
	}, c.Request)
	if fresh && err == nil {
		secret = seal.NewSecret(text)
	}
	return made, secret, store.OrMissing(err, job.KindInstance, c.InstanceID)
}

// Get answers one webhook.
func (s *Service) Get(ctx context.Context, id int64) (job.Webhook, error) {
	return s.load(ctx, id, auth.Read)
}

// List answers the webhooks of an instance, newest first.
func (s *Service) List(ctx context.Context, instanceID int64, page store.Page) ([]job.Webhook, error) {
	if err := s.checkInstance(ctx, instanceID, auth.Read); err != nil {
		return nil, err
	}
	return s.store.Webhooks(ctx, instanceID, page)
}

// Update asks for a change of a webhook.
type Update struct {
	ID int64
	// ETag, when not empty, must be the present one.
	ETag         string
	Fields       Fields
	ValidateOnly bool
}

// errMoved says that the webhook changed between the check and the write.
var errMoved = errors.New("the webhook changed meanwhile")

// maxTries bounds how often an update is checked anew because of others.
const maxTries = 8

// Update changes a webhook and answers it.
func (s *Service) Update(ctx context.Context, u Update) (job.Webhook, error) {
	for range maxTries {
		w, err := s.try(ctx, u)
		if !errors.Is(err, errMoved) {
			return w, store.OrMissing(err, job.KindWebhook, u.ID)
		}
	}
	return job.Webhook{}, &job.UnavailableError{Message: "the webhook is being changed by others all the time; try again later", Cause: errMoved}
}

// try checks an update against the webhook as it is and writes it if that is
// still the same.
func (s *Service) try(ctx context.Context, u Update) (job.Webhook, error) {
	base, err := s.load(ctx, u.ID, auth.Write)
	if err != nil {
		return job.Webhook{}, err
	}
	if err := checkETag(base, u.ETag); err != nil {
		return job.Webhook{}, err
	}
	next, err := s.apply(ctx, base, u.Fields)
	if err != nil || u.ValidateOnly {
		return next, err
	}
	return s.store.UpdateWebhook(ctx, u.ID, func(w *job.Webhook, _ time.Time) (bool, error) {
		if w.Version != base.Version {
			return false, errMoved
		}
		*w = next
		return !same(base, next), nil
	})
}

// Delete removes a webhook with its deliveries.
func (s *Service) Delete(ctx context.Context, id int64, etag string) error {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return err
	}
	err := s.store.DeleteWebhook(ctx, id, func(w job.Webhook) error { return checkETag(w, etag) })
	return store.OrMissing(err, job.KindWebhook, id)
}

// RotateSecret gives a webhook a new secret.
func (s *Service) RotateSecret(ctx context.Context, id int64) (w job.Webhook, secret seal.Secret, err error) {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return w, secret, err
	}
	text := newSecret()
	w, err = s.store.UpdateWebhook(ctx, id, func(w *job.Webhook, now time.Time) (bool, error) {
		next := secrets{Current: text}
		sealed := job.SealedSecrets{Version: w.Secrets.Version + 1}
		// One that does not open any more can't sign: it is only replaced.
		if old, err := s.openSecrets(*w); err == nil {
			next.Previous, sealed.PreviousUntil = old.Current, now.Add(keepPrevious)
		}
		var err error
		w.Secrets, err = s.sealSecrets(w.ID, sealed, next)
		return true, err
	})
	return w, seal.NewSecret(text), store.OrMissing(err, job.KindWebhook, id)
}

// Test sends a ping to a webhook that is enabled.
func (s *Service) Test(ctx context.Context, id int64) (job.Delivery, error) {
	w, err := s.load(ctx, id, auth.Write)
	if err != nil {
		return job.Delivery{}, err
	}
	if !w.Enabled {
		return job.Delivery{}, &job.PreconditionError{Reason: "WEBHOOK_DISABLED", Message: "The webhook is not enabled; enable it first."}
	}
	return s.store.AddNotice(ctx, notice.Ping(w, s.now(), rand.Text()))
}

// Deliveries answers the deliveries of an instance, newest first.
func (s *Service) Deliveries(ctx context.Context, f store.DeliveryFilter, page store.Page) ([]job.Delivery, error) {
	if err := s.checkInstance(ctx, f.InstanceID, auth.Read); err != nil {
		return nil, err
	}
	return s.store.Deliveries(ctx, f, page)
}

// Delivery answers one delivery.
func (s *Service) Delivery(ctx context.Context, id int64) (job.Delivery, error) {
	return s.loadDelivery(ctx, id, auth.Read)
}

// Redeliver sends a notice again.
func (s *Service) Redeliver(ctx context.Context, id int64) (job.Delivery, error) {
	if _, err := s.loadDelivery(ctx, id, auth.Write); err != nil {
		return job.Delivery{}, err
	}
	d, err := s.store.Redeliver(ctx, id, s.now())
	return d, store.OrMissing(err, job.KindDelivery, id)
}

func (s *Service) loadDelivery(ctx context.Context, id int64, access auth.Access) (job.Delivery, error) {
	return auth.Load(ctx, s.auth, job.KindDelivery, id, access, s.store.Delivery, func(d job.Delivery) int64 { return d.Notice.InstanceID })
}

// load reads a webhook and checks the caller's access to it.
func (s *Service) load(ctx context.Context, id int64, access auth.Access) (job.Webhook, error) {
	return auth.Load(ctx, s.auth, job.KindWebhook, id, access, s.store.Webhook, func(w job.Webhook) int64 { return w.InstanceID })
}

func (s *Service) checkInstance(ctx context.Context, id int64, access auth.Access) error {
	_, err := auth.Load(ctx, s.auth, job.KindInstance, id, access, s.store.Instance, func(job.Instance) int64 { return id })
	return err
}

func checkETag(w job.Webhook, etag string) error {
	if etag != "" && etag != w.ETag() {
		return &job.AbortedError{Message: "the webhook was changed since it was read: read it again and repeat the change"}
	}
	return nil
}
