package entstore

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// deliveryQuery reads deliveries with their notices.
const deliveryQuery = `
SELECT d.id, d.webhook_id, d.state, d.created_at, d.next_at, d.finished_at, d.tries, d.fence, d.attempts,
  n.id, n.instance_id, n.key, n.event, n.job_id, n.execution_id, n.created_at, n.body
FROM deliveries d JOIN notices n ON n.id = d.notice_id
`

func scanDelivery(scan func(...any) error) (d job.Delivery, err error) {
	var created, next, finished, happened int64
	var attempts string
	n := &d.Notice
	err = scan(&d.ID, &d.WebhookID, &d.State, &created, &next, &finished, &d.Tries, &d.Fence, &attempts,
		&n.ID, &n.InstanceID, &n.Key, &n.Event, &n.JobID, &n.ExecutionID, &happened, &n.Body)
	if err != nil {
		return d, err
	}
	d.CreatedAt, d.NextAt, d.FinishedAt, n.CreatedAt = timeOf(created), timeOf(next), timeOf(finished), timeOf(happened)
	d.Attempts, err = attemptsOf(attempts)
	return d, err
}

func attemptsOf(text string) ([]job.DeliveryAttempt, error) {
	if text == "" {
		return nil, nil
	}
	return decode[[]job.DeliveryAttempt](text)
}

// Delivery implements store.Notices.
func (s *Store) Delivery(ctx context.Context, id int64) (d job.Delivery, err error) {
	err = s.query(ctx, "read delivery", func(ctx context.Context, c *ent.Client) error {
		d, err = single(ctx, c, scanDelivery, deliveryQuery+"WHERE d.id = $1", id)
		return err
	})
	return d, err
}

// Deliveries implements store.Notices.
func (s *Store) Deliveries(ctx context.Context, f store.DeliveryFilter, page store.Page) (list []job.Delivery, err error) {
	where, args := []string{"d.instance_id = $1", "d.id < $2"}, []any{f.InstanceID, before(page)}
	add := func(wanted bool, column string, value any) {
		if wanted {
			args = append(args, value)
			where = append(where, fmt.Sprintf("d.%s = $%d", column, len(args)))
		}
	}
	add(f.WebhookID != 0, "webhook_id", f.WebhookID)
	add(f.JobID != 0, "job_id", f.JobID)
	add(f.State != "", "state", string(f.State))
	add(f.Event != "", "event", string(f.Event))
	args = append(args, page.Limit)
	query := deliveryQuery + "WHERE " + strings.Join(where, " AND ") + fmt.Sprintf(" ORDER BY d.id DESC LIMIT $%d", len(args))
	err = s.query(ctx, "list deliveries", func(ctx context.Context, c *ent.Client) error {
		list, err = collect(ctx, c, scanDelivery, query, args...)
		return err
	})
	return list, err
}

// Redeliver implements store.Notices.
func (s *Store) Redeliver(ctx context.Context, id int64, now time.Time) (d job.Delivery, err error) {
	err = s.tx(ctx, "redeliver", func(ctx context.Context, tx *ent.Tx) error {
		to, err := single(ctx, tx, scanID, "SELECT webhook_id FROM deliveries WHERE id = $1", id)
		if err != nil {
			return err
		}
		w, err := s.lockWebhook(ctx, tx, to)
		if err != nil {
			return err
		}
		if !w.Enabled {
			return &job.PreconditionError{Reason: "WEBHOOK_DISABLED", Message: "The webhook is not enabled; enable it first."}
		}
		_, err = tx.ExecContext(ctx, "UPDATE deliveries SET state = 'PENDING', next_at = $2, tries = 0, finished_at = 0, fence = fence + 1 WHERE id = $1", id, micros(now))
		if err != nil {
			return err
		}
		if d, err = single(ctx, tx, scanDelivery, deliveryQuery+"WHERE d.id = $1", id); err != nil {
			return err
		}
		return s.notify(ctx, tx, store.Signal{Kind: store.SignalDelivery})
	})
	return d, err
}

// failingWebhook says of a delivery d that another one of its webhook, or
// itself, has failed and is tried again.
const failingWebhook = `EXISTS (SELECT 1 FROM deliveries p WHERE p.webhook_id = d.webhook_id AND p.next_at > 0 AND p.tries > 0 AND p.attempts <> '')`

// dueDeliveries skips those that somebody else is about to claim or to end.
func (s *Store) dueDeliveries(failing bool) string {
	query := `SELECT d.id, d.webhook_id, d.instance_id FROM deliveries d WHERE d.next_at > 0 AND d.next_at <= $1 AND NOT (` +
		s.inList("d.webhook_id", 2) + `) AND NOT (` + s.inList("d.instance_id", 3) + `) AND `
	if !failing {
		query += "NOT "
	}
	query += failingWebhook + ` ORDER BY d.next_at LIMIT $4`
	if s.postgres() {
		query += " FOR UPDATE OF d SKIP LOCKED"
	}
	return query
}

// ClaimDeliveries implements store.Notices.
func (s *Store) ClaimDeliveries(ctx context.Context, c store.DeliveryClaim) (claimed []store.Sending, err error) {
	err = s.tx(ctx, "claim deliveries", func(ctx context.Context, tx *ent.Tx) error {
		claimed = nil
		found, err := s.takeDue(ctx, tx, c)
		if err != nil || len(found) == 0 {
			return err
		}
		ids := s.list(mapAll(found, func(d store.Sending) int64 { return d.ID }))
		_, err = tx.ExecContext(ctx, "UPDATE deliveries SET next_at = $2, fence = fence + 1, tries = tries + 1 WHERE "+s.inList("id", 1), ids, micros(c.Until))
		if err != nil {
			return err
		}
		claimed, err = s.sendings(ctx, tx, found)
		return err
	})
	return claimed, err
}

// NextDelivery implements store.Notices.
func (s *Store) NextDelivery(ctx context.Context) (next time.Time, err error) {
	err = s.query(ctx, "look for the next delivery", func(ctx context.Context, q *ent.Client) error {
		found, err := collect(ctx, q, scanID, "SELECT next_at FROM deliveries WHERE next_at > 0 ORDER BY next_at LIMIT 1")
		if len(found) > 0 {
			next = timeOf(found[0])
		}
		return err
	})
	return next, err
}

// takeDue chooses deliveries for the places that are left: those to failing
// webhooks come last, and take no more than their part.
func (s *Store) takeDue(ctx context.Context, tx *ent.Tx, c store.DeliveryClaim) (due []store.Sending, err error) {
	taken := c.Taken
	taken.Instances, taken.Webhooks = maps.Clone(c.Taken.Instances), maps.Clone(c.Taken.Webhooks)
	for _, failing := range []bool{false, true} {
		most := c.Most
		left := most.All - taken.All
		if failing {
			most.Webhook = 1
			left = min(left, most.Failing-taken.Failing)
		}
		if left <= 0 {
			continue
		}
		found, err := collect(ctx, tx, scanDue, s.dueDeliveries(failing), micros(c.Now),
			s.list(fullPlaces(taken.Webhooks, most.Webhook)), s.list(fullPlaces(taken.Instances, most.Instance)), left)
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			if taken.Webhooks[d.Webhook.ID] < most.Webhook && taken.Instances[d.Webhook.InstanceID] < most.Instance {
				d.Failing = failing
				taken.Add(1, d)
				due = append(due, d)
			}
		}
	}
	return due, nil
}

func scanDue(scan func(...any) error) (d store.Sending, err error) {
	err = scan(&d.ID, &d.Webhook.ID, &d.Webhook.InstanceID)
	return d, err
}

// fullPlaces are the ids that have as many places as they may.
func fullPlaces(taken map[int64]int, most int) []int64 {
	full := []int64{} // NULL would select none
	for id, n := range taken {
		if n >= most {
			full = append(full, id)
		}
	}
	return full
}

// sendings reads claimed deliveries with their webhooks. One whose webhook was
// disabled meanwhile is not among them.
func (s *Store) sendings(ctx context.Context, tx *ent.Tx, due []store.Sending) (list []store.Sending, err error) {
	ids := make([]int64, len(due))
	failing := make(map[int64]bool, len(due))
	for i, d := range due {
		ids[i], failing[d.ID] = d.ID, d.Failing
	}
	deliveries, err := collect(ctx, tx, scanDelivery, deliveryQuery+"WHERE "+s.inList("d.id", 1)+" ORDER BY d.id", s.list(ids))
	if err != nil {
		return nil, err
	}
	rows, err := tx.Webhook.Query().Where(idsIn(mapAll(deliveries, func(d job.Delivery) int64 { return d.WebhookID }))).All(ctx)
	if err != nil {
		return nil, err
	}
	webhooks, err := webhooksOf(rows)
	for _, d := range deliveries {
		for _, w := range webhooks {
			if w.ID == d.WebhookID && w.Enabled {
				list = append(list, store.Sending{Delivery: d, Webhook: w, Failing: failing[d.ID]})
			}
		}
	}
	return list, err
}

// EndDelivery implements store.Notices.
func (s *Store) EndDelivery(ctx context.Context, e store.DeliveryEnd) error {
	return s.tx(ctx, "end delivery", func(ctx context.Context, tx *ent.Tx) error {
		if e.Disable != "" { // before the delivery is locked
			if err := s.disable(ctx, tx, e.DeliveryID, e.Disable); err != nil {
				return err
			}
		}
		query := deliveryQuery + "WHERE d.id = $1"
		if s.postgres() {
			query += " FOR UPDATE OF d"
		}
		d, err := single(ctx, tx, scanDelivery, query, e.DeliveryID)
		if err != nil {
			return err
		}
		d.Attempts = append(d.Attempts, e.Attempt)
		if extra := len(d.Attempts) - job.MaxDeliveryAttempts; extra > 0 {
			d.Attempts = d.Attempts[extra:]
		}
		if d.Fence == e.Fence && d.State == job.DeliveryPending {
			d.State, d.NextAt = e.State, e.NextAt
			if e.State != job.DeliveryPending {
				d.NextAt, d.FinishedAt = time.Time{}, e.Attempt.Time.Add(e.Attempt.Duration)
			}
		}
		_, err = tx.ExecContext(ctx, "UPDATE deliveries SET state = $2, next_at = $3, finished_at = $4, attempts = $5 WHERE id = $1",
			d.ID, string(d.State), micros(d.NextAt), micros(d.FinishedAt), encode(d.Attempts))
		return err
	})
}

// disable turns the webhook of a delivery off for the service.
func (s *Store) disable(ctx context.Context, tx *ent.Tx, deliveryID int64, reason string) error {
	id, err := single(ctx, tx, scanID, "SELECT webhook_id FROM deliveries WHERE id = $1", deliveryID)
	if err != nil {
		return err
	}
	old, err := s.lockWebhook(ctx, tx, id)
	if err != nil || !old.Enabled {
		return err
	}
	w := old
	w.Enabled, w.DisabledReason, w.Version = false, reason, old.Version+1
	if w.UpdatedAt, err = s.databaseTime(ctx, tx); err != nil {
		return err
	}
	return s.storeWebhook(ctx, tx, old, &w)
}
