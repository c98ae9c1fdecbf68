package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// bundle is a fresh set of everything that one test needs.
type bundle struct {
	*Remotes
	// root is the folder of local remotes.
	root string
	// log is what the session wrote.
	log *safeBuffer
	// dials counts outgoing connections that were made.
	dials atomic.Int64
	// choke, when set, holds new connections up.
	choke atomic.Pointer[choke]
	// route, when set, says where addresses lead.
	route atomic.Pointer[route]
}

type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// setupTest opens remotes that may connect to this machine.
func setupTest(t *testing.T) *bundle { return setupAllowing(t, "127.0.0.0/8", "::1/128") }

// setupWith opens such remotes with other options.
func setupWith(t *testing.T, change func(*Options)) *bundle {
	t.Helper()
	return setupBundle(t, change, "127.0.0.0/8", "::1/128")
}

func setupAllowing(t *testing.T, networks ...string) *bundle {
	t.Helper()
	return setupBundle(t, func(*Options) {}, networks...)
}

func setupBundle(t *testing.T, change func(*Options), networks ...string) *bundle {
	t.Helper()
	var allow []netip.Prefix
	for _, network := range networks {
		allow = append(allow, netip.MustParsePrefix(network))
	}
	b := &bundle{root: t.TempDir(), log: &safeBuffer{}}
	guard := egress.New(egress.Options{Allow: allow})
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := guard.DialContext(ctx, network, address)
		if err == nil {
			b.dials.Add(1)
		}
		return conn, err
	}
	var err error
	o := Options{Dial: dial, LocalRoot: b.root, App: App{RateFactor: 1000},
		Log: slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	change(&o)
	dial = o.Dial
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		next := dial
		if r := b.route.Load(); r != nil {
			next = r.dial
		}
		conn, err := next(ctx, network, address)
		if c := b.choke.Load(); c != nil && err == nil {
			conn = c.wrap(conn)
		}
		return conn, err
	}
	b.Remotes, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

var sessions atomic.Int64

func (b *bundle) session(ctx context.Context, t *testing.T) *Session {
	t.Helper()
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := b.Begin(ctx, SessionOptions{ID: fmt.Sprintf("%s-%d", t.Name(), sessions.Add(1)), Log: log})
	t.Cleanup(s.Close)
	return s
}

func local(name string) task.RemoteConfig {
	return task.RemoteConfig{ResourceID: 7, Name: name, Type: "local"}
}

func mustOpen(t *testing.T, s *Session, cfg task.RemoteConfig, path string) *Remote {
	t.Helper()
	r, err := s.Open(cfg, path)
	if err != nil {
		t.Fatalf("open %s:%s: %v", cfg.Name, path, err)
	}
	return r
}

// syncLocal syncs between two folders of the local root.
func (b *bundle) syncLocal(t *testing.T, from, to string, change func(*Request)) (Result, []FileEvent, error) {
	t.Helper()
	s := b.session(t.Context(), t)
	return b.sync(t, s, mustOpen(t, s, local("a"), from), mustOpen(t, s, local("b"), to), change)
}

func (b *bundle) sync(t *testing.T, s *Session, from, to *Remote, change func(*Request)) (Result, []FileEvent, error) {
	t.Helper()
	var mu sync.Mutex
	var events []FileEvent
	r := Request{Source: from, Dest: to, Mode: Mirror, MaxDelete: DefaultDeleteLimit, Pause: time.Millisecond,
		OnFile: func(_ context.Context, r job.FileRecord) {
			mu.Lock()
			defer mu.Unlock()
			events = append(events, eventOf(r))
		}}
	if change != nil {
		change(&r)
	}
	outcome, err := s.Sync(r)
	result := outcome.Result
	result.TotalFiles, result.TotalBytes = 0, 0
	slices.SortFunc(events, func(a, b FileEvent) int { return strings.Compare(a.Path, b.Path) })
	return result, events, err
}

// FileEvent is a record in short.
type FileEvent struct {
	Action string
	Path   string
	Size   int64
	Reason string
}

// The actions of events: what became of a file.
const (
	Copied     = "COPY"
	Updated    = "UPDATE"
	Deleted    = "DELETE"
	Conflicted = "CONFLICT"
	Skipped    = "SKIPPED"
	Failed     = "FAILED"
	Unknown    = "UNKNOWN"
)

func eventOf(r job.FileRecord) FileEvent {
	e := FileEvent{Action: string(r.Action), Path: r.Path, Size: r.Size}
	if r.State != job.FileDone && r.State != job.FilePlanned {
		e.Action, e.Reason = string(r.State), r.Reason
	}
	return e
}

// files are contents by path.
type files map[string]string

func (f files) write(t *testing.T, dir string) {
	t.Helper()
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, content := range f {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, dir string) files {
	t.Helper()
	got := files{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		got[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return got
}

func (f files) equal(t *testing.T, want files) {
	t.Helper()
	if !maps.Equal(f, want) {
		t.Errorf("files are %.1000q, want %.1000q", f, want)
	}
}

// reason is the reason of a failure, or the error's text.
func reason(err error) string {
	if err == nil {
		return ""
	}
	if f, ok := errors.AsType[*job.Failure](err); ok {
		return f.Reason
	}
	return err.Error()
}

func wantReason(t *testing.T, err error, want string) {
	t.Helper()
	if got := reason(err); got != want {
		t.Fatalf("ended with %q (%v), want %q", got, err, want)
	}
}
