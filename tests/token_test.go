package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/pointscene/carillon/tests/harness"
)

// grant asks the token endpoint and answers its JSON.
func grant(t *testing.T, server *harness.Server, form url.Values, headers ...string) (harness.Answer, object) {
	t.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded"}, headers...)
	answer, err := server.As("").HTTP(t.Context(), http.MethodPost, "/oauth2/token", form.Encode(), headers...)
	if err != nil {
		t.Fatal(err)
	}
	value, err := answer.JSON()
	if err != nil {
		t.Fatal(err)
	}
	got, _ := value.(object)
	if answer.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control is %q, want no-store", answer.Header.Get("Cache-Control"))
	}
	return answer, got
}

func credentials(client object, extra ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {harness.Text(client, "id")}, "client_secret": {harness.Text(client, "clientSecret")}}
	for i := 0; i < len(extra); i += 2 {
		form.Set(extra[i], extra[i+1])
	}
	return form
}

func newOAuthClient(t *testing.T, tenant *harness.Tenant, scopes []any, instances ...any) object {
	t.Helper()
	return harness.Must(t, tenant.Operator.GRPCDoor(), "CreateClient", object{"client": object{"title": "program", "scopes": scopes, "instanceIds": instances}})
}

func TestTokenEndpoint(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	client := newOAuthClient(t, tenant, []any{"instance-*", "instance-create"}, tenant.Instance)
	id, secret := harness.Text(client, "id"), harness.Text(client, "clientSecret")

	t.Run("form", func(t *testing.T) {
		t.Parallel()
		answer, got := grant(t, server, credentials(client, "scope", "instance-*"))
		if answer.Status != http.StatusOK || got["token_type"] != "Bearer" || got["expires_in"] != json.Number("14399") || got["scope"] != "instance-*" {
			t.Fatalf("answers %d %s", answer.Status, answer.Body)
		}
		judge(t, server.As(harness.Text(got, "access_token")), "GetInstance", object{"instanceId": tenant.Instance}, "")
	})
	t.Run("basic", func(t *testing.T) {
		t.Parallel()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL("/oauth2/token"), strings.NewReader("grant_type=client_credentials"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.SetBasicAuth(id, secret)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("HTTP basic is answered with %s", answer.Status)
		}
	})
	for _, c := range []struct {
		name   string
		form   url.Values
		status int
		want   string
	}{
		{"password grant", credentials(client, "grant_type", "password", "username", "u", "password", "p"), 400, "unsupported_grant_type"},
		{"refresh grant", credentials(client, "grant_type", "refresh_token", "refresh_token", "r"), 400, "unsupported_grant_type"},
		{"no grant", url.Values{"client_id": {id}}, 400, "invalid_request"},
		{"secret wrong", credentials(client, "client_secret", "wrong"), 401, "invalid_client"},
		{"client unknown", credentials(client, "client_id", "client_99999"), 401, "invalid_client"},
		{"scope of another", credentials(client, "scope", "instance-read-999"), 400, "invalid_scope"},
		{"scope above", credentials(client, "scope", "operator"), 400, "invalid_scope"},
		{"scope unknown", credentials(client, "scope", "everything"), 400, "invalid_scope"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answer, got := grant(t, server, c.form)
			if answer.Status != c.status || got["error"] != c.want || got["error_description"] == nil {
				t.Errorf("answers %d %s, want %d %s", answer.Status, answer.Body, c.status, c.want)
			}
			if strings.HasPrefix(c.want, "unsupported") && !strings.Contains(harness.Text(got, "error_description"), "OpenID Connect") {
				t.Errorf("does not say where people's accounts are: %s", answer.Body)
			}
		})
	}
	t.Run("JSON instead of a form", func(t *testing.T) {
		t.Parallel()
		answer, err := server.As("").HTTP(t.Context(), http.MethodPost, "/oauth2/token", `{"grant_type": "client_credentials"}`)
		if err != nil || answer.Status != http.StatusUnsupportedMediaType {
			t.Errorf("is answered with %d, %v", answer.Status, err)
		}
	})
}

// Too many wrong secrets are answered with "later".
func TestTokenEndpointSlowsGuessing(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	client := newOAuthClient(t, tenant, []any{"instance-*"})
	for range 30 {
		if answer, _ := grant(t, server, credentials(client, "client_secret", "wrong")); answer.Status == http.StatusTooManyRequests {
			if answer.Header.Get("Retry-After") == "" {
				t.Error("429 without Retry-After")
			}
			return
		}
	}
	t.Error("thirty wrong secrets in a row were all tried")
}

// A token ends with its client, and with its secret.
func TestClientsLife(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	other := tenant.Operator.NewTenant(t)
	operator := tenant.Operator.RESTDoor()

	client := newOAuthClient(t, tenant, []any{"instance-*", "instance-create"}, tenant.Instance)
	_, got := grant(t, server, credentials(client))
	program := server.As(harness.Text(got, "access_token"))
	judge(t, program, "GetInstance", object{"instanceId": tenant.Instance}, "")
	judge(t, program, "GetInstance", object{"instanceId": other.Instance}, "NOT_FOUND")

	made := harness.Must(t, program.RESTDoor(), "CreateInstance", object{"instance": object{"title": "mine"}})
	judge(t, program, "GetInstance", object{"instanceId": made["id"]}, "") // linked to its maker
	seen := harness.List(onAll(t, program, "ListInstances", object{}), "instances")
	if len(seen) != 2 {
		t.Errorf("the program sees %d instances, want its two", len(seen))
	}

	for _, listed := range harness.List(harness.Must(t, operator, "ListClients", object{}), "clients") {
		if listed["clientSecret"] != nil {
			t.Errorf("a list of clients tells secrets: %v", listed)
		}
	}
	reset := harness.Must(t, operator, "ResetClientSecret", object{"clientId": client["id"]})
	judge(t, program, "GetInstance", object{"instanceId": tenant.Instance}, "UNAUTHENTICATED")
	if answer, _ := grant(t, server, credentials(client)); answer.Status != http.StatusUnauthorized {
		t.Errorf("the old secret is answered with %d", answer.Status)
	}
	_, got = grant(t, server, credentials(reset))
	program = server.As(harness.Text(got, "access_token"))
	judge(t, program, "GetInstance", object{"instanceId": tenant.Instance}, "")

	harness.Must(t, operator, "DeleteClient", object{"clientId": client["id"]})
	judge(t, program, "GetInstance", object{"instanceId": tenant.Instance}, "UNAUTHENTICATED")
	if answer, _ := grant(t, server, credentials(reset)); answer.Status != http.StatusUnauthorized {
		t.Errorf("a deleted client is answered with %d", answer.Status)
	}
}

// What needs no token, and says the right things.
func TestPublicAddresses(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	anybody := server.As("")
	for path, want := range map[string]string{
		"/healthz":               "SERVING",
		"/readyz":                "SERVING",
		"/openapi.json":          `"openapi"`,
		"/.well-known/jwks.json": `"Ed25519"`,
		"/.well-known/oauth-authorization-server":                                  `"client_credentials"`,
		"/graphql?query=" + url.QueryEscape("{ __schema { queryType { name } } }"): `"Query"`,
		"/": "href",
	} {
		answer, err := anybody.HTTP(t.Context(), http.MethodGet, path, "")
		if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), want) {
			t.Errorf("%s answers %d %.200s, %v; want %s", path, answer.Status, answer.Body, err, want)
		}
	}
	page, err := anybody.HTTP(t.Context(), http.MethodGet, "/graphql", "", "Accept", "text/html")
	if err != nil || page.Status != http.StatusOK || !strings.Contains(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the explorer answers %d, %v", page.Status, err)
	}
	if strings.Contains(string(page.Body), "https://") {
		t.Error("the explorer page needs the internet")
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/"} {
		answer, err := http.Get("http://" + server.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("the admin door answers %s with %s", path, answer.Status)
		}
	}
	// As a browser sends it for a foreign page whose name leads to this machine.
	for host, want := range map[string]int{"evil.example": http.StatusMisdirectedRequest, "localhost:9": http.StatusOK, "[::1]": http.StatusOK, "": http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+server.Admin+"/debug/pprof/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("profiles are answered to the host %q with %s, want %d", host, answer.Status, want)
		}
	}
	if answer, err := anybody.HTTP(t.Context(), http.MethodGet, "/debug/pprof/", ""); err != nil || answer.Status != http.StatusNotFound {
		t.Errorf("the public door answers pprof with %d, %v", answer.Status, err)
	}
	public(t, anybody)
}

// public asks the gRPC door for its health and its services.
func public(t *testing.T, anybody *harness.Caller) {
	t.Helper()
	conn, err := anybody.Conn()
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range []string{"", "carillon.v1.JobService", "carillon.v1.NoticeService"} {
		health, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
		if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("health of %q answers %v, %v", service, health, err)
		}
	}
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	listed, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	names := ""
	for _, service := range listed.GetListServicesResponse().GetService() {
		names += service.GetName() + " "
	}
	for _, want := range []string{"carillon.v1.JobService", "carillon.v1.ExecutionService", "carillon.v1.ConfigService", "carillon.v1.InstanceService", "carillon.v1.TaskService"} {
		if !strings.Contains(names, want) {
			t.Errorf("reflection lists %s, not %s", names, want)
		}
	}
}
