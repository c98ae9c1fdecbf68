package workdir_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/workdir"
)

const block = 4 << 10

func open(t *testing.T, folder string, limit, total int64) *workdir.Store {
	t.Helper()
	s, err := workdir.Open(workdir.Options{Folder: folder, Limit: limit, Total: total})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// tree lists what lies in a folder, without the folders.
func tree(t *testing.T, folder string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(folder, func(at string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, strings.TrimPrefix(at, folder+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func write(t *testing.T, d *workdir.Dir, name, text string) error {
	t.Helper()
	f, err := d.Create()
	if err != nil {
		return err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Commit(name, time.Unix(1_700_000_000, 0))
}

func reasonOf(err error) string {
	var f *job.Failure
	if errors.As(err, &f) {
		return f.Reason
	}
	return ""
}

func TestFileAppearsWhole(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir(), 1<<20, 1<<20).New(5)
	files, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("hel")); err != nil {
		t.Fatal(err)
	}
	if entries, _ := fs.ReadDir(files.FS(), "."); len(entries) != 0 {
		t.Errorf("before its end there is %v", entries)
	}
	if _, err := f.Write([]byte("lo")); err != nil || f.Size() != 5 {
		t.Fatal(err)
	}
	at := time.Unix(1_700_000_000, 0)
	if err := f.Commit("in/a.txt", at); err != nil {
		t.Fatal(err)
	}
	text, err := files.ReadFile("in/a.txt")
	info, statErr := files.Stat("in/a.txt")
	if string(text) != "hello" || err != nil || statErr != nil || !info.ModTime().Equal(at) {
		t.Errorf("%q, %v, %v", text, err, info)
	}
	if err := f.Discard(); err != nil {
		t.Errorf("discard after commit: %v", err)
	}
	if _, err := files.Stat("in/a.txt"); err != nil {
		t.Errorf("a late discard took it: %v", err)
	}
}

func TestNothingLeavesTheDirectory(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	d := open(t, filepath.Join(folder, "work"), 1<<20, 1<<20).New(5)
	for _, name := range []string{"../a", "../../a", "/etc/a", "in/../../../a", "../partial/a"} {
		if err := write(t, d, name, "x"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if left := tree(t, folder); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	// Nor does a link, whoever made it.
	if err := os.Symlink(folder, filepath.Join(folder, "work", "exec_5-1", "files", "out")); err != nil {
		t.Fatal(err)
	}
	if err := write(t, d, "out/a", "x"); err == nil {
		t.Error("a link leads out")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir(), 3*block, 4*block)
	d, other := s.New(5), s.New(6)
	if err := write(t, d, "a", strings.Repeat("x", 2*block)); err != nil {
		t.Fatalf("to the byte: %v", err)
	}
	if err := d.Take(1); reasonOf(err) != workdir.ReasonLimit {
		t.Errorf("one more: %v", err)
	}
	if err := write(t, other, "a", "x"); reasonOf(err) != workdir.ReasonFull {
		t.Errorf("all together: %v", err)
	}
	// A file that is replaced gives its space back; what failed took none.
	d.Give(0)
	if err := write(t, s.New(7), "empty", ""); err != nil {
		t.Errorf("an empty file has its place: %v", err)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := write(t, other, "a", strings.Repeat("x", 2*block)); err != nil {
		t.Errorf("after the other is gone: %v", err)
	}
	if err := write(t, other, "a", ""); reasonOf(err) != workdir.ReasonLimit {
		t.Errorf("old and new for a moment: %v", err)
	}
}

func TestReplacedFilesGiveTheirSpaceBack(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir(), 10*block, 10*block).New(5)
	for range 20 {
		if err := write(t, d, "a", strings.Repeat("x", 3*block)); err != nil {
			t.Fatal(err)
		}
		f, err := d.Create()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, block)); err != nil {
			t.Fatal(err)
		}
		if err := f.Discard(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	s := open(t, folder, 1<<20, 1<<20)
	unused := s.New(4)
	d := s.New(5)
	if len(tree(t, folder)) != 0 {
		t.Error("there is a directory before its use")
	}
	if err := write(t, d, "in/a", "x"); err != nil {
		t.Fatal(err)
	}
	late, err := d.Create()
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []*workdir.Dir{d, unused, d} {
		if err := dir.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := late.Commit("late", time.Now()); err == nil {
		t.Error("a file was kept after the end")
	}
	if _, err := unused.Files(); err == nil {
		t.Error("the directory was made after the end")
	}
	if entries, _ := os.ReadDir(folder); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

// What a crashed process left is gone after the next start.
func TestOpenRemovesLeftovers(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := write(t, open(t, folder, 1<<20, 1<<20).New(5), "in/a", "x"); err != nil {
		t.Fatal(err)
	}
	if len(tree(t, folder)) != 1 {
		t.Fatal("nothing to leave behind")
	}
	open(t, folder, 1<<20, 1<<20)
	if entries, _ := os.ReadDir(folder); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}

func TestWithoutExecution(t *testing.T) {
	t.Parallel()
	var d *workdir.Dir
	if _, err := d.Files(); reasonOf(err) != workdir.ReasonNone {
		t.Error(err)
	}
	if _, err := d.Create(); reasonOf(err) != workdir.ReasonNone {
		t.Error(err)
	}
}

// Several tasks of one execution write side by side.
func TestSideBySide(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir(), 1<<20, 1<<20).New(5)
	var writing sync.WaitGroup
	for i := range 20 {
		writing.Go(func() {
			if err := write(t, d, "in/"+strings.Repeat("x", i%5+1), "text"); err != nil {
				t.Error(err)
			}
		})
	}
	writing.Wait()
	files, err := d.Files()
	if err != nil {
		t.Fatal(err)
	}
	if entries, _ := fs.ReadDir(files.FS(), "in"); len(entries) != 5 {
		t.Errorf("%d files", len(entries))
	}
}
