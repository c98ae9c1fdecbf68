package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
)

// Engine counts what ticker and executor do.
type Engine struct {
	lateness prometheus.Histogram
	// duration has a place for each state that an attempt ends in.
	duration map[job.State]prometheus.Observer
	claims   prometheus.Histogram
	claimed  prometheus.Counter
	commits  prometheus.Histogram
	stored   prometheus.Counter
	skipped  *prometheus.CounterVec
}

// NewEngine registers the metrics of the engine. places tells how many
// executions are claimed and not ended in this process.
func NewEngine(registry prometheus.Registerer, places func() int) *Engine {
	fine := []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	e := &Engine{
		lateness: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "carillon_start_lateness_seconds", Help: "How long after its time an execution started.", Buckets: fine,
		}),
		duration: make(map[job.State]prometheus.Observer),
		claims: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "carillon_claim_duration_seconds", Help: "How long a claim that took something was in the database.", Buckets: fine,
		}),
		claimed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_executions_claimed_total", Help: "Executions claimed by this process.",
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "carillon_store_ends_duration_seconds", Help: "How long storing a group of ends took.", Buckets: fine,
		}),
		stored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "carillon_executions_stored_total", Help: "Ends of attempts stored by this process.",
		}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_slots_skipped_total", Help: "Due instants that did not start, by reason.",
		}, []string{"reason"}),
	}
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "carillon_attempt_duration_seconds", Help: "How long an attempt of an execution took, by the state it ended in.",
		Buckets: []float64{.01, .1, 1, 10, 60, 600, 3600, 6 * 3600, 24 * 3600},
	}, []string{"state"})
	for _, state := range []job.State{
		job.StateSucceeded, job.StatePartiallySucceeded, job.StateFailed, job.StateCancelled, job.StateWorkerLost, job.StateAwaitingApproval,
	} {
		e.duration[state] = duration.WithLabelValues(string(state))
	}
	registry.MustRegister(e.lateness, duration, e.claims, e.claimed, e.commits, e.stored, e.skipped,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "carillon_executions_active", Help: "Executions claimed by this process whose end is not stored.",
		}, func() float64 { return float64(places()) }))
	// A counter that begins with its first event shows no rise to those who
	// watch for one.
	for _, reason := range []string{job.SkipMissed, job.SkipQuota, policy.SkipInvalid} {
		e.skipped.WithLabelValues(reason)
	}
	return e
}

// Started implements executor.Metrics.
func (e *Engine) Started(late time.Duration) { e.lateness.Observe(late.Seconds()) }

// Ended implements executor.Metrics.
func (e *Engine) Ended(state job.State, took time.Duration) {
	e.duration[state].Observe(took.Seconds())
}

// Stored implements executor.Metrics.
func (e *Engine) Stored(ends int, took time.Duration) {
	e.stored.Add(float64(ends))
	e.commits.Observe(took.Seconds())
}

// Claimed implements ticker.Metrics.
func (e *Engine) Claimed(executions int, took time.Duration) {
	e.claimed.Add(float64(executions))
	e.claims.Observe(took.Seconds())
}

// Skipped implements ticker.Metrics.
func (e *Engine) Skipped(reason string, slots int64) {
	e.skipped.WithLabelValues(reason).Add(float64(slots))
}
