package egress

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzParseURL: what passes is something to dial, and its bare form has nothing
// that may be secret.
func FuzzParseURL(f *testing.F) {
	for _, seed := range []string{
		"https://example.com/a?b=c#d", "http://user:pass@h:80/", "HTTP://[::1%25eth0]:8080", "//h", "http:///x", "http://h:0", "http://h:65536",
		"http://a\x00b", "http://%31%32%37.0.0.1/", "gopher://h", "http://h\\@evil", "http://h#@evil", "http://127.1", "http://[::ffff:7f00:1]/", "http://h/%2e%2e/%00",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, problem := ParseURL(text)
		if (u == nil) != (problem != "") {
			t.Fatalf("%q: %v, %q", text, u, problem)
		}
		if u == nil {
			return
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			t.Errorf("%q passes as %q of %q", text, u.Scheme, u.Host)
		}
		bare := Bare(u)
		if strings.ContainsAny(bare, "?#") || strings.Contains(bare, "@") && !strings.Contains(u.Path, "@") {
			t.Errorf("%q is shown as %q", text, bare)
		}
		if _, err := http.NewRequest(http.MethodGet, u.String(), nil); err != nil && !strings.Contains(text, "%") {
			t.Errorf("%q passes, and is no request: %v", text, err)
		}
	})
}

// FuzzReadHeaders: no name or value begins another header.
func FuzzReadHeaders(f *testing.F) {
	for _, seed := range [][2]string{{"X-A", "b"}, {"host", "h"}, {"x\r\ny", "z"}, {"x", "y\r\nHost: z"}, {"carillon-fence", "9"}, {"é", "é"}, {"Transfer-Encoding ", "chunked"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		refused := false
		header := ReadHeaders(map[string]string{name: value}, func(string, string, string) { refused = true })
		if refused {
			return
		}
		var wire strings.Builder
		if err := header.Write(&wire); err != nil || strings.Count(wire.String(), "\n") != 1 || reserved[http.CanonicalHeaderKey(name)] {
			t.Errorf("%q: %q is written as %q, %v", name, value, wire.String(), err)
		}
	})
}
