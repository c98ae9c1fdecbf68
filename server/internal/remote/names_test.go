package remote

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pointscene/carillon/server/internal/task"
)

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

// Names that a remote can have and a disk can't, or that are one to people and
// two to a computer, cost the one file and nothing else.
func TestStrangeNames(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	long, odd := strings.Repeat("x", 5000), "a\nlevel=ERROR \x1b[31m.txt"
	for name, content := range map[string]string{
		"empty": "", "\u00fc": "composed", "u\u0308": "decomposed", "A": "upper", "a": "lower", long: "long", "deep/" + strings.Repeat("y", 255): "fits",
	} {
		server.put(t, "bkt", "s/"+name, content)
	}
	s := b.session(t.Context(), t)
	result, events, err := b.sync(t, s, mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/s"), mustOpen(t, s, local("a"), "/dst"), nil)
	wantReason(t, err, ReasonFilesFailed)
	if result.Copied != 5 || result.Failed != 1 || result.Skipped != 1 {
		t.Errorf("%+v; want all copied but the long one and one of the two that look alike", result)
	}
	for _, ev := range events {
		if ev.Action == Failed && (ev.Path != long || ev.Reason != ReasonNameTooLong) || ev.Action == Skipped && ev.Reason != ReasonSameName {
			t.Errorf("%.100q: %s", ev.Path, ev.Reason)
		}
	}
	got := read(t, b.root+"/dst")
	if len(got) != 5 || got["A"] != "upper" || got["a"] != "lower" || got["deep/"+strings.Repeat("y", 255)] != "fits" {
		t.Errorf("files are %.500q", got)
	}

	// The other way round: what a disk can have.
	files{odd: "1", "plain": "2"}.write(t, b.root+"/odd")
	for range 2 {
		if result, _, err = b.syncLocal(t, "/odd", "/same", nil); err != nil || result.Failed != 0 {
			t.Errorf("%+v, %v", result, err)
		}
	}
	read(t, b.root+"/same").equal(t, files{odd: "1", "plain": "2"})
	for line := range strings.Lines(b.log.String()) {
		if strings.HasPrefix(line, "level=ERROR") || strings.Contains(line, "\x1b") {
			t.Errorf("a name has made a line of its own: %q", line)
		}
	}
}

// A file that grows while it is copied is told of, and never half there.
func TestFileThatChangesWhileItIsCopied(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "s/a", strings.Repeat("1", 1000))
	server.put(t, "bkt", "s/b", "2")
	// Between the listing and the download somebody writes another version.
	var changed atomic.Bool
	change := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/s/a") && changed.CompareAndSwap(false, true) {
			server.put(t, "bkt", "s/a", strings.Repeat("3", 2000))
		}
		return false
	}
	server.intercept.Store(&change)
	s := b.session(t.Context(), t)
	cloud := server.config("cloud", testKey, testSecret)
	_, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/bkt/s"), mustOpen(t, s, local("a"), "/dst"), nil)
	got := read(t, b.root+"/dst")
	if content, there := got["a"]; there && content != strings.Repeat("3", 2000) {
		t.Errorf("%d bytes of a mixture, %v", len(content), err)
	}
	if _, _, err := b.sync(t, s, mustOpen(t, s, cloud, "/bkt/s"), mustOpen(t, s, local("a"), "/dst"), nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/dst").equal(t, files{"a": strings.Repeat("3", 2000), "b": "2"})
}
