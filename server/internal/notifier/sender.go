package notifier

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

const (
	// attemptTimeout bounds an attempt; claimFor is when others take the sender
	// for dead.
	attemptTimeout = 15 * time.Second
	claimFor       = time.Minute
	// stopFor is how long attempts may go on when the process stops.
	stopFor = 5 * time.Second
	// longestWait bounds what a receiver may ask for by Retry-After.
	longestWait = 24 * time.Hour
)

// most is how many notices are sent at once. Receivers that are down fill at
// most the places of failing ones; until their first failure, those of their
// instance.
var most = store.SendingPlaces{All: 256, Failing: 64, Instance: 64, Webhook: 4}

// waits are the times between attempts, those of the Standard Webhooks
// specification. After the last one a delivery has failed.
var waits = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

// ReasonGone is why a webhook is disabled whose receiver answered 410.
const ReasonGone = "GONE"

// The outcomes of an attempt in metrics.
const (
	outcomeDelivered = "delivered"
	outcomeRetried   = "retried"
	outcomeFailed    = "failed"
)

// Secrets answers what a webhook signs with.
type Secrets interface {
	Secrets(w job.Webhook, now time.Time) ([]seal.Secret, error)
}

// Sender sends notices. It is made by NewSender.
type Sender struct {
	store   store.Notices
	secrets Secrets
	client  *http.Client
	every   time.Duration
	idle    time.Duration
	listens func() bool
	now     func() time.Time
	metrics Metrics
	log     *slog.Logger
	wake    alarm
	ended   chan store.Sending
	taken   store.TakenPlaces
	sending sync.WaitGroup
}

// SenderOptions are what a sender works with.
type SenderOptions struct {
	Store   store.Notices
	Secrets Secrets
	// Transport connects through the guard.
	Transport http.RoundTripper
	// Every is the time between two looks while something waits for a place, and
	// Idle the longest one while Listening tells that Wake is called when there is
	// something to send.
	Every, Idle time.Duration
	Listening   func() bool
	Now         func() time.Time
	Metrics     Metrics
	Log         *slog.Logger
}

// NewSender returns a sender.
func NewSender(o SenderOptions) *Sender {
	client := &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Sender{
		store: o.Store, secrets: o.Secrets, client: client, every: o.Every, idle: o.Idle, listens: o.Listening,
		now: o.Now, metrics: o.Metrics, log: o.Log,
		wake: newAlarm(), ended: make(chan store.Sending, most.All),
	}
}

// Wake makes the sender look now.
func (s *Sender) Wake() { s.wake.ring() }

// Run sends until ctx ends. What is being sent then has a few seconds to end;
// what does not is sent again by another replica.
func (s *Sender) Run(ctx context.Context) {
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopping := context.AfterFunc(ctx, func() { time.AfterFunc(stopFor, cancel) })
	defer stopping()
	timer := time.NewTimer(s.every)
	defer timer.Stop()
	for ctx.Err() == nil {
		wait := s.claim(ctx, attempts)
		if wait == 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wake:
		case d := <-s.ended:
			s.taken.Add(-1, d)
		}
	}
	s.sending.Wait()
}

// claim takes what is due and has a place, and tells how long to wait before the
// next look: not at all when there may be more.
func (s *Sender) claim(ctx, attempts context.Context) (wait time.Duration) {
	for len(s.ended) > 0 {
		s.taken.Add(-1, <-s.ended)
	}
	if s.taken.All >= most.All {
		return s.every
	}
	now := s.now()
	next, err := s.store.NextDelivery(ctx)
	if err == nil && (next.IsZero() || next.After(now)) {
		return s.pause(next, now)
	}
	var claimed []store.Sending
	if err == nil {
		claimed, err = s.store.ClaimDeliveries(ctx, store.DeliveryClaim{Now: now, Until: now.Add(claimFor), Most: most, Taken: s.taken})
	}
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "can't claim notices; trying again", "error", err)
		}
		return s.every
	}
	for _, d := range claimed {
		s.taken.Add(1, d)
		s.sending.Go(func() {
			defer func() { s.ended <- d }()
			s.send(attempts, d)
		})
	}
	if len(claimed) > 0 {
		return 0
	}
	return s.every // what is due has no place
}

// pause is how long to wait while nothing is due.
func (s *Sender) pause(next, now time.Time) time.Duration {
	switch {
	case !s.listens():
		return s.every
	case next.IsZero():
		return s.idle
	}
	return min(s.idle, next.Sub(now))
}

// send makes one attempt and records it, unless the process stops before it
// ends.
func (s *Sender) send(ctx context.Context, d store.Sending) {
	began := s.now()
	status, err := s.post(ctx, d, began)
	if ctx.Err() != nil {
		return
	}
	attempt := job.DeliveryAttempt{Time: began, Duration: s.now().Sub(began), Status: status}
	end := store.DeliveryEnd{DeliveryID: d.ID, Fence: d.Fence, State: job.DeliveryDelivered}
	outcome := outcomeDelivered
	if err != nil {
		attempt.Reason, attempt.Message = told(err)
		outcome = outcomeRetried
		end.State = job.DeliveryPending
		if end.NextAt = next(d.Tries, s.now(), err); end.NextAt.IsZero() || status == http.StatusGone {
			outcome, end.State, end.NextAt = outcomeFailed, job.DeliveryFailed, time.Time{}
		}
		if status == http.StatusGone {
			end.Disable = ReasonGone
		}
	}
	end.Attempt = attempt
	s.metrics.Attempted(outcome, attempt.Duration)
	if err := s.store.EndDelivery(ctx, end); err != nil && !errors.Is(err, store.ErrNotFound) {
		s.log.WarnContext(ctx, "can't record the delivery of a notice; it is sent again", "delivery", d.ID, "error", err)
	}
}

// post sends a notice and answers the status, 0 for none, and why it failed.
func (s *Sender) post(ctx context.Context, d store.Sending, now time.Time) (status int, err error) {
	secrets, err := s.secrets.Secrets(d.Webhook, now)
	if err != nil {
		return 0, &job.Failure{Code: "DATA_LOSS", Reason: "SECRET_UNREADABLE", Message: "the secret does not open: rotate it"}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, attemptTimeout, &job.Failure{
		Code: "DEADLINE_EXCEEDED", Reason: egress.ReasonTimeout, Message: "no answer within " + attemptTimeout.String(),
	})
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Webhook.URL, strings.NewReader(d.Notice.Body))
	if err != nil {
		return 0, &job.Failure{Code: "INVALID_ARGUMENT", Reason: "INVALID_VALUE", Message: "the URL can't be called"}
	}
	id := job.KindDelivery.Format(d.ID)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Carillon")
	request.Header.Set(standardwebhooks.HeaderWebhookID, id)
	request.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	signatures, err := sign(secrets, id, now, d.Notice.Body)
	if err != nil {
		return 0, err
	}
	request.Header.Set(standardwebhooks.HeaderWebhookSignature, signatures)
	response, err := s.client.Do(request)
	if err != nil {
		return 0, egress.Explain(ctx, "the receiver", err)
	}
	_ = response.Body.Close() // nothing of it is read
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return response.StatusCode, egress.UnexpectedStatus("the receiver", response.StatusCode, response.Header, "2xx")
	}
	return response.StatusCode, nil
}

// sign signs by every secret.
func sign(secrets []seal.Secret, id string, now time.Time, body string) (string, error) {
	var list []string
	for _, secret := range secrets {
		signer, err := standardwebhooks.NewWebhook(secret.Reveal())
		if err != nil { // the error may quote it
			return "", &job.Failure{Code: "DATA_LOSS", Reason: "SECRET_UNREADABLE", Message: "the secret is damaged: rotate it"}
		}
		signature, err := signer.Sign(id, now, []byte(body))
		if err != nil {
			return "", err
		}
		list = append(list, signature)
	}
	return strings.Join(list, " "), nil
}

// told is what is kept of an error.
func told(err error) (reason, message string) {
	var failure *job.Failure
	if errors.As(err, &failure) {
		return failure.Reason, failure.Message
	}
	return egress.ReasonConnectionLost, "the attempt failed"
}

// next is when to try again after so many tries, zero for never. A receiver may
// ask for more time.
func next(tries int, now time.Time, err error) time.Time {
	if tries < 1 || tries > len(waits) {
		return time.Time{}
	}
	wait := waits[tries-1]
	wait += rand.N(wait / 10) // those that failed together don't meet again
	var failure *job.Failure
	if errors.As(err, &failure) {
		wait = max(wait, min(failure.RetryAfter, longestWait))
	}
	return now.Add(wait)
}
