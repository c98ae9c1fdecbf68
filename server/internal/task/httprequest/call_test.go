package httprequest_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/httprequest"
)

func refusals(t *testing.T, err error) []string {
	t.Helper()
	if err == nil {
		return nil
	}
	var invalid *job.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("error is %T, want *job.InvalidError: %v", err, err)
	}
	var out []string
	for _, v := range invalid.Violations {
		out = append(out, v.Field+" "+v.Reason)
	}
	return out
}

func check(args task.Args) error {
	return task.NewRegistry(httprequest.New(http.DefaultClient)).Check("http.request", args)
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const url = "https://example.com/hook"
	headers := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	tests := map[string]struct {
		args task.Args
		want []string
	}{
		"least": {task.Args{"url": url}, nil},
		"all": {task.Args{"url": "http://user:pw@[2606::1]:8080/a%20b?q=1#f", "method": "POST", "headers": headers("X-A", "1", "authorization", "x"),
			"body": map[string]any{"a": 1.0}, "timeout": "1m", "expectStatus": []any{200.0, 404.0}}, nil},
		"seconds":           {task.Args{"url": url, "timeout": 0.5, "expectStatus": 204.0}, nil},
		"nulls":             {task.Args{"url": url, "method": nil, "headers": nil, "body": nil, "timeout": nil, "expectStatus": nil}, nil},
		"nothing":           {nil, []string{"url REQUIRED"}},
		"unknown argument":  {task.Args{"url": url, "retries": 3.0}, []string{"retries UNKNOWN_FIELD"}},
		"url type":          {task.Args{"url": 1.0}, []string{"url WRONG_TYPE"}},
		"file":              {task.Args{"url": "file:///etc/passwd"}, []string{"url INVALID_VALUE"}},
		"gopher":            {task.Args{"url": "gopher://example.com"}, []string{"url INVALID_VALUE"}},
		"no scheme":         {task.Args{"url": "example.com/hook"}, []string{"url INVALID_VALUE"}},
		"opaque":            {task.Args{"url": "http:example.com"}, []string{"url INVALID_VALUE"}},
		"no host":           {task.Args{"url": "http:///path"}, []string{"url INVALID_VALUE"}},
		"only a port":       {task.Args{"url": "http://:80/"}, []string{"url INVALID_VALUE"}},
		"control character": {task.Args{"url": "http://example.com/\r\nX: y"}, []string{"url INVALID_VALUE"}},
		"port 0":            {task.Args{"url": "http://example.com:0/"}, []string{"url INVALID_VALUE"}},
		"port 65536":        {task.Args{"url": "http://example.com:65536/"}, []string{"url INVALID_VALUE"}},
		"long url":          {task.Args{"url": url + strings.Repeat("a", 8<<10)}, []string{"url OUT_OF_RANGE"}},
		"method":            {task.Args{"url": url, "method": "get"}, []string{"method INVALID_VALUE"}},
		"CONNECT":           {task.Args{"url": url, "method": "CONNECT"}, []string{"method INVALID_VALUE"}},
		"body with GET":     {task.Args{"url": url, "body": "x"}, []string{"body INVALID_VALUE"}},
		"header value type": {task.Args{"url": url, "headers": headers("X-A", 1.0)}, []string{"headers.X-A WRONG_TYPE"}},
		"header name":       {task.Args{"url": url, "headers": headers("X A", "1", "", "2")}, []string{`headers[""] INVALID_VALUE`, `headers["X A"] INVALID_VALUE`}},
		"header value":      {task.Args{"url": url, "headers": headers("X-A", "1\r\nX-B: 2")}, []string{"headers.X-A INVALID_VALUE"}},
		"header twice":      {task.Args{"url": url, "headers": headers("x-a", "1", "X-A", "2")}, []string{"headers.x-a INVALID_VALUE"}},
		"own headers": {task.Args{"url": url, "headers": headers("carillon-fence", "9", "Carillon-Execution-Id", "x", "Carillon-New", "x", "idempotency-key", "x")},
			[]string{"headers.Carillon-Execution-Id RESERVED_HEADER", "headers.Carillon-New RESERVED_HEADER", "headers.carillon-fence RESERVED_HEADER", "headers.idempotency-key RESERVED_HEADER"}},
		"connection headers": {task.Args{"url": url, "headers": headers("Host", "x", "connection", "x", "Transfer-Encoding", "chunked", "content-length", "1", "TE", "x", "Upgrade", "h2c", "Proxy-Authorization", "x")},
			[]string{"headers.Host RESERVED_HEADER", "headers.Proxy-Authorization RESERVED_HEADER", "headers.TE RESERVED_HEADER", "headers.Transfer-Encoding RESERVED_HEADER",
				"headers.Upgrade RESERVED_HEADER", "headers.connection RESERVED_HEADER", "headers.content-length RESERVED_HEADER"}},
		"timeout 0":       {task.Args{"url": url, "timeout": 0.0}, []string{"timeout OUT_OF_RANGE"}},
		"timeout 61m":     {task.Args{"url": url, "timeout": "61m"}, []string{"timeout OUT_OF_RANGE"}},
		"timeout text":    {task.Args{"url": url, "timeout": "30"}, []string{"timeout WRONG_TYPE"}},
		"status text":     {task.Args{"url": url, "expectStatus": "200"}, []string{"expectStatus WRONG_TYPE"}},
		"status 600":      {task.Args{"url": url, "expectStatus": 600.0}, []string{"expectStatus OUT_OF_RANGE"}},
		"status elements": {task.Args{"url": url, "expectStatus": []any{200.0, 2.5, 100.0}}, []string{"expectStatus[1] WRONG_TYPE", "expectStatus[2] OUT_OF_RANGE"}},
		"no status":       {task.Args{"url": url, "expectStatus": []any{}}, []string{"expectStatus REQUIRED"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, refusals(t, check(test.args))); diff != "" {
				t.Errorf("refusals (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCheckRepeatsNoSecrets(t *testing.T) {
	t.Parallel()
	for _, args := range []task.Args{
		{"url": "ftp://user:hunter2@example.com/?token=hunter2"},
		{"url": "http://user:hunter2@example.com:port/?token=hunter2"},
		{"url": "http://example.com/%zz?token=hunter2"},
		{"url": "https://example.com", "headers": map[string]any{"Authorization": "hunter2\n"}},
		{"url": "https://example.com", "method": "hunter2", "timeout": "hunter2", "expectStatus": "hunter2", "body": "hunter2"},
	} {
		err := check(args)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
