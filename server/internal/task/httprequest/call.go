package httprequest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	defaultTimeout = 30 * time.Second
	minTimeout     = time.Millisecond
	maxTimeout     = time.Hour
)

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
func (c *call) String() string { return c.method + " " + egress.Bare(c.url) }

func (c *call) expects(status int) bool {
	if len(c.expect) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.Contains(c.expect, status)
}

// expected says in words which statuses are a success.
func (c *call) expected() string {
	if len(c.expect) == 0 {
		return "2xx"
	}
	texts := make([]string, len(c.expect))
	for i, status := range c.expect {
		texts[i] = strconv.Itoa(status)
	}
	return strings.Join(texts, " or ")
}

func (c *call) expectsRedirect() bool {
	return slices.ContainsFunc(c.expect, func(status int) bool { return status >= 300 && status <= 399 })
}

// readCall reads the arguments, or refuses them with a *job.InvalidError.
func readCall(args task.Args) (*call, error) {
	r := task.Read(args)
	c := &call{url: readURL(r), method: http.MethodGet, timeout: defaultTimeout}
	if method := r.String("method"); method != "" {
		c.method = method
	}
	c.header = readHeaders(r)
	if body := r.Any("body"); body != nil {
		c.setBody(r, body)
	}
	if timeout := r.Duration("timeout", minTimeout, maxTimeout); timeout > 0 {
		c.timeout = timeout
	}
	c.expect = statuses(r.Any("expectStatus"))
	if err := r.Done(); err != nil {
		return nil, err
	}
	return c, nil
}

func readURL(r *task.Reader) *url.URL {
	text := r.String("url")
	if text == "" {
		return nil
	}
	u, problem := egress.ParseURL(text)
	if problem != "" {
		r.Refuse("url", task.ReasonInvalidValue, "%s", problem)
	}
	return u
}

func readHeaders(r *task.Reader) http.Header {
	header := egress.ReadHeaders(r.StringMap("headers"), func(name, reason, text string) {
		r.Refuse(job.JoinPath("headers", task.Field(name)), reason, "%s", text)
	})
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", userAgent)
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

// statuses are one status or a list of them.
func statuses(v any) []int {
	list, many := v.([]any)
	if !many {
		list = []any{v}
	}
	var out []int
	for _, element := range list {
		if status, ok := task.WholeNumber(element); ok {
			out = append(out, int(status))
		}
	}
	return out
}
