package remote

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestMirrorMakesTheDestinationAlike(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"same": "1", "changed": "new", "sub/added": "22", "sub/deep/added": "333"}.write(t, b.root+"/src")
	files{"same": "1", "changed": "old!", "gone": "4", "olddir/gone": "5", "keep": "k"}.write(t, b.root+"/dst")
	files{"keep": "k"}.write(t, b.root+"/src")

	result, events, err := b.syncLocal(t, "/src", "/dst", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Result{Found: 5, Copied: 2, Updated: 1, Deleted: 2, Skipped: 2, Bytes: 8}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	wantEvents := []FileEvent{
		{Action: Updated, Path: "changed", Size: 3}, {Action: Deleted, Path: "gone", Size: 1},
		{Action: Deleted, Path: "olddir/gone", Size: 1}, {Action: Copied, Path: "sub/added", Size: 2},
		{Action: Copied, Path: "sub/deep/added", Size: 3},
	}
	if diff := cmp.Diff(wantEvents, events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	read(t, b.root+"/dst").equal(t, read(t, b.root+"/src"))
	if _, err := os.Stat(b.root + "/dst/olddir"); !os.IsNotExist(err) {
		t.Errorf("the emptied folder is still there: %v", err)
	}
	srcInfo, _ := os.Stat(b.root + "/src/changed")
	dstInfo, _ := os.Stat(b.root + "/dst/changed")
	if !srcInfo.ModTime().Equal(dstInfo.ModTime()) {
		t.Errorf("time is %v, want %v", dstInfo.ModTime(), srcInfo.ModTime())
	}

	result, events, err = b.syncLocal(t, "/src", "/dst", nil)
	if err != nil || len(events) > 0 || result != (Result{Found: 5, Skipped: 5}) {
		t.Errorf("second run: %+v, %v, %v; want nothing to do", result, events, err)
	}
}

func TestCopyLeavesWhatOnlyTheDestinationHas(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	files{"mine": "2", "own/mine": "3"}.write(t, b.root+"/dst")
	result, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Mode = Copy })
	if err != nil || result.Copied != 1 || result.Deleted != 0 {
		t.Fatalf("%+v, %v", result, err)
	}
	read(t, b.root+"/dst").equal(t, files{"a": "1", "mine": "2", "own/mine": "3"})
}

func TestMissingDestinationIsMade(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	if _, _, err := b.syncLocal(t, "/src", "/deep/new/dst", nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/deep/new/dst").equal(t, files{"a": "1"})
}

func TestDryRunCountsAndChangesNothing(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"new": "12", "changed": "new", "same": "1"}.write(t, b.root+"/src")
	dst := files{"changed": "old!", "same": "1", "gone": "1"}
	dst.write(t, b.root+"/dst")
	result, events, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.DryRun = true })
	if err != nil {
		t.Fatal(err)
	}
	if want := (Result{Found: 3, Copied: 1, Updated: 1, Deleted: 1, Skipped: 1, Bytes: 5}); result != want {
		t.Errorf("result %+v, want %+v", result, want)
	}
	if len(events) != 3 {
		t.Errorf("events %v, want 3", events)
	}
	read(t, b.root+"/dst").equal(t, dst)
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(b.root+"/dst/same", at, at); err != nil {
		t.Fatal(err)
	}
	result, _, err = b.syncLocal(t, "/src", "/dst", func(r *Request) { r.DryRun = true })
	if info, _ := os.Stat(b.root + "/dst/same"); err != nil || !info.ModTime().Equal(at) || result.Skipped != 1 {
		t.Errorf("a dry run set the time of a file: %v, %+v, %v", info.ModTime(), result, err)
	}
	if _, _, err := b.syncLocal(t, "/src", "/new", func(r *Request) { r.DryRun = true }); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(b.root + "/new"); !os.IsNotExist(err) {
		t.Errorf("a dry run made the destination: %v", err)
	}
}

// A file whose time alone differs gets the time, and counts as left.
func TestTimeIsSetWithoutCopying(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	files{"a": "1"}.write(t, b.root+"/dst")
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if err := os.Chtimes(b.root+"/dst/a", at, at); err != nil {
		t.Fatal(err)
	}
	result, events, err := b.syncLocal(t, "/src", "/dst", nil)
	if err != nil || len(events) > 0 || result != (Result{Found: 1, Skipped: 1}) {
		t.Fatalf("%+v, %v, %v", result, events, err)
	}
	src, _ := os.Stat(b.root + "/src/a")
	dst, _ := os.Stat(b.root + "/dst/a")
	if !src.ModTime().Equal(dst.ModTime()) {
		t.Errorf("time is %v, want %v", dst.ModTime(), src.ModTime())
	}
}

func TestChecksumFindsWhatTimesHide(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "one"}.write(t, b.root+"/src")
	files{"a": "two"}.write(t, b.root+"/dst") // same size, same time
	result, _, err := b.syncLocal(t, "/src", "/dst", nil)
	if err != nil || result.Updated != 0 {
		t.Fatalf("without checksum: %+v, %v", result, err)
	}
	result, _, err = b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Checksum = true })
	if err != nil || result.Updated != 1 {
		t.Fatalf("with checksum: %+v, %v", result, err)
	}
	read(t, b.root+"/dst").equal(t, files{"a": "one"})
}

func TestFilesAndFoldersOfOneName(t *testing.T) {
	t.Parallel()
	src := files{"x": "file", "y/f": "in folder", "z": "1", "w": "2"}
	dst := files{"x/f": "in folder", "y": "file", "z": "1", "w": "2"}
	b := setupTest(t)
	src.write(t, b.root+"/src")
	dst.write(t, b.root+"/dst")
	if _, _, err := b.syncLocal(t, "/src", "/dst", nil); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/dst").equal(t, src)

	// A copy deletes nothing, so it can't make room.
	c := setupTest(t)
	src.write(t, c.root+"/src")
	dst.write(t, c.root+"/dst")
	result, _, err := c.syncLocal(t, "/src", "/dst", func(r *Request) { r.Mode = Copy })
	wantReason(t, err, ReasonFilesFailed)
	if result.Failed != 2 {
		t.Errorf("%+v, want 2 failed", result)
	}
	read(t, c.root+"/dst").equal(t, dst)
}

func TestProgressIsReportedWhileFilesAreCopied(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	seen := make(chan Result)
	_, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) {
		r.Progress = time.Millisecond
		done := false
		r.OnProgress = func(result Result) {
			if result.Copied == 1 && !done {
				done = true
				seen <- result
			}
		}
		r.OnFile = func(context.Context, job.FileRecord) {
			if got := <-seen; got.Found != 1 {
				t.Errorf("progress %+v, want 1 found", got)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
