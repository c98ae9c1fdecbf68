package graph

import (
	"fmt"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql"

	"github.com/pointscene/carillon/facade/internal/door"
)

// heartbeat keeps proxies from ending a stream that has nothing to tell.
const heartbeat = 15 * time.Second

// serveEvents answers an operation as server-sent events: the protocol of
// graphql-sse with a connection for each operation. Responses are events named
// next, and one named complete comes last. Without a valid token a subscription
// does not begin, so that it has the status of that.
func (h *Handler) serveEvents(w http.ResponseWriter, r *http.Request, o *operation) {
	defer o.close()
	out := events{w: w, r: r}
	if o.subscription() {
		if err := h.access.Verdict(o.ctx, door.Need{}); err != nil {
			refuse(w, r, jsonMedia, err)
			return
		}
		out.write(":\n\n") // the client learns that it has begun
	}
	frames := make(chan frame)
	go func() {
		defer close(frames)
		for next := h.execute(o); ; {
			response := next()
			if response == nil {
				return
			}
			select {
			case frames <- frame{response, encode(response)}:
			case <-o.ctx.Done():
				return
			}
		}
	}()
	wait := time.NewTimer(heartbeat)
	defer wait.Stop()
	for {
		going := true
		select {
		case f, more := <-frames:
			going = out.next(f, more) && more
		case <-wait.C:
			going = out.write(":\n\n")
		case <-door.Stopping(r.Context()):
			return // without "complete": the client connects again
		case <-o.ctx.Done():
			return
		}
		if !going {
			return
		}
		wait.Reset(heartbeat)
	}
}

// frame is a response and its text, which stays when the next one is made.
type frame struct {
	*graphql.Response
	text []byte
}

// answerEvent answers a request that came to nothing else.
func answerEvent(w http.ResponseWriter, r *http.Request, response *graphql.Response) {
	out := events{w: w, r: r}
	if out.next(frame{response, encode(response)}, true) {
		out.next(frame{}, false)
	}
}

// events is an answer in parts.
type events struct {
	w     http.ResponseWriter
	r     *http.Request
	begun bool
}

// next sends a response, or without more of them the end. It reports whether
// the client still waits.
func (e *events) next(f frame, more bool) bool {
	switch {
	case !more:
		return e.write("event: complete\ndata:\n\n")
	case !e.begun && unauthenticated(f.Response) != nil:
		answer(e.w, e.r, jsonMedia, http.StatusUnauthorized, f.Response)
		return false
	}
	return e.write(fmt.Sprintf("event: next\ndata: %s\n\n", f.text))
}

func (e *events) write(text string) bool {
	if !e.begun {
		e.begun = true
		e.w.Header().Set("Content-Type", eventMedia)
		e.w.WriteHeader(http.StatusOK)
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return false
	}
	return http.NewResponseController(e.w).Flush() == nil
}
