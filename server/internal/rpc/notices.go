package rpc

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/webhooks"
)

var _ carillonv1.NoticeServiceServer = (*noticeServer)(nil)

type noticeServer struct {
	carillonv1.UnsafeNoticeServiceServer
	webhooks *webhooks.Service
}

func (s *noticeServer) CreateWebhook(ctx context.Context, in *carillonv1.CreateWebhookRequest) (*carillonv1.Webhook, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	request, err := requestOf(ctx, carillonv1.NoticeService_CreateWebhook_FullMethodName, job.KindInstance.Format(instance), in)
	if err != nil {
		return nil, err
	}
	made, secret, err := s.webhooks.Create(ctx, webhooks.Create{
		InstanceID: instance, Fields: webhookFields(in.GetWebhook(), nil), ValidateOnly: in.GetValidateOnly(), Request: request,
	})
	if err != nil {
		return nil, err
	}
	return webhookWithSecret(made, secret), nil
}

func (s *noticeServer) GetWebhook(ctx context.Context, in *carillonv1.GetWebhookRequest) (*carillonv1.Webhook, error) {
	id, err := idOf(job.KindWebhook, in.GetWebhookId())
	if err != nil {
		return nil, err
	}
	w, err := s.webhooks.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return webhookMessage(w), nil
}

func (s *noticeServer) ListWebhooks(ctx context.Context, in *carillonv1.ListWebhooksRequest) (*carillonv1.ListWebhooksResponse, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	q := query{carillonv1.NoticeService_ListWebhooks_FullMethodName, job.KindInstance.Format(instance)}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Webhook, *carillonv1.Webhook]{
		read:    func(page store.Page) ([]job.Webhook, error) { return s.webhooks.List(ctx, instance, page) },
		id:      func(w job.Webhook) int64 { return w.ID },
		message: always(webhookMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListWebhooksResponse{Webhooks: page, NextPageToken: next}, nil
}

func (s *noticeServer) UpdateWebhook(ctx context.Context, in *carillonv1.UpdateWebhookRequest) (*carillonv1.Webhook, error) {
	id, err := idOf(job.KindWebhook, in.GetWebhook().GetId())
	if err != nil {
		return nil, err
	}
	m, err := webhookMask(in.GetUpdateMask())
	if err != nil {
		return nil, err
	}
	w, err := s.webhooks.Update(ctx, webhooks.Update{
		ID: id, ETag: in.GetWebhook().GetEtag(), Fields: webhookFields(in.GetWebhook(), m), ValidateOnly: in.GetValidateOnly(),
	})
	if err != nil {
		return nil, err
	}
	return webhookMessage(w), nil
}

func (s *noticeServer) DeleteWebhook(ctx context.Context, in *carillonv1.DeleteWebhookRequest) (*carillonv1.DeleteWebhookResponse, error) {
	id, err := idOf(job.KindWebhook, in.GetWebhookId())
	if err != nil {
		return nil, err
	}
	if err := s.webhooks.Delete(ctx, id, in.GetEtag()); err != nil {
		return nil, err
	}
	return &carillonv1.DeleteWebhookResponse{}, nil
}

func (s *noticeServer) RotateWebhookSecret(ctx context.Context, in *carillonv1.RotateWebhookSecretRequest) (*carillonv1.Webhook, error) {
	id, err := idOf(job.KindWebhook, in.GetWebhookId())
	if err != nil {
		return nil, err
	}
	w, secret, err := s.webhooks.RotateSecret(ctx, id)
	if err != nil {
		return nil, err
	}
	return webhookWithSecret(w, secret), nil
}

func (s *noticeServer) TestWebhook(ctx context.Context, in *carillonv1.TestWebhookRequest) (*carillonv1.Delivery, error) {
	id, err := idOf(job.KindWebhook, in.GetWebhookId())
	if err != nil {
		return nil, err
	}
	return deliveryAnswer(s.webhooks.Test(ctx, id))
}

func (s *noticeServer) ListDeliveries(ctx context.Context, in *carillonv1.ListDeliveriesRequest) (*carillonv1.ListDeliveriesResponse, error) {
	instance, err := idOf(job.KindInstance, in.GetInstanceId())
	if err != nil {
		return nil, err
	}
	f := store.DeliveryFilter{InstanceID: instance}
	if f.WebhookID, err = optionalID(job.KindWebhook, in.GetWebhookId()); err != nil {
		return nil, err
	}
	if f.JobID, err = optionalID(job.KindJob, in.GetJobId()); err != nil {
		return nil, err
	}
	if in.GetState() != carillonv1.Delivery_STATE_UNSPECIFIED {
		f.State = job.DeliveryState(in.GetState().String())
	}
	if in.GetEvent() != carillonv1.Webhook_EVENT_UNSPECIFIED {
		f.Event = job.NoticeEvent(in.GetEvent().String())
	}
	q := query{carillonv1.NoticeService_ListDeliveries_FullMethodName, job.KindInstance.Format(instance), textOf(job.KindWebhook, f.WebhookID), textOf(job.KindJob, f.JobID), string(f.State), string(f.Event)}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[job.Delivery, *carillonv1.Delivery]{
		read:    func(page store.Page) ([]job.Delivery, error) { return s.webhooks.Deliveries(ctx, f, page) },
		id:      func(d job.Delivery) int64 { return d.ID },
		message: always(deliveryMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListDeliveriesResponse{Deliveries: page, NextPageToken: next}, nil
}

func (s *noticeServer) GetDelivery(ctx context.Context, in *carillonv1.GetDeliveryRequest) (*carillonv1.Delivery, error) {
	id, err := idOf(job.KindDelivery, in.GetDeliveryId())
	if err != nil {
		return nil, err
	}
	return deliveryAnswer(s.webhooks.Delivery(ctx, id))
}

func (s *noticeServer) RedeliverNotice(ctx context.Context, in *carillonv1.RedeliverNoticeRequest) (*carillonv1.Delivery, error) {
	id, err := idOf(job.KindDelivery, in.GetDeliveryId())
	if err != nil {
		return nil, err
	}
	return deliveryAnswer(s.webhooks.Redeliver(ctx, id))
}

// webhookWritable are the fields of a webhook that callers can change.
var webhookWritable = []string{"url", "description", "job_ids", "labels", "events", "failures_in_a_row", "freshness", "enabled"}

// webhookMask reads a request's update_mask; nil for none.
func webhookMask(paths *fieldmaskpb.FieldMask) (mask, error) {
	if len(paths.GetPaths()) == 0 {
		return nil, nil
	}
	fields := (&carillonv1.Webhook{}).ProtoReflect().Descriptor().Fields()
	m := mask{}
	var bad job.InvalidError
	for _, path := range paths.GetPaths() {
		switch {
		case path == "*":
			for _, name := range webhookWritable {
				m[name] = true
			}
		case slices.Contains(webhookWritable, path):
			m[path] = true
		case slices.Contains(checked, path): // compared, not changed
		case fields.ByName(protoreflect.Name(path)) != nil:
			bad.Add("updateMask", "OUTPUT_ONLY", "the field %s can't be changed", path)
		default:
			bad.Add("updateMask", task.ReasonUnknownField, "a webhook has no field %.64q", path)
		}
	}
	return m, bad.Err()
}

// webhookFields reads what a message says of a webhook.
func webhookFields(in *carillonv1.Webhook, m mask) (f webhooks.Fields) {
	if m.about("url", in.GetUrl() != "") {
		f.URL = new(in.GetUrl())
	}
	if m.about("description", in.GetDescription() != "") {
		f.Description = new(in.GetDescription())
	}
	if m.about("job_ids", len(in.GetJobIds()) > 0) {
		f.JobIDs = new(in.GetJobIds())
	}
	if m.about("labels", len(in.GetLabels()) > 0) {
		f.Labels = new(in.GetLabels())
	}
	if m.about("events", len(in.GetEvents()) > 0) {
		f.Events = new(mapAll(in.GetEvents(), eventOf))
	}
	if m.about("failures_in_a_row", in.GetFailuresInARow() != 0) {
		f.FailuresInARow = new(int(in.GetFailuresInARow()))
	}
	if m.about("freshness", in.GetFreshness() != nil) {
		f.Freshness = new(in.GetFreshness().AsDuration())
	}
	if m.about("enabled", in.Enabled != nil) {
		f.Enabled = new(in.Enabled == nil || in.GetEnabled())
	}
	return f
}

func eventOf(e carillonv1.Webhook_Event) job.NoticeEvent {
	if e == carillonv1.Webhook_EVENT_UNSPECIFIED {
		return ""
	}
	return job.NoticeEvent(e.String())
}

func noticeEvent(e job.NoticeEvent) carillonv1.Webhook_Event {
	return carillonv1.Webhook_Event(carillonv1.Webhook_Event_value[string(e)])
}

func webhookMessage(w job.Webhook) *carillonv1.Webhook {
	out := &carillonv1.Webhook{
		Id: textOf(job.KindWebhook, w.ID), InstanceId: textOf(job.KindInstance, w.InstanceID), Url: w.URL, Description: w.Description,
		JobIds: mapAll(w.JobIDs, job.KindJob.Format), Labels: w.Labels, Events: mapAll(w.Events, noticeEvent),
		FailuresInARow: int32(w.FailuresInARow), Freshness: span(w.Freshness), Enabled: &w.Enabled,
		CreatedAt: stamp(w.CreatedAt), UpdatedAt: stamp(w.UpdatedAt), DisabledReason: w.DisabledReason,
		PreviousSecretUntil: stamp(w.Secrets.PreviousUntil),
	}
	if w.Version > 0 {
		out.Etag = w.ETag()
	}
	return out
}

// span is a duration in a message; absent when zero.
func span(d time.Duration) *durationpb.Duration {
	if d == 0 {
		return nil
	}
	return durationpb.New(d)
}

func webhookWithSecret(w job.Webhook, secret seal.Secret) *carillonv1.Webhook {
	out := webhookMessage(w)
	if text := secret.Reveal(); text != "" {
		out.Secret = &text
	}
	return out
}

func deliveryAnswer(d job.Delivery, err error) (*carillonv1.Delivery, error) {
	if err != nil {
		return nil, err
	}
	return deliveryMessage(d), nil
}

func deliveryMessage(d job.Delivery) *carillonv1.Delivery {
	out := &carillonv1.Delivery{
		Id: textOf(job.KindDelivery, d.ID), InstanceId: textOf(job.KindInstance, d.Notice.InstanceID), WebhookId: textOf(job.KindWebhook, d.WebhookID),
		Event: noticeEvent(d.Notice.Event), JobId: textOf(job.KindJob, d.Notice.JobID), ExecutionId: textOf(job.KindExecution, d.Notice.ExecutionID),
		State:     carillonv1.Delivery_State(carillonv1.Delivery_State_value[string(d.State)]),
		CreatedAt: stamp(d.CreatedAt), NextAttemptAt: stamp(d.NextAt), FinishedAt: stamp(d.FinishedAt), Body: d.Notice.Body,
	}
	for _, a := range d.Attempts {
		out.Attempts = append(out.Attempts, &carillonv1.Delivery_Attempt{
			Time: stamp(a.Time), Duration: durationpb.New(a.Duration), Status: int32(a.Status), Reason: a.Reason, Message: a.Message,
		})
	}
	return out
}
