package graph

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"google.golang.org/grpc"

	"github.com/pointscene/carillon/facade/internal/door"
)

// maxDuration ends an operation whose calls are not answered; the service's
// own limit for each of them is shorter.
const maxDuration = 35 * time.Second

// Handler serves /graphql for GET and POST. gqlgen's own transports repeat the
// whole body in the text of an error, have no limit of size and choose the
// status without regard to what the client accepts.
type Handler struct {
	engine    *engine
	admission *door.Admission
}

// New returns a handler that calls the service over conn.
func New(conn grpc.ClientConnInterface) *Handler {
	access := door.NewAccess(conn)
	return &Handler{engine: newEngine(newResolver(conn), access), admission: door.NewAdmission(access)}
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept")
	media, err := negotiate(r.Header.Values("Accept"))
	if err != nil {
		refuse(w, r, jsonMedia, err)
		return
	}
	ctx, err := door.Outgoing(r)
	if err != nil {
		refuse(w, r, media, err)
		return
	}
	ctx, cancel := context.WithTimeout(graphql.StartOperationTrace(ctx), maxDuration)
	defer cancel()
	body, err := readBody(w, r)
	if err != nil {
		refuse(w, r, media, err)
		return
	}
	leave, err := h.admission.Enter(ctx, len(body))
	if err != nil {
		refuse(w, r, media, err)
		return
	}
	defer leave()
	params, err := readJSON(body)
	if err != nil {
		refuse(w, r, media, err)
		return
	}
	operation, errs := h.engine.CreateOperationContext(ctx, params)
	switch {
	case len(errs) > 0:
		answer(w, r, media, requestStatus(media), &graphql.Response{Errors: errs})
	case r.Method == http.MethodGet && operation.Operation.Operation != ast.Query:
		refuse(w, r, media, door.MethodNotAllowed(w, http.MethodPost))
	default:
		next, ctx := h.engine.DispatchOperation(ctx, operation)
		answer(w, r, media, http.StatusOK, next(ctx))
	}
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
	fault := door.FaultOf(err)
	answer(w, r, media, fault.HTTP, &graphql.Response{Errors: gqlerror.List{refusal(fault, nil)}})
}

// answer writes a response. Without a valid token the status is 401, whatever
// else was answered.
func answer(w http.ResponseWriter, r *http.Request, media string, httpStatus int, response *graphql.Response) {
	for _, err := range response.Errors {
		if err.Extensions["code"] == "UNAUTHENTICATED" {
			httpStatus = http.StatusUnauthorized
			door.SetErrorHeaders(w, r, door.FaultOf(err.Err))
			break
		}
	}
	body, err := json.Marshal(struct {
		Errors gqlerror.List   `json:"errors,omitempty"`
		Data   json.RawMessage `json:"data,omitempty"` // absent when nothing was executed
	}{response.Errors, response.Data})
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", media+"; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // the client is gone, which nobody can be told
}
