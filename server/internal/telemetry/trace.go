package telemetry

import (
	"context"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// tracesWanted are the variables of which each one asks for traces.
var tracesWanted = []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}

// StartTraces makes the process's trace provider if the environment asks for
// traces, and lets calls carry the trace of their caller. The function that it
// returns sends what is still held and must be called once at the end.
func StartTraces(ctx context.Context, build Build) (shutdown func(context.Context) error, err error) {
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	nothing := func(context.Context) error { return nil }
	if !tracesConfigured() {
		return nothing, nil
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("make the trace exporter that OTEL_ variables name: %w", err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nothing, nil
	}
	// Attributes of the environment come last, since they are the operator's.
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "carillon"), attribute.String("service.version", build.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	otel.SetTracerProvider(provider)
	return provider.Shutdown, nil
}

func tracesConfigured() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range tracesWanted {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}
