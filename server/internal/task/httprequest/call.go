package httprequest

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	defaultTimeout = 30 * time.Second
	minTimeout     = time.Millisecond
	maxTimeout     = time.Hour
	maxURLBytes    = 8 << 10
)

// reasonReserved refuses a header that users can't set.
const reasonReserved = "RESERVED_HEADER"

// reserved headers belong to the connection, to the message's framing or to
// this service, as do all that begin with Carillon-.
var reserved = map[string]bool{
	"Connection": true, "Content-Length": true, "Expect": true, "Host": true, "Idempotency-Key": true, "Keep-Alive": true,
	"Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true,
}

// call is what the arguments ask for.
type call struct {
	url     *url.URL
	method  string
	header  http.Header
	body    []byte
	timeout time.Duration
	// expect lists the statuses of a success; empty means any 2xx.
	expect []int
}

// String names the call in errors: method and URL without query.
func (c *call) String() string { return c.method + " " + bare(c.url) }

func (c *call) expects(status int) bool {
	if len(c.expect) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(c.expect, status)
}

func (c *call) expectsRedirect() bool {
	return slices.ContainsFunc(c.expect, func(status int) bool { return status >= 300 && status <= 399 })
}

// readCall reads the arguments, or refuses them with a *job.InvalidError.
func readCall(args task.Args) (*call, error) {
	r := task.Read(args)
	c := &call{url: readURL(r), method: http.MethodGet, timeout: defaultTimeout}
	if r.Has("method") {
		c.method = r.OneOf("method", task.Optional, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
			http.MethodPatch, http.MethodDelete, http.MethodOptions)
	}
	c.header = readHeaders(r)
	if body := r.Any("body", task.Optional); body != nil {
		c.setBody(r, body)
	}
	if timeout := r.Duration("timeout", task.Optional, minTimeout, maxTimeout); timeout > 0 {
		c.timeout = timeout
	}
	c.expect = readStatuses(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return c, nil
}

func readURL(r *task.Reader) *url.URL {
	text := r.String("url", task.Required)
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURLBytes:
		r.Refuse("url", task.ReasonOutOfRange, "must not be longer than %d bytes", maxURLBytes)
	case err != nil: // the error's text repeats the URL
		r.Refuse("url", task.ReasonInvalidValue, "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		r.Refuse("url", task.ReasonInvalidValue, "must begin with http:// or https://")
	case u.Hostname() == "":
		r.Refuse("url", task.ReasonInvalidValue, "names no host")
	case !validPort(u.Port()):
		r.Refuse("url", task.ReasonInvalidValue, "has a port that is not from 1 to 65535")
	}
	return u
}

func validPort(text string) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return text == "" || err == nil && port > 0
}

func readHeaders(r *task.Reader) http.Header {
	header := http.Header{"User-Agent": {userAgent}}
	given := make(map[string]bool)
	values := r.StringMap("headers", task.Optional)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		path, key := job.JoinPath("headers", task.Field(name)), http.CanonicalHeaderKey(name)
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			r.Refuse(path, task.ReasonInvalidValue, "is not a valid header name")
		case reserved[key] || strings.HasPrefix(key, "Carillon-"):
			r.Refuse(path, reasonReserved, "is set by the service")
		case !httpguts.ValidHeaderFieldValue(values[name]):
			r.Refuse(path, task.ReasonInvalidValue, "its value must not hold control characters")
		case given[key]:
			r.Refuse(path, task.ReasonInvalidValue, "is given twice, in different case")
		}
		given[key] = true
		header.Set(key, values[name])
	}
	return header
}

// setBody takes the body and, unless the caller names one, its content type.
func (c *call) setBody(r *task.Reader, body any) {
	if c.method == http.MethodGet || c.method == http.MethodHead {
		r.Refuse("body", task.ReasonInvalidValue, "can't be sent with %s; set method", c.method)
		return
	}
	contentType := "text/plain; charset=utf-8"
	if text, ok := body.(string); ok {
		c.body = []byte(text)
	} else {
		var buffer bytes.Buffer
		encoder := json.NewEncoder(&buffer)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(body); err != nil {
			r.Refuse("body", task.ReasonInvalidValue, "can't be written as JSON")
		}
		c.body = bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
		contentType = "application/json"
	}
	if c.header.Get("Content-Type") == "" {
		c.header.Set("Content-Type", contentType)
	}
}

// readStatuses reads one status or a list of them.
func readStatuses(r *task.Reader) []int {
	const path = "expectStatus"
	v := r.Any(path, task.Optional)
	if v == nil {
		return nil
	}
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	if len(list) == 0 {
		r.Refuse(path, task.ReasonRequired, "must name at least one status")
	}
	statuses := make([]int, len(list))
	for i, element := range list {
		at := path
		if many {
			at = task.Index(path, i)
		}
		status, ok := task.WholeNumber(element)
		switch {
		case !ok:
			r.Refuse(at, task.ReasonWrongType, "must be a status such as 200")
		case status < 200 || status > 599:
			r.Refuse(at, task.ReasonOutOfRange, "must be from 200 to 599")
		}
		statuses[i] = int(status)
	}
	return statuses
}
