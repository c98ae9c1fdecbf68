package door

import (
	"context"
	"net/http"
)

type stoppingKey struct{}

// WithStopping lets every request know when the server begins to stop.
func WithStopping(next http.Handler, stopping <-chan struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), stoppingKey{}, stopping)))
	})
}

// Stopping is closed when the server stops: what streams must end then, since
// nobody waits for it. It is nil, which is never closed, for a request that does
// not know.
func Stopping(ctx context.Context) <-chan struct{} {
	stopping, _ := ctx.Value(stoppingKey{}).(<-chan struct{})
	return stopping
}
