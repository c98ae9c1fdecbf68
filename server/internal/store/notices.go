package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Webhooks keeps the receivers of notices. They go with their instance.
type Webhooks interface {
	// CreateWebhook stores w as version 1 with what seal answers for its id. It
	// hears of what happens from now on. For a repeat of req, fresh is false. An
	// instance with job.MaxWebhooks is a *job.ExhaustedError (QUOTA), a missing
	// one ErrNotFound. seal may be called more than once.
	CreateWebhook(ctx context.Context, w job.Webhook, seal func(id int64) (job.SealedSecrets, error), req Request) (made job.Webhook, fresh bool, err error)
	Webhook(ctx context.Context, id int64) (job.Webhook, error)
	Webhooks(ctx context.Context, instanceID int64, page Page) ([]job.Webhook, error)
	// UpdateWebhook reads the webhook under a lock, lets change alter it, and
	// stores it as the next version, unless change answers false. One that is
	// not enabled any more fails its pending deliveries; one whose Hearing
	// changed, or that is enabled anew, counts freshness from now on. change may
	// be called more than once.
	UpdateWebhook(ctx context.Context, id int64, change func(w *job.Webhook, now time.Time) (bool, error)) (job.Webhook, error)
	// DeleteWebhook removes a webhook with its deliveries. check sees it first.
	DeleteWebhook(ctx context.Context, id int64, check func(job.Webhook) error) error
}

// NoticeLook is what has happened in an instance since the last look.
type NoticeLook struct {
	InstanceID int64
	Now        time.Time
	// Webhooks are those that are enabled.
	Webhooks []job.Webhook
	// Ended are executions in the order of their ends.
	Ended []job.Execution
	// Streaks are how many executions in a row had failed before these, of jobs
	// of Ended; none for 0.
	Streaks map[int64]int
	// Approvals wait for somebody, Paused were paused by the service, Refused
	// are refused, since the last look.
	Approvals []job.Execution
	Paused    []int64
	Refused   []RefusedRemote
	// Jobs are those that are named above or below and have not been deleted.
	Jobs map[int64]job.Job
	// Freshness are the rows of jobs that ended, were looked at, or are due.
	Freshness []job.Freshness
	// Looked are jobs that are looked at now and then, whether or not they have
	// rows.
	Looked []int64
}

// RefusedRemote is a remote whose credentials are refused.
type RefusedRemote struct {
	// ID is the row's.
	ID, ResourceID int64
	Name           string
	job.Refusal
	// JobIDs are those that name the resource.
	JobIDs []int64
}

// NoticeStep is what follows from a look.
type NoticeStep struct {
	Notices []job.Notice
	// Streaks are the new ones of the jobs of Ended.
	Streaks map[int64]int
	// Freshness are rows to store, those with ID 0 anew; Dropped are ids of rows
	// to delete.
	Freshness []job.Freshness
	Dropped   []int64
}

// DeliveryFilter selects deliveries of an instance; zero fields select all.
type DeliveryFilter struct {
	InstanceID, WebhookID, JobID int64
	State                        job.DeliveryState
	Event                        job.NoticeEvent
}

// DeliveryClaim asks for deliveries to send.
type DeliveryClaim struct {
	// Now is when they are due, Until when others may claim them again.
	Now, Until time.Time
	// Most is how many may be sent at once by this process, Taken how many are.
	Most  SendingPlaces
	Taken TakenPlaces
}

// SendingPlaces bounds what is sent at once: all together, to webhooks that are
// failing, to those of one instance, and to one. A failing webhook, one of whose
// pending deliveries has failed before, gets one place.
type SendingPlaces struct {
	All, Failing, Instance, Webhook int
}

// TakenPlaces counts what is being sent: all of it, that to failing webhooks,
// and that of instances and webhooks by their ids.
type TakenPlaces struct {
	All, Failing        int
	Instances, Webhooks map[int64]int
}

// Add counts one more, or with -1 one less.
func (t *TakenPlaces) Add(n int, to Sending) {
	t.All += n
	if to.Failing {
		t.Failing += n
	}
	t.Instances = counted(t.Instances, to.Webhook.InstanceID, n)
	t.Webhooks = counted(t.Webhooks, to.Webhook.ID, n)
}

// counted is counts, made if need be, with n more for an id.
func counted(counts map[int64]int, id int64, n int) map[int64]int {
	if counts == nil {
		counts = map[int64]int{}
	}
	if counts[id] += n; counts[id] == 0 {
		delete(counts, id)
	}
	return counts
}

// Sending is a claimed delivery with its receiver.
type Sending struct {
	job.Delivery
	Webhook job.Webhook
	// Failing says that the webhook was failing when this was claimed.
	Failing bool
}

// DeliveryEnd is what became of an attempt.
type DeliveryEnd struct {
	DeliveryID, Fence int64
	Attempt           job.DeliveryAttempt
	State             job.DeliveryState
	// NextAt is the next attempt of a PENDING one.
	NextAt time.Time
	// Disable, when not empty, is why the webhook is disabled.
	Disable string
}

// Notices tells the changes of instances that have webhooks.
type Notices interface {
	// NoticeInstances lists the instances that have webhooks.
	NoticeInstances(ctx context.Context) ([]int64, error)
	// AdvanceNotices looks what happened in an instance since the last call, of
	// this or another replica, lets decide say what follows, and stores that
	// with how far the look went in one transaction: so that everything that
	// happens is looked at once, whatever dies. It writes nothing when nothing
	// happened. An instance that another replica is looking at, or that has no
	// webhooks, is left alone. Of an execution that ends, the end is seen
	// whenever it comes. decide may be called more than once. more tells that
	// there is more to look at.
	AdvanceNotices(ctx context.Context, instanceID int64, decide func(NoticeLook) NoticeStep) (made int, more bool, err error)
	// AddNotice stores a notice with its deliveries and answers the first; a
	// notice whose key is known is not stored again.
	AddNotice(ctx context.Context, n job.Notice) (job.Delivery, error)

	Delivery(ctx context.Context, id int64) (job.Delivery, error)
	Deliveries(ctx context.Context, f DeliveryFilter, page Page) ([]job.Delivery, error)
	// Redeliver makes a delivery due now and its tries 0, whatever its state. A
	// webhook that is not enabled is a *job.PreconditionError
	// (WEBHOOK_DISABLED).
	Redeliver(ctx context.Context, id int64, now time.Time) (job.Delivery, error)
	// ClaimDeliveries takes deliveries of enabled webhooks that are due.
	ClaimDeliveries(ctx context.Context, c DeliveryClaim) ([]Sending, error)
	// NextDelivery is when the first of all is due, or was when it waits for a
	// place; zero when there is none.
	NextDelivery(ctx context.Context) (time.Time, error)
	// EndDelivery records an attempt, unless the delivery was claimed anew or
	// asked for again meanwhile: then only the attempt is kept.
	EndDelivery(ctx context.Context, e DeliveryEnd) error
}
