package syncfiles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// configs knows local remotes of one resource.
type configs struct{ names []string }

func (c configs) Remote(_ context.Context, resource, name string) (task.RemoteConfig, error) {
	for _, known := range c.names {
		if resource == "res_7" && known == name {
			return task.RemoteConfig{ResourceID: 7, Name: name, Type: "local"}, nil
		}
	}
	return task.RemoteConfig{}, &job.Failure{Code: "NOT_FOUND", Reason: "REMOTE_NOT_CONFIGURED", Message: "no remote " + name}
}

type bundle struct {
	root string
	run  task.Run
	log  *lines
	typ  map[string]task.Type
	// files and report are what the task told, memory what the job remembers.
	files  files
	report job.TaskReport
	memory memory
}

// files notes what was announced and done.
type files struct {
	mu              sync.Mutex
	announced, done []job.FileRecord
}

func (f *files) Doubtful(context.Context, string) ([]job.FileRecord, error) { return nil, nil }

func (f *files) Announce(_ context.Context, files []job.FileRecord) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.announced = append(f.announced, files...)
	return nil
}

func (f *files) Done(_ context.Context, r job.FileRecord) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.done = append(f.done, r)
}

// memory is what a job remembers.
type memory map[string][]byte

func (m memory) Recall(_ context.Context, key string) ([]byte, error) { return m[key], nil }
func (m memory) Remember(_ context.Context, key string, value []byte) error {
	m[key] = value
	return nil
}

// lines is a log that can be read as messages with their attributes.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// messages are the lines as "LEVEL message path reason".
func (l *lines) messages(t *testing.T) []string {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	decoder := json.NewDecoder(bytes.NewReader(l.buf.Bytes()))
	for decoder.More() {
		var line struct{ Level, Msg, Path, To, Reason string }
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.Join(strings.Fields(strings.Join([]string{line.Level, line.Msg, line.Path, line.To, line.Reason}, " ")), " "))
	}
	return out
}

func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{root: t.TempDir(), log: &lines{}, typ: map[string]task.Type{}, memory: memory{}}
	remotes, err := remote.New(remote.Options{LocalRoot: b.root, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("no network here")
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remotes.Close() })
	for _, typ := range Types(remotes) {
		b.typ[typ.Name()] = typ
	}
	b.run = task.Run{
		ExecutionID: 1, TaskName: t.Name(), Log: slog.New(slog.NewJSONHandler(b.log, nil)), Configs: configs{[]string{"a", "b", "c"}},
		Files: &b.files, Memory: b.memory, Report: func(r job.TaskReport) { b.report = r },
	}
	return b
}

func (b *bundle) write(t *testing.T, names map[string]string) {
	t.Helper()
	for name, content := range names {
		path := filepath.Join(b.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (b *bundle) read(t *testing.T, dir string) map[string]string {
	t.Helper()
	got := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(b.root, dir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(b.root, dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		got[entry.Name()] = string(content)
	}
	return got
}

func (b *bundle) do(t *testing.T, typ, args string) (task.Output, error) {
	t.Helper()
	run := b.run
	run.Args = decode(t, args)
	return b.typ[typ].Do(t.Context(), run)
}

func reason(err error) string {
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f.Reason
	}
	return ""
}

func TestSyncFiles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "src/b": "22", "dst/b": "old", "dst/gone": "x"})
	out, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/dst"]}`)
	if err != nil {
		t.Fatal(err)
	}
	want := task.Output{"remotes": []any{map[string]any{"remote": "b:/dst", "found": 2.0, "copied": 1.0, "updated": 1.0,
		"deleted": 1.0, "skipped": 0.0, "failed": 0.0, "conflicts": 0.0, "bytes": 3.0}}}
	if diff := cmp.Diff(want, out); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
	if got, want := b.read(t, "dst"), (map[string]string{"a": "1", "b": "22"}); !maps.Equal(got, want) {
		t.Errorf("destination %v, want %v", got, want)
	}
	count := map[string]int{}
	for _, line := range b.log.messages(t) {
		count[line]++
	}
	wantLines := map[string]int{"INFO sync starts b:/dst": 1, "INFO copied a": 1, "INFO updated b": 1, "INFO deleted gone": 1, "INFO sync ends": 1}
	if diff := cmp.Diff(wantLines, count); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func TestDryRunSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1"})
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/dst"],"dryRun":true}`); err != nil {
		t.Fatal(err)
	}
	if got := b.read(t, "dst"); len(got) != 0 {
		t.Errorf("destination %v", got)
	}
	if got := strings.Join(b.log.messages(t), "\n"); !strings.Contains(got, "INFO would be copied a") {
		t.Errorf("log:\n%s", got)
	}
}

func TestGuardsFailTheTask(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files map[string]string
		args  string
		want  string
	}{
		"empty source":    {map[string]string{"src/.keep": "", "dst/a": "1"}, `"exclude":[".keep"]`, remote.ReasonSourceEmpty},
		"missing source":  {map[string]string{"dst/a": "1"}, `"mode":"copy"`, remote.ReasonSourceMissing},
		"default limit":   {map[string]string{"src/a": "1", "dst/b": "1"}, `"mode":"mirror"`, remote.ReasonMaxDelete},
		"limit of a half": {map[string]string{"src/a": "1", "dst/a": "1", "dst/b": "1"}, `"maxDelete":"49%"`, remote.ReasonMaxDelete},
		"unknown remote":  {nil, `"remotes":["a:/src","typo:/dst"]`, "REMOTE_NOT_CONFIGURED"},
		"other resource":  {nil, `"resourceId":"res_8"`, "REMOTE_NOT_CONFIGURED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.write(t, test.files)
			before := b.read(t, "dst")
			_, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/dst"],`+test.args+`}`)
			if got := reason(err); got != test.want {
				t.Errorf("ended with %q (%v), want %q", got, err, test.want)
			}
			if after := b.read(t, "dst"); !maps.Equal(before, after) {
				t.Errorf("destination %v, was %v", after, before)
			}
			if got := strings.Join(b.log.messages(t), "\n"); !strings.Contains(got, "ERROR sync failed") || !strings.Contains(got, test.want) {
				t.Errorf("log does not say why:\n%s", got)
			}
		})
	}
}

func TestOneFailingRemoteDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "file": "1"})
	out, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/file","typo:/x","c:/dst"]}`)
	partial, ok := errors.AsType[*task.Partial](err)
	if !ok || partial.Failure.Reason != ReasonRemotesFailed {
		t.Fatalf("ended with %v", err)
	}
	for _, part := range []string{"2 of 3 remotes failed", "b:/file is a file", "typo:/x: no remote typo"} {
		if !strings.Contains(partial.Failure.Message, part) {
			t.Errorf("message %q lacks %q", partial.Failure.Message, part)
		}
	}
	if got := b.read(t, "dst"); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("the last remote has %v", got)
	}
	var errs []any
	for _, each := range out["remotes"].([]any) {
		errs = append(errs, each.(map[string]any)["error"])
	}
	if diff := cmp.Diff([]any{remote.ReasonIsFile, "REMOTE_NOT_CONFIGURED", nil}, errs); diff != "" {
		t.Errorf("errors in the output (-want +got):\n%s", diff)
	}
}

func TestFilterOfAnInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a.txt": "1", "src/b.bin": "1", "src/c.txt": "1"})
	out, err := b.do(t, "resource.input", `{"id":"res_7","exclude":["c*"],"include":"*.txt"}`)
	if err != nil {
		t.Fatal(err)
	}
	// Outputs are stored as JSON between the tasks.
	text, _ := json.Marshal(out)
	b.run.Inputs = map[string]task.Output{"input": task.Output(decode(t, string(text))), "other": {"filter": "no filter"}, "http": {"body": 1.0}}
	if _, err := b.do(t, "rclone.sync", `{"id":"res_7","remotes":["a:/src","b:/dst"]}`); err != nil {
		t.Fatal(err)
	}
	if got := b.read(t, "dst"); !maps.Equal(got, map[string]string{"a.txt": "1"}) {
		t.Errorf("destination %v, want a.txt alone", got)
	}
	// sync.files has arguments of its own for that.
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/all"]}`); err != nil {
		t.Fatal(err)
	}
	if got := b.read(t, "all"); len(got) != 3 {
		t.Errorf("destination %v, want all", got)
	}
}

func TestInputRefuses(t *testing.T) {
	t.Parallel()
	err := check("resource.input", decode(t, `{"exclude":["a["],"remotes":[]}`))
	if diff := cmp.Diff([]string{"id REQUIRED", "remotes UNKNOWN_FIELD", "exclude[0] INVALID_PATTERN"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

func TestCancelIsTheCause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1"})
	why := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	run := b.run
	run.Args = decode(t, `{"resourceId":"res_7","remotes":["a:/src","b:/dst"]}`)
	if _, err := b.typ["sync.files"].Do(ctx, run); !errors.Is(err, why) {
		t.Errorf("ended with %v, want the cause", err)
	}
	if _, err := (Input{}).Do(ctx, task.Run{Args: task.Args{"id": "7"}}); !errors.Is(err, why) {
		t.Errorf("input ended with %v, want the cause", err)
	}
}

func TestArgumentsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src",":local:/etc"]}`)
	if diff := cmp.Diff([]string{"remotes[1] INVALID_REMOTE"}, violations(err)); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
