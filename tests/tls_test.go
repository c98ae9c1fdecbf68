package tests

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// secure starts a server whose doors speak TLS.
func secure(t *testing.T, flags ...string) (*harness.Server, *harness.Authority) {
	t.Helper()
	authority := harness.NewAuthority(t)
	cert, key := authority.Server(t)
	return harness.Start(t, harness.Options{Roots: authority.Pool, Flags: append([]string{"--tls-cert", cert, "--tls-key", key}, flags...)}), authority
}

// serialOf is the certificate that an address shows now.
func serialOf(t *testing.T, address string, authority *harness.Authority) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// Every door speaks TLS and nothing else, and takes a new certificate over
// without a restart and without dropping a connection.
func TestTLS(t *testing.T) {
	t.Parallel()
	server, authority := secure(t)
	tenant := server.NewTenant(t)
	for _, door := range tenant.Operator.Doors() {
		harness.Must(t, door, "GetInstance", object{"instanceId": tenant.Instance})
	}
	job := tenant.Create(t, object{}, harness.Noop("a"))
	e := tenant.End(t, tenant.Run(t, job))
	if link := harness.Text(e, "signedLogUrl"); !strings.HasPrefix(link, "https://") {
		t.Errorf("a signed link is %s", link)
	}
	for _, address := range []string{server.HTTP, server.Admin} {
		answer, err := http.Get("http://" + address + "/healthz")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode != http.StatusBadRequest {
				t.Errorf("plain text is answered with %s", answer.Status)
			}
		}
	}
	for _, address := range []string{server.GRPC, server.HTTP, server.Admin} {
		// Without a MinVersion Go's client itself would refuse.
		old := &tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // old on purpose
		if _, err := tls.Dial("tcp", address, old); err == nil || !strings.Contains(err.Error(), "protocol version") {
			t.Errorf("TLS 1.1 to %s: %v", address, err)
		}
	}

	old := serialOf(t, server.HTTP, authority)
	_, key := authority.Server(t) // in place of the old one
	for _, address := range []string{server.HTTP, server.GRPC, server.Admin} {
		harness.Wait(t, 20*time.Second, "the new certificate is shown", func() bool { return serialOf(t, address, authority) != old })
	}
	fresh := serialOf(t, server.HTTP, authority)
	harness.Must(t, tenant.Operator.GRPCDoor(), "GetInstance", object{"instanceId": tenant.Instance}) // on its old connection
	if err := os.WriteFile(key, []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Wait(t, 20*time.Second, "the damage is told", func() bool {
		if serialOf(t, server.HTTP, authority) != fresh {
			t.Fatal("a damaged key replaced the certificate")
		}
		return strings.Contains(server.Log(), "can't be used")
	})
}

// A client certificate stands for the scopes that its name is mapped to, on the
// gRPC door and nowhere else.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	clients := harness.NewAuthority(t)
	server, servers := secure(t, "--client-ca", clients.File,
		"--client-cert-scopes", "billing.internal=instance-read-1,spiffe://example.org/ops=operator")
	soon := time.Now().Add(time.Hour)
	operator := server.AsCertificate("", clients.Client(t, "spiffe://example.org/ops", soon))
	tenant := operator.NewTenant(t)
	other := operator.NewTenant(t)
	billing := server.AsCertificate("", clients.Client(t, "billing.internal", soon))
	verdict := func(caller *harness.Caller, rpc string, request object, want string) {
		t.Helper()
		_, err := caller.GRPCDoor().Call(t.Context(), rpc, request)
		got := ""
		if refusal, ok := err.(*harness.Refusal); ok { //nolint:errorlint // the door answers it bare
			got = refusal.Code
		} else if err != nil {
			got = "FAILED"
		}
		if got != want {
			t.Errorf("%s: got %q (%v), want %q", rpc, got, err, want)
		}
	}
	one, two := object{"instanceId": tenant.Instance}, object{"instanceId": other.Instance}
	verdict(billing, "GetInstance", one, "")
	verdict(billing, "DeleteInstance", one, "PERMISSION_DENIED")
	verdict(billing, "GetInstance", two, "NOT_FOUND")
	verdict(billing, "ListKeys", object{}, "PERMISSION_DENIED")
	verdict(server.AsCertificate("", clients.Client(t, "other.internal", soon)), "GetInstance", one, "UNAUTHENTICATED")
	verdict(server.AsCertificate("", clients.Client(t, "*.internal", soon)), "GetInstance", one, "UNAUTHENTICATED")
	verdict(server.AsCertificate(""), "GetInstance", one, "UNAUTHENTICATED")
	verdict(server.AsCertificate("", clients.Client(t, "billing.internal", time.Now().Add(-time.Minute))), "GetInstance", one, "FAILED")
	verdict(server.AsCertificate("", harness.NewAuthority(t).Client(t, "billing.internal", soon)), "GetInstance", one, "FAILED")
	// A token comes before a certificate, also a bad one.
	verdict(server.AsCertificate(server.Token(t, "operator"), clients.Client(t, "billing.internal", soon)), "GetInstance", two, "")
	verdict(server.AsCertificate("bad", clients.Client(t, "spiffe://example.org/ops", soon)), "GetInstance", one, "UNAUTHENTICATED")
	// The HTTP door takes no certificates.
	if refusal := harness.Refused(t, operator.RESTDoor(), "GetInstance", one); refusal.Code != "UNAUTHENTICATED" {
		t.Errorf("REST with a certificate: %v", refusal)
	}
	// Neither does a lone facade have any right of its own.
	lone := harness.Start(t, harness.Options{Flags: []string{"--roles", "facade", "--api-addr", server.GRPC, "--api-ca", servers.File}})
	judgeOne(t, lone.As(server.Token(t, "operator")), one, "")
	judgeOne(t, lone.As(""), one, "UNAUTHENTICATED")
}

func judgeOne(t *testing.T, caller *harness.Caller, request object, want string) {
	t.Helper()
	_, err := caller.RESTDoor().Call(t.Context(), "GetInstance", request)
	if refusal, ok := err.(*harness.Refusal); ok && refusal.Code == want || err == nil && want == "" { //nolint:errorlint // the door answers it bare
		return
	}
	t.Errorf("through a lone facade: %v, want %q", err, want)
}

// Plain text beyond this machine has to be asked for, and shows no profiles.
func TestPlainTextBeyondLoopback(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--insecure-listen", "--admin-addr", "0.0.0.0:0", "--http-addr", "0.0.0.0:0"}})
	port := server.Admin[strings.LastIndex(server.Admin, ":"):]
	for path, want := range map[string]int{"/healthz": http.StatusOK, "/metrics": http.StatusOK, "/debug/pprof/": http.StatusNotFound, "/debug/pprof/heap": http.StatusNotFound} {
		answer, err := http.Get("http://127.0.0.1" + port + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != want {
			t.Errorf("%s is answered with %s, %v", path, answer.Status, err)
		}
		if path == "/healthz" && (!strings.Contains(string(body), "--http-addr serves plain text") || !strings.Contains(string(body), "unwrapped")) {
			t.Errorf("/healthz does not warn: %s", body)
		}
	}
	if !strings.Contains(server.Log(), "plain text beyond this machine") {
		t.Error("the start does not warn")
	}
}
