package remote

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/tests/apstest"
)

// verdict is a test in short: "CONNECT OK, LIST FAILED NOT_FOUND …".
func verdict(t job.RemoteTest) string {
	parts := make([]string, 0, len(t.Results))
	for _, r := range t.Results {
		part := string(r.Check) + " " + string(r.Outcome)
		if r.Outcome != job.CheckOK {
			part += " " + r.Reason
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

const allSkipped = ", LIST SKIPPED NOT_CONNECTED, WRITE SKIPPED FOLDER_NOT_LISTED, QUOTA SKIPPED NOT_CONNECTED"

// tries tests with all that it may write, and wants the verdict and no secret.
func (b *bundle) tries(t *testing.T, cfg task.RemoteConfig, folder, want string) job.RemoteTest {
	t.Helper()
	got, err := b.Test(t.Context(), cfg, folder, true)
	if err != nil {
		t.Fatal(err)
	}
	if text := verdict(got); text != want {
		t.Errorf("%s:%s is %s, want %s (%+v)", cfg.Name, folder, text, want, got)
	}
	for _, r := range got.Results {
		for name, value := range cfg.Options {
			if IsSecret(cfg.Type, name) && strings.Contains(r.Message, value) {
				t.Errorf("the secret %s is told: %s", name, r.Message)
			}
		}
	}
	if (got.Results[0].Outcome == job.CheckOK) != (got.Results[0].Code == "") {
		t.Errorf("the code is %q", got.Results[0].Code)
	}
	return got
}

func TestTestOfS3(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "d/a", "1")
	good := server.config("s3", testKey, testSecret)
	b.tries(t, good, "/bkt/d", "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED NOT_OFFERED")
	b.tries(t, good, "", "CONNECT OK, LIST OK, WRITE SKIPPED BUCKET_MISSING_IN_PATH, QUOTA SKIPPED NOT_OFFERED")
	b.tries(t, good, "/nobucket", "CONNECT OK, LIST FAILED FOLDER_MISSING, WRITE SKIPPED FOLDER_NOT_LISTED, QUOTA SKIPPED NOT_OFFERED")
	b.tries(t, server.config("s3", testKey, testSecret+"x"), "/bkt/d", "CONNECT FAILED REAUTH_REQUIRED"+allSkipped)
	server.read(t, "bkt").equal(t, files{"d/a": "1"})

	// What nobody asked to write is not written.
	readOnly := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>read only</Message></Error>`))
		return true
	}
	server.intercept.Store(&readOnly)
	got, err := b.Test(t.Context(), good, "/bkt/d", false)
	if text := verdict(got); err != nil || text != "CONNECT OK, LIST OK, WRITE SKIPPED NOT_ASKED, QUOTA SKIPPED NOT_OFFERED" || !got.Works() {
		t.Errorf("without writing: %s, %v", text, err)
	}
	if got := b.tries(t, good, "/bkt/d", "CONNECT OK, LIST OK, WRITE FAILED REMOTE_REFUSED, QUOTA SKIPPED NOT_OFFERED"); got.Works() {
		t.Error("a remote that is read only passes")
	}
	// A file that can't be deleted is named.
	keeps := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodDelete
	}
	server.intercept.Store(&keeps)
	got = b.tries(t, good, "/bkt/d", "CONNECT OK, LIST OK, WRITE FAILED LEFT_BEHIND, QUOTA SKIPPED NOT_OFFERED")
	for name := range server.read(t, "bkt") {
		if name != "d/a" && !strings.Contains(got.Results[2].Message, strings.TrimPrefix(name, "d/")) {
			t.Errorf("%s is left behind, and the message is %s", name, got.Results[2].Message)
		}
	}
}

// What a mistyped key, a dead host and a guarded one look like.
func TestTestThatDoesNotConnect(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	b.tries(t, davConfig(dead.URL, testSecret), "/", "CONNECT FAILED REMOTE_FAILED"+allSkipped)
	b.tries(t, davConfig("http://nobody.invalid", testSecret), "/", "CONNECT FAILED "+egress.ReasonDenied+allSkipped) // as if it were inside
	b.tries(t, davConfig(startWebDAV(t, t.TempDir()).URL, "TOPSECRET-wrong"), "/", "CONNECT FAILED REAUTH_REQUIRED"+allSkipped)
	guarded := setupAllowing(t, "192.0.2.0/24")
	guarded.tries(t, davConfig(startWebDAV(t, t.TempDir()).URL, testSecret), "/", "CONNECT FAILED "+egress.ReasonDenied+allSkipped)
	if guarded.dials.Load() != 0 {
		t.Error("a guarded address was connected to")
	}
}

func TestTestOfFolders(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a/b": "1"}.write(t, b.root)
	dir := t.TempDir()
	dav := davConfig(startWebDAV(t, dir).URL, testSecret)
	if got := b.tries(t, dav, "/", "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED NOT_OFFERED"); got.Remote != "dav:/" || got.Type != "webdav" {
		t.Errorf("is %+v", got)
	}
	b.tries(t, local("l"), "/a", "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED NOT_OFFERED")
	b.tries(t, local("l"), "/x", "CONNECT OK, LIST FAILED FOLDER_MISSING, WRITE SKIPPED FOLDER_NOT_LISTED, QUOTA SKIPPED NOT_OFFERED")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind %v, %v", entries, err)
	}
	read(t, b.root).equal(t, files{"a/b": "1"})
	if entries, err := filepath.Glob(b.root + "/*"); err != nil || len(entries) != 1 {
		t.Errorf("the root holds %v, %v", entries, err)
	}
	jailless := setupWith(t, func(o *Options) { o.LocalRoot = "" })
	jailless.tries(t, local("l"), "/a", "CONNECT FAILED REMOTE_TYPE_UNAVAILABLE"+allSkipped)
}

// A server that does not answer ends the test in time, and a caller who goes
// ends it at once.
func TestTestOfSlowServer(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	asked := make(chan struct{}, 100)
	release := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(slow.Close)
	t.Cleanup(func() { close(release) })
	cfg := davConfig(slow.URL, testSecret)
	began := time.Now()
	got, err := b.test(t.Context(), cfg, "/", true, 400*time.Millisecond)
	if text := verdict(got); err != nil || text != "CONNECT FAILED TEST_TIMEOUT"+allSkipped || got.Results[0].Code != "DEADLINE_EXCEEDED" {
		t.Errorf("ended with %s, %v", text, err)
	}
	if took := time.Since(began); took < 300*time.Millisecond || took > testLimit/2 {
		t.Errorf("took %s", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	for len(asked) > 0 {
		<-asked
	}
	go func() { <-asked; cancel() }()
	if got, err := b.Test(ctx, cfg, "/", true); err != nil || got.Works() {
		t.Errorf("without its caller: %s, %v", verdict(got), err)
	}
}

// A token of the request is not used up where a service gives it once; one that
// a service exchanged nevertheless is told of.
func TestTestOfTokensThatAreNotStored(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	aps := startAPS(t, apstest.Options{})
	cfg := accConfig(aps, "ada")
	b.tries(t, cfg, "/Project Files", "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED NOT_OFFERED")
	files(aps.Files("Project Files")).equal(t, files{})
	before := aps.Requests(apstest.OpToken)
	cfg.Options["token"] = aps.ExpiredToken("ada")
	b.tries(t, cfg, "/Project Files", "CONNECT FAILED TOKEN_EXPIRED"+allSkipped)
	if n := aps.Requests(apstest.OpToken) - before; n != 0 {
		t.Errorf("a token that is good for one use was exchanged %d times", n)
	}

	g := startGoogle(t, "bob")
	other := setupWith(t, func(o *Options) { o.Dial = g.dial })
	bob := g.vault("bob").config()
	bob.Renew, bob.Refused = nil, nil
	s := other.session(t.Context(), t)
	fs.GetConfig(s.ctx).InsecureSkipVerify = true // the fake is not Google
	one := &trial{Session: s, ctx: s.ctx, remote: &Remote{cfg: bob, service: true}}
	one.run(false)
	if got := one.out; len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "used up") || strings.Contains(got.Warnings[0], "refresh-") {
		t.Errorf("answers %+v", got)
	}
}
