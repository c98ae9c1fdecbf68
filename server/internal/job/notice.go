package job

import (
	"slices"
	"strconv"
	"time"
)

// NoticeEvent is what a notice tells.
type NoticeEvent string

// The events.
const (
	EventFirstFailure   NoticeEvent = "FIRST_FAILURE"
	EventNthFailure     NoticeEvent = "NTH_FAILURE"
	EventRecovered      NoticeEvent = "RECOVERED"
	EventPausedBySystem NoticeEvent = "PAUSED_BY_SYSTEM"
	EventApprovalNeeded NoticeEvent = "APPROVAL_NEEDED"
	EventReauthRequired NoticeEvent = "REAUTH_REQUIRED"
	EventNotFresh       NoticeEvent = "NOT_FRESH"
	EventFresh          NoticeEvent = "FRESH"
	// EventPing is a test.
	EventPing NoticeEvent = "PING"
)

// MaxWebhooks bounds how many webhooks an instance has.
const MaxWebhooks = 50

// Hearing is what a webhook hears of.
type Hearing struct {
	// JobIDs and Labels select jobs; both are empty for all.
	JobIDs []int64           `json:"jobIds,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Events []NoticeEvent     `json:"events"`
	// FailuresInARow is the number of EventNthFailure.
	FailuresInARow int `json:"failuresInARow,omitempty"`
	// Freshness is how long a job may have no success; 0 derives it from the
	// job's schedule.
	Freshness time.Duration `json:"freshness,omitempty"`
}

// Of tells whether an event is heard of.
func (h Hearing) Of(e NoticeEvent) bool { return slices.Contains(h.Events, e) }

// Selects tells whether a job is heard of.
func (h Hearing) Selects(jobID int64, labels map[string]string) bool {
	if len(h.JobIDs) > 0 {
		return slices.Contains(h.JobIDs, jobID)
	}
	for key, value := range h.Labels {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	return true
}

// WatchesFreshness tells whether it matters when a job last succeeded.
func (h Hearing) WatchesFreshness() bool { return h.Of(EventNotFresh) || h.Of(EventFresh) }

// Webhook is a receiver of notices.
type Webhook struct {
	ID          int64
	InstanceID  int64
	URL         string
	Description string
	Hearing
	Enabled bool
	// DisabledReason is why the service has disabled it, empty otherwise.
	DisabledReason string
	// Version rises with each change.
	Version              int64
	CreatedAt, UpdatedAt time.Time
	// HeardSince is when its freshness began to count.
	HeardSince time.Time
	Secrets    SealedSecrets
}

// ETag is the text form of the version.
func (w *Webhook) ETag() string { return `"` + strconv.FormatInt(w.Version, 10) + `"` }

// SealedSecrets are what a webhook signs with, sealed for their version.
type SealedSecrets struct {
	Version int64
	// PreviousUntil is until when the secret before signs as well.
	PreviousUntil time.Time
	KeyID         uint32
	Ciphertext    []byte
}

// Notice is a change that is told.
type Notice struct {
	ID         int64
	InstanceID int64
	// Key says which change it is: of two notices with one key only the first
	// is kept.
	Key   string
	Event NoticeEvent
	// JobID and ExecutionID are 0 when it is about none.
	JobID, ExecutionID int64
	CreatedAt          time.Time
	// Body is the JSON text that receivers get.
	Body string
	// WebhookIDs are who is told.
	WebhookIDs []int64
}

// DeliveryState is how far a delivery is.
type DeliveryState string

// The states of a delivery.
const (
	DeliveryPending   DeliveryState = "PENDING"
	DeliveryDelivered DeliveryState = "DELIVERED"
	DeliveryFailed    DeliveryState = "FAILED"
)

// MaxDeliveryAttempts is how many attempts of a delivery are remembered.
const MaxDeliveryAttempts = 20

// Delivery is a notice on its way to a webhook.
type Delivery struct {
	ID, WebhookID int64
	// Notice is what is told; without WebhookIDs.
	Notice Notice
	State  DeliveryState
	// NextAt is when it is sent next, zero when it is not.
	NextAt     time.Time
	CreatedAt  time.Time
	FinishedAt time.Time
	// Tries counts the attempts since it was last asked for.
	Tries int
	// Attempts are the last ones, oldest first.
	Attempts []DeliveryAttempt
	// Fence is that of the claim.
	Fence int64
}

// DeliveryAttempt is one try to send a notice.
type DeliveryAttempt struct {
	Time     time.Time     `json:"time"`
	Duration time.Duration `json:"duration"`
	// Status is that of the answer, 0 for none.
	Status int `json:"status,omitempty"`
	// Reason and Message say why it failed.
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}

// Freshness is until when a webhook takes a job for fresh.
type Freshness struct {
	ID, WebhookID, JobID int64
	// Since is the last success, or what counts as one.
	Since time.Time
	// Stood is for how long somebody had paused the job or its instance since
	// then, the last pause of the instance left out.
	Stood time.Duration
	// Due is when the job is not fresh any more, or to be looked at again; zero for
	// never, or when it was told.
	Due time.Time
	// Stale says that it was told.
	Stale bool
}
