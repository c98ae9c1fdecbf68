package remote

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/tests/apstest"
)

// choke is a way out that stops in the middle: connections that were made
// before pass take so many bytes, either way, and then none until they are
// closed.
type choke struct {
	left    atomic.Int64
	stopped chan struct{}
	once    sync.Once
	open    atomic.Bool
}

func newChoke(after int64) *choke {
	c := &choke{stopped: make(chan struct{})}
	c.left.Store(after)
	return c
}

// pass lets new connections through.
func (c *choke) pass() { c.open.Store(true) }

func (c *choke) wrap(conn net.Conn) net.Conn {
	if c.open.Load() {
		return conn
	}
	return &chokedConn{Conn: conn, choke: c, closed: make(chan struct{})}
}

type chokedConn struct {
	net.Conn
	choke  *choke
	once   sync.Once
	closed chan struct{}
}

func (c *chokedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

func (c *chokedConn) Write(p []byte) (int, error) {
	if err := c.take(len(p)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

func (c *chokedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if stopped := c.take(n); stopped != nil {
		return 0, stopped
	}
	return n, err
}

func (c *chokedConn) take(n int) error {
	if c.choke.left.Add(-int64(n)) >= 0 {
		return nil
	}
	c.choke.once.Do(func() { close(c.choke.stopped) })
	<-c.closed
	return net.ErrClosed
}

// uploads counts the uploads in parts that a server has, begun and not ended.
func (s *s3Server) uploads() *atomic.Int64 {
	var pending atomic.Int64
	count := func(_ http.ResponseWriter, r *http.Request) bool {
		switch query := r.URL.Query(); {
		case r.Method == http.MethodPost && query.Has("uploads"):
			pending.Add(1)
		case r.Method == http.MethodDelete && query.Has("uploadId"), r.Method == http.MethodPost && query.Has("uploadId"):
			pending.Add(-1)
		}
		return false
	}
	s.intercept.Store(&count)
	return &pending
}

// place is somewhere to sync to or from, and what is to be seen there.
type place struct {
	*bundle
	cfg  task.RemoteConfig
	path string
	seen func() files
	// dir is the folder on disk that path is in, where there is one.
	dir string
	// pending counts what is left of uploads; nil where that can't be.
	pending *atomic.Int64
	begin   func(ctx context.Context) *Session
}

func places(t *testing.T) map[string]func(t *testing.T) place {
	t.Helper()
	here := func(t *testing.T, cfg task.RemoteConfig, path string, seen func() files) place {
		b := setupTest(t)
		return place{bundle: b, cfg: cfg, path: path, seen: seen, begin: func(ctx context.Context) *Session { return b.session(ctx, t) }}
	}
	s3 := func(typ string) func(t *testing.T) place {
		return func(t *testing.T) place {
			server := startS3(t, testKey, testSecret, "bkt")
			cfg := server.config("cloud", testKey, testSecret)
			cfg.Type, cfg.Options["provider"] = typ, "Other"
			pending := server.uploads()
			p := here(t, cfg, "/bkt/x", func() files { return server.read(t, "bkt") })
			p.pending = pending
			return p
		}
	}
	cloudAt := func(c *cloud, cfg task.RemoteConfig, seen func() files) place {
		return place{bundle: c.bundle, cfg: cfg, path: "/x", seen: seen, begin: c.beginIn}
	}
	return map[string]func(t *testing.T) place{
		"s3 in one":   s3("s3"),
		"s3 in parts": s3(s3Parts),
		"acc": func(t *testing.T) place {
			aps := startAPS(t, apstest.Options{})
			return here(t, accConfig(aps, "ada"), "/Project Files/x", func() files { return aps.Files("Project Files") })
		},
		"webdav": func(t *testing.T) place {
			dir := t.TempDir()
			p := here(t, davConfig(startWebDAV(t, dir).URL, testSecret), "/x", func() files { return read(t, dir) })
			p.dir = dir
			return p
		},
		"sftp": func(t *testing.T) place {
			dir := t.TempDir()
			p := here(t, startSFTP(t).remote(testSecret), dir+"/x", func() files { return read(t, dir) })
			p.dir = dir
			return p
		},
		"azureblob": func(t *testing.T) place {
			server := startAzure(t)
			return here(t, server.config(azureKey), "/"+azureContainer+"/x", server.files)
		},
		"gcs": func(t *testing.T) place {
			server := startGCS(t)
			return here(t, server.config(), "/"+gcsBucket+"/x", server.files)
		},
		"dropbox": func(t *testing.T) place {
			d := startDropbox(t)
			return cloudAt(d.cloud, d.config(), d.tree)
		},
		"drive": func(t *testing.T) place {
			d := startDrive(t)
			return cloudAt(d.cloud, d.config(), d.tree)
		},
	}
}

const (
	// largeFile is of three parts where there are parts of 5 MiB; stopAt is in
	// the middle of the second.
	largeFile = 11 << 20
	stopAt    = 7 << 20
	// soon is when a test fails; a cancel takes two seconds at most, and a minute
	// when the library is waited for.
	soon = 45 * time.Second
)

// A sync that is stopped in the middle of a file returns at once, and nothing
// of the file is seen, nor kept by the server.
func TestCancelInTheMiddleOfAFile(t *testing.T) {
	t.Parallel()
	for name, start := range places(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			size, stop := largeFile, int64(stopAt)
			if name == "drive" { // whose fake knows no parts
				size, stop = 5<<20, 2<<20
			}
			files{"large": strings.Repeat("0123456789abcdef", size>>4)}.write(t, p.root+"/src")
			c := newChoke(stop)
			p.choke.Store(c)
			took, events := p.stop(t, c, local("a"), "/src", p.cfg, p.path)
			if took > soon {
				t.Errorf("took %v to return", took)
			}
			if len(events) != 1 || events[0].Action != Unknown {
				t.Errorf("events %v", events)
			}
			p.seen().equal(t, files{})
			if p.pending != nil && p.pending.Load() != 0 {
				t.Errorf("%d uploads are pending", p.pending.Load())
			}
		})
	}
}

// stop syncs until the choke holds it, cancels it, and tells how long that took.
func (p *place) stop(t *testing.T, c *choke, from task.RemoteConfig, fromPath string, to task.RemoteConfig, toPath string) (time.Duration, []FileEvent) {
	t.Helper()
	why := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := p.begin(ctx)
	source, dest := mustOpen(t, s, from, fromPath), mustOpen(t, s, to, toPath)
	cancelled := make(chan time.Time, 1)
	go func() {
		select {
		case <-c.stopped:
		case <-t.Context().Done():
		}
		c.pass()
		cancelled <- time.Now()
		cancel(why)
	}()
	_, events, err := p.sync(t, s, source, dest, nil)
	took := time.Since(<-cancelled)
	if !errors.Is(err, why) {
		t.Fatalf("ended with %v, want the cause", err)
	}
	s.Close()
	return took, events
}

// The same for a file that comes from there.
func TestCancelInTheMiddleOfADownload(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "x/large", strings.Repeat("0123456789abcdef", largeFile>>4))
	p := &place{bundle: b, begin: func(ctx context.Context) *Session { return b.session(ctx, t) }}
	c := newChoke(stopAt)
	b.choke.Store(c)
	if took, _ := p.stop(t, c, server.config("cloud", testKey, testSecret), "/bkt/x", local("a"), "/dst"); took > soon {
		t.Errorf("took %v to return", took)
	}
	read(t, b.root+"/dst").equal(t, files{})
}

// A server that does not answer any more is not waited for, not even to give up
// an upload, which the S3 library tries for a minute.
func TestCancelWhileTheServerIsSilent(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	cfg := server.config("cloud", testKey, testSecret)
	cfg.Type, cfg.Options["provider"] = s3Parts, "Other"
	files{"large": strings.Repeat("0123456789abcdef", largeFile>>4)}.write(t, b.root+"/src")
	c := newChoke(stopAt)
	b.choke.Store(c)
	why := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := b.session(ctx, t)
	from, to := mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cfg, "/bkt/x")
	cancelled := make(chan time.Time, 1)
	go func() {
		<-c.stopped
		cancelled <- time.Now()
		cancel(why)
	}()
	_, events, err := b.sync(t, s, from, to, nil)
	if took := time.Since(<-cancelled); !errors.Is(err, why) || took > soon {
		t.Errorf("ended with %v, %v after the cancel", err, took)
	}
	if len(events) != 1 || events[0].Action != Unknown || !strings.Contains(b.log.String(), "does not let go") {
		t.Errorf("events %v; log:\n%s", events, b.log)
	}
	server.read(t, "bkt").equal(t, files{})
}

// What a killed process has left half-written is never taken for a file, and
// gone after the next sync.
func TestLeftoversOfAKilledProcess(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"webdav", "sftp"} {
		p := places(t)[name](t)
		files{"a": "1", "b": "2"}.write(t, p.root+"/src")
		s := p.begin(t.Context())
		dest := mustOpen(t, s, p.cfg, p.path)
		if _, _, err := p.sync(t, s, mustOpen(t, s, local("a"), "/src"), dest, nil); err != nil {
			t.Fatal(err)
		}
		files{"x/a.0123abcd" + partialSuffix: "hal"}.write(t, p.dir)
		if result, _, err := p.sync(t, s, dest, mustOpen(t, s, local("b"), "/back"), nil); err != nil || result.Copied != 2 {
			t.Fatalf("%s: %+v, %v", name, result, err)
		}
		read(t, p.root+"/back").equal(t, files{"a": "1", "b": "2"})
		if result, _, err := p.sync(t, s, mustOpen(t, s, local("a"), "/src"), dest, nil); err != nil || result.Deleted != 1 {
			t.Fatalf("%s: %+v, %v", name, result, err)
		}
		p.seen().equal(t, files{"x/a": "1", "x/b": "2"})
	}
}

func TestCancelledSessionIsNeverASuccess(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	why := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := b.session(ctx, t)
	from, to := mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst")
	cancel(why)
	_, _, err := b.sync(t, s, from, to, nil)
	if !errors.Is(err, why) {
		t.Errorf("ended with %v, want the cause", err)
	}
	if _, err := s.Open(local("c"), "/x"); !errors.Is(err, why) {
		t.Errorf("open after the end: %v, want the cause", err)
	}
	read(t, b.root+"/dst").equal(t, files{})
}

// The end comes with the last file: all is done, and still it is no success.
func TestCancelAtTheLastFile(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{true, false} {
		b := setupTest(t)
		files{"a": "1"}.write(t, b.root+"/src")
		why := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		s := b.session(ctx, t)
		result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), func(r *Request) {
			r.DryRun = dry
			r.OnFile = func(context.Context, job.FileRecord) { cancel(why) }
		})
		if !errors.Is(err, why) || result.Copied != 1 {
			t.Errorf("dry run %v: %+v, %v; want the cause", dry, result, err)
		}
	}
}

func TestCancelBetweenFiles(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	many := files{}
	for i := range 200 {
		many[strings.Repeat("d/", i%3)+"f"+strings.Repeat("x", i)] = "1"
	}
	many.write(t, b.root+"/src")
	files{"gone": "1", "kept": "1"}.write(t, b.root+"/dst")
	many["kept"] = "1"
	files{"kept": "1"}.write(t, b.root+"/src")
	why := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := b.session(ctx, t)
	var mu sync.Mutex // nobody goes on between the tenth file and the end
	copied := 0
	result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), func(r *Request) {
		r.OnFile = func(context.Context, job.FileRecord) {
			mu.Lock()
			defer mu.Unlock()
			if copied++; copied == 10 {
				cancel(why)
			}
		}
	})
	if !errors.Is(err, why) {
		t.Fatalf("ended with %v, want the cause", err)
	}
	if result.Deleted != 0 || result.Copied < 10 || result.Copied > 10+DefaultTransfers {
		t.Errorf("%+v, want about 10 copied and none deleted", result)
	}
	// A file that was complete when the end came may be there uncounted.
	got := read(t, b.root+"/dst")
	if n := int64(len(got)) - 2; n < result.Copied || n > result.Copied+DefaultTransfers {
		t.Errorf("%d new files at the destination, %d were counted", n, result.Copied)
	}
	for name, content := range got {
		if content != "1" || name != "gone" && many[name] == "" {
			t.Errorf("%q at the destination is partial or foreign", name)
		}
	}
}
