package httprequest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/httprequest"
)

func newType(t *testing.T) *httprequest.Type {
	t.Helper()
	networks, err := egress.ParsePrefixes([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return httprequest.New(egress.New(egress.Options{Allow: networks}).Client())
}

// newServer serves handler until the test ends.
func newServer(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// do runs the task and returns its log too.
func do(ctx context.Context, taskType task.Type, args task.Args) (task.Output, string, error) {
	var log bytes.Buffer
	out, err := taskType.Do(ctx, task.Run{
		ExecutionID: 100234, TaskName: "call", Fence: 7, IdempotencyKey: "exec_100234/call",
		Args: args, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	return out, log.String(), err
}

func TestRequest(t *testing.T) {
	t.Parallel()
	type received struct {
		Method, URI, Body string
		Header            http.Header
	}
	calls := make(chan received, 1)
	url := newServer(t, func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Header.Del("Accept-Encoding")
		calls <- received{r.Method, r.RequestURI, string(body), r.Header}
	})
	own := func(more http.Header) http.Header {
		header := http.Header{
			"Carillon-Execution-Id": {"exec_100234"}, "Carillon-Fence": {"7"}, "Idempotency-Key": {"exec_100234/call"}, "User-Agent": {"Carillon"},
		}
		for name, values := range more {
			header[name] = values
		}
		return header
	}
	tests := map[string]struct {
		args task.Args
		want received
	}{
		"get": {task.Args{"url": url + "/a?b=c"}, received{"GET", "/a?b=c", "", own(nil)}},
		"text": {task.Args{"url": url, "method": "PUT", "body": "<é>", "headers": map[string]any{"user-agent": "mine", "X-Key": "k"}},
			received{"PUT", "/", "<é>", own(http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"4"}, "User-Agent": {"mine"}, "X-Key": {"k"}})}},
		"json": {task.Args{"url": url, "method": "POST", "body": map[string]any{"n": 100000000.0, "t": "<&>", "l": []any{nil, true}}},
			received{"POST", "/", `{"l":[null,true],"n":100000000,"t":"<&>"}`, own(http.Header{"Content-Type": {"application/json"}, "Content-Length": {"41"}})}},
		"json with its own type": {task.Args{"url": url, "method": "PATCH", "body": false, "headers": map[string]any{"Content-Type": "application/x"}},
			received{"PATCH", "/", `false`, own(http.Header{"Content-Type": {"application/x"}, "Content-Length": {"5"}})}},
		"empty text": {task.Args{"url": url, "method": "POST", "body": ""},
			received{"POST", "/", "", own(http.Header{"Content-Type": {"text/plain; charset=utf-8"}, "Content-Length": {"0"}})}},
	}
	taskType := newType(t)
	for name, test := range tests {
		if _, _, err := do(t.Context(), taskType, test.args); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(test.want, <-calls); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOutput(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		contentType, body string
		want              task.Output
	}{
		"json":        {"application/json; charset=utf-8", `{"a":[1]}`, task.Output{"body": map[string]any{"a": []any{1.0}}, "bodyBytes": 9.0}},
		"vendor json": {"application/problem+json", `"x"`, task.Output{"body": "x", "bodyBytes": 3.0}},
		"broken json": {"application/json", `{`, task.Output{"body": "{", "bodyBytes": 1.0}},
		"text":        {"text/plain", "hällo", task.Output{"body": "hällo", "bodyBytes": 6.0}},
		"binary":      {"image/png", "\x89PNG\xff", task.Output{"bodyBytes": 5.0}},
		"empty":       {"text/plain", "", task.Output{"bodyBytes": 0.0}},
		"64 KiB":      {"text/plain", strings.Repeat("x", 64<<10), task.Output{"body": strings.Repeat("x", 64<<10), "bodyBytes": 65536.0}},
		"more":        {"text/plain", strings.Repeat("x", 64<<10+1), task.Output{"bodyBytes": 65537.0}},
		"far more":    {"text/plain", strings.Repeat("x", 3<<20), task.Output{"bodyBytes": 1048576.0}},
	}
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		answer := answers[r.URL.Query().Get("case")]
		w.Header().Set("Content-Type", answer.contentType)
		w.Header().Set("Etag", `"e"`)
		w.Header().Set("Set-Cookie", "s=hunter2")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, answer.body)
	})
	taskType := newType(t)
	for name, answer := range answers {
		answer.want["status"] = 202.0
		answer.want["headers"] = map[string]any{"content-type": answer.contentType, "etag": `"e"`}
		got, _, err := do(t.Context(), taskType, task.Args{"url": url + "/?case=" + strings.ReplaceAll(name, " ", "+")})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(answer.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	url := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		var status int
		for _, digit := range strings.TrimPrefix(r.URL.Path, "/") {
			status = status*10 + int(digit-'0')
		}
		w.Header().Set("Location", "/200")
		w.WriteHeader(status)
	})
	tests := []struct {
		status string
		expect any
		code   string
	}{
		{"200", nil, ""}, {"299", nil, ""}, {"404", 404.0, ""}, {"500", []any{200.0, 500.0}, ""},
		{"302", nil, ""}, {"302", 302.0, ""}, {"200", 302.0, "FAILED_PRECONDITION"},
		{"200", 201.0, "FAILED_PRECONDITION"}, {"304", nil, "FAILED_PRECONDITION"}, {"400", nil, "INVALID_ARGUMENT"}, {"401", nil, "UNAUTHENTICATED"},
		{"403", nil, "PERMISSION_DENIED"}, {"404", nil, "NOT_FOUND"}, {"408", nil, "DEADLINE_EXCEEDED"}, {"409", nil, "ABORTED"},
		{"418", nil, "FAILED_PRECONDITION"}, {"429", nil, "RESOURCE_EXHAUSTED"}, {"500", nil, "INTERNAL"}, {"501", nil, "UNIMPLEMENTED"},
		{"502", nil, "UNAVAILABLE"}, {"503", nil, "UNAVAILABLE"}, {"504", nil, "DEADLINE_EXCEEDED"}, {"503", 200.0, "UNAVAILABLE"},
	}
	taskType := newType(t)
	for _, test := range tests {
		args := task.Args{"url": url + "/" + test.status + "?token=hunter2"}
		if test.expect != nil {
			args["expectStatus"] = test.expect
		}
		_, _, err := do(t.Context(), taskType, args)
		if test.code == "" && err == nil {
			continue
		}
		var failure *job.Failure
		if !errors.As(err, &failure) || failure.Code != test.code || failure.Reason != "UNEXPECTED_STATUS" {
			t.Errorf("%s expecting %v: %#v, want %s", test.status, test.expect, err, test.code)
			continue
		}
		if want := "GET " + url + "/" + test.status + ": answered " + test.status + ", expected "; !strings.HasPrefix(failure.Message, want) {
			t.Errorf("message %q, want %q…", failure.Message, want)
		}
	}
}

// raw serves one answer that is whatever the bytes say.
func raw(t *testing.T, answer string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, answer)
			conn.Close()
		}
	}()
	return listener.Addr().String()
}

func TestFailuresAndLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	closed := raw(t, "")
	tests := map[string]struct{ url, code, reason string }{
		"denied":         {"http://u:hunter2@10.0.0.1/?k=hunter2", "PERMISSION_DENIED", "EGRESS_DENIED"},
		"refused":        {"http://u:hunter2@127.0.0.1:1/?k=hunter2", "UNAVAILABLE", "CONNECT_FAILED"},
		"closed":         {"http://u:hunter2@" + closed + "/?k=hunter2", "UNAVAILABLE", "CONNECTION_LOST"},
		"no HTTP":        {"http://u:hunter2@" + raw(t, "hunter2 hunter2\r\n\r\n") + "/?k=hunter2", "UNAVAILABLE", "CONNECTION_LOST"},
		"bad redirect":   {"http://" + raw(t, "HTTP/1.1 302 Found\r\nLocation: http://[::hunter2/?k=hunter2\r\n\r\n") + "/?k=hunter2", "UNAVAILABLE", "CONNECTION_LOST"},
		"short body":     {"http://" + raw(t, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhunter2") + "/?k=hunter2", "UNAVAILABLE", "CONNECTION_LOST"},
		"huge header":    {"http://" + raw(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat(secret, 20_000)+"\r\n\r\n") + "/?k=hunter2", "UNAVAILABLE", "CONNECTION_LOST"},
		"no TLS":         {"https://u:hunter2@" + raw(t, "HTTP/1.1 400 Bad Request\r\n\r\n") + "/?k=hunter2", "FAILED_PRECONDITION", "TLS_FAILED"},
		"redirect away":  {"http://" + raw(t, "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/?k=hunter2\r\n\r\n") + "/", "PERMISSION_DENIED", "EGRESS_DENIED"},
		"redirect file":  {"http://" + raw(t, "HTTP/1.1 302 Found\r\nLocation: file:///hunter2\r\n\r\n") + "/", "FAILED_PRECONDITION", "REDIRECT_REFUSED"},
		"bad status":     {"http://u:hunter2@" + raw(t, "HTTP/1.1 500 hunter2\r\nContent-Length: 7\r\n\r\nhunter2") + "/?k=hunter2", "INTERNAL", "UNEXPECTED_STATUS"},
		"unknown issuer": {newTLSServer(t) + "/?k=hunter2", "FAILED_PRECONDITION", "TLS_FAILED"},
	}
	taskType := newType(t)
	for name, test := range tests {
		_, log, err := do(t.Context(), taskType, task.Args{"url": test.url, "headers": map[string]any{"X-Key": secret}})
		var failure *job.Failure
		if !errors.As(err, &failure) || failure.Code != test.code || failure.Reason != test.reason {
			t.Errorf("%s: %#v, want %s %s", name, err, test.code, test.reason)
			continue
		}
		if strings.Contains(failure.Message, secret) || strings.Contains(log, secret) {
			t.Errorf("%s leaks: %s\n%s", name, failure.Message, log)
		}
		if !strings.Contains(log, "method=GET url=http") || !strings.Contains(log, "duration=") {
			t.Errorf("%s: log does not tell of the call:\n%s", name, log)
		}
	}
}

func newTLSServer(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// stuck never answers.
type stuck struct{}

func (stuck) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		timeout any
		want    time.Duration
	}{{nil, 30 * time.Second}, {"2m", 2 * time.Minute}, {0.25, 250 * time.Millisecond}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			_, _, err := do(t.Context(), httprequest.New(&http.Client{Transport: stuck{}}), task.Args{"url": "http://example.com/?k=hunter2", "timeout": test.timeout})
			var failure *job.Failure
			if !errors.As(err, &failure) || failure.Code != "DEADLINE_EXCEEDED" || failure.Reason != "TIMEOUT" || strings.Contains(failure.Message, "hunter2") {
				t.Errorf("%#v", err)
			}
			if took := time.Since(start); took != test.want {
				t.Errorf("took %s, want %s", took, test.want)
			}
		})
	}
}

func TestCancelReportsTheCause(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("cancelled by alice")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(cause) })
		_, _, err := do(ctx, httprequest.New(&http.Client{Transport: stuck{}}), task.Args{"url": "http://example.com"})
		if !errors.Is(err, cause) {
			t.Errorf("%v, want %v", err, cause)
		}
	})
}

func TestDoChecksAgain(t *testing.T) {
	t.Parallel()
	_, _, err := do(t.Context(), newType(t), task.Args{"url": "file:///etc/passwd"})
	if diff := cmp.Diff([]string{"url INVALID_VALUE"}, refusals(t, err)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
