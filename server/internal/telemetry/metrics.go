package telemetry

import (
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Build says which program this is.
type Build struct {
	// Version is what the linker was told, such as v1.2.0-3-gabc1234.
	Version string
	// Go is the version of the toolchain: go1.26.8.
	Go string
}

// NewBuild completes a version with what the binary knows of itself.
func NewBuild(version string) Build {
	build := Build{Version: version, Go: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		build.Go = info.GoVersion
	}
	return build
}

// NewRegistry returns a registry with the metrics of the process itself, of
// the Go runtime, and carillon_build_info.
func NewRegistry(build Build) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "carillon_build_info",
		Help:        "1, labelled with the version of the program.",
		ConstLabels: prometheus.Labels{"version": build.Version, "go": build.Go},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
