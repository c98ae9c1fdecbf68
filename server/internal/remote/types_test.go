package remote

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rclone/rclone/backend/overview"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/operations"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote/localfs"
	"github.com/pointscene/carillon/server/internal/task"
)

func TestS3ThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	src := files{"a": "1", "sub/b ü.txt": "22", "sub/deep/c": strings.Repeat("3", 10000)}
	src.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	cloud := server.config("cloud", testKey, testSecret)
	up := func() (Result, []FileEvent, error) {
		return b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/bkt/backup"), nil)
	}
	if result, _, err := up(); err != nil || result.Copied != 3 {
		t.Fatalf("up: %+v, %v", result, err)
	}
	server.read(t, "bkt").equal(t, files{"backup/a": "1", "backup/sub/b ü.txt": "22", "backup/sub/deep/c": src["sub/deep/c"]})
	if result, _, err := up(); err != nil || result != (Result{Found: 3, Skipped: 3}) {
		t.Fatalf("again: %+v, %v", result, err)
	}
	_, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/bkt/backup"), mustOpen(t, s, local("a"), "/back"), nil)
	if err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/back").equal(t, src)
	if err := os.Remove(b.root + "/src/a"); err != nil {
		t.Fatal(err)
	}
	if result, _, err := up(); err != nil || result.Deleted != 1 {
		t.Fatalf("deleting: %+v, %v", result, err)
	}
	if b.dials.Load() == 0 || server.refused.Load() != 0 {
		t.Errorf("%d connections through the gate, %d refusals", b.dials.Load(), server.refused.Load())
	}
}

// A large file goes in parts, and is whole at the end.
func TestS3InParts(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	var parts atomic.Int64
	count := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && r.URL.Query().Has("partNumber") {
			parts.Add(1)
		}
		return false
	}
	server.intercept.Store(&count)
	src := files{"large": strings.Repeat("0123456789abcdef", 11<<16)} // 11 MiB
	src.write(t, b.root+"/src")
	cloud := server.config("cloud", testKey, testSecret)
	cloud.Type, cloud.Options["provider"] = s3Parts, "Other"
	s := b.session(t.Context(), t)
	for _, want := range []Result{{Found: 1, Copied: 1, Bytes: 11 << 20}, {Found: 1, Skipped: 1}} {
		result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/bkt/x"), nil)
		if err != nil || result != want || parts.Load() != 3 {
			t.Fatalf("%+v in %d parts, %v; want %+v in 3", result, parts.Load(), err, want)
		}
	}
	if server.read(t, "bkt")["x/large"] != src["large"] {
		t.Error("the content differs")
	}
}

// With credentials that the server refuses the library says "it is a file" and
// opens the folder above, where a mirror would delete the neighbours.
func TestRefusedCredentialsTouchNoNeighbours(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "neighbour", "1")
	server.put(t, "bkt", "backup/old", "1")
	files{"a": "1"}.write(t, b.root+"/src")
	for _, bad := range []task.RemoteConfig{
		server.config("cloud", testKey, "wrong"), server.config("cloud", "AKIDUNKNOWN", testSecret),
	} {
		s := b.session(t.Context(), t)
		_, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, bad, "/bkt/backup"),
			func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
		wantReason(t, err, job.ReasonReauth)
	}
	server.read(t, "bkt").equal(t, files{"neighbour": "1", "backup/old": "1"})
}

// parentOpener is a backend that says "it is a file" and opens the folder above.
const parentOpener = "carillon-test-parent"

// s3Parts is S3 with small parts.
const s3Parts = "carillon-test-parts"

func init() {
	parts := kinds["s3"]
	parts.fixed = map[string]string{"no_check_bucket": "true", "upload_cutoff": "5Mi", "chunk_size": "5Mi"}
	kinds[s3Parts] = parts
	kinds[parentOpener] = kind{backend: parentOpener, keys: map[string]key{}}
	fs.Register(&fs.RegInfo{Name: parentOpener, Overview: new(overview.BackendConfig),
		NewFs: func(_ context.Context, name, root string, _ configmap.Mapper) (fs.Fs, error) {
			jail, err := os.OpenRoot(filepath.Dir(filepath.Clean("/" + root)))
			if err != nil {
				return nil, err
			}
			return localfs.New(jail, name, "", nil), fs.ErrorIsFile
		}})
}

func TestItIsAFileIsAnError(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dir := t.TempDir()
	files{"neighbour": "1"}.write(t, dir)
	r, err := b.session(t.Context(), t).Open(task.RemoteConfig{Name: "x", Type: parentOpener}, dir+"/f")
	wantReason(t, err, ReasonIsFile)
	if r != nil {
		t.Errorf("opened %v all the same", r.fs)
	}
}

// The library takes remotes of one name for one account.
func TestNamesTellResourcesApart(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	s := b.session(t.Context(), t)
	mine := mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/a")
	again := mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/b")
	foreign := server.config("cloud", testKey, testSecret)
	foreign.ResourceID = 8
	theirs := mustOpen(t, s, foreign, "/bkt/a")
	if !operations.SameConfig(mine.fs, again.fs) || operations.SameConfig(mine.fs, theirs.fs) {
		t.Errorf("names are %s, %s and %s", mine.fs.Name(), again.fs.Name(), theirs.fs.Name())
	}
}

func TestPathThatIsAFileIsRefused(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dir := t.TempDir()
	files{"f": "1", "neighbour": "2"}.write(t, dir)
	server := startWebDAV(t, dir)
	sshServer := startSFTP(t)
	files{"a": "1"}.write(t, b.root+"/src")
	for _, target := range []struct {
		cfg  task.RemoteConfig
		path string
	}{{davConfig(server.URL, testSecret), "/f"}, {sshServer.remote(testSecret), dir + "/f"}} {
		s := b.session(t.Context(), t)
		to, err := s.Open(target.cfg, target.path)
		if err == nil {
			_, _, err = b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil)
		}
		if err == nil {
			t.Errorf("%s: synced into a file", target.cfg.Name)
		}
		read(t, dir).equal(t, files{"f": "1", "neighbour": "2"})
	}
}

func TestMissingPlacesOnS3(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	files{"a": "1"}.write(t, b.root+"/src")
	cloud := server.config("cloud", testKey, testSecret)
	tests := map[string]struct {
		from, to func(*Session) (*Remote, error)
		reason   string
	}{
		"missing prefix is an empty source": {openAt(cloud, "/bkt/typo"), openAt(local("a"), "/src"), ReasonSourceEmpty},
		"missing bucket as source":          {openAt(cloud, "/typo/x"), openAt(local("a"), "/src"), ReasonSourceMissing},
		"missing bucket as destination":     {openAt(local("a"), "/src"), openAt(cloud, "/typo/x"), ReasonDestMissing},
		"no bucket":                         {openAt(local("a"), "/src"), openAt(cloud, "/"), ReasonNoBucket},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := b.session(t.Context(), t)
			from, err := test.from(s)
			if err != nil {
				t.Fatal(err)
			}
			to, err := test.to(s)
			if err == nil {
				_, _, err = b.sync(t, s, from, to, nil)
			}
			wantReason(t, err, test.reason)
		})
	}
	read(t, b.root+"/src").equal(t, files{"a": "1"})
}

func openAt(cfg task.RemoteConfig, path string) func(*Session) (*Remote, error) {
	return func(s *Session) (*Remote, error) { return s.Open(cfg, path) }
}

// Names that a hostile server makes up never leave the destination's folder.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	for _, key := range []string{"s/good", "s/../../evil", "s/../evil", "s/sub/../../evil2", "s/./dot", "s//double", "s/..", "s/sub/.."} {
		server.put(t, "bkt", key, "x")
	}
	dir := t.TempDir()
	dav := startWebDAV(t, dir)
	files{"neighbour": "1"}.write(t, dir)
	for _, target := range []struct {
		cfg  task.RemoteConfig
		root string
	}{{local("a"), b.root}, {davConfig(dav.URL, testSecret), dir}} {
		s := b.session(t.Context(), t)
		result, _, err := b.sync(t, s, mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/s"),
			mustOpen(t, s, target.cfg, "/in/dst"), nil)
		wantReason(t, err, ReasonFilesFailed)
		if result.Copied != 1 || result.Failed == 0 {
			t.Errorf("%s: %+v, want the good file copied and the others failed", target.cfg.Name, result)
		}
		for name := range read(t, target.root) {
			if name != "neighbour" && !strings.HasPrefix(name, "in/dst/") {
				t.Errorf("%s: wrote %s", target.cfg.Name, name)
			}
		}
	}
}

func TestWebDAVThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dir := t.TempDir()
	server := startWebDAV(t, dir)
	src := files{"a": "1", "sub/b": "22"}
	src.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	dav := davConfig(server.URL, testSecret)
	if _, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, dav, "/x/dst"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, filepath.Join(dir, "x/dst")).equal(t, src)
	if _, _, err := b.sync(t, s, mustOpen(t, s, dav, "/x/dst"), mustOpen(t, s, local("a"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/back").equal(t, src)
	if !strings.Contains(b.log.String(), "only sizes can be compared") {
		t.Error("no warning that only sizes are compared")
	}
	if b.dials.Load() == 0 {
		t.Error("no connection went through the gate")
	}

	s = b.session(t.Context(), t)
	_, _, err := b.sync(t, s, mustOpen(t, s, davConfig(server.URL, "wrong"), "/x/dst"), mustOpen(t, s, local("a"), "/src"), nil)
	wantReason(t, err, job.ReasonReauth)
	read(t, b.root+"/src").equal(t, src)
}

func TestSFTPThereAndBack(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dir := t.TempDir()
	server := startSFTP(t)
	src := files{"a": "1", "sub/b": "22"}
	src.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	var kept saver
	cfg := server.remote(testSecret)
	cfg.Save = kept.save
	if _, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cfg, dir+"/dst"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, dir+"/dst").equal(t, src)
	if b.dials.Load() == 0 || server.accepted.Load() != b.dials.Load() {
		t.Errorf("%d connections at the server, %d through the gate", server.accepted.Load(), b.dials.Load())
	}
	if len(kept.saved) != 1 || !strings.HasPrefix(kept.saved[0], "host_keys=") {
		t.Fatalf("saved %q, want the host key once", kept.saved)
	}

	// From now on only that key will do.
	cfg.Options["host_keys"] = strings.TrimPrefix(kept.saved[0], "host_keys=")
	s = b.session(t.Context(), t)
	if _, _, err := b.sync(t, s, mustOpen(t, s, cfg, dir+"/dst"), mustOpen(t, s, local("a"), "/back"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/back").equal(t, src)
	impostor := startSFTP(t).remote(testSecret)
	impostor.Options["host_keys"] = cfg.Options["host_keys"]
	if _, err := s.Open(impostor, dir+"/dst"); err == nil || !strings.Contains(err.Error(), "host key mismatch") {
		t.Errorf("another host key: %v, want a mismatch", err)
	}
	_, err := b.session(t.Context(), t).Open(server.remote("wrong"), dir)
	wantReason(t, err, job.ReasonReauth)
}

func TestTypesThatAreNotThere(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	s := b.session(t.Context(), t)
	for _, typ := range []string{"crypt", "alias", ""} {
		_, err := s.Open(task.RemoteConfig{Name: "x", Type: typ}, "/a")
		wantReason(t, err, ReasonTypeUnavailable)
	}
	off, err := New(Options{Dial: egress.New(egress.Options{}).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	defer off.Close()
	session := off.Begin(t.Context(), SessionOptions{ID: t.Name(), Log: b.session(t.Context(), t).log})
	defer session.Close()
	_, err = session.Open(local("a"), "/a")
	wantReason(t, err, ReasonTypeUnavailable)
	if _, err := New(Options{Dial: egress.New(egress.Options{}).DialContext, LocalRoot: filepath.Join(t.TempDir(), "missing")}); err == nil {
		t.Error("a missing root for local remotes is no error")
	}
}

func TestBelongs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		dir, name string
		want      bool
	}{
		{"", "a", true}, {"d", "d/a", true}, {"d", "d/ä b.txt", true}, {"d/e", "d/e/..x", true},
		{"", "..", false}, {"", ".", false}, {"", "", false}, {"", "a/b", false}, {"", "../a", false}, {"", "/a", false},
		{"d", "d/..", false}, {"d", "d/", false}, {"d", "d", false}, {"d", "a", false}, {"d", "da/x", false},
		{"d", "d/../x", false}, {"d", "d/a\x00", false}, {"d", "d//a", false},
	} {
		if got := belongs(test.dir, test.name); got != test.want {
			t.Errorf("belongs(%q, %q) = %v", test.dir, test.name, got)
		}
	}
}

// A stored option that is not in the list any more must not reach the library.
func TestStoredOptionsAreCheckedAgain(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	cfg := startS3(t, testKey, testSecret, "bkt").config("cloud", testKey, testSecret)
	cfg.Options["env_auth"] = "true"
	if _, err := b.session(t.Context(), t).Open(cfg, "/bkt"); err == nil || !strings.Contains(err.Error(), "env_auth") {
		t.Errorf("opened with env_auth: %v", err)
	}
}

func TestEgressIsGuarded(t *testing.T) {
	t.Parallel()
	b := setupAllowing(t, "192.0.2.0/24") // nothing of this machine
	s3 := startS3(t, testKey, testSecret, "bkt")
	dir := t.TempDir()
	dav := startWebDAV(t, dir)
	ssh := startSFTP(t)
	files{"a": "1"}.write(t, b.root+"/src")
	named := davConfig(strings.Replace(dav.URL, "127.0.0.1", "localhost", 1), testSecret)
	metadata := davConfig("http://169.254.169.254/latest", testSecret)
	mapped := davConfig("http://[::ffff:127.0.0.1]:80/", testSecret)
	for name, cfg := range map[string]task.RemoteConfig{
		"s3": s3.config("cloud", testKey, testSecret), "webdav": davConfig(dav.URL, testSecret), "sftp": ssh.remote(testSecret),
		"name": named, "metadata": metadata, "mapped": mapped,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := b.session(t.Context(), t)
			began := time.Now()
			to, err := s.Open(cfg, "/bkt/x")
			if err == nil {
				_, _, err = b.sync(t, s, mustOpen(t, s, local("a"), "/src"), to, nil)
			}
			wantReason(t, err, egress.ReasonDenied)
			if took := time.Since(began); took > 30*time.Second {
				t.Errorf("took %v: a refused connection is not tried again", took)
			}
		})
	}
	t.Cleanup(func() {
		if n := b.dials.Load() + ssh.accepted.Load(); n != 0 {
			t.Errorf("%d connections were made", n)
		}
	})
}

func TestRedirectsAreGuarded(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := httptest.NewServer(http.RedirectHandler("http://10.1.2.3/latest/meta-data", http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	files{"a": "1"}.write(t, b.root+"/src")
	s := b.session(t.Context(), t)
	_, _, err := b.sync(t, s, mustOpen(t, s, davConfig(server.URL, testSecret), "/x"), mustOpen(t, s, local("a"), "/src"), nil)
	wantReason(t, err, egress.ReasonDenied)
}

func TestUnreachableServer(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := httptest.NewServer(nil)
	server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := b.session(ctx, t)
	files{"a": "1"}.write(t, b.root+"/src")
	_, _, err := b.sync(t, s, mustOpen(t, s, davConfig(server.URL, testSecret), "/x"), mustOpen(t, s, local("a"), "/src"), nil)
	wantReason(t, err, ReasonRemoteFailed)
	if !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("message %q does not say what went wrong", err)
	}
}
