package rpc_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// webhook makes one that hears of first failures.
func (b *bundle) webhook(instance string) *carillonv1.Webhook {
	b.t.Helper()
	return must(b.notices.CreateWebhook(b.operator, &carillonv1.CreateWebhookRequest{InstanceId: instance, Webhook: firstFailures()}))(b.t)
}

func (b *bundle) delivery(of *carillonv1.Webhook) *carillonv1.Delivery {
	b.t.Helper()
	return must(b.notices.TestWebhook(b.operator, &carillonv1.TestWebhookRequest{WebhookId: of.GetId()}))(b.t)
}

func firstFailures() *carillonv1.Webhook {
	return &carillonv1.Webhook{Url: "https://hooks.example/a", Events: []carillonv1.Webhook_Event{carillonv1.Webhook_FIRST_FAILURE}}
}

func TestWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	ask := &carillonv1.CreateWebhookRequest{InstanceId: in, Webhook: firstFailures(), RequestId: "r"}
	made := must(b.notices.CreateWebhook(b.operator, ask))(t)
	if !strings.HasPrefix(made.GetSecret(), "whsec_") || !made.GetEnabled() {
		t.Fatalf("made %v, want a secret and to be enabled", made)
	}
	again := must(b.notices.CreateWebhook(b.operator, ask))(t)
	if again.GetId() != made.GetId() || again.Secret != nil {
		t.Errorf("a repeat answers %v, want the same without the secret", again)
	}
	read := must(b.notices.GetWebhook(b.operator, &carillonv1.GetWebhookRequest{WebhookId: made.GetId()}))(t)
	if !proto.Equal(read, again) {
		t.Errorf("read %v, want %v", read, again)
	}
	dry := must(b.notices.CreateWebhook(b.operator, &carillonv1.CreateWebhookRequest{InstanceId: in, Webhook: firstFailures(), ValidateOnly: true}))(t)
	if dry.GetId() != "" || dry.Secret != nil {
		t.Errorf("validate_only answers %v", dry)
	}
	changed := must(b.notices.UpdateWebhook(b.operator, &carillonv1.UpdateWebhookRequest{
		Webhook: &carillonv1.Webhook{Id: made.GetId(), Etag: read.GetEtag(), Enabled: proto.Bool(false)},
	}))(t)
	if changed.GetEnabled() || changed.GetUrl() != read.GetUrl() || changed.GetEtag() == read.GetEtag() {
		t.Errorf("changed to %v", changed)
	}
	_, err := b.notices.UpdateWebhook(b.operator, &carillonv1.UpdateWebhookRequest{Webhook: &carillonv1.Webhook{Id: made.GetId(), Etag: read.GetEtag(), Url: "https://b.example"}})
	wantCode(t, err, codes.Aborted, "")
	_, err = b.notices.TestWebhook(b.operator, &carillonv1.TestWebhookRequest{WebhookId: made.GetId()})
	wantCode(t, err, codes.FailedPrecondition, "WEBHOOK_DISABLED")
	rotated := must(b.notices.RotateWebhookSecret(b.operator, &carillonv1.RotateWebhookSecretRequest{WebhookId: made.GetId()}))(t)
	if rotated.GetSecret() == made.GetSecret() || rotated.GetSecret() == "" || rotated.GetPreviousSecretUntil() == nil {
		t.Errorf("rotated to %v", rotated)
	}
	_, err = b.notices.DeleteWebhook(b.operator, &carillonv1.DeleteWebhookRequest{WebhookId: made.GetId(), Etag: read.GetEtag()})
	wantCode(t, err, codes.Aborted, "")
	must(b.notices.DeleteWebhook(b.operator, &carillonv1.DeleteWebhookRequest{WebhookId: made.GetId()}))(t)
	_, err = b.notices.GetWebhook(b.operator, &carillonv1.GetWebhookRequest{WebhookId: made.GetId()})
	wantCode(t, err, codes.NotFound, "")
	if strings.Contains(b.output.String(), made.GetSecret()) {
		t.Error("the log holds a secret")
	}
}

func TestWebhooksAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in, other := b.instance().GetId(), b.instance().GetId()
	foreign := b.create(other, hourly(t)).GetId()
	for want, edit := range map[string]func(*carillonv1.Webhook){
		"url REQUIRED":                 func(w *carillonv1.Webhook) { w.Url = "" },
		"url INVALID_VALUE":            func(w *carillonv1.Webhook) { w.Url = "https://a:b@hooks.example" },
		"events REQUIRED":              func(w *carillonv1.Webhook) { w.Events = nil },
		"events[1] INVALID_VALUE":      func(w *carillonv1.Webhook) { w.Events = append(w.Events, carillonv1.Webhook_PING) },
		"events[1] DUPLICATE":          func(w *carillonv1.Webhook) { w.Events = append(w.Events, w.Events[0]) },
		"failuresInARow INVALID_VALUE": func(w *carillonv1.Webhook) { w.Events[0] = carillonv1.Webhook_NTH_FAILURE },
		"freshness INVALID_VALUE":      func(w *carillonv1.Webhook) { w.Freshness = durationpb.New(time.Hour) },
		"jobIds[0] JOB_NOT_FOUND":      func(w *carillonv1.Webhook) { w.JobIds = []string{foreign} },
	} {
		w := firstFailures()
		edit(w)
		_, err := b.notices.CreateWebhook(b.operator, &carillonv1.CreateWebhookRequest{InstanceId: in, Webhook: w})
		wantCode(t, err, codes.InvalidArgument, "")
		if got := violations(err); !slices.Equal(got, []string{want}) {
			t.Errorf("violations are %q, want %q", got, want)
		}
	}
	made := b.webhook(in)
	_, err := b.notices.UpdateWebhook(b.operator, &carillonv1.UpdateWebhookRequest{Webhook: made, UpdateMask: maskOf("url", "secret", "colour")})
	if got := violations(err); !slices.Equal(got, []string{"updateMask OUTPUT_ONLY", "updateMask UNKNOWN_FIELD"}) {
		t.Errorf("violations are %q", got)
	}
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	in := b.instance().GetId()
	w := b.webhook(in)
	for range 3 {
		must(b.notices.TestWebhook(b.operator, &carillonv1.TestWebhookRequest{WebhookId: w.GetId()}))(t)
	}
	first := must(b.notices.ListDeliveries(b.operator, &carillonv1.ListDeliveriesRequest{InstanceId: in, PageSize: 2}))(t)
	second := must(b.notices.ListDeliveries(b.operator, &carillonv1.ListDeliveriesRequest{InstanceId: in, PageSize: 2, PageToken: first.GetNextPageToken()}))(t)
	if len(first.GetDeliveries()) != 2 || len(second.GetDeliveries()) != 1 || second.GetNextPageToken() != "" {
		t.Fatalf("pages of %d and %d", len(first.GetDeliveries()), len(second.GetDeliveries()))
	}
	one := second.GetDeliveries()[0]
	if one.GetEvent() != carillonv1.Webhook_PING || one.GetState() != carillonv1.Delivery_PENDING || !strings.Contains(one.GetBody(), `"type":"PING"`) {
		t.Errorf("the delivery is %v", one)
	}
	_, err := b.notices.ListDeliveries(b.operator, &carillonv1.ListDeliveriesRequest{InstanceId: in, State: carillonv1.Delivery_FAILED, PageToken: first.GetNextPageToken()})
	wantCode(t, err, codes.InvalidArgument, "")
	_, err = b.notices.ListDeliveries(b.operator, &carillonv1.ListDeliveriesRequest{InstanceId: in, WebhookId: "job_1"})
	wantCode(t, err, codes.NotFound, "WEBHOOK_NOT_FOUND")
	again := must(b.notices.RedeliverNotice(b.operator, &carillonv1.RedeliverNoticeRequest{DeliveryId: one.GetId()}))(t)
	if again.GetId() != one.GetId() || again.GetNextAttemptAt() == nil {
		t.Errorf("redelivered as %v", again)
	}
}
