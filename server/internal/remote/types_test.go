package remote

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rclone/rclone/backend/overview"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/config/configmap"
	"github.com/rclone/rclone/fs/operations"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/remote/localfs"
	"github.com/pointscene/carillon/server/internal/task"
)

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
