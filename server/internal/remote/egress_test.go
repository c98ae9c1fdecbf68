package remote

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/task"
)

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
