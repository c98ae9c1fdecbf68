package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

// newLog is a logger and where its lines go.
func newLog(t *testing.T, format, level string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var lines bytes.Buffer
	log, err := telemetry.NewLogger(&lines, format, level)
	if err != nil {
		t.Fatal(err)
	}
	return log, &lines
}

func TestLogLinesCarryTheRequest(t *testing.T) {
	t.Parallel()
	log, out := newLog(t, "json", "info")
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(telemetry.WithRequestID(t.Context(), "req-1"), span)
	log.With("part", "test").WithGroup("g").InfoContext(ctx, "hello", "k", "v")
	log.DebugContext(ctx, "not written")
	var line struct {
		Msg, Part string
		G         map[string]string
	}
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if line.Msg != "hello" || line.Part != "test" || line.G["k"] != "v" ||
		line.G["request_id"] != "req-1" || line.G["trace_id"] != span.TraceID().String() {
		t.Errorf("line is %s", out)
	}
}

func TestLogLinesWithoutRequest(t *testing.T) {
	t.Parallel()
	log, out := newLog(t, "text", "warn")
	log.WarnContext(t.Context(), "alone")
	if got := out.String(); !strings.Contains(got, "msg=alone") || strings.Contains(got, "request_id") || strings.Contains(got, "trace_id") {
		t.Errorf("line is %s", got)
	}
	if log.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("a line below the level is written")
	}
}

func TestLoggerRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range [][2]string{{"xml", "info"}, {"", "info"}, {"json", "loud"}, {"json", ""}} {
		if _, err := telemetry.NewLogger(&bytes.Buffer{}, in[0], in[1]); err == nil {
			t.Errorf("format %q and level %q are accepted", in[0], in[1])
		}
	}
}

func TestRegistry(t *testing.T) {
	t.Parallel()
	registry := telemetry.NewRegistry(telemetry.NewBuild("v1.2.3"))
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body := answer.Body.String()
	for _, want := range []string{`version="v1.2.3"`, "go_goroutines", "process_cpu_seconds_total"} {
		if !strings.Contains(body, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
}

// The trace provider and the environment are the process's: not parallel.
func TestTraces(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_RESOURCE_ATTRIBUTES"} {
		t.Setenv(name, "")
	}
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	start := func(t *testing.T) {
		shutdown, err := telemetry.StartTraces(t.Context(), telemetry.NewBuild("v1"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = shutdown(context.Background()) })
	}
	t.Run("nothing is set", func(t *testing.T) {
		start(t)
		if otel.GetTracerProvider() != before {
			t.Error("a provider was made though nobody asked for traces")
		}
	})
	t.Run("switched off", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "console")
		t.Setenv("OTEL_SDK_DISABLED", "true")
		start(t)
		if otel.GetTracerProvider() != before {
			t.Error("a provider was made though the SDK is disabled")
		}
	})
	t.Run("unknown exporter", func(t *testing.T) {
		t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
		if _, err := telemetry.StartTraces(t.Context(), telemetry.NewBuild("v1")); err == nil {
			t.Error("an unknown exporter is accepted")
		}
	})
	t.Run("wanted", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		start(t)
		_, span := otel.Tracer("test").Start(t.Context(), "call")
		if !span.IsRecording() {
			t.Error("nothing is recorded though an endpoint is set")
		}
		// Not ended: nothing is sent.
	})
}

func TestLogTellsTheCause(t *testing.T) {
	t.Parallel()
	log, lines := newLog(t, "json", "info")
	away := &job.UnavailableError{Message: "The database does not answer.", Cause: errors.New("connection refused")}
	log.WarnContext(t.Context(), "trying again", "error", fmt.Errorf("renew: %w", away))
	log.WarnContext(t.Context(), "trying again", "error", &job.UnavailableError{Message: "Busy."})
	for _, want := range []string{`"error":"renew: The database does not answer.: connection refused"`, `"error":"Busy."`} {
		if !strings.Contains(lines.String(), want) {
			t.Errorf("%s is missing in %s", want, lines.String())
		}
	}
}
