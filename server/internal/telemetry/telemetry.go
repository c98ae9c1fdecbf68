// Package telemetry sets up how a process is observed: its logs, metrics and
// traces. Of what is observed it knows names only.
//
// Rules:
//   - Logs go through slog, to one writer, as text or JSON. A line that is
//     written with a request's context carries the request's id and trace.
//   - Metrics are Prometheus's, on a registry of the process.
//   - Traces are OpenTelemetry's, configured by the standard OTEL_ variables
//     alone. Without any of them nothing is recorded or sent.
package telemetry

import "context"

type requestIDKey struct{}

// WithRequestID returns ctx for the work that one request asks for.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request that ctx works for, or "".
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
