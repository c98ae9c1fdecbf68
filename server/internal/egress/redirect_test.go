package egress_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/egress"
)

// call sends a request with credentials of every kind through guard.
func call(t *testing.T, guard *egress.Guard, method, url string) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = http.Header{
		"Authorization": {"Bearer hunter2"}, "Cookie": {"s=hunter2"}, "X-Api-Key": {"hunter2"},
		"Accept": {"text/plain"}, "Carillon-Fence": {"3"}, "Idempotency-Key": {"exec_1/a"},
	}
	response, err := guard.Client().Do(request)
	if err == nil {
		response.Body.Close()
	}
	return response, err
}

func TestRedirectToAnInsideAddress(t *testing.T) {
	t.Parallel()
	inside := newSite(t, "127.0.0.1:0", ok)
	outside := newSite(t, "127.0.0.2:0", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.URL.Query().Get("to")+":"+inside.port, http.StatusFound)
	})
	options := allow(t, "127.0.0.2")
	options.Resolver = newNameServer(t, addresses("127.0.0.1")).resolver()
	guard := egress.New(options)
	for _, to := range []string{"127.0.0.1", "inside.test", "[::ffff:127.0.0.1]", "169.254.169.254"} {
		if err := get(t, guard, "http://127.0.0.2:"+outside.port+"/?to="+to); reason(err) != egress.ReasonDenied {
			t.Errorf("%s: %v", to, err)
		}
	}
	if inside.conns.Load() > 0 {
		t.Errorf("%d connections inside", inside.conns.Load())
	}
}

func TestCredentialsStayWithTheFirstOrigin(t *testing.T) {
	t.Parallel()
	var seen []http.Header
	record := func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Accept-Encoding")
		r.Header.Del("User-Agent")
		seen = append(seen, r.Header)
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	}
	first, second := newSite(t, "127.0.0.1:0", record), newSite(t, "127.0.0.2:0", record)
	home, away := "http://127.0.0.1:"+first.port, "http://127.0.0.2:"+second.port
	guard := egress.New(allow(t, "127.0.0.0/8"))
	// Home to home keeps them; away drops them; home again does not bring them back.
	_, err := call(t, guard, http.MethodGet, home+"/?secret=hunter2&to="+home+"/a?to="+away+"/b?to="+home+"/c")
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) != 4 {
		t.Fatalf("%d requests, want 4", len(seen))
	}
	if seen[0].Get("X-Api-Key") != "hunter2" || seen[1].Get("X-Api-Key") != "hunter2" || seen[1].Get("Authorization") != "Bearer hunter2" {
		t.Errorf("credentials do not stay at home: %v", seen[:2])
	}
	stripped := http.Header{"Accept": {"text/plain"}, "Carillon-Fence": {"3"}, "Idempotency-Key": {"exec_1/a"}}
	for _, header := range seen[2:] {
		if diff := cmp.Diff(stripped, header); diff != "" {
			t.Errorf("headers elsewhere (-want +got):\n%s", diff)
		}
	}
}

func TestRefusedRedirects(t *testing.T) {
	t.Parallel()
	other := newSite(t, "127.0.0.2:0", ok)
	site := newSite(t, "127.0.0.1:0", func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/away":
			http.Redirect(w, r, "http://127.0.0.2:"+other.port, http.StatusTemporaryRedirect)
		case "/file":
			http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
		case "/gopher":
			http.Redirect(w, r, "gopher://127.0.0.1/", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/", http.StatusTemporaryRedirect)
		}
	})
	guard := egress.New(allow(t, "127.0.0.0/8"))
	tests := []struct{ method, path, want string }{
		{http.MethodGet, "/loop", egress.ReasonTooManyRedirects},
		{http.MethodGet, "/file", egress.ReasonRedirectRefused},
		{http.MethodGet, "/gopher", egress.ReasonRedirectRefused},
		{http.MethodPost, "/away", egress.ReasonRedirectRefused},
		{http.MethodDelete, "/away", egress.ReasonRedirectRefused},
		{http.MethodPost, "/here", ""},
		{http.MethodGet, "/away", ""},
	}
	for _, test := range tests {
		_, err := call(t, guard, test.method, "http://127.0.0.1:"+site.port+test.path)
		if reason(err) != test.want || test.want == "" && err != nil {
			t.Errorf("%s %s: %v, want reason %q", test.method, test.path, err, test.want)
		}
	}
	if other.conns.Load() != 1 {
		t.Errorf("%d connections to the other host, want the one of GET", other.conns.Load())
	}
}

func TestNoRedirectFromHTTPSToHTTP(t *testing.T) {
	t.Parallel()
	plain := newSite(t, "127.0.0.1:0", ok)
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:"+plain.port, http.StatusFound)
	}))
	t.Cleanup(secure.Close)
	guard := egress.New(allow(t, "127.0.0.1"))
	client := guard.Client()
	transport := guard.Transport()
	transport.TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	client.Transport = transport
	t.Cleanup(transport.CloseIdleConnections)
	response, err := client.Get(secure.URL)
	if response != nil {
		response.Body.Close()
	}
	if reason(err) != egress.ReasonRedirectRefused || plain.conns.Load() > 0 {
		t.Errorf("%v after %d plain connections", err, plain.conns.Load())
	}
}
