package egress

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// The reasons for which [ReadHeaders] refuses a header.
const (
	reasonInvalid  = "INVALID_VALUE"
	reasonReserved = "RESERVED_HEADER"
)

// reserved headers belong to the connection, to the message's framing or to
// this service, as do all that begin with Carillon-.
var reserved = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Idempotency-Key": true, "Keep-Alive": true,
	"Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true,
}

// ReadHeaders returns the headers that a user asks for, in canonical form. Those
// that users can't set, and what is no header, are refused one by one, in the
// order of their names, without their values.
func ReadHeaders(values map[string]string, refuse func(name, reason, text string)) http.Header {
	header := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		key := http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			refuse(name, reasonInvalid, "is not a valid header name")
		case reserved[key] || strings.HasPrefix(key, "Carillon-"):
			refuse(name, reasonReserved, "is set by the service")
		case !httpguts.ValidHeaderFieldValue(values[name]):
			refuse(name, reasonInvalid, "its value must not hold control characters")
		case header[key] != nil:
			refuse(name, reasonInvalid, "is given twice, in different case")
		}
		header.Set(key, values[name])
	}
	return header
}

// ParseURL reads an http or https URL, or says what is wrong with it, without
// repeating it.
func ParseURL(text string) (u *url.URL, problem string) {
	u, err := url.Parse(text)
	switch {
	case err != nil: // the error's text repeats the URL
		return nil, "is not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must begin with http:// or https://"
	case u.Hostname() == "":
		return nil, "names no host"
	case !validPort(u.Port()):
		return nil, "has a port that is not from 1 to 65535"
	}
	return u, ""
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && port > 0
}

// Bare is a URL without what may be secret in it: user, query and fragment.
func Bare(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
