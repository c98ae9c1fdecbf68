package telemetry

import "github.com/prometheus/client_golang/prometheus"

// NewInvariants registers the gauge of broken promises, with 0 for each kind,
// and returns what sets it.
func NewInvariants(registry prometheus.Registerer, kinds ...string) func(kind string, violations int) {
	violations := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "carillon_invariant_violations",
		Help: "Broken promises of the engine that the last look found, by kind; carillon doctor tells them one by one.",
	}, []string{"kind"})
	registry.MustRegister(violations)
	for _, kind := range kinds {
		violations.WithLabelValues(kind).Set(0)
	}
	return func(kind string, n int) { violations.WithLabelValues(kind).Set(float64(n)) }
}
