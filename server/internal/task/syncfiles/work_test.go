package syncfiles

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/workdir"
)

// The work directory is no tree that executions must keep each other from.
func TestWorkIsNoSharedFolder(t *testing.T) {
	t.Parallel()
	worker, ok := Types(nil)[0].(task.Worker)
	if !ok {
		t.Fatal("a sync tells no folders")
	}
	got := worker.Folders(decode(t, `{"resourceId":"res_7","remotes":["@work:/in","b:/dst"]}`))
	if diff := cmp.Diff([]task.Folder{{ResourceID: "res_7", Remote: "b", Path: "/dst", Writes: true}}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Files go from a remote through the execution's work directory to another
// remote, whose jail and limit hold.
func TestThroughTheWorkDirectory(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "src/b": "22", "big/x": strings.Repeat("x", 2<<20)})
	store, err := workdir.Open(workdir.Options{Folder: t.TempDir(), Limit: 1 << 20, Total: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	b.run.Work = store.New(1)

	file, err := b.run.Work.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write([]byte("downloaded")); err != nil {
		t.Fatal(err)
	}
	if err := file.Commit("in/c", time.Unix(1_700_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{
		`{"resourceId":"res_7","remotes":["a:/src","@work:/in"],"mode":"copy"}`,
		`{"resourceId":"res_7","remotes":["@work:/in","b:/dst"]}`,
	} {
		if _, err := b.do(t, "sync.files", args); err != nil {
			t.Fatalf("%s: %v", args, err)
		}
	}
	if got, want := b.read(t, "dst"), map[string]string{"a": "1", "b": "22", "c": "downloaded"}; !maps.Equal(got, want) {
		t.Errorf("destination %v, want %v", got, want)
	}
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/big","@work:/big"]}`); err == nil || !strings.Contains(err.Error(), "--work-limit") {
		t.Errorf("beyond the limit: %v", err)
	}
	// What failed gave its space back, and a mirror's deletions do too.
	for _, source := range []string{"src", "dst", "src"} {
		if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/`+source+`","@work:/in"],"maxDelete":100}`); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.run.Work.Take(1<<20 - 2*(4<<10) - 3); err != nil {
		t.Errorf("two files of three bytes take more than that: %v", err)
	}
	if err := b.run.Work.Take(1); err == nil {
		t.Error("two files of three bytes take less than that")
	}
	b.run.Work = nil
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["@work:/in","b:/dst"]}`); reason(err) != workdir.ReasonNone {
		t.Errorf("without an execution: %v", err)
	}
}
