package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Notices counts what is told to webhooks.
type Notices struct {
	told     prometheus.Counter
	attempts *prometheus.HistogramVec
}

// NewNotices registers the metrics of notices.
func NewNotices(registry prometheus.Registerer) *Notices {
	n := &Notices{
		told: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_notices_total", Help: "Changes that this process found and that are told to webhooks.",
		}),
		attempts: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "carillon_notice_attempt_duration_seconds", Help: "How long an attempt to send a notice took, by what became of the delivery.",
			Buckets: []float64{.01, .05, .1, .5, 1, 5, 15},
		}, []string{"outcome"}),
	}
	registry.MustRegister(n.told, n.attempts)
	n.attempts.WithLabelValues("failed") // see NewEngine
	return n
}

// Told implements notifier.Metrics.
func (n *Notices) Told(notices int) { n.told.Add(float64(notices)) }

// Attempted implements notifier.Metrics.
func (n *Notices) Attempted(outcome string, took time.Duration) {
	n.attempts.WithLabelValues(outcome).Observe(took.Seconds())
}
