package door

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestClientAddress(t *testing.T) {
	t.Parallel()
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	for name, c := range map[string]struct {
		peer      string
		forwarded []string
		want      string
	}{
		"direct":                      {"192.0.2.1:5000", nil, "192.0.2.1"},
		"direct, pretending":          {"192.0.2.1:5000", []string{"198.51.100.9"}, "192.0.2.1"},
		"by a proxy":                  {"10.1.2.3:5000", []string{"198.51.100.9"}, "198.51.100.9"},
		"by two proxies":              {"10.1.2.3:5000", []string{"198.51.100.9, 10.9.9.9"}, "198.51.100.9"},
		"by a proxy, pretending":      {"10.1.2.3:5000", []string{"203.0.113.7, 198.51.100.9"}, "198.51.100.9"},
		"pretending to be a proxy":    {"10.1.2.3:5000", []string{"10.6.6.6, 198.51.100.9"}, "198.51.100.9"},
		"in two headers":              {"10.1.2.3:5000", []string{"203.0.113.7", "198.51.100.9"}, "198.51.100.9"},
		"by a proxy that says none":   {"10.1.2.3:5000", nil, "10.1.2.3"},
		"by a proxy that says no IP":  {"10.1.2.3:5000", []string{"198.51.100.9, unknown"}, "10.1.2.3"},
		"all are proxies":             {"10.1.2.3:5000", []string{"10.4.4.4"}, "10.4.4.4"},
		"four in six":                 {"[::ffff:10.1.2.3]:5000", []string{"::ffff:198.51.100.9"}, "198.51.100.9"},
		"six":                         {"[fd00::1]:5000", []string{"2001:db8::7"}, "2001:db8::7"},
		"a zone is nobody's business": {"[fe80::1%eth0]:5000", nil, "fe80::1"},
		"no address":                  {"@", []string{"198.51.100.9"}, ""},
	} {
		r := &http.Request{RemoteAddr: c.peer, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := clientAddress(r, trusted); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.1.2.3:5000", "203.0.113.7, 198.51.100.9")
	f.Add("[fd00::1%eth0]:1", "fe80::1%\x00,,")
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	f.Fuzz(func(t *testing.T, peer, forwarded string) {
		got := clientAddress(&http.Request{RemoteAddr: peer, Header: http.Header{"X-Forwarded-For": {forwarded}}}, trusted)
		if _, err := netip.ParseAddr(got); got != "" && (err != nil || strings.Contains(got, "%")) {
			t.Errorf("%q is no address", got)
		}
	})
}
