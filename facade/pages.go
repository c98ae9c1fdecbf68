package facade

import (
	"context"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pointscene/carillon/facade/internal/door"
)

// alive says that the process answers.
func alive(w http.ResponseWriter, _ *http.Request) {
	door.WriteJSON(w, http.StatusOK, map[string]string{"status": "SERVING"})
}

// readyWithin is how long the service may take to say that it serves.
const readyWithin = 2 * time.Second

// ready says whether the service behind conn serves.
func ready(conn grpc.ClientConnInterface) http.HandlerFunc {
	health := healthv1.NewHealthClient(conn)
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		answer, err := health.Check(ctx, &healthv1.HealthCheckRequest{})
		if err == nil && answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			err = door.Refuse(codes.Unavailable, "NOT_SERVING", "the service does not serve now")
		}
		if err != nil {
			door.WriteError(w, r, err)
			return
		}
		door.WriteJSON(w, http.StatusOK, map[string]string{"status": answer.GetStatus().String()})
	}
}
