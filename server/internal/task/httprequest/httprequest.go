// Package httprequest is the task type http.request: it calls an outside
// endpoint and judges the answer by its status.
//
// Its arguments are in schema.json. Redirects are followed unless a 3xx is
// expected. Every call carries Carillon-Execution-Id, Carillon-Fence and
// Idempotency-Key, so that the receiver can refuse a repeated or stale one.
//
// Rules:
//   - The connection is the client's business: it is given one that refuses
//     addresses inside the operator's network (package egress).
//   - A query, user info, header value or body never gets into a log line or
//     an error; they may hold credentials.
//   - The answer is read up to a bound and handed on only when it is small.
package httprequest

import (
	"bytes"
	"context"
	_ "embed" // the schema
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const userAgent = "Carillon"

//go:embed schema.json
var schema []byte

// Type is the task type; it is made by New.
type Type struct{ client *http.Client }

var _ task.Type = (*Type)(nil)

// New returns the task type, which makes its calls through client.
func New(client *http.Client) *Type { return &Type{client: client} }

// Name implements task.Type.
func (*Type) Name() string { return "http.request" }

// Schema implements task.Type.
func (*Type) Schema() []byte { return schema }

// Check implements task.Type.
func (*Type) Check(args task.Args) error {
	_, err := readCall(args)
	return err
}

// Resources implements task.Type: none.
func (*Type) Resources(task.Args) []task.ResourceRef { return nil }

// Do makes the call. Its output holds status, headers (a few that describe
// the body), bodyBytes and, when it is small, body.
func (t *Type) Do(ctx context.Context, run task.Run) (task.Output, error) {
	c, err := readCall(run.Args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &job.Failure{
		Code: "DEADLINE_EXCEEDED", Reason: egress.ReasonTimeout,
		Message: c.String() + ": no full answer within " + c.timeout.String(),
	})
	defer cancel()
	log := run.Log.With(slog.String("method", c.method), slog.String("url", egress.Bare(c.url)))
	log.InfoContext(ctx, "calling")
	start := time.Now()
	answer, err := t.exchange(ctx, c, run)
	elapsed := slog.String("duration", time.Since(start).Round(time.Millisecond).String())
	if err != nil {
		log.ErrorContext(ctx, "call failed", elapsed, slog.String("error", err.Error()))
		return nil, err
	}
	log.InfoContext(ctx, "answered", elapsed, slog.Int("status", answer.status), slog.Int64("bytes", answer.size))
	if !c.expects(answer.status) {
		return nil, egress.UnexpectedStatus(c.String(), answer.status, answer.header, c.expected())
	}
	return answer.output(), nil
}

// exchange sends the request and reads the answer; its errors are fit to show.
func (t *Type) exchange(ctx context.Context, c *call, run task.Run) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, c.method, c.url.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, egress.Explain(ctx, c.String(), err)
	}
	request.Header = c.header
	request.Header.Set("Carillon-Execution-Id", job.KindExecution.Format(run.ExecutionID))
	request.Header.Set("Carillon-Fence", strconv.FormatInt(run.Fence, 10))
	request.Header.Set("Idempotency-Key", run.IdempotencyKey)
	response, err := t.clientFor(c).Do(request)
	if err != nil {
		return nil, egress.Explain(ctx, c.String(), err)
	}
	defer response.Body.Close()
	got, err := readAnswer(response)
	if err != nil {
		return nil, egress.Explain(ctx, c.String(), err)
	}
	return got, nil
}

// clientFor returns the client, which hands redirects over instead of
// following them when the call expects one.
func (t *Type) clientFor(c *call) *http.Client {
	if !c.expectsRedirect() {
		return t.client
	}
	client := *t.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}
