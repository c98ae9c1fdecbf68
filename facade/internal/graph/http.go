package graph

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pointscene/carillon/facade/internal/door"
)

// Handler serves /graphql: requests by GET and POST, server-sent events by
// POST, and WebSocket. gqlgen's own transports repeat the whole body in the
// text of an error, have no limits, and choose the status without regard to
// what the client accepts.
type Handler struct {
	engine    *engine
	access    *door.Access
	admission *door.Admission
	// hosts are those whose pages may connect by WebSocket, besides the one
	// that is asked.
	hosts []string
}

// New returns a handler that calls the service over conn. Pages of the hosts,
// with their ports, may connect by WebSocket, besides those of the host that is
// asked.
func New(conn grpc.ClientConnInterface, hosts ...string) *Handler {
	access := door.NewAccess(conn)
	return &Handler{engine: newEngine(newResolver(conn), access), access: access, admission: door.NewAdmission(access), hosts: hosts}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wantsSocket(r) {
		h.serveSocket(w, r)
		return
	}
	w.Header().Add("Vary", "Accept")
	accept, err := negotiate(r)
	if err != nil {
		refuse(w, r, jsonMedia, err)
		return
	}
	o, errs, err := h.read(w, r)
	if err == nil && len(errs) == 0 {
		err = o.fits(w, r, accept)
	}
	switch {
	case err != nil:
		refuse(w, r, accept.media, err)
	case len(errs) > 0 && accept.media == eventMedia:
		answerEvent(w, r, &graphql.Response{Errors: errs})
	case len(errs) > 0:
		answer(w, r, accept.media, requestStatus(accept.media), &graphql.Response{Errors: errs})
	case o.subscription() || accept.media == eventMedia:
		h.serveEvents(w, r, o)
	default:
		defer o.close()
		response := h.execute(o)()
		if response == nil { // gqlgen's way to say that the client is gone
			refuse(w, r, accept.media, errGone)
			return
		}
		answer(w, r, accept.media, http.StatusOK, response)
	}
}

var errGone = door.Refuse(codes.Canceled, "CANCELLED", "the caller has gone")

// fits refuses an operation that the request's method or its answer's media
// type is not for.
func (o *operation) fits(w http.ResponseWriter, r *http.Request, accept accepted) error {
	var err error
	switch {
	case r.Method == http.MethodGet && o.Operation.Operation != ast.Query:
		err = door.MethodNotAllowed(w, http.MethodPost)
	case o.subscription() && !accept.events:
		err = notAcceptable("a subscription is answered by POST as " + eventMedia + ", or by WebSocket")
	}
	if err != nil {
		o.close()
	}
	return err
}

// read reads a request and checks it.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*operation, gqlerror.List, error) {
	ctx, err := door.Outgoing(r)
	if err != nil {
		return nil, nil, err
	}
	body, err := readBody(w, r, h.admission.Known(ctx))
	if err != nil {
		return nil, nil, err
	}
	return h.check(ctx, body)
}

// requestStatus is the status of a well-formed request whose document or
// variables are refused: clients of application/json expect 200.
func requestStatus(media string) int {
	if media == jsonMedia {
		return http.StatusOK
	}
	return http.StatusBadRequest
}

// refuse answers a request that never became a document.
func refuse(w http.ResponseWriter, r *http.Request, media string, err error) {
	if media == eventMedia {
		media = jsonMedia
	}
	fault := door.FaultOf(err)
	answer(w, r, media, fault.HTTP, &graphql.Response{Errors: gqlerror.List{refusal(fault, nil)}})
}

// answer writes a response. Without a valid token the status is 401, whatever
// else was answered.
func answer(w http.ResponseWriter, r *http.Request, media string, httpStatus int, response *graphql.Response) {
	if err := unauthenticated(response); err != nil {
		httpStatus = http.StatusUnauthorized
		door.SetErrorHeaders(w, r, door.FaultOf(err.Err))
	}
	body := encode(response)
	w.Header().Set("Content-Type", media+"; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // the client is gone, which nobody can be told
}

// unauthenticated is the error of a response that says that the caller is
// unknown, nil when there is none.
func unauthenticated(response *graphql.Response) *gqlerror.Error {
	for _, err := range response.Errors {
		if err.Extensions["code"] == "UNAUTHENTICATED" {
			return err
		}
	}
	return nil
}

// encode writes a response, whose data is JSON already.
func encode(response *graphql.Response) []byte {
	text, err := json.Marshal(struct {
		Errors gqlerror.List   `json:"errors,omitempty"`
		Data   json.RawMessage `json:"data,omitempty"` // absent when nothing was executed
	}{response.Errors, response.Data})
	if err != nil {
		text, _ = json.Marshal(map[string]any{"errors": gqlerror.List{refusal(door.FaultOf(err), nil)}})
	}
	return text
}
