package interceptor

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/telemetry"
)

const (
	requestIDHeader = "x-request-id"
	// callerHeader answers who the service takes a caller for: client_3. The
	// facade shares among callers by it. An outside issuer's subject may be any
	// text, hence the suffix, by which gRPC encodes it.
	callerHeader = "carillon-caller-bin"
)

// maxRequestID bounds what of a caller's choice gets into logs, in bytes.
const maxRequestID = 64

// call is what is known of one call besides its request.
type call struct {
	method    string
	started   time.Time
	requestID string
	rule      *rule
	// subject is who calls: client_3 or operator.
	subject   string
	principal auth.Principal
	// object is what the call acts on: job_19.
	object string
	// peer is the address that it comes from.
	peer string
	// event is what is audited of it, nil for nothing or not yet.
	event *audit.Pending
	// changesNothing says that the request asks for checks only.
	changesNothing bool
	// work is what the request asks for, in units; limited says that they count.
	work    int
	limited bool
	// instance is whose work it is, 0 for none.
	instance int64
}

func (c *Chain) begin(ctx context.Context, method string) (context.Context, *call) {
	id := rand.Text()
	if given := metadata.ValueFromIncomingContext(ctx, requestIDHeader); len(given) == 1 && saneID(given[0]) {
		id = given[0]
	}
	return telemetry.WithRequestID(ctx, id), &call{method: method, started: c.Now(), requestID: id, peer: c.peerOf(ctx)}
}

func saneID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	return strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") == ""
}

func (c *call) header() metadata.MD { return metadata.Pairs(requestIDHeader, c.requestID) }

// panicked is a panic of a handler as an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return "panic: " + telemetry.PanicText(p.value) }

// protect runs do and turns a panic into an error, so that one request can't
// end the process.
func protect(do func() error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &panicked{value: value, stack: debug.Stack()}
		}
	}()
	return do()
}

// end turns the call's error into a status, counts the call and logs it.
func (c *Chain) end(ctx context.Context, call *call, err error) error {
	answer := status.New(codes.OK, "")
	if err != nil {
		answer = statusOf(err, call.requestID)
	}
	took := c.Now().Sub(call.started)
	c.durations.WithLabelValues(call.method, codeName(answer.Code())).Observe(took.Seconds())
	c.log(ctx, call, answer, took, err)
	c.ends(ctx, call, answer.Code(), err)
	return answer.Err()
}

func (c *Chain) log(ctx context.Context, call *call, answer *status.Status, took time.Duration, err error) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("method", call.method),
		slog.String("code", codeName(answer.Code())),
		slog.Duration("duration", took),
		slog.String("client", call.subject),
		slog.String("object", call.object),
		slog.String("peer", call.peer),
	}
	switch answer.Code() {
	case codes.Internal, codes.Unknown, codes.DataLoss:
		level = slog.LevelError
		attrs = append(attrs, slog.Any("error", err))
	case codes.Unavailable, codes.DeadlineExceeded:
		level = slog.LevelWarn
		attrs = append(attrs, slog.Any("error", err))
	default:
		if call.rule == &foreign {
			level = slog.LevelDebug
		}
	}
	var p *panicked
	if errors.As(err, &p) {
		attrs = append(attrs, slog.String("stack", string(p.stack)))
	}
	c.Log.LogAttrs(ctx, level, "call", attrs...)
}

// codeName is a code as google.rpc.Code spells it: NOT_FOUND.
func codeName(c codes.Code) string { return code.Code(c).String() }

func newDurations() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "carillon_rpc_duration_seconds",
		Help:    "How long calls took, by method and code.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "code"})
}
