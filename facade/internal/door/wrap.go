package door

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
)

// maxRequestID bounds what of a caller's choice gets into logs, in bytes.
const maxRequestID = 64

type loggerKey struct{}

// Logger writes log lines that carry the request's id.
func Logger(ctx context.Context) *slog.Logger {
	if logger, ok := ctx.Value(loggerKey{}).(*slog.Logger); ok {
		return logger
	}
	return slog.Default()
}

// Wrap gives every request an id, the safe headers and a log line, and turns a
// panic into an internal error. The line holds the path but never the query:
// that of a signed link is a permission.
//
// A client that stops reading ends its request: each write has writeTimeout. So
// does one that sends many bodies slowly.
// trusted are the proxies whose X-Forwarded-For is believed.
func Wrap(next http.Handler, log *slog.Logger, trusted []netip.Prefix) http.Handler {
	late := newLate()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		id := r.Header.Get(requestIDHeader)
		if !sane(id) {
			id = rand.Text()
		}
		r.Header.Set(requestIDHeader, id)
		setSafeHeaders(w.Header())
		w.Header().Set(requestIDHeader, id)

		logger := log.With(slog.String("request_id", id))
		ctx := context.WithValue(r.Context(), clientKey{}, clientAddress(r, trusted))
		r = r.WithContext(context.WithValue(ctx, loggerKey{}, logger))
		counted := &counter{ResponseWriter: w, control: http.NewResponseController(w)}
		counted.grant()
		defer arrives(w, r, late)()
		defer func() {
			if value := recover(); value != nil {
				failed(counted, r, value)
			}
			counted.grant() // for what is still buffered
			logger.LogAttrs(r.Context(), levelOf(r), "request",
				slog.String("method", r.Method),
				slog.String("path", r.URL.Path),
				slog.Int("status", counted.status),
				slog.Int64("bytes", counted.bytes),
				slog.Duration("duration", time.Since(started)))
		}()
		next.ServeHTTP(counted, r)
	})
}

// levelOf keeps the questions of load balancers out of the log.
func levelOf(r *http.Request) slog.Level {
	if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func sane(id string) bool {
	return id != "" && len(id) <= maxRequestID &&
		strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

// setSafeHeaders sets what suits an API; pages loosen what they need.
func setSafeHeaders(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// failed logs a panic and tells the caller, if nothing was answered yet.
func failed(w *counter, r *http.Request, value any) {
	LogPanic(r.Context(), value)
	if w.status == 0 {
		WriteError(w, r, Refuse(codes.Internal, "INTERNAL", "internal error"))
	}
}

// LogPanic logs a recovered panic. Of a value that isn't the Go runtime's own
// only the type is told, since it may hold input.
func LogPanic(ctx context.Context, value any) {
	text := fmt.Sprintf("%T", value)
	if err, ok := value.(runtime.Error); ok {
		text = err.Error()
	}
	Logger(ctx).LogAttrs(ctx, slog.LevelError, "panic", slog.String("panic", text), slog.String("stack", string(debug.Stack())))
}

// writeTimeout is how long a client may take to read what was written before it
// counts as gone. A log may be followed for days, but not by nobody.
const writeTimeout = 30 * time.Second

// counter notes what was answered.
type counter struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
}

func (c *counter) WriteHeader(code int) {
	if c.status == 0 {
		c.status = code
	}
	c.ResponseWriter.WriteHeader(code)
}

func (c *counter) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.grant()
	n, err := c.ResponseWriter.Write(p)
	c.bytes += int64(n)
	return n, err
}

// FlushError sends what was written.
func (c *counter) FlushError() error {
	c.grant()
	return c.control.Flush()
}

// grant gives the client its time to read. Only a recorder in a test, and a
// connection that is not HTTP any more, have no deadlines.
func (c *counter) grant() { _ = c.control.SetWriteDeadline(time.Now().Add(writeTimeout)) }

// Unwrap lets http.ResponseController do the rest.
func (c *counter) Unwrap() http.ResponseWriter { return c.ResponseWriter }
