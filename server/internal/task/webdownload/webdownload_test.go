package webdownload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/task/webdownload"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// bundle is the type with a work directory of 1 MiB.
type bundle struct {
	*webdownload.Type
	work   *workdir.Dir
	folder string
	log    bytes.Buffer
}

func setup(t *testing.T) *bundle {
	t.Helper()
	networks, err := egress.ParsePrefixes([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{Type: webdownload.New(egress.New(egress.Options{Allow: networks}).Client()), folder: t.TempDir()}
	store, err := workdir.Open(workdir.Options{Folder: b.folder, Limit: 1 << 20, Total: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	b.work = store.New(5)
	t.Cleanup(func() {
		if err := errors.Join(b.work.Remove(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bundle) do(ctx context.Context, args task.Args) (task.Output, error) {
	return b.Do(ctx, task.Run{Args: args, Work: b.work, Log: slog.New(slog.NewTextHandler(&b.log, nil))})
}

// stored is every file on the disk, finished or not, by its path.
func (b *bundle) stored(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(b.folder, func(at string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(at)
		_, inside, _ := strings.Cut(strings.TrimPrefix(at, b.folder+"/"), "/")
		files[inside] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func one(pairs ...any) task.Args {
	file := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		file[pairs[i].(string)] = pairs[i+1]
	}
	return task.Args{"files": []any{file}}
}

func sum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestDownload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer hunter2" || r.Header.Get("User-Agent") != "Carillon" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Last-Modified", "Sun, 22 Nov 2026 12:01:00 GMT")
		_, _ = w.Write([]byte("content of " + r.URL.Path))
	})
	args := task.Args{"headers": map[string]any{"Authorization": "Bearer hunter2"}, "files": []any{
		map[string]any{"url": url + "/a/scan%20one.laz?sig=hunter2"},
		map[string]any{"url": url + "/b", "path": "in/deep/b.txt", "sha256": strings.ToUpper(sum("content of /b"))},
	}}
	out, err := b.do(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	first := "content of /a/scan one.laz"
	want := task.Output{"files": []any{
		map[string]any{"path": "scan one.laz", "bytes": float64(len(first)), "sha256": sum(first)},
		map[string]any{"path": "in/deep/b.txt", "bytes": 13.0, "sha256": sum("content of /b")},
	}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]string{"files/scan one.laz": first, "files/in/deep/b.txt": "content of /b"}, b.stored(t)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	files, err := b.work.Files()
	if err != nil {
		t.Fatal(err)
	}
	if info, err := files.Stat("in/deep/b.txt"); err != nil || !info.ModTime().Equal(time.Date(2026, 11, 22, 12, 1, 0, 0, time.UTC)) {
		t.Errorf("%v, %v: the server's time is kept, so that a sync finds nothing to do the next time", info.ModTime(), err)
	}
	if log := b.log.String(); strings.Contains(log, "hunter2") || strings.Count(log, "msg=downloaded") != 2 {
		t.Errorf("log:\n%s", log)
	}
}

func TestFailuresKeepNothing(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/missing":
			w.WriteHeader(http.StatusNotFound)
		case "/busy":
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case "/huge":
			w.Header().Set("Content-Length", "2000000")
			_, _ = w.Write(make([]byte, 2_000_000))
		case "/endless":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 64<<10))
			}
		case "/broken":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(secret))
		case "/stops":
			_, _ = w.Write([]byte("text"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case "/inside":
			http.Redirect(w, r, "http://10.0.0.1/?k=hunter2", http.StatusFound)
		default:
			_, _ = w.Write([]byte("text"))
		}
	})
	tests := map[string]struct {
		path, code, reason string
		more               task.Args
	}{
		"missing":         {"/missing", "NOT_FOUND", "UNEXPECTED_STATUS", nil},
		"busy":            {"/busy", "RESOURCE_EXHAUSTED", "UNEXPECTED_STATUS", nil},
		"cut":             {"/broken", "UNAVAILABLE", "CONNECTION_LOST", nil},
		"cut at maxBytes": {"/stops", "UNAVAILABLE", "CONNECTION_LOST", task.Args{"maxBytes": 4.0}},
		"inside":          {"/inside", "PERMISSION_DENIED", "EGRESS_DENIED", nil},
		"beyond the work": {"/huge", "FAILED_PRECONDITION", "WORK_LIMIT_EXCEEDED", nil},
		"endless":         {"/endless", "FAILED_PRECONDITION", "WORK_LIMIT_EXCEEDED", nil},
		"announced":       {"/huge", "FAILED_PRECONDITION", "FILE_TOO_LARGE", task.Args{"maxBytes": 1000.0}},
		"found out":       {"/endless", "FAILED_PRECONDITION", "FILE_TOO_LARGE", task.Args{"maxBytes": 1000.0}},
		"one too many":    {"/text", "FAILED_PRECONDITION", "FILE_TOO_LARGE", task.Args{"maxBytes": 3.0}},
		"just enough":     {"/text", "", "", task.Args{"maxBytes": 4.0}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			args := one("url", strings.Replace(url, "://", "://u:hunter2@", 1)+test.path+"?k=hunter2")
			for key, value := range test.more {
				args[key] = value
			}
			_, err := b.do(t.Context(), args)
			if test.code == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			f := job.FailureOf(err)
			if err == nil || f.Code != test.code || f.Reason != test.reason {
				t.Fatalf("%#v, want %s %s", err, test.code, test.reason)
			}
			if left := b.stored(t); len(left) > 0 {
				t.Errorf("left %d files", len(left))
			}
			if strings.Contains(f.Message+b.log.String(), secret) {
				t.Errorf("leaks: %s\n%s", f.Message, b.log.String())
			}
			if want := (name == "busy"); want != (f.RetryAfter == 7*time.Second) {
				t.Errorf("retry after %s", f.RetryAfter)
			}
		})
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("other")) })
	_, err := b.do(t.Context(), one("url", url+"/a", "sha256", sum("text")))
	if f := job.FailureOf(err); f == nil || f.Reason != "CHECKSUM_MISMATCH" || f.Permanent() {
		t.Errorf("%v", err)
	}
	if left := b.stored(t); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A cancel in the middle of a body ends the task at once and leaves nothing.
func TestCancel(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := make(chan struct{})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("begin"))
		w.(http.Flusher).Flush()
		close(begun)
		<-r.Context().Done()
	})
	why := &job.Failure{Code: "CANCELLED", Reason: job.ReasonCancelled, Message: "cancelled by alice"}
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-begun; cancel(why) }()
	if _, err := b.do(ctx, one("url", url+"/a")); !errors.Is(err, error(why)) {
		t.Errorf("%v, want %v", err, why)
	}
	if left := b.stored(t); len(left) > 0 {
		t.Errorf("left %v", left)
	}
	if !strings.Contains(b.log.String(), "nothing of the file is kept") {
		t.Errorf("log:\n%s", b.log.String())
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const url = "https://example.com/a/scan.laz"
	types := task.NewRegistry(webdownload.New(nil))
	tests := map[string]struct {
		args task.Args
		want []string
	}{
		"least":            {one("url", url), nil},
		"all":              {task.Args{"files": []any{map[string]any{"url": url, "path": "in/a b.laz", "sha256": sum("")}}, "headers": map[string]any{"X-A": "1"}, "maxBytes": 0.0, "timeout": "24h"}, nil},
		"nothing":          {nil, []string{"files REQUIRED"}},
		"no files":         {task.Args{"files": []any{}}, []string{"files REQUIRED"}},
		"no url":           {one("path", "a"), []string{"files[0].url REQUIRED"}},
		"other scheme":     {one("url", "file:///etc/passwd"), []string{"files[0].url INVALID_VALUE"}},
		"no name":          {one("url", "https://example.com/"), []string{"files[0].path REQUIRED"}},
		"name of a folder": {one("url", "https://example.com/.."), []string{"files[0].path INVALID_PATH"}},
		"slash in a name":  {one("url", "https://example.com/a%2F..%2Fb"), nil},
		"control in a url": {one("url", "https://example.com/a%00b"), []string{"files[0].path INVALID_PATH"}},
		"up":               {one("url", url, "path", "../a"), []string{"files[0].path INVALID_PATH"}},
		"up inside":        {one("url", url, "path", "a/../../b"), []string{"files[0].path INVALID_PATH"}},
		"absolute":         {one("url", url, "path", "/a"), []string{"files[0].path INVALID_PATH"}},
		"folder":           {one("url", url, "path", "a/"), []string{"files[0].path INVALID_PATH"}},
		"backslash":        {one("url", url, "path", `a\b`), []string{"files[0].path INVALID_PATH"}},
		"long name":        {one("url", url, "path", strings.Repeat("x", 256)), []string{"files[0].path INVALID_PATH"}},
		"no sum":           {one("url", url, "sha256", "abc"), []string{"files[0].sha256 INVALID_VALUE"}},
		"same place":       {task.Args{"files": []any{map[string]any{"url": url}, map[string]any{"url": url + "?2"}}}, []string{"files[1].path INVALID_PATH"}},
		"one in the other": {task.Args{"files": []any{map[string]any{"url": url, "path": "a/b"}, map[string]any{"url": url, "path": "a"}}}, []string{"files[1].path INVALID_PATH"}},
		"own header":       {task.Args{"files": []any{map[string]any{"url": url}}, "headers": map[string]any{"Host": "x"}}, []string{"headers.Host RESERVED_HEADER"}},
		"timeout":          {task.Args{"files": []any{map[string]any{"url": url}}, "timeout": "25h"}, []string{"timeout OUT_OF_RANGE"}},
	}
	for name, test := range tests {
		var got []string
		var invalid *job.InvalidError
		if errors.As(types.Check("web.download", test.args), &invalid) {
			for _, v := range invalid.Violations {
				got = append(got, v.Field+" "+v.Reason)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
