package console

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, path string, header map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for name, value := range header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	if path == "/" {
		Page(w, r)
	} else {
		Assets(w, r)
	}
	return w.Result()
}

func TestPageLoadsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	answer := get(t, "/", nil)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	policy := answer.Header.Get("Content-Security-Policy")
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"} {
		if !strings.Contains(policy, part) {
			t.Errorf("the policy %q lacks %s", policy, part)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(string(text), "http:") || strings.Contains(string(text), "https:") {
		t.Errorf("the page asks others, or the policy lets it: %s\n%s", policy, text)
	}
}

func TestAssetsAreSmallAndRevalidated(t *testing.T) {
	t.Parallel()
	answer := get(t, "/console/console.js", map[string]string{"Accept-Encoding": "gzip"})
	small, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Header.Get("Content-Encoding") != "gzip" || len(small) > 200<<10 {
		t.Errorf("%d bytes, encoded as %q", len(small), answer.Header.Get("Content-Encoding"))
	}
	reader, err := gzip.NewReader(strings.NewReader(string(small)))
	if err != nil {
		t.Fatal(err)
	}
	unpacked, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := io.ReadAll(get(t, "/console/console.js", nil).Body)
	if err != nil || string(whole) != string(unpacked) {
		t.Errorf("compressed and plain differ: %v", err)
	}
	again := get(t, "/console/console.js", map[string]string{"If-None-Match": answer.Header.Get("ETag")})
	if again.StatusCode != http.StatusNotModified {
		t.Errorf("asked again: %d", again.StatusCode)
	}
}
