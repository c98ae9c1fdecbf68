package telemetry

import "github.com/prometheus/client_golang/prometheus"

// NewKeyset registers the gauge that tells how the keyset file lies.
func NewKeyset(registry prometheus.Registerer, wrapped bool) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "carillon_keyset_wrapped",
		Help: "1 when a KMS wraps the keyset file, 0 when it lies in the clear.",
	})
	registry.MustRegister(gauge)
	if wrapped {
		gauge.Set(1)
	}
}
