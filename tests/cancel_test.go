package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
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
	// begun are the types of tasks that reached the outside.
	begun := make(chan string, 100)
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if strings.HasSuffix(r.URL.Path, "/web.download") {
			_, _ = io.WriteString(w, "begin")
			w.(http.Flusher).Flush()
		}
		begun <- path.Base(r.URL.Path)
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
			begun <- "grpc.call"
			go func() { _, _ = io.Copy(io.Discard, conn) }()
		}
	}()
	server := harness.Start(t, harness.Options{Flags: harness.Loopback})
	tenant := server.NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{
		"one": object{"type": "webdav", "url": url + "/one"}, "two": object{"type": "webdav", "url": url + "/two"},
	}})
	types := map[string]object{
		"util.sleep":   {"duration": "1h"},
		"http.request": {"url": url + "/http.request"},
		"web.download": {"files": []any{object{"url": url + "/web.download"}}},
		"grpc.call":    {"address": silent.Addr().String(), "method": "a.B/C", "plaintext": true},
		"sync.files":   {"resourceId": tenant.Resource, "remotes": []any{"one:/sync.files", "two:/sync.files"}},
		"rclone.sync":  {"id": tenant.Resource, "remotes": []any{"one:/rclone.sync", "two:/rclone.sync"}},
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
			for <-begun != name { // a request of the one before may arrive late
			}
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
	}
	if left := leftBehind(t, server); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// holdingS3 is an S3 server that reads nothing of a part, and counts the uploads
// in parts that were begun and not ended.
type holdingS3 struct {
	config  object
	begun   chan string // paths
	over    chan struct{}
	pending atomic.Int64
	objects func() int
}

func startHoldingS3(t *testing.T) *holdingS3 {
	t.Helper()
	s := &holdingS3{begun: make(chan string, 100), over: make(chan struct{})}
	s.config, s.objects = startS3With(t, "bucket", nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			query := r.URL.Query()
			switch {
			case query.Has("partNumber"):
				s.begun <- r.URL.Path
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
	uploads := 0
	upload := func(limit time.Duration) (execution string) {
		uploads++
		task := object{"name": "up", "type": "sync.files", "args": object{
			"resourceId": tenant.Resource, "mode": "copy", "remotes": []any{"disk:/in", fmt.Sprint("s3:/bucket/", uploads)}}}
		if limit > 0 {
			task["timeout"] = limit.String()
		}
		return tenant.Run(t, tenant.Create(t, nil, task))
	}
	isThis := func(path string) bool { return strings.HasPrefix(path, fmt.Sprintf("/bucket/%d/", uploads)) }
	judge := func(ended object, asked time.Time, state, reason string) {
		t.Helper()
		took := timeOf(t, ended, "finishedAt").Sub(asked)
		t.Logf("%s after %v", state, took)
		if took > 45*time.Second { // it is to take two, and takes a minute when the library is waited for
			t.Errorf("%s: took %v", state, took)
		}
		if ended["state"] != state || harness.Text(harness.List(ended, "tasks")[0], "error", "reason") != reason {
			t.Errorf("ended %v", ended)
		}
		if s3.objects() != 0 || s3.pending.Load() != 0 {
			t.Errorf("%s: %d objects, %d uploads pending", state, s3.objects(), s3.pending.Load())
		}
		if lines := fmt.Sprint(harness.Must(t, door, "TailLog", object{"executionId": ended["id"]})); !strings.Contains(lines, "no file is half-written") {
			t.Errorf("%s: the log does not tell: %s", state, lines)
		}
	}

	execution := upload(0)
	for !isThis(<-s3.begun) {
	}
	asked := time.Now()
	harness.Must(t, door, "CancelExecution", object{"executionId": execution})
	judge(tenant.End(t, execution), asked, "CANCELLED", "CANCELLED")

	for limit := 3 * time.Second; ; limit *= 3 { // a busy machine needs longer to begin
		ended, begun := tenant.End(t, upload(limit)), false
		for len(s3.begun) > 0 {
			begun = isThis(<-s3.begun) || begun
		}
		if begun {
			judge(ended, timeOf(t, ended, "startedAt").Add(limit), "FAILED", "TASK_TIMEOUT")
			break
		}
	}
}
