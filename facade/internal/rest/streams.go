package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/door"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

const (
	// patience is how long a stream's first message may take before the answer
	// begins without it: an error until then gets a status of its own.
	patience = 2 * time.Second
	// heartbeat keeps proxies from ending an event stream that has nothing to
	// tell.
	heartbeat = 15 * time.Second
)

// tailLog answers the lines of a log.
func (h *Handler) tailLog(w http.ResponseWriter, r *http.Request, params map[string]string) {
	request := &carillonv1.TailLogRequest{}
	if err := runtime.PopulateQueryParameters(request, r.URL.Query(), inPath); err != nil {
		door.WriteError(w, r, err) // it was checked
		return
	}
	request.ExecutionId = params["execution_id"]
	stream(w, r, func(ctx context.Context, cursor string) (func() (resumable, error), error) {
		request.Cursor = cursor
		from, err := h.executions.TailLog(ctx, request)
		return receiver(from, err)
	})
}

// inPath filters no parameter: those of the path are refused in the query.
var inPath = utilities.NewDoubleArray(nil)

// watchExecutions answers the changes of an instance's executions.
func (h *Handler) watchExecutions(w http.ResponseWriter, r *http.Request, params map[string]string) {
	request := &carillonv1.WatchExecutionsRequest{}
	if err := runtime.PopulateQueryParameters(request, r.URL.Query(), inPath); err != nil {
		door.WriteError(w, r, err) // it was checked
		return
	}
	request.InstanceId = params["instance_id"]
	stream(w, r, func(ctx context.Context, cursor string) (func() (resumable, error), error) {
		request.Cursor = cursor
		from, err := h.executions.WatchExecutions(ctx, request)
		return receiver(from, err)
	})
}

// resumable is a message of a stream that can go on after it.
type resumable interface {
	proto.Message
	GetCursor() string
}

func receiver[T any, M interface {
	*T
	resumable
}](from grpc.ServerStreamingClient[T], err error) (func() (resumable, error), error) {
	return func() (resumable, error) {
		message, err := from.Recv()
		return M(message), err
	}, err
}

// stream answers a stream as lines of JSON, or as server-sent events by
// Accept. An error after the first byte is the last line, or an event named
// error.
func stream(w http.ResponseWriter, r *http.Request, open func(ctx context.Context, cursor string) (func() (resumable, error), error)) {
	cursor := r.URL.Query().Get("cursor")
	out := output{w: w, r: r, frames: lines{}}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		out.frames = events{}
		// A client that reconnects has read further than its address says.
		if last := r.Header.Get("Last-Event-ID"); last != "" && door.Keepable(last) {
			cursor, out.resumed = last, true
		}
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	next, err := open(ctx, cursor)
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	out.copy(receive(ctx, next))
}

// received is what a stream gave: a message or its end.
type received struct {
	message resumable
	err     error
}

// receive reads a stream until it or ctx ends.
func receive(ctx context.Context, from func() (resumable, error)) <-chan received {
	next := make(chan received)
	go func() {
		for {
			message, err := from()
			select {
			case next <- received{message, err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return next
}

// output is a stream on its way to a client.
type output struct {
	w      http.ResponseWriter
	r      *http.Request
	frames frames
	// resumed says that the client was here before.
	resumed bool
	begun   bool
}

func (o *output) copy(next <-chan received) {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	for {
		select {
		case got := <-next:
			switch {
			case got.err != nil:
				o.end(got.err)
				return
			case !o.send(o.frames.message(got.message)):
				return // the client is gone
			}
		case <-wait.C:
			if !o.send(o.frames.idle()) {
				return
			}
		case <-door.Stopping(o.r.Context()):
			o.end(status.Error(codes.Unavailable, "The server is stopping; go on with the last cursor."))
			return
		case <-o.r.Context().Done():
			return
		}
		wait.Reset(heartbeat)
	}
}

// send writes and flushes; it reports whether the client is still there.
func (o *output) send(frame []byte) bool {
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", o.frames.contentType())
		o.w.WriteHeader(http.StatusOK)
	}
	if _, err := o.w.Write(frame); err != nil {
		return false
	}
	return http.NewResponseController(o.w).Flush() == nil
}

func (o *output) end(err error) {
	switch ended := errors.Is(err, io.EOF); {
	case ended && o.resumed && !o.begun:
		// Tells the client that there is nothing to reconnect for.
		o.w.WriteHeader(http.StatusNoContent)
	case ended:
		o.send(o.frames.end())
	case o.begun:
		o.send(o.frames.failed(door.ErrorLine(o.r, err)))
	default:
		door.WriteError(o.w, o.r, err)
	}
}

// frames is how a stream looks.
type frames interface {
	contentType() string
	message(resumable) []byte
	idle() []byte
	end() []byte
	failed(fault []byte) []byte
}

// lines is application/x-ndjson.
type lines struct{}

func (lines) contentType() string        { return "application/x-ndjson" }
func (lines) message(m resumable) []byte { return append(encode(m), '\n') }
func (lines) idle() []byte               { return nil }
func (lines) end() []byte                { return nil }
func (lines) failed(fault []byte) []byte { return append(fault, '\n') }

// events are server-sent events; an id is the cursor to go on from.
type events struct{}

func (events) contentType() string { return "text/event-stream" }
func (events) message(m resumable) []byte {
	return fmt.Appendf(nil, "id: %s\ndata: %s\n\n", m.GetCursor(), encode(m))
}
func (events) idle() []byte { return []byte(":\n\n") }
func (events) end() []byte  { return []byte("event: end\ndata: {}\n\n") }
func (events) failed(fault []byte) []byte {
	return fmt.Appendf(nil, "event: error\ndata: %s\n\n", fault)
}

// encode writes a message on one line; the service sends valid text only.
func encode(message proto.Message) []byte {
	text, _ := answerText(message)
	return text
}

// SignedLog answers a whole log to the holder of a signed link, /logs/{id}
// with the query parameters expires, key_id and signature.
func (h *Handler) SignedLog(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	expires, _ := strconv.ParseInt(query.Get("expires"), 10, 64) // 0 has expired
	id := r.PathValue("execution_id")
	if !door.Keepable(id + query.Get("key_id") + query.Get("signature")) {
		door.WriteError(w, r, door.NoSuchRoute())
		return
	}
	ctx, err := door.Outgoing(r)
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	stream, err := h.executions.DownloadLog(ctx, &carillonv1.DownloadLogRequest{
		ExecutionId: id, Expires: expires, KeyId: query.Get("key_id"), Signature: query.Get("signature"),
	})
	var piece *carillonv1.DownloadLogResponse
	if err == nil {
		piece, err = stream.Recv()
	}
	if err != nil && !errors.Is(err, io.EOF) {
		door.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="execution.log"`)
	for ; err == nil; piece, err = stream.Recv() {
		if _, err := w.Write(piece.GetData()); err != nil {
			return // the client is gone
		}
	}
	if !errors.Is(err, io.EOF) {
		_, _ = w.Write(append(door.ErrorLine(r, err), '\n')) // so that half a log is no whole one
	}
}
