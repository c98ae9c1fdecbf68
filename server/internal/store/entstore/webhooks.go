package entstore

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/delivery"
	"github.com/pointscene/carillon/ent/jobfreshness"
	"github.com/pointscene/carillon/ent/jobstreak"
	"github.com/pointscene/carillon/ent/webhook"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Locks are taken in this order: the instance, its feed, webhooks, deliveries.

// CreateWebhook implements store.Webhooks.
func (s *Store) CreateWebhook(ctx context.Context, w job.Webhook, seal func(id int64) (job.SealedSecrets, error), req store.Request) (made job.Webhook, fresh bool, err error) {
	err = s.tx(ctx, "create webhook", func(ctx context.Context, tx *ent.Tx) error {
		fresh = false
		if _, err := s.lockInstance(ctx, tx, w.InstanceID); err != nil {
			return err
		}
		return once(ctx, tx, req, func() (int64, error) {
			fresh = true
			if err := refuseManyWebhooks(ctx, tx, w.InstanceID); err != nil {
				return 0, err
			}
			return s.addWebhook(ctx, tx, w, seal)
		}, func(id int64) error {
			row, err := tx.Webhook.Get(ctx, id)
			if err != nil {
				return err
			}
			made, err = webhookOf(row)
			return err
		})
	})
	return made, fresh, err
}

func refuseManyWebhooks(ctx context.Context, tx *ent.Tx, instanceID int64) error {
	n, err := tx.Webhook.Query().Where(webhook.InstanceID(instanceID)).Count(ctx)
	if err == nil && n >= job.MaxWebhooks {
		err = &job.ExhaustedError{
			Reason: job.ReasonQuota, Subject: "instance:" + job.KindInstance.Format(instanceID),
			Message: fmt.Sprintf("The instance has %d webhooks, as many as it may; delete one.", n),
		}
	}
	return err
}

func (s *Store) addWebhook(ctx context.Context, tx *ent.Tx, w job.Webhook, seal func(id int64) (job.SealedSecrets, error)) (int64, error) {
	if err := s.openFeed(ctx, tx, w.InstanceID); err != nil {
		return 0, err
	}
	now := micros(orNow(w.CreatedAt))
	row, err := tx.Webhook.Create().SetInstanceID(w.InstanceID).SetURL(w.URL).SetDescription(w.Description).SetHears(encode(w.Hearing)).
		SetEnabled(w.Enabled).SetVersion(1).SetCreatedAt(now).SetUpdatedAt(now).SetHeardSince(now).
		SetSecretVersion(0).SetKeyID(0).SetCiphertext([]byte{}).Save(ctx)
	if err != nil {
		return 0, err
	}
	sealed, err := seal(row.ID)
	if err != nil {
		return 0, err
	}
	if err := s.sealable(ctx, tx, sealed.KeyID); err != nil {
		return 0, err
	}
	audit.Made(ctx, job.KindWebhook, row.ID, w.InstanceID)
	return row.ID, row.Update().SetSecretVersion(sealed.Version).SetPreviousUntil(micros(sealed.PreviousUntil)).
		SetKeyID(sealed.KeyID).SetCiphertext(sealed.Ciphertext).Exec(ctx)
}

// Webhook implements store.Webhooks.
func (s *Store) Webhook(ctx context.Context, id int64) (w job.Webhook, err error) {
	err = s.query(ctx, "read webhook", func(ctx context.Context, c *ent.Client) error {
		row, err := c.Webhook.Get(ctx, id)
		if err != nil {
			return err
		}
		w, err = webhookOf(row)
		return err
	})
	return w, err
}

// Webhooks implements store.Webhooks.
func (s *Store) Webhooks(ctx context.Context, instanceID int64, page store.Page) (list []job.Webhook, err error) {
	err = s.query(ctx, "list webhooks", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.Webhook.Query().Where(webhook.InstanceID(instanceID), webhook.IDLT(before(page))).
			Order(ent.Desc(webhook.FieldID)).Limit(page.Limit).All(ctx)
		if err != nil {
			return err
		}
		list, err = webhooksOf(rows)
		return err
	})
	return list, err
}

// UpdateWebhook implements store.Webhooks.
func (s *Store) UpdateWebhook(ctx context.Context, id int64, change func(*job.Webhook, time.Time) (bool, error)) (w job.Webhook, err error) {
	err = s.tx(ctx, "update webhook", func(ctx context.Context, tx *ent.Tx) error {
		old, err := s.lockWebhook(ctx, tx, id)
		if err != nil {
			return err
		}
		now, err := s.databaseTime(ctx, tx)
		if err != nil {
			return err
		}
		w = old
		w.JobIDs, w.Events, w.Labels = slices.Clone(old.JobIDs), slices.Clone(old.Events), maps.Clone(old.Labels)
		changed, err := change(&w, now)
		if err != nil || !changed {
			return err
		}
		w.Version, w.UpdatedAt = old.Version+1, now
		return s.storeWebhook(ctx, tx, old, &w)
	})
	if err != nil {
		return job.Webhook{}, err
	}
	return w, nil
}

// storeWebhook writes w over old, and what follows from the difference.
func (s *Store) storeWebhook(ctx context.Context, tx *ent.Tx, old job.Webhook, w *job.Webhook) error {
	anew := !reflect.DeepEqual(old.Hearing, w.Hearing) || w.Enabled && !old.Enabled
	if anew {
		w.HeardSince = w.UpdatedAt
		if err := s.forgetFreshness(ctx, tx, *w); err != nil {
			return err
		}
	}
	if w.Secrets.Version != old.Secrets.Version {
		if err := s.sealable(ctx, tx, w.Secrets.KeyID); err != nil {
			return err
		}
	}
	err := tx.Webhook.UpdateOneID(w.ID).SetURL(w.URL).SetDescription(w.Description).SetHears(encode(w.Hearing)).
		SetEnabled(w.Enabled).SetDisabledReason(w.DisabledReason).SetVersion(w.Version).SetUpdatedAt(micros(w.UpdatedAt)).
		SetHeardSince(micros(w.HeardSince)).SetSecretVersion(w.Secrets.Version).SetPreviousUntil(micros(w.Secrets.PreviousUntil)).
		SetKeyID(w.Secrets.KeyID).SetCiphertext(w.Secrets.Ciphertext).Exec(ctx)
	if err != nil || w.Enabled {
		return err
	}
	return tx.Delivery.Update().Where(delivery.WebhookID(w.ID), delivery.State(string(job.DeliveryPending))).
		SetState(string(job.DeliveryFailed)).SetNextAt(0).SetFinishedAt(micros(w.UpdatedAt)).Exec(ctx)
}

// forgetFreshness lets the next looks count the freshness of a webhook anew.
func (s *Store) forgetFreshness(ctx context.Context, tx *ent.Tx, w job.Webhook) error {
	if _, err := tx.JobFreshness.Delete().Where(jobfreshness.WebhookID(w.ID)).Exec(ctx); err != nil {
		return err
	}
	return tx.NoticeFeed.UpdateOneID(w.InstanceID).SetJobsSeen(0).SetLookedAt(0).AddVersion(1).Exec(ctx)
}

// DeleteWebhook implements store.Webhooks. With the last one goes what is kept
// to tell changes.
func (s *Store) DeleteWebhook(ctx context.Context, id int64, check func(job.Webhook) error) error {
	return s.tx(ctx, "delete webhook", func(ctx context.Context, tx *ent.Tx) error {
		w, err := s.lockWebhook(ctx, tx, id)
		if err != nil {
			return err
		}
		if err := check(w); err != nil {
			return err
		}
		if _, err := tx.Delivery.Delete().Where(delivery.WebhookID(id)).Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.JobFreshness.Delete().Where(jobfreshness.WebhookID(id)).Exec(ctx); err != nil {
			return err
		}
		if err := tx.Webhook.DeleteOneID(id).Exec(ctx); err != nil {
			return err
		}
		others, err := tx.Webhook.Query().Where(webhook.InstanceID(w.InstanceID)).Exist(ctx)
		if err != nil || others {
			return err
		}
		return closeFeed(ctx, tx, w.InstanceID)
	})
}

// closeFeed forgets how far the changes of an instance have been told. The feed
// goes first: who is looking at it has stored what it will store then.
func closeFeed(ctx context.Context, tx *ent.Tx, instanceID int64) error {
	if _, err := tx.ExecContext(ctx, "DELETE FROM notice_feeds WHERE id = $1", instanceID); err != nil {
		return err
	}
	_, err := tx.JobStreak.Delete().Where(jobstreak.InstanceID(instanceID)).Exec(ctx)
	return err
}

// deleteWebhooks removes all webhooks of an instance that is deleted.
func deleteWebhooks(ctx context.Context, tx *ent.Tx, instanceID int64) error {
	if err := closeFeed(ctx, tx, instanceID); err != nil {
		return err
	}
	for _, table := range []string{"deliveries", "notices", "job_freshnesses", "webhooks"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE instance_id = $1", instanceID); err != nil {
			return err
		}
	}
	return nil
}

// lockWebhook locks the feed of the webhook's instance and the webhook.
func (s *Store) lockWebhook(ctx context.Context, tx *ent.Tx, id int64) (job.Webhook, error) {
	instanceID, err := single(ctx, tx, scanID, "SELECT instance_id FROM webhooks WHERE id = $1", id)
	if err != nil {
		return job.Webhook{}, err
	}
	if _, err := s.lockFeed(ctx, tx, instanceID, false); err != nil {
		return job.Webhook{}, err
	}
	q := tx.Webhook.Query().Where(webhook.ID(id))
	if s.postgres() {
		q.ForUpdate()
	}
	row, err := q.Only(ctx)
	if err != nil {
		return job.Webhook{}, err
	}
	return webhookOf(row)
}

func webhookOf(row *ent.Webhook) (job.Webhook, error) {
	hearing, err := decode[job.Hearing](row.Hears)
	return job.Webhook{
		ID: row.ID, InstanceID: row.InstanceID, URL: row.URL, Description: row.Description, Hearing: hearing,
		Enabled: row.Enabled, DisabledReason: row.DisabledReason, Version: row.Version,
		CreatedAt: timeOf(row.CreatedAt), UpdatedAt: timeOf(row.UpdatedAt), HeardSince: timeOf(row.HeardSince),
		Secrets: job.SealedSecrets{Version: row.SecretVersion, PreviousUntil: timeOf(row.PreviousUntil), KeyID: row.KeyID, Ciphertext: row.Ciphertext},
	}, err
}

func webhooksOf(rows []*ent.Webhook) ([]job.Webhook, error) {
	var list []job.Webhook
	for _, row := range rows {
		w, err := webhookOf(row)
		if err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	return list, nil
}
