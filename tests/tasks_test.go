package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// serveHTTP is an outside on loopback; its requests end when the test does.
func serveHTTP(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// A task that a server puts off waits as long as it was told, for everybody to
// see, and does its effect under one key.
func TestTriesOfATask(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	keys := make(chan string, 10)
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		keys <- r.Header.Get("Idempotency-Key")
		if calls.Add(1) == 1 {
			w.Header().Set("Retry-After", "3")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	tenant := harness.Start(t, harness.Options{Flags: harness.Loopback}).NewTenant(t)
	task := harness.Get("tell", url)
	task["retry"] = object{"maxAttempts": 3, "minBackoff": "100ms"}
	execution := tenant.Run(t, tenant.Create(t, nil, task))
	tenant.Reaches(t, execution, func(e object) bool {
		tasks := harness.List(e, "tasks")
		return len(tasks) == 1 && tasks[0]["nextAttemptAt"] != nil
	})
	waiting := harness.List(onAll(t, tenant.Operator, "GetExecution", object{"executionId": execution}, "signedLogUrl"), "tasks")[0]
	if fmt.Sprint(waiting["attempt"]) != "1" || waiting["state"] != "RUNNING" || harness.Text(waiting, "error", "code") != "RESOURCE_EXHAUSTED" {
		t.Errorf("while it waits: %v", waiting)
	}
	ended := harness.List(tenant.End(t, execution), "tasks")[0]
	if fmt.Sprint(ended["attempt"]) != "2" || ended["state"] != "SUCCEEDED" || ended["error"] != nil || ended["nextAttemptAt"] != nil {
		t.Errorf("at the end: %v", ended)
	}
	if one, two := <-keys, <-keys; one != two || one != execution+"/tell" {
		t.Errorf("keys %q and %q", one, two)
	}
}

// leftBehind are the files in a server's work directories.
func leftBehind(t *testing.T, server *harness.Server) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(server.DataDir, "work"), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return files
}

// A file goes from the web through the work directory into a remote, and
// nothing of it stays behind, nor of one whose server is killed.
func TestFilesPassBetweenTasks(t *testing.T) {
	t.Parallel()
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "content")
		if r.URL.Path == "/slow" {
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	})
	remotes := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: append([]string{"--local-remote-root", remotes}, harness.Loopback...)})
	tenant := server.NewTenant(t)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{"here": object{"type": "local"}}})
	fetch := func(path string) object {
		return object{"name": "fetch", "type": "web.download", "args": object{"files": []any{object{"url": url + path, "path": "in/a.txt"}}}}
	}
	store := object{"name": "store", "type": "sync.files", "inputs": "fetch",
		"args": object{"resourceId": tenant.Resource, "remotes": []any{"@work:/in", "here:/out"}}}
	ended := tenant.End(t, tenant.Run(t, tenant.Create(t, nil, fetch("/a"), store)))
	content, err := os.ReadFile(filepath.Join(remotes, "out", "a.txt"))
	if ended["state"] != "SUCCEEDED" || string(content) != "content" || err != nil {
		t.Errorf("%v; %q, %v", ended, content, err)
	}
	if left := leftBehind(t, server); len(left) > 0 {
		t.Errorf("left %v", left)
	}

	tenant.Run(t, tenant.Create(t, nil, fetch("/slow"), store))
	harness.Wait(t, 30*time.Second, "a file that is not complete", func() bool { return len(leftBehind(t, server)) > 0 })
	server.Kill(t)
	if left := leftBehind(t, server); len(left) == 0 {
		t.Fatal("the kill left nothing to remove")
	}
	if left := leftBehind(t, server.Again(t)); len(left) > 0 {
		t.Errorf("after the next start there is %v", left)
	}
}

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
