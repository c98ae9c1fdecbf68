package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Doors counts connections, by door.
type Doors struct {
	Open    *prometheus.GaugeVec
	Refused *prometheus.CounterVec
}

// NewDoors registers the metrics of the doors.
func NewDoors(registry prometheus.Registerer) Doors {
	d := Doors{
		Open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "carillon_connections", Help: "Open connections.",
		}, []string{"door"}),
		Refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "carillon_connections_refused_total", Help: "Connections that were closed because there were too many.",
		}, []string{"door"}),
	}
	registry.MustRegister(d.Open, d.Refused)
	return d
}
