// Package facade is the HTTP side of Carillon: REST, GraphQL, the token
// endpoint, signed links and the pages around them.
//
// Rules:
//   - It knows the service only through a gRPC connection, and calls it with
//     the caller's own token: it has no identity and no permission of its own.
//   - Who may do what, and what is valid, is the service's to say, so that
//     every door gives the same verdict.
//   - It keeps no state between requests.
package facade

import (
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc"

	"github.com/pointscene/carillon/facade/console"
	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/explorer"
	"github.com/pointscene/carillon/facade/internal/graph"
	"github.com/pointscene/carillon/facade/internal/oauth"
	"github.com/pointscene/carillon/facade/internal/openapi"
	"github.com/pointscene/carillon/facade/internal/rest"
)

// Options are what a facade works with.
type Options struct {
	// PublicURL is how outsiders reach the facade: http://127.0.0.1:8080.
	PublicURL string
	// TrustedProxies are the networks of proxies whose X-Forwarded-For is
	// believed.
	TrustedProxies []netip.Prefix
	// Log gets a line per request, and what callers are not told; slog.Default
	// when nil.
	Log *slog.Logger
	// Stopping is closed when the server stops: streams and WebSockets end then.
	// Nil is never.
	Stopping <-chan struct{}
}

// New returns the handler of every address of the HTTP door; it calls the
// service over conn, which must offer grpc.health.v1.Health too. The server
// around it must have no WriteTimeout, since logs are followed for as long as
// their executions run.
func New(conn grpc.ClientConnInterface, o Options) (http.Handler, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	calls, restErr := rest.New(conn)
	document, documentErr := openapi.New(o.PublicURL)
	if err := errors.Join(restErr, documentErr); err != nil {
		return nil, err
	}
	tokens := oauth.New(conn, o.PublicURL)
	mux := http.NewServeMux()
	mux.Handle("/v1/", calls)
	mux.Handle("/graphql", explored(graph.New(conn, host(o.PublicURL))))
	mux.Handle(explorer.AssetsPath, get(explorer.Assets))
	mux.Handle("/logs/{execution_id}", get(calls.SignedLog))
	mux.Handle("/openapi.json", get(document.ServeHTTP))
	mux.Handle("/oauth2/token", only(http.MethodPost, tokens.Token))
	mux.Handle("/.well-known/jwks.json", get(tokens.Keys))
	mux.Handle("/.well-known/oauth-authorization-server", get(tokens.Metadata))
	mux.Handle("/healthz", get(alive))
	mux.Handle("/readyz", get(ready(conn)))
	mux.Handle(console.AssetsPath, get(console.Assets))
	mux.Handle("/{$}", get(console.Page))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { door.WriteError(w, r, door.NoSuchRoute()) })
	return door.WithStopping(door.Wrap(mux, o.Log, o.TrustedProxies), o.Stopping), nil
}

// get serves GET, and HEAD with it.
func get(next http.HandlerFunc) http.Handler { return only(http.MethodGet, next) }

func only(method string, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) {
			door.WriteError(w, r, door.MethodNotAllowed(w, method))
			return
		}
		next(w, r)
	})
}

// host is that of an address, as browsers tell where a page is from.
func host(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// explored answers the explorer to browsers, and next to programs.
func explored(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		page := r.Method == http.MethodGet || r.Method == http.MethodHead
		if page && r.URL.RawQuery == "" && strings.Contains(r.Header.Get("Accept"), "text/html") {
			explorer.Page(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
