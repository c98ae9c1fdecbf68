package notifier

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
)

// outbox is a store with one delivery.
type outbox struct {
	store.Notices

	mu       sync.Mutex
	delivery store.Sending
	ends     []store.DeliveryEnd
}

func (o *outbox) ClaimDeliveries(_ context.Context, c store.DeliveryClaim) ([]store.Sending, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := &o.delivery
	if d.NextAt.IsZero() || d.NextAt.After(c.Now) || c.Taken.Webhooks[d.WebhookID] > 0 {
		return nil, nil
	}
	d.NextAt = c.Until
	d.Tries++
	return []store.Sending{*d}, nil
}

func (o *outbox) NextDelivery(context.Context) (time.Time, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.delivery.NextAt, nil
}

func (o *outbox) pending() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.delivery.State == job.DeliveryPending
}

func (o *outbox) EndDelivery(_ context.Context, e store.DeliveryEnd) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ends = append(o.ends, e)
	o.delivery.State, o.delivery.NextAt = e.State, e.NextAt
	return nil
}

// receiver answers calls, and keeps when they came.
type receiver struct {
	answer func(call int) (status int, header http.Header)
	calls  []*http.Request
	times  []time.Time
}

func (r *receiver) RoundTrip(request *http.Request) (*http.Response, error) {
	r.calls, r.times = append(r.calls, request), append(r.times, time.Now())
	status, header := r.answer(len(r.calls))
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: request}, nil
}

type secrets []seal.Secret

func (s secrets) Secrets(job.Webhook, time.Time) ([]seal.Secret, error) { return s, nil }

type noMetrics struct{}

func (noMetrics) Told(int)                        {}
func (noMetrics) Attempted(string, time.Duration) {}

func secretOf(text string) seal.Secret {
	return seal.NewSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(text, 32))))
}

// send sends one notice until nothing is left to do.
func send(t *testing.T, r *receiver, known ...seal.Secret) *outbox {
	t.Helper()
	w := job.Webhook{ID: 4, InstanceID: 1, URL: "https://hooks.example/a", Enabled: true}
	o := &outbox{delivery: store.Sending{Webhook: w, Delivery: job.Delivery{
		ID: 9, WebhookID: w.ID, State: job.DeliveryPending, NextAt: time.Now(), Notice: job.Notice{Body: `{"type":"PING"}`},
	}}}
	s := NewSender(SenderOptions{
		Store: o, Secrets: secrets(known), Transport: r, Every: time.Second, Idle: time.Minute, Listening: func() bool { return true }, Now: time.Now, Metrics: noMetrics{}, Log: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	for o.pending() {
		time.Sleep(time.Minute)
		synctest.Wait()
	}
	stop()
	<-done
	return o
}

func TestAttemptsFollowTheSpecification(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(int) (int, http.Header) { return http.StatusInternalServerError, nil }}
		o := send(t, r, secretOf("a"))
		if len(r.times) != len(waits)+1 || len(o.ends) != len(r.times) {
			t.Fatalf("%d attempts and %d ends, want %d", len(r.times), len(o.ends), len(waits)+1)
		}
		for i, wait := range waits {
			if got := r.times[i+1].Sub(r.times[i]); got < wait || got > wait+wait/10+2*time.Second {
				t.Errorf("attempt %d came %s after the one before, want %s and up to a tenth more", i+2, got, wait)
			}
		}
		if last := o.ends[len(o.ends)-1]; last.State != job.DeliveryFailed || !last.NextAt.IsZero() || last.Attempt.Status != http.StatusInternalServerError {
			t.Errorf("it ended as %+v", last)
		}
	})
}

func TestReceiversChooseWhenAndWhether(t *testing.T) {
	t.Parallel()
	after := func(text string) http.Header { return http.Header{"Retry-After": {text}} }
	for name, test := range map[string]struct {
		status   int
		header   http.Header
		from, to time.Duration
		disabled string
	}{
		"asks for an hour":           {http.StatusTooManyRequests, after("3600"), time.Hour, time.Hour + 2*time.Second, ""},
		"asks for less than we wait": {http.StatusServiceUnavailable, after("1"), waits[0], waits[0] + waits[0]/10 + 2*time.Second, ""},
		"asks for a week":            {http.StatusServiceUnavailable, after("604800"), longestWait, longestWait + 2*time.Second, ""},
		"redirects":                  {http.StatusFound, http.Header{"Location": {"https://elsewhere.example"}}, waits[0], waits[0] + waits[0]/10 + 2*time.Second, ""},
		"is gone":                    {http.StatusGone, nil, 0, 0, ReasonGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answer: func(call int) (int, http.Header) {
					if call == 1 {
						return test.status, test.header
					}
					return http.StatusNoContent, nil
				}}
				o := send(t, r, secretOf("a"))
				if got := o.ends[0].Disable; got != test.disabled {
					t.Errorf("disabled for %q, want %q", got, test.disabled)
				}
				if test.disabled != "" {
					if len(r.calls) != 1 || o.delivery.State != job.DeliveryFailed {
						t.Errorf("%d attempts, ended as %s", len(r.calls), o.delivery.State)
					}
					return
				}
				if len(r.calls) != 2 || o.delivery.State != job.DeliveryDelivered {
					t.Fatalf("%d attempts, ended as %s", len(r.calls), o.delivery.State)
				}
				if got := r.times[1].Sub(r.times[0]); got < test.from || got > test.to {
					t.Errorf("tried again after %s, want %s to %s", got, test.from, test.to)
				}
				if host := r.calls[1].URL.Host; host != "hooks.example" {
					t.Errorf("went to %s", host)
				}
			})
		})
	}
}

// While a secret is replaced, receivers may verify by the old or the new one.
func TestBothSecretsSign(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answer: func(int) (int, http.Header) { return http.StatusOK, nil }}
		fresh, old, other := secretOf("a"), secretOf("b"), secretOf("c")
		send(t, r, fresh, old)
		request := r.calls[0]
		if got := len(strings.Fields(request.Header.Get(standardwebhooks.HeaderWebhookSignature))); got != 2 {
			t.Errorf("%d signatures, want 2", got)
		}
		body, err := io.ReadAll(request.Body)
		if err != nil {
			t.Fatal(err)
		}
		var verified []bool
		for _, secret := range []seal.Secret{fresh, old, other} {
			verifier, err := standardwebhooks.NewWebhook(secret.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			verified = append(verified, verifier.VerifyIgnoringTimestamp(body, request.Header) == nil)
		}
		if want := []bool{true, true, false}; !slices.Equal(verified, want) {
			t.Errorf("verified by the new, the old and another secret: %v, want %v", verified, want)
		}
	})
}
