package facade

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/facadetest"
)

type bench struct {
	*facadetest.Service
	handler http.Handler
	log     strings.Builder
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Service: facadetest.New(t)}
	var err error
	b.handler, err = New(b.Conn, Options{PublicURL: "https://carillon.example", Log: slog.New(slog.NewJSONHandler(&b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask sends a request; headers are name, value, ….
func (b *bench) ask(method, address, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, address string
		headers         []string
		want            int
		media, holds    string
	}{
		{"GET", "/", nil, 200, "text/html; charset=utf-8", `src="/console/console.js"`},
		{"GET", "/console/console.js", nil, 200, "text/javascript; charset=utf-8", ""},
		{"GET", "/console/style.css", nil, 200, "text/css; charset=utf-8", ""},
		{"GET", "/console/console.go", nil, 404, "application/json", "NOT_FOUND"},
		{"HEAD", "/", nil, 200, "text/html; charset=utf-8", ""},
		{"GET", "/healthz", nil, 200, "application/json", `"SERVING"`},
		{"GET", "/readyz", nil, 200, "application/json", `"SERVING"`},
		{"GET", "/openapi.json", nil, 200, "application/json", `"https://carillon.example"`},
		{"GET", "/.well-known/jwks.json", nil, 200, "application/json", ""},
		{"GET", "/.well-known/oauth-authorization-server", nil, 200, "application/json", "https://carillon.example/oauth2/token"},
		{"GET", "/graphql", []string{"Accept", browser}, 200, "text/html; charset=utf-8", "graphiql"},
		{"GET", "/graphql?query={__typename}", []string{"Accept", browser}, 200, "application/json; charset=utf-8", "Query"},
		{"GET", "/graphql?query={__typename}", nil, 200, "application/json; charset=utf-8", "Query"},
		{"GET", "/graphql", nil, 400, "application/json; charset=utf-8", "INVALID_ARGUMENT"},
		{"GET", "/graphql/assets/graphiql.js", nil, 200, "text/javascript; charset=utf-8", "GraphiQL"},
		{"GET", "/graphql/assets/graphiql.css", nil, 200, "text/css; charset=utf-8", "graphiql"},
		{"GET", "/graphql/assets/react.js", nil, 200, "text/javascript; charset=utf-8", "React"},
		{"GET", "/graphql/assets/react-dom.js", nil, 200, "text/javascript; charset=utf-8", "ReactDOM"},
		{"GET", "/graphql/assets/start.js", nil, 200, "text/javascript; charset=utf-8", "createFetcher"},
		{"GET", "/graphql/assets/start.css", nil, 200, "text/css; charset=utf-8", "explorer"},
		{"GET", "/graphql/assets/LICENSES.txt", nil, 200, "text/plain; charset=utf-8", "MIT"},
		{"GET", "/graphql/assets/page.html", nil, 404, "application/json", "ROUTE_NOT_FOUND"},
		{"GET", "/graphql/assets/", nil, 404, "application/json", "ROUTE_NOT_FOUND"},
		{"GET", "/graphql/assets/other.js", nil, 404, "application/json", "ROUTE_NOT_FOUND"},
		{"GET", "/v1/jobs/1", nil, 401, "application/json", "UNAUTHENTICATED"},
		{"GET", "/nothing", nil, 404, "application/json", "ROUTE_NOT_FOUND"},
		{"GET", "/v1/", nil, 404, "application/json", "ROUTE_NOT_FOUND"},
		{"GET", "/oauth2/token", nil, 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"POST", "/healthz", nil, 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"DELETE", "/logs/exec_1", nil, 405, "application/json", "METHOD_NOT_ALLOWED"},
		{"OPTIONS", "/graphql", nil, 405, "application/json; charset=utf-8", "METHOD_NOT_ALLOWED"},
		{"OPTIONS", "/v1/jobs/1", nil, 405, "application/json", "METHOD_NOT_ALLOWED"},
	} {
		t.Run(c.method+" "+c.address, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.ask(c.method, c.address, "", c.headers...)
			if w.Code != c.want || c.media != w.Header().Get("Content-Type") || !strings.Contains(w.Body.String(), c.holds) {
				t.Errorf("status %d %s: %.200s", w.Code, w.Header().Get("Content-Type"), w.Body)
			}
			if (w.Header().Get("Allow") != "") != (c.want == 405) {
				t.Errorf("Allow %q", w.Header().Get("Allow"))
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
			} {
				if got := w.Header().Get(name); got != want {
					t.Errorf("%s is %q", name, got)
				}
			}
			if policy := w.Header().Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") {
				t.Errorf("policy %q", policy)
			}
		})
	}
}

// The explorer works without the internet: it loads only what is served here.
func TestExplorerLoadsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	page := b.ask("GET", "/graphql", "", "Accept", browser).Body.String()
	loaded := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(loaded) != 6 {
		t.Errorf("the page loads %v", loaded)
	}
	for _, l := range loaded {
		if w := b.ask("GET", l[1], "", "Accept-Encoding", "gzip"); w.Code != 200 {
			t.Errorf("%s: status %d", l[1], w.Code)
		}
	}
	if regexp.MustCompile(`<script>|\son[a-z]+=|\sstyle=`).MatchString(page) {
		t.Error("the page has inline code, which its policy forbids")
	}
}

func TestNotReady(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Health.SetServingStatus("", healthv1.HealthCheckResponse_NOT_SERVING)
	if w := b.ask("GET", "/readyz", ""); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "NOT_SERVING") {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	_ = b.Conn.Close()
	if w := b.ask("GET", "/readyz", ""); w.Code == http.StatusOK {
		t.Errorf("without a service: status %d", w.Code)
	}
	if w := b.ask("GET", "/healthz", ""); w.Code != http.StatusOK {
		t.Errorf("the process lives: status %d", w.Code)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for given, kept := range map[string]bool{"abc-1._X": true, "": false, "a b": false, "a\"b": false, strings.Repeat("a", 65): false} {
		b.log.Reset()
		got := b.ask("GET", "/v1/jobs/1?secret=x", "", "X-Request-Id", given, "Authorization", "Bearer good").Header().Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("%q became %q", given, got)
		}
		var line map[string]any
		if err := json.Unmarshal([]byte(b.log.String()), &line); err != nil {
			t.Fatalf("%v: %s", err, &b.log)
		}
		delete(line, "time")
		delete(line, "duration")
		delete(line, "bytes")
		if text := fmt.Sprint(line); text != fmt.Sprintf("map[level:INFO method:GET msg:request path:/v1/jobs/1 request_id:%s status:400]", got) {
			t.Errorf("logged %s", text)
		}
	}
	for _, call := range b.Calls() {
		if len(call.Metadata["x-request-id"]) != 1 {
			t.Errorf("%s was called with the ids %v", call.Method, call.Metadata["x-request-id"])
		}
	}
}

func TestLargeBodiesNeedAToken(t *testing.T) {
	t.Parallel()
	large := strings.Repeat(" ", 20<<10)
	for _, c := range []struct{ address, body string }{
		{"/graphql", `{"query": "{ __typename }"}` + large},
		{"/v1/instances/1/jobs", `{}` + large},
	} {
		b := newBench(t)
		if w := b.ask("POST", c.address, c.body, "Content-Type", "application/json"); w.Code != http.StatusUnauthorized {
			t.Errorf("%s: status %d: %s", c.address, w.Code, w.Body)
		}
		b.On("CreateJob", func(context.Context, proto.Message) (proto.Message, error) {
			return nil, facadetest.Error(3, "REQUIRED", "reached")
		})
		if w := b.ask("POST", c.address, c.body, "Content-Type", "application/json", "Authorization", "Bearer good"); w.Code == http.StatusUnauthorized {
			t.Errorf("%s, with a token: status %d: %s", c.address, w.Code, w.Body)
		}
	}
}
