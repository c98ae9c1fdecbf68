package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/pointscene/carillon/server/internal/job"
)

// NewLogger returns a logger that writes lines of level and above to w. format
// is "text" or "json", level one of slog's names: debug, info, warn, error.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	options.Level, options.ReplaceAttr = least, withCause
	switch format {
	case "text":
		return slog.New(requestHandler{slog.NewTextHandler(w, &options)}), nil
	case "json":
		return slog.New(requestHandler{slog.NewJSONHandler(w, &options)}), nil
	default:
		return nil, fmt.Errorf("log format %q: want text or json", format)
	}
}

// withCause tells people who run the service why it was not available; callers are
// told only that it was not.
func withCause(_ []string, a slog.Attr) slog.Attr {
	var away *job.UnavailableError
	if err, ok := a.Value.Any().(error); ok && errors.As(err, &away) && away.Cause != nil {
		a.Value = slog.StringValue(err.Error() + ": " + away.Cause.Error())
	}
	return a
}

// requestHandler adds what the context of a line knows of its request.
type requestHandler struct{ slog.Handler }

func (h requestHandler) Handle(ctx context.Context, r slog.Record) error {
	if id := RequestID(ctx); id != "" {
		r.AddAttrs(slog.String("request_id", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h requestHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return requestHandler{h.Handler.WithAttrs(attrs)}
}

func (h requestHandler) WithGroup(name string) slog.Handler {
	return requestHandler{h.Handler.WithGroup(name)}
}
