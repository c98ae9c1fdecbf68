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
	// places is how many notices are sent at once, webhookPlaces how many of
	// them to one webhook: all webhooks of one instance together can't take all.
	places, webhookPlaces = 256, 4
	// attemptTimeout bounds an attempt; claimFor is when others take the sender
	// for dead.
	attemptTimeout = 15 * time.Second
	claimFor       = time.Minute
	// stopFor is how long attempts may go on when the process stops.
	stopFor = 5 * time.Second
	// longestWait bounds what a receiver may ask for by Retry-After.
	longestWait = 24 * time.Hour
)

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
	now     func() time.Time
	metrics Metrics
	log     *slog.Logger
	wake    chan struct{}
	ended   chan int64
	// busy counts the places that webhooks have taken.
	busy    map[int64]int
	sending sync.WaitGroup
}

// SenderOptions are what a sender works with.
type SenderOptions struct {
	Store   store.Notices
	Secrets Secrets
	// Transport connects through the guard.
	Transport http.RoundTripper
	// Every is the longest time between two looks.
	Every   time.Duration
	Now     func() time.Time
	Metrics Metrics
	Log     *slog.Logger
}

// NewSender returns a sender.
func NewSender(o SenderOptions) *Sender {
	client := &http.Client{Transport: o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return &Sender{
		store: o.Store, secrets: o.Secrets, client: client, every: o.Every, now: o.Now, metrics: o.Metrics, log: o.Log,
		wake: make(chan struct{}, 1), ended: make(chan int64, places), busy: map[int64]int{},
	}
}

// Wake makes the sender look now.
func (s *Sender) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Run sends until ctx ends. What is being sent then has a few seconds to end;
// what does not is sent again by another replica.
func (s *Sender) Run(ctx context.Context) {
	attempts, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopping := context.AfterFunc(ctx, func() { time.AfterFunc(stopFor, cancel) })
	defer stopping()
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	for ctx.Err() == nil {
		if s.claim(ctx, attempts) {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-s.wake:
		case id := <-s.ended:
			s.free(id)
		}
	}
	s.sending.Wait()
}

// claim takes what is due and has a place, and tells whether there may be more.
func (s *Sender) claim(ctx, attempts context.Context) bool {
	for len(s.ended) > 0 {
		s.free(<-s.ended)
	}
	taken := 0
	for _, n := range s.busy {
		taken += n
	}
	if taken >= places {
		return false
	}
	now := s.now()
	claimed, err := s.store.ClaimDeliveries(ctx, store.DeliveryClaim{Now: now, Until: now.Add(claimFor), Places: webhookPlaces, Limit: places - taken, Busy: s.busy})
	if err != nil {
		if ctx.Err() == nil {
			s.log.WarnContext(ctx, "can't claim notices; trying again", "error", err)
		}
		return false
	}
	for _, d := range claimed {
		s.busy[d.WebhookID]++
		s.sending.Go(func() {
			defer func() { s.ended <- d.WebhookID }()
			s.send(attempts, d)
		})
	}
	return len(claimed) > 0
}

func (s *Sender) free(id int64) {
	if s.busy[id]--; s.busy[id] <= 0 {
		delete(s.busy, id)
	}
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
