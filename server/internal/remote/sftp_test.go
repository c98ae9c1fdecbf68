package remote

import (
	"strings"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
)

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
