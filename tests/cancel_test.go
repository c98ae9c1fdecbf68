package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// Whatever an execution does, a cancel ends it within two seconds, leaves
// nothing that is half done, and is in the log.
func TestCancelEndsEveryType(t *testing.T) {
	t.Parallel()
	begun := make(chan string, 100)
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/file") {
			_, _ = io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
		}
		begun <- r.URL.Path
		<-r.Context().Done()
	})
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				return
			}
			begun <- "grpc"
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	server := harness.Start(t, harness.Options{Flags: harness.Loopback})
	tenant := server.NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{
		"one": object{"type": "webdav", "url": url + "/one"}, "two": object{"type": "webdav", "url": url + "/two"},
	}})
	sync := object{"resourceId": tenant.Resource, "remotes": []any{"one:/a", "two:/b"}}
	types := map[string]object{
		"util.sleep":   {"duration": "1h"},
		"http.request": {"url": url + "/call"},
		"web.download": {"files": []any{object{"url": url + "/file"}}},
		"grpc.call":    {"address": silent.Addr().String(), "method": "a.B/C", "plaintext": true},
		"sync.files":   sync,
		"rclone.sync":  {"id": tenant.Resource, "remotes": sync["remotes"]},
	}
	atOnce := []string{"util.noop", "resource.input"} // nothing to cancel
	known := harness.List(harness.Must(t, door, "ListTaskTypes", object{}), "taskTypes")
	for _, one := range known {
		if name := harness.Text(one, "name"); types[name] == nil && !slices.Contains(atOnce, name) {
			t.Errorf("nobody cancels a %s", name)
		}
	}
	for name, args := range types {
		execution := tenant.Run(t, tenant.Create(t, nil, object{"name": "it", "type": name, "args": args}))
		if name == "util.sleep" {
			tenant.Reaches(t, execution, func(e object) bool { return e["state"] == "RUNNING" })
		} else {
			<-begun
		}
		start := time.Now()
		harness.Must(t, door, "CancelExecution", object{"executionId": execution})
		ended := tenant.End(t, execution)
		at, err := time.Parse(time.RFC3339Nano, harness.Text(ended, "finishedAt"))
		if took := at.Sub(start); err != nil || took > time.Minute { // uncancelled, they take an hour
			t.Errorf("%s: ended %s after the cancel", name, took)
		}
		if ended["state"] != "CANCELLED" || harness.List(ended, "tasks")[0]["state"] != "CANCELLED" {
			t.Errorf("%s: %v", name, ended)
		}
		if lines := harness.Must(t, door, "TailLog", object{"executionId": execution}); !strings.Contains(fmt.Sprint(lines), "task cancelled") {
			t.Errorf("%s: the log does not tell: %v", name, lines)
		}
		for len(begun) > 0 {
			<-begun
		}
	}
	if left := leftBehind(t, server); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// holdingS3 is an S3 server that reads nothing of a part, and counts the uploads
// in parts that were begun and not ended.
type holdingS3 struct {
	config  object
	begun   chan struct{}
	over    chan struct{}
	pending atomic.Int64
	objects func() int
}

func startHoldingS3(t *testing.T) *holdingS3 {
	t.Helper()
	s := &holdingS3{begun: make(chan struct{}, 100), over: make(chan struct{})}
	s.config, s.objects = startS3With(t, "bucket", nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			switch {
			case query.Has("partNumber"):
				s.begun <- struct{}{}
				<-s.over // a server that reads nothing does not see its client go
				return
			case r.Method == http.MethodPost && query.Has("uploads"):
				s.pending.Add(1)
			case query.Has("uploadId"): // aborted, or completed
				s.pending.Add(-1)
			}
			next.ServeHTTP(w, r)
		})
	})
	t.Cleanup(func() { close(s.over) })
	return s
}

// A cancel, or the end of its time, stops a large upload within two seconds: no
// object is seen, no part stays with the service, and the log tells.
func TestLargeUploadIsGivenUp(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s3 := startHoldingS3(t)
	tenant := harness.Start(t, harness.Options{Flags: append([]string{"--local-remote-root", root}, harness.Loopback...)}).NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	s3.config["disable_checksum"] = true // else all of the file is read first
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{"disk": object{"type": "local"}, "s3": s3.config}})
	large := filepath.Join(root, "in", "large")
	writeFile(t, large, "")
	if err := os.Truncate(large, 201<<20); err != nil { // in parts from 200 MiB on; it has holes only
		t.Fatal(err)
	}
	upload := func() object {
		return object{"name": "up", "type": "sync.files", "args": object{
			"resourceId": tenant.Resource, "mode": "copy", "remotes": []any{"disk:/in", "s3:/bucket/x"}}}
	}
	const timeLimit = 3 * time.Second
	limited := upload()
	limited["timeout"] = timeLimit.String()
	for _, c := range []struct {
		task          object
		state, reason string
	}{{upload(), "CANCELLED", "CANCELLED"}, {limited, "FAILED", "TASK_TIMEOUT"}} {
		execution := tenant.Run(t, tenant.Create(t, nil, c.task))
		<-s3.begun
		asked := time.Now()
		if c.state == "CANCELLED" {
			harness.Must(t, door, "CancelExecution", object{"executionId": execution})
		}
		ended := tenant.End(t, execution)
		if c.state != "CANCELLED" {
			began, err := time.Parse(time.RFC3339Nano, harness.Text(ended, "startedAt"))
			if err != nil {
				t.Fatal(err)
			}
			asked = began.Add(timeLimit)
		}
		at, err := time.Parse(time.RFC3339Nano, harness.Text(ended, "finishedAt"))
		took := at.Sub(asked)
		t.Logf("%s after %v", c.state, took)
		if err != nil || took > 20*time.Second { // it is to take two, and takes a minute when the library is waited for
			t.Errorf("%s: took %v, %v", c.state, took, err)
		}
		if ended["state"] != c.state || harness.Text(harness.List(ended, "tasks")[0], "error", "reason") != c.reason {
			t.Errorf("ended %v", ended)
		}
		if s3.objects() != 0 || s3.pending.Load() != 0 {
			t.Errorf("%s: %d objects, %d uploads pending", c.state, s3.objects(), s3.pending.Load())
		}
		if lines := fmt.Sprint(harness.Must(t, door, "TailLog", object{"executionId": execution})); !strings.Contains(lines, "no file is half-written") {
			t.Errorf("%s: the log does not tell: %s", c.state, lines)
		}
		for len(s3.begun) > 0 {
			<-s3.begun
		}
	}
}
