package oauth

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

type bench struct {
	*facadetest.Service
	handler http.Handler
	log     strings.Builder
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{Service: facadetest.New(t)}
	h := New(b.Conn, "https://carillon.example")
	mux := http.NewServeMux()
	mux.HandleFunc("/token", h.Token)
	mux.HandleFunc("/keys", h.Keys)
	mux.HandleFunc("/metadata", h.Metadata)
	b.handler = door.Wrap(mux, slog.New(slog.NewTextHandler(&b.log, nil)), nil)
	b.Answer("IssueToken", &carillonv1.IssueTokenResponse{AccessToken: "a.b.c", TokenType: "Bearer", ExpiresIn: 14399, Scope: "instance-*"})
	b.Answer("GetSigningKeys", &carillonv1.GetSigningKeysResponse{Jwks: `{"keys":[]}`, Issuer: "https://issuer.example"})
	return b
}

func (b *bench) token(form string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "/token", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func basic(user, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(user), url.QueryEscape(password)) }
}

func TestToken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		form string
		edit func(*http.Request)
		want *carillonv1.IssueTokenRequest
	}{
		"form": {"grant_type=client_credentials&client_id=client_3&client_secret=s%2B1&scope=instance-*+operator", func(*http.Request) {},
			&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: "client_3", ClientSecret: "s+1", Scope: "instance-* operator"}},
		"basic": {"grant_type=client_credentials", basic("client_3", "s+1:%"),
			&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: "client_3", ClientSecret: "s+1:%"}},
		"basic, and the id again": {"grant_type=client_credentials&client_id=client_3", basic("client_3", "s"),
			&carillonv1.IssueTokenRequest{GrantType: "client_credentials", ClientId: "client_3", ClientSecret: "s"}},
		"unknown parameters": {"grant_type=client_credentials&audience=x&audience=y", func(*http.Request) {},
			&carillonv1.IssueTokenRequest{GrantType: "client_credentials"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.token(c.form, c.edit)
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 14399.0, "scope": "instance-*"}
			if diff := cmp.Diff(want, got); diff != "" || w.Code != 200 || w.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("status %d, %v (-want +got):\n%s", w.Code, w.Header(), diff)
			}
			call := b.Calls("IssueToken")[0]
			if !proto.Equal(call.Request, c.want) {
				t.Errorf("request %v, want %v", call.Request, c.want)
			}
			if len(call.Metadata["authorization"]) > 0 {
				t.Error("the client's credentials were passed on as a token")
			}
		})
	}
}

func TestTokenRefused(t *testing.T) {
	t.Parallel()
	const secret = "CANARY-8f2a"
	good := "grant_type=client_credentials&client_id=client_3&client_secret=" + secret
	throttled, err := status.New(codes.ResourceExhausted, "too often").WithDetails(
		&errdetails.ErrorInfo{Reason: "INVALID_CLIENT", Domain: "carillon"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(6 * time.Second)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		form    string
		edit    func(*http.Request)
		service error
		http    int
		code    string
	}{
		"wrong secret":        {good, nil, facadetest.Error(codes.Unauthenticated, "INVALID_CLIENT", "unknown client"), 401, "invalid_client"},
		"wrong grant":         {good, nil, facadetest.Error(codes.InvalidArgument, "UNSUPPORTED_GRANT_TYPE", "only \"this\" \u00e9\n"), 400, "unsupported_grant_type"},
		"wrong scope":         {good, nil, facadetest.Error(codes.InvalidArgument, "INVALID_SCOPE", "no"), 400, "invalid_scope"},
		"broken rule":         {good, nil, facadetest.Error(codes.InvalidArgument, "STRING_MAX_LEN", "too long"), 400, "invalid_request"},
		"too often":           {good, nil, throttled.Err(), 429, "invalid_client"},
		"not to be reached":   {good, nil, status.Error(codes.Unavailable, "dial tcp 10.1.2.3"), 503, "temporarily_unavailable"},
		"broken":              {good, nil, status.Error(codes.Internal, "10.1.2.3"), 500, "server_error"},
		"both ways":           {good, basic("client_3", secret), nil, 400, "invalid_request"},
		"two clients":         {"grant_type=client_credentials&client_id=client_4", basic("client_3", secret), nil, 400, "invalid_request"},
		"a bearer token":      {good, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+secret) }, nil, 401, "invalid_client"},
		"two authorizations":  {good, func(r *http.Request) { r.Header["Authorization"] = []string{"Basic YTpi", "Basic YTpi"} }, nil, 401, "invalid_client"},
		"twice":               {good + "&client_secret=" + secret, nil, nil, 400, "invalid_request"},
		"in the address":      {good, func(r *http.Request) { r.URL.RawQuery = "client_secret=" + secret }, nil, 400, "invalid_request"},
		"JSON":                {`{"client_secret": "` + secret + `"}`, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }, nil, 415, "invalid_request"},
		"malformed":           {"client_secret=" + secret + "&a=%zz", nil, nil, 400, "invalid_request"},
		"no UTF-8":            {good + "%ff", nil, nil, 400, "invalid_request"},
		"NUL":                 {good + "%00", nil, nil, 400, "invalid_request"},
		"larger than allowed": {good + strings.Repeat("a", 1<<20), nil, nil, 413, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.service != nil {
				b.Fail("IssueToken", c.service)
			}
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			w := b.token(c.form, edit)
			var got struct {
				Error       string
				Description string `json:"error_description"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatalf("%v: %s", err, w.Body)
			}
			if w.Code != c.http || got.Error != c.code || got.Description == "" {
				t.Errorf("status %d: %s; want %d %s", w.Code, w.Body, c.http, c.code)
			}
			if strings.ContainsAny(got.Description, "\"\\\n\u00e9") {
				t.Errorf("description %q", got.Description)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); strings.HasPrefix(challenge, "Basic ") != (c.http == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
			if got := w.Header().Get("Retry-After"); (got == "6") != (c.http == 429) {
				t.Errorf("Retry-After %q", got)
			}
			if out := w.Body.String() + b.log.String(); strings.Contains(out, secret) || strings.Contains(w.Body.String(), "10.1.2.3") {
				t.Errorf("something secret is told:\n%s", out)
			}
			if called := len(b.Calls("IssueToken")) > 0; called != (c.service != nil) {
				t.Errorf("called: %v", called)
			}
		})
	}
}

func TestKeysAndMetadata(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for path, want := range map[string]string{
		"/keys": `{"keys":[]}`,
		"/metadata": `{"grant_types_supported":["client_credentials"],"issuer":"https://issuer.example","jwks_uri":"https://carillon.example/.well-known/jwks.json",` +
			`"response_types_supported":[],"token_endpoint":"https://carillon.example/oauth2/token","token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"]}`,
	} {
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: status %d %s", path, w.Code, w.Body)
		}
	}
	b.Fail("GetSigningKeys", status.Error(codes.Unavailable, "gone"))
	for _, path := range []string{"/keys", "/metadata"} {
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}
