package model

import (
	"github.com/99designs/gqlgen/graphql"
	"google.golang.org/protobuf/types/known/durationpb"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// The answers about notices; see Key for why they are wrapped.
type (
	// Webhook is a receiver of notices.
	Webhook struct{ *carillonv1.Webhook }
	// Delivery is a notice on its way to a webhook.
	Delivery struct{ *carillonv1.Delivery }
	// DeliveryAttempt is one try to send it.
	DeliveryAttempt struct {
		*carillonv1.Delivery_Attempt
	}
)

// JobIds are never null.
func (w *Webhook) JobIds() []string { return append([]string{}, w.GetJobIds()...) }

// Labels are never null.
func (w *Webhook) Labels() map[string]string {
	if labels := w.GetLabels(); labels != nil {
		return labels
	}
	return map[string]string{}
}

// Enabled is never null.
func (w *Webhook) Enabled() bool { return w.GetEnabled() }

// DisabledReason is null while the service has not disabled it.
func (w *Webhook) DisabledReason() *string { return unlessEmpty(w.GetDisabledReason()) }

// Secret is null but when it is made.
func (w *Webhook) Secret() *string { return w.Webhook.Secret }

// JobID is null when it is about none.
func (d *Delivery) JobID() *string { return unlessEmpty(d.GetJobId()) }

// ExecutionID is null when it is about none.
func (d *Delivery) ExecutionID() *string { return unlessEmpty(d.GetExecutionId()) }

// Attempts are never null.
func (d *Delivery) Attempts() []*DeliveryAttempt {
	list := make([]*DeliveryAttempt, len(d.GetAttempts()))
	for i, a := range d.GetAttempts() {
		list[i] = &DeliveryAttempt{a}
	}
	return list
}

// Duration is never null.
func (a *DeliveryAttempt) Duration() *durationpb.Duration { return a.GetDuration() }

// MarshalNoticeEvent writes the name.
func MarshalNoticeEvent(e carillonv1.Webhook_Event) graphql.Marshaler { return enumOf(e) }

// UnmarshalNoticeEvent reads the name.
func UnmarshalNoticeEvent(v any) (carillonv1.Webhook_Event, error) {
	return parseEnum[carillonv1.Webhook_Event](v, carillonv1.Webhook_Event_value)
}

// MarshalDeliveryState writes the name.
func MarshalDeliveryState(e carillonv1.Delivery_State) graphql.Marshaler { return enumOf(e) }

// UnmarshalDeliveryState reads the name.
func UnmarshalDeliveryState(v any) (carillonv1.Delivery_State, error) {
	return parseEnum[carillonv1.Delivery_State](v, carillonv1.Delivery_State_value)
}
