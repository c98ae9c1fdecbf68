package telemetry

import "github.com/prometheus/client_golang/prometheus"

// NewRemotes registers the gauges of stored credentials that somebody must
// renew, of all instances, and returns what sets them.
func NewRemotes(registry prometheus.Registerer) func(refused, expiring int) {
	refusedRemotes := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "carillon_remotes_reauth_required",
		Help: "Remotes whose stored credentials are refused, when it was last counted.",
	})
	expiringRemotes := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "carillon_remotes_expiring",
		Help: "Remotes whose stored credentials ended or end within seven days, without those that are refused, when it was last counted.",
	})
	registry.MustRegister(refusedRemotes, expiringRemotes)
	return func(refused, expiring int) {
		refusedRemotes.Set(float64(refused))
		expiringRemotes.Set(float64(expiring))
	}
}
