package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/pointscene/carillon/facade/internal/door"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// Handler serves /v1/, and signed links by [Handler.SignedLog].
type Handler struct {
	routes     *routes
	access     *door.Access
	admission  *door.Admission
	executions carillonv1.ExecutionServiceClient
	mux        *runtime.ServeMux
}

// New returns a handler that calls the service over conn.
func New(conn grpc.ClientConnInterface) (*Handler, error) {
	all, err := newRoutes()
	if err != nil {
		return nil, err
	}
	access := door.NewAccess(conn)
	h := &Handler{
		routes: all, access: access, admission: door.NewAdmission(access),
		executions: carillonv1.NewExecutionServiceClient(conn),
	}
	h.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, marshaler{&runtime.JSONPb{MarshalOptions: answers}}),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithIncomingHeaderMatcher(none),
		runtime.WithOutgoingHeaderMatcher(none),
		runtime.WithOutgoingTrailerMatcher(none),
		runtime.WithMetadata(prepared),
		runtime.WithMiddlewares(h.checked),
		runtime.WithErrorHandler(writeError),
		runtime.WithRoutingErrorHandler(h.notRouted),
	)
	ctx := context.Background() // the clients outlive every request
	err = errors.Join(
		carillonv1.RegisterJobServiceHandlerClient(ctx, h.mux, carillonv1.NewJobServiceClient(conn)),
		carillonv1.RegisterExecutionServiceHandlerClient(ctx, h.mux, h.executions),
		carillonv1.RegisterInstanceServiceHandlerClient(ctx, h.mux, carillonv1.NewInstanceServiceClient(conn)),
		carillonv1.RegisterTaskServiceHandlerClient(ctx, h.mux, carillonv1.NewTaskServiceClient(conn)),
		carillonv1.RegisterConfigServiceHandlerClient(ctx, h.mux, carillonv1.NewConfigServiceClient(conn)),
		carillonv1.RegisterNoticeServiceHandlerClient(ctx, h.mux, carillonv1.NewNoticeServiceClient(conn)),
		carillonv1.RegisterKeyServiceHandlerClient(ctx, h.mux, carillonv1.NewKeyServiceClient(conn)),
		carillonv1.RegisterAuditServiceHandlerClient(ctx, h.mux, carillonv1.NewAuditServiceClient(conn)),
		// Registered later, they come before the gateway's own.
		h.mux.HandlePath(http.MethodGet, "/v1/executions/{execution_id}/log", h.tailLog),
		h.mux.HandlePath(http.MethodGet, "/v1/instances/{instance_id}/executions:watch", h.watchExecutions),
	)
	if err != nil {
		return nil, fmt.Errorf("register the routes: %w", err)
	}
	return h, nil
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// checked is the step between routing and the gateway's handlers.
func (h *Handler) checked(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		pattern, _ := runtime.HTTPPattern(r.Context())
		route := h.routes.byID[r.Method+" "+pattern.String()]
		if route == nil {
			door.WriteError(w, r, fmt.Errorf("the gateway has a route that the protos lack: %s", pattern))
			return
		}
		// The gateway takes an action that has another verb for a part of the identifier.
		if actionOf(r.URL.Path) != actionOf(route.pattern) {
			if allow := h.routes.allowed(r.URL.Path); allow != "" {
				door.WriteError(w, r, door.MethodNotAllowed(w, allow))
				return
			}
		}
		ctx, err := door.Outgoing(r)
		if err != nil {
			door.WriteError(w, r, err)
			return
		}
		if !route.method.IsStreamingServer() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, door.CallTime)
			defer cancel()
		}
		body, err := route.readBody(r, h.admission.Known(ctx))
		leave := func() {}
		if err == nil {
			leave, err = h.admission.Enter(ctx, len(body))
		}
		var checked *http.Request
		if err == nil {
			defer leave()
			checked, err = route.check(r, body, params)
		}
		if err != nil {
			if first := h.access.Verdict(ctx, route.need(r, params)); first != nil {
				err = first
			}
			door.WriteError(w, r, err)
			return
		}
		checked = checked.WithContext(ctx)
		checked.Header = http.Header{}
		for _, name := range []string{"Accept", "Authorization", "Last-Event-Id"} {
			// The gateway also reads headers that callers must not set: Grpc-Timeout.
			checked.Header[name] = r.Header[name]
		}
		next(w, checked, params)
	}
}

// none is a matcher that lets no header pass: door.Outgoing decides.
func none(string) (string, bool) { return "", false }

// prepared hands the gateway the metadata that checked put into the context.
func prepared(ctx context.Context, _ *http.Request) metadata.MD {
	md, _ := metadata.FromOutgoingContext(ctx)
	return md
}

func writeError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	door.WriteError(w, r, err)
}

func (h *Handler) notRouted(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, _ int) {
	if allow := h.routes.allowed(r.URL.Path); allow != "" {
		door.WriteError(w, r, door.MethodNotAllowed(w, allow))
		return
	}
	door.WriteError(w, r, door.NoSuchRoute())
}
