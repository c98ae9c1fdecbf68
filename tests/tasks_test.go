package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
	const soon = 2 * time.Second
	var calls atomic.Int32
	keys := make(chan string, 10)
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		wait := soon
		if r.URL.Path == "/later" {
			wait = time.Hour
		} else {
			keys <- r.Header.Get("Idempotency-Key")
			if calls.Add(1) > 1 {
				return
			}
		}
		w.Header().Set("Retry-After", fmt.Sprint(int(wait.Seconds())))
		w.WriteHeader(http.StatusTooManyRequests)
	})
	tenant := harness.Start(t, harness.Options{Flags: harness.Loopback}).NewTenant(t)
	run := func(path string) string {
		task := harness.Get("tell", url+path)
		task["retry"] = object{"maxAttempts": 3, "minBackoff": "100ms"}
		return tenant.Run(t, tenant.Create(t, nil, task))
	}
	later := run("/later")
	tenant.Reaches(t, later, func(e object) bool {
		tasks := harness.List(e, "tasks")
		return len(tasks) == 1 && tasks[0]["nextAttemptAt"] != nil
	})
	waiting := harness.List(onAll(t, tenant.Operator, "GetExecution", object{"executionId": later}, "signedLogUrl"), "tasks")[0]
	if fmt.Sprint(waiting["attempt"]) != "1" || waiting["state"] != "RUNNING" || harness.Text(waiting, "error", "code") != "RESOURCE_EXHAUSTED" {
		t.Errorf("while it waits: %v", waiting)
	}
	harness.Must(t, tenant.Operator.GRPCDoor(), "CancelExecution", object{"executionId": later})

	execution := run("/soon")
	end := tenant.End(t, execution)
	ended := harness.List(end, "tasks")[0]
	if fmt.Sprint(ended["attempt"]) != "2" || ended["state"] != "SUCCEEDED" || ended["error"] != nil || ended["nextAttemptAt"] != nil {
		t.Errorf("at the end: %v", ended)
	}
	if took := timeOf(t, end, "finishedAt").Sub(timeOf(t, end, "startedAt")); took < soon {
		t.Errorf("it was put off by %s, and has ended after %s", soon, took)
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
