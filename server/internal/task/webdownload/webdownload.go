// Package webdownload is the task type web.download: it fetches files over HTTP
// into the execution's work directory, for the tasks after it.
//
// Its arguments are in schema.json.
//
// Rules:
//   - The connection is the client's business: it is given one that refuses
//     addresses inside the operator's network (package egress).
//   - A file is in the work directory with all its content and the server's
//     time, or not at all. How large it may be is bounded by maxBytes and by the
//     directory.
//   - What a server says never becomes a path: a name comes from the arguments.
//   - A query, user info or header never gets into a log line or an error; they
//     may hold credentials.
//   - A download changes nothing outside, so a failed task is tried again by
//     itself. A try begins with the first file.
package webdownload

import (
	"context"
	"crypto/sha256"
	_ "embed" // the schema
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// The reasons of a failed download, beside those of packages egress and workdir.
const (
	ReasonTooLarge = "FILE_TOO_LARGE"
	ReasonChecksum = "CHECKSUM_MISMATCH"
	ReasonStalled  = "STALLED"
)

const (
	userAgent = "Carillon"
	// stallAfter is how long a server may send nothing.
	stallAfter = time.Minute
	// progressEvery is the time between two lines about one file.
	progressEvery = 30 * time.Second
)

//go:embed schema.json
var schema []byte

// Type is the task type; it is made by New.
type Type struct{ client *http.Client }

var (
	_ task.Type    = (*Type)(nil)
	_ task.Retrier = (*Type)(nil)
)

// New returns the task type, which makes its calls through client.
func New(client *http.Client) *Type { return &Type{client: client} }

// Name implements task.Type.
func (*Type) Name() string { return "web.download" }

// Schema implements task.Type.
func (*Type) Schema() []byte { return schema }

// Check implements task.Type.
func (*Type) Check(args task.Args) error {
	_, err := readArguments(args)
	return err
}

// Resources implements task.Type: none.
func (*Type) Resources(task.Args) []task.ResourceRef { return nil }

// DefaultRetry implements task.Retrier.
func (*Type) DefaultRetry() task.Retry {
	return task.Retry{MaxAttempts: 3, MinBackoff: task.DefaultMinBackoff, MaxBackoff: task.DefaultMaxBackoff}
}

// Do downloads the files. Its output lists them: path, bytes and sha256.
func (t *Type) Do(ctx context.Context, run task.Run) (task.Output, error) {
	a, err := readArguments(run.Args)
	if err != nil {
		return nil, err
	}
	var done []any
	for _, s := range a.files {
		log := run.Log.With(slog.String("path", s.path), slog.String("url", s.shown))
		log.InfoContext(ctx, "downloading")
		start := time.Now()
		got, err := t.download(ctx, a, s, run.Work, log)
		if err != nil {
			log.ErrorContext(ctx, "download failed; nothing of the file is kept", slog.String("error", err.Error()))
			return nil, err
		}
		log.InfoContext(ctx, "downloaded", slog.Int64("bytes", got.size), slog.String("sha256", got.sum),
			slog.String("duration", time.Since(start).Round(time.Millisecond).String()))
		done = append(done, map[string]any{"path": s.path, "bytes": float64(got.size), "sha256": got.sum})
	}
	return task.Output{"files": done}, nil
}

// got is a file that was downloaded.
type got struct {
	size int64
	sum  string
}

// download fetches one file; its errors are fit to show.
func (t *Type) download(ctx context.Context, a *arguments, s source, work *workdir.Dir, log *slog.Logger) (got, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, a.timeout, &job.Failure{
		Code: "DEADLINE_EXCEEDED", Reason: egress.ReasonTimeout, Message: fmt.Sprintf("GET %s: not complete within %s", s.shown, a.timeout),
	})
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	stalled := time.AfterFunc(stallAfter, func() {
		stop(&job.Failure{Code: "UNAVAILABLE", Reason: ReasonStalled, Message: fmt.Sprintf("GET %s: the server sent nothing for %s", s.shown, stallAfter)})
	})
	defer stalled.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, http.NoBody)
	if err != nil {
		return got{}, egress.Explain(ctx, "GET "+s.shown, err)
	}
	request.Header = a.header.Clone()
	// What is stored is what the server has, not what a proxy made of it.
	request.Header.Set("Accept-Encoding", "identity")
	response, err := t.client.Do(request)
	if err != nil {
		return got{}, egress.Explain(ctx, "GET "+s.shown, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return got{}, egress.UnexpectedStatus("GET "+s.shown, response.StatusCode, response.Header, "200")
	}
	body := &body{ctx: ctx, in: response.Body, stalled: stalled, log: log, total: response.ContentLength, hash: sha256.New(), toldAt: time.Now()}
	return keep(ctx, a, s, work, body, response.Header.Get("Last-Modified"))
}

// keep writes a body to its place.
func keep(ctx context.Context, a *arguments, s source, work *workdir.Dir, body *body, modified string) (_ got, err error) {
	if body.total > a.maxBytes {
		return got{}, tooLarge(a, s)
	}
	file, err := work.Create()
	if err != nil {
		return got{}, err
	}
	defer func() { err = errors.Join(err, file.Discard()) }()
	switch n, err := io.Copy(file, io.LimitReader(body, a.maxBytes+1)); {
	case body.failure != nil:
		return got{}, egress.Explain(ctx, "GET "+s.shown, body.failure)
	case err != nil: // of the work directory
		return got{}, err
	case n > a.maxBytes:
		return got{}, tooLarge(a, s)
	}
	sum := hex.EncodeToString(body.hash.Sum(nil))
	if s.sha256 != "" && sum != s.sha256 {
		return got{}, &job.Failure{Code: "DATA_LOSS", Reason: ReasonChecksum, Message: fmt.Sprintf("GET %s: the content's SHA-256 is %s, expected %s", s.shown, sum, s.sha256)}
	}
	at, err := http.ParseTime(modified)
	if err != nil {
		at = time.Now()
	}
	// Not after a cancel: whoever gave up must not find the file.
	if ctx.Err() != nil {
		return got{}, context.Cause(ctx)
	}
	return got{size: file.Size(), sum: sum}, file.Commit(s.path, at)
}

func tooLarge(a *arguments, s source) *job.Failure {
	return &job.Failure{Code: "FAILED_PRECONDITION", Reason: ReasonTooLarge, Message: fmt.Sprintf("GET %s: has more than %d bytes (maxBytes)", s.shown, a.maxBytes)}
}

// body reads an answer and watches over it.
type body struct {
	ctx     context.Context //nolint:containedctx // a reader has no other way to log with it
	in      io.Reader
	stalled *time.Timer
	log     *slog.Logger
	hash    hash.Hash
	// total is how many bytes come, -1 when that is not known.
	total, read int64
	toldAt      time.Time
	// failure is why reading ended before the end.
	failure error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.in.Read(p)
	b.stalled.Reset(stallAfter)
	_, _ = b.hash.Write(p[:n]) // never fails
	b.read += int64(n)
	if now := time.Now(); now.Sub(b.toldAt) >= progressEvery {
		b.toldAt = now
		b.log.InfoContext(b.ctx, "progress", slog.Int64("bytes", b.read), slog.Int64("of", b.total))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		b.failure = err
	}
	return n, err
}
