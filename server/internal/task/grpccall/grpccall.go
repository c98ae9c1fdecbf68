// Package grpccall is the task type grpc.call: it calls a unary method of a gRPC
// service and judges the answer by its code.
//
// Its arguments are in schema.json. What the method's messages look like is in a
// descriptor set among the arguments, or asked of the server by reflection. Every
// call carries the metadata carillon-execution-id, carillon-fence and
// idempotency-key, as http.request its headers.
//
// Rules:
//   - Every connection is made by the dialer that the type is given, which
//     refuses addresses inside the operator's network (package egress). There is
//     no proxy, no service config and no retry of the library's.
//   - TLS unless the arguments say plaintext.
//   - What a connection may send is bounded, also by reflection.
//   - Metadata and messages never get into a log line or an error. What a server
//     says about a failure does, cut and without the metadata that it was sent.
package grpccall

import (
	"context"
	_ "embed" // the schema
	"encoding/json"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// The reasons of a failed call, beside those of package egress.
const (
	ReasonUnexpectedCode = "UNEXPECTED_CODE"
	ReasonUnknownMethod  = "UNKNOWN_METHOD"
	ReasonStreaming      = "STREAMING_METHOD"
	ReasonBadBody        = "BODY_DOES_NOT_FIT"
	ReasonNoReflection   = "NO_REFLECTION"
)

const (
	userAgent = "Carillon"
	// maxMessage bounds one message, maxConnection all that a server sends.
	maxMessage    = 4 << 20
	maxConnection = 32 << 20
	// maxHandedOn bounds the body that becomes part of the output, in bytes.
	maxHandedOn = 64 << 10
)

//go:embed schema.json
var schema []byte

// Dial connects to a TCP address.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Type is the task type; it is made by New.
type Type struct{ dial Dial }

var _ task.Type = (*Type)(nil)

// New returns the task type, whose connections dial makes.
func New(dial Dial) *Type { return &Type{dial: dial} }

// Name implements task.Type.
func (*Type) Name() string { return "grpc.call" }

// Schema implements task.Type.
func (*Type) Schema() []byte { return schema }

// Check implements task.Type. With a descriptor set, the method and the body are
// checked by it.
func (*Type) Check(args task.Args) error {
	_, err := readCall(args)
	return err
}

// Resources implements task.Type: none.
func (*Type) Resources(task.Args) []task.ResourceRef { return nil }

// Do makes the call. Its output holds code, bodyBytes and, when it is small,
// body.
func (t *Type) Do(ctx context.Context, run task.Run) (task.Output, error) {
	c, err := readCall(run.Args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &job.Failure{
		Code: "DEADLINE_EXCEEDED", Reason: egress.ReasonTimeout, Message: c.String() + ": no answer within " + c.timeout.String(),
	})
	defer cancel()
	log := run.Log.With(slog.String("address", c.address), slog.String("method", c.method), slog.Bool("plaintext", c.plaintext))
	log.InfoContext(ctx, "calling")
	start := time.Now()
	answer, err := t.exchange(ctx, c, run)
	elapsed := slog.String("duration", time.Since(start).Round(time.Millisecond).String())
	if err != nil {
		log.ErrorContext(ctx, "call failed", elapsed, slog.String("error", err.Error()))
		return nil, err
	}
	log.InfoContext(ctx, "answered", elapsed, slog.String("code", answer.code), slog.Int("bytes", answer.size))
	if !c.expects(answer.code) {
		return nil, unexpected(c, answer)
	}
	return answer.output(), nil
}

// answer is what is kept of an answer.
type answer struct {
	code   string
	status *status.Status
	size   int
	// body is nil when there is none, or it is larger than maxHandedOn as JSON.
	body any
}

func (a *answer) output() task.Output {
	out := task.Output{"code": a.code, "bodyBytes": float64(a.size)}
	if a.body != nil {
		out["body"] = a.body
	}
	return out
}

// exchange makes the call; its errors are fit to show.
func (t *Type) exchange(ctx context.Context, c *call, run task.Run) (*answer, error) {
	conn, err := t.connect(c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	md := c.metadata.Copy()
	md.Set("carillon-execution-id", job.KindExecution.Format(run.ExecutionID))
	md.Set("carillon-fence", strconv.FormatInt(run.Fence, 10))
	md.Set("idempotency-key", run.IdempotencyKey)
	ctx = metadata.NewOutgoingContext(ctx, md)
	m := c.described
	if m == nil {
		if m, err = reflectMethod(ctx, c, conn); err != nil {
			return nil, err
		}
	}
	in, err := m.request(c.body)
	if err != nil {
		return nil, &job.Failure{Code: "INVALID_ARGUMENT", Reason: ReasonBadBody, Message: c.String() + ": body " + err.Error()}
	}
	out := dynamicpb.NewMessage(m.Output())
	err = conn.Invoke(ctx, "/"+c.method, in, out)
	if err != nil && (ctx.Err() != nil || conn.broken() != nil) {
		return nil, conn.explain(ctx, c)
	}
	a := &answer{status: status.Convert(err)}
	a.code = codeName(a.status.Code())
	if err == nil {
		a.take(m, out)
	}
	return a, nil
}

// take keeps the message as JSON if it is small.
func (a *answer) take(m *method, out proto.Message) {
	a.size = proto.Size(out)
	if a.size > maxHandedOn {
		return
	}
	text, err := protojson.MarshalOptions{Resolver: m.types}.Marshal(out)
	if err != nil || len(text) > maxHandedOn {
		return
	}
	_ = json.Unmarshal(text, &a.body) // protojson writes JSON
}

// unexpected is the failure of a call that ended otherwise than it should.
func unexpected(c *call, a *answer) *job.Failure {
	f := &job.Failure{
		Code: a.code, Reason: ReasonUnexpectedCode,
		Message:    c.String() + ": answered " + a.code + ", expected " + strings.Join(c.expect, " or "),
		RetryAfter: retryAfter(a.status),
	}
	if a.code == "OK" {
		f.Code = "FAILED_PRECONDITION"
	}
	if said := c.harmless(a.status.Message()); said != "" {
		f.Message += ": " + said
	}
	return f
}
