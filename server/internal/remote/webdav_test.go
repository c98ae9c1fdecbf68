package remote

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
)

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
