package door

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
)

// WriteError answers err as {"error": {"code", "status", "message", "details"}}
// and logs what the caller is not told.
func WriteError(w http.ResponseWriter, r *http.Request, err error) {
	fault := FaultOf(err)
	LogHidden(r.Context(), fault, err)
	SetErrorHeaders(w, r, fault)
	WriteJSON(w, fault.HTTP, envelope(fault))
}

// ErrorLine is err as one line of a stream that has begun already.
func ErrorLine(r *http.Request, err error) []byte {
	fault := FaultOf(err)
	LogHidden(r.Context(), fault, err)
	line, _ := json.Marshal(envelope(fault)) // its details are JSON already
	return line
}

type errorBody struct {
	Code    int               `json:"code"`
	Status  string            `json:"status"`
	Message string            `json:"message"`
	Details []json.RawMessage `json:"details"`
}

func envelope(f *Fault) map[string]errorBody {
	body := errorBody{Code: f.HTTP, Status: f.Code(), Message: f.Status.Message(), Details: []json.RawMessage{}}
	for _, d := range f.Status.Proto().GetDetails() {
		// A detail of a type that this program doesn't know says nothing.
		if text, err := protojson.Marshal(d); err == nil {
			body.Details = append(body.Details, text)
		}
	}
	return map[string]errorBody{"error": body}
}

// SetErrorHeaders sets the headers that go with a fault, whatever its body.
func SetErrorHeaders(w http.ResponseWriter, r *http.Request, f *Fault) {
	if wait := f.RetryAfter(); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	}
	if f.HTTP == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		challenge := `Bearer realm="carillon"`
		if r.Header.Get("Authorization") != "" {
			challenge += `, error="invalid_token"`
		}
		w.Header().Set("WWW-Authenticate", challenge)
	}
}

// LogHidden logs an error of which the caller is not told everything. What the
// service told itself, it has logged under the same request id.
func LogHidden(ctx context.Context, f *Fault, err error) {
	if f.hides {
		Logger(ctx).LogAttrs(ctx, slog.LevelError, "request failed", slog.Any("error", err))
	}
}

// WriteJSON answers v. Encoding fails only for types that no caller passes.
func WriteJSON(w http.ResponseWriter, httpStatus int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(httpStatus)
	_, _ = w.Write(body) // the client is gone, which nobody can be told
}
