package egress

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/pointscene/carillon/server/internal/job"
)

// maxRedirects is how many redirects one call follows.
const maxRedirects = 5

// The reasons of a redirect that was not followed.
const (
	ReasonTooManyRedirects = "TOO_MANY_REDIRECTS"
	ReasonRedirectRefused  = "REDIRECT_REFUSED"
)

// keptHeaders follow to another origin; every other one might be a credential,
// whatever it is called.
var keptHeaders = map[string]bool{
	"Accept": true, "Accept-Encoding": true, "Accept-Language": true, "User-Agent": true, "Idempotency-Key": true,
	"Carillon-Execution-Id": true, "Carillon-Fence": true,
}

// checkRedirect judges the next request of a call; via holds the earlier ones,
// oldest first.
func checkRedirect(next *http.Request, via []*http.Request) error {
	last := via[len(via)-1]
	switch {
	case len(via) > maxRedirects:
		return failure(ReasonTooManyRedirects, "%q redirects more than %d times", via[0].URL.Hostname(), maxRedirects)
	case next.URL.Scheme != "http" && next.URL.Scheme != "https":
		return failure(ReasonRedirectRefused, "%q redirects to something other than http or https", last.URL.Hostname())
	case last.URL.Scheme == "https" && next.URL.Scheme == "http":
		return failure(ReasonRedirectRefused, "%q redirects from https to http", last.URL.Hostname())
	}
	if staysHome(next, via) {
		return nil
	}
	if next.Method != http.MethodGet && next.Method != http.MethodHead {
		return failure(ReasonRedirectRefused, "%q redirects a %s request to another host; call that one directly",
			last.URL.Hostname(), next.Method)
	}
	for name := range next.Header {
		if !keptHeaders[name] {
			next.Header.Del(name)
		}
	}
	return nil
}

// staysHome reports whether the call never left its first origin. Coming back
// does not count: another host chose where to.
func staysHome(next *http.Request, via []*http.Request) bool {
	for _, earlier := range via[1:] {
		if !sameOrigin(via[0].URL, earlier.URL) {
			return false
		}
	}
	return sameOrigin(via[0].URL, next.URL)
}

// sameOrigin reports whether b is a's origin, or the same host's default https
// port when a is its default http port.
func sameOrigin(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	upgrade := a.Scheme == "http" && b.Scheme == "https" && port(a) == "80" && port(b) == "443"
	return upgrade || a.Scheme == b.Scheme && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func failure(reason, format string, args ...any) *job.Failure {
	return &job.Failure{Code: "FAILED_PRECONDITION", Reason: reason, Message: fmt.Sprintf(format, args...)}
}
