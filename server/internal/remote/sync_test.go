package remote

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
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

// Everything that could wipe a destination by accident, and what must not.
func TestGuards(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		src, dst files
		change   func(*Request)
		reason   string
		message  string
	}{
		"empty source":                       {dst: files{"a": "1"}, reason: ReasonSourceEmpty, message: "nothing was changed"},
		"empty source and destination":       {reason: ReasonSourceEmpty},
		"source empty behind the filter":     {src: files{"x": "1"}, dst: files{"a": "1"}, change: func(r *Request) { r.Exclude = []string{"x"} }, reason: ReasonSourceEmpty},
		"more than half":                     {src: files{"a": "1"}, dst: files{"a": "1", "b": "2", "c": "3"}, reason: ReasonMaxDelete, message: "delete 2 of 3 files at b:/dst, maxDelete allows 50%"},
		"exactly half":                       {src: files{"a": "1"}, dst: files{"a": "1", "b": "2"}},
		"other root":                         {src: files{"p": "1", "q": "1", "r": "1"}, dst: files{"a": "1", "b": "2"}, reason: ReasonMaxDelete},
		"count exceeded":                     {src: files{"a": "1"}, dst: files{"a": "1", "b": "2", "c": "3"}, change: func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 1} }, reason: ReasonMaxDelete},
		"count kept":                         {src: files{"a": "1"}, dst: files{"a": "1", "b": "2", "c": "3"}, change: func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 2} }},
		"none allowed":                       {src: files{"a": "1"}, dst: files{"a": "1", "b": "2"}, change: func(r *Request) { r.MaxDelete = DeleteLimit{} }, reason: ReasonMaxDelete},
		"all allowed":                        {src: files{"z": "1"}, dst: files{"a": "1", "b": "2"}, change: func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} }},
		"hidden files are no deletions":      {src: files{"a": "1"}, dst: files{"a": "1", "h/1": "", "h/2": "", "h/3": ""}, change: func(r *Request) { r.Exclude = []string{"/h/**"} }},
		"a dry run has the same guards":      {src: files{"a": "1"}, dst: files{"b": "1"}, change: func(r *Request) { r.DryRun = true }, reason: ReasonMaxDelete},
		"a file where a folder was counts":   {src: files{"d": "1"}, dst: files{"d/1": "", "d/2": "", "d/3": ""}, reason: ReasonMaxDelete},
		"copying from nothing wipes nothing": {dst: files{"a": "1"}, change: func(r *Request) { r.Mode = Copy }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			for _, dir := range []string{"src", "dst"} {
				if err := os.MkdirAll(filepath.Join(b.root, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			test.src.write(t, b.root+"/src")
			test.dst.write(t, b.root+"/dst")
			_, events, err := b.syncLocal(t, "/src", "/dst", test.change)
			wantReason(t, err, test.reason)
			if test.reason == "" {
				return
			}
			if !strings.Contains(err.Error(), test.message) {
				t.Errorf("message is %q, want %q in it", err, test.message)
			}
			if len(events) > 0 {
				t.Errorf("events %v, want none", events)
			}
			want := files{}
			for name, content := range test.dst {
				want[name] = content
			}
			read(t, b.root+"/dst").equal(t, want)
		})
	}
}

func TestMissingSource(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Mirror, Copy} {
		b := setupTest(t)
		files{"a": "1"}.write(t, b.root+"/dst")
		_, _, err := b.syncLocal(t, "/typo", "/dst", func(r *Request) { r.Mode = mode })
		wantReason(t, err, ReasonSourceMissing)
		read(t, b.root+"/dst").equal(t, files{"a": "1"})
	}
}

func TestSourceThatIsAFileDeletesNothing(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root) // nobody can read a file as a folder, not even root
	files{"a": "1"}.write(t, b.root+"/dst")
	_, _, err := b.syncLocal(t, "/a", "/dst", nil)
	wantReason(t, err, ReasonIsFile)
	read(t, b.root+"/dst").equal(t, files{"a": "1"})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	src := files{"sync/1": "", "sub/sync/2": "", "a.txt": "", "sub/b.txt": "", "c.bin": ""}
	tests := map[string]struct {
		include, exclude []string
		want             []string
	}{
		"unanchored, at any depth":      {exclude: []string{"sync/**"}, want: []string{"a.txt", "c.bin", "sub/b.txt"}},
		"anchored, at the root only":    {exclude: []string{"/sync/**"}, want: []string{"a.txt", "c.bin", "sub/b.txt", "sub/sync/2"}},
		"folder":                        {exclude: []string{"/sub/"}, want: []string{"a.txt", "c.bin", "sync/1"}},
		"include":                       {include: []string{"*.txt"}, want: []string{"a.txt", "sub/b.txt"}},
		"include below a folder":        {include: []string{"/sub/**"}, want: []string{"sub/b.txt", "sub/sync/2"}},
		"exclude wins over include":     {include: []string{"*.txt"}, exclude: []string{"/sub/**"}, want: []string{"a.txt"}},
		"a leading sign is no operator": {exclude: []string{"+ a.txt", "!"}, want: []string{"a.txt", "c.bin", "sub/b.txt", "sub/sync/2", "sync/1"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			src.write(t, b.root+"/src")
			_, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Include, r.Exclude = test.include, test.exclude })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, sortedKeys(read(t, b.root+"/dst"))); diff != "" {
				t.Errorf("copied (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExcludedFilesSurviveAMirror(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	files{"a": "1", "private/x": "2", "old": "3"}.write(t, b.root+"/dst")
	if _, _, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.Exclude = []string{"/private/**"} }); err != nil {
		t.Fatal(err)
	}
	read(t, b.root+"/dst").equal(t, files{"a": "1", "private/x": "2"})
}

func TestCheckFilter(t *testing.T) {
	t.Parallel()
	for pattern, ok := range map[string]bool{"*.txt": true, "/a/**": true, "{{.*[}}": false, "a[": false, "": false, "***": false} {
		if err := CheckFilter(pattern); (err == nil) != ok {
			t.Errorf("CheckFilter(%q) = %v, want ok %v", pattern, err, ok)
		}
	}
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

// A file that can't be written keeps the mirror from deleting.
func TestFailedFilesKeepAMirrorFromDeleting(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"ok": "1", "blocked": "2", "more": "3"}.write(t, b.root+"/src")
	files{"gone": "4", "more": "3", "ok": "older"}.write(t, b.root+"/dst")
	// A link can't be replaced by what is written through it: it leads out.
	outside := t.TempDir()
	files{"victim": "unharmed"}.write(t, outside)
	files{"dir/f": "5"}.write(t, b.root+"/src")
	if err := os.Symlink(outside, b.root+"/dst/dir"); err != nil {
		t.Fatal(err)
	}
	result, _, err := b.syncLocal(t, "/src", "/dst", nil)
	wantReason(t, err, ReasonFilesFailed)
	if result.Failed != 1 || result.Deleted != 0 {
		t.Errorf("%+v, want 1 failed, 0 deleted", result)
	}
	read(t, b.root+"/dst").equal(t, files{"ok": "1", "blocked": "2", "more": "3", "gone": "4"})
	read(t, outside).equal(t, files{"victim": "unharmed"})
	if !strings.Contains(err.Error(), `"dir/f"`) {
		t.Errorf("message %q does not name the file", err)
	}
}

func TestOverlapIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, other, to string
		overlap               bool
	}{
		{"a", "/x", "a", "/x", true},
		{"a", "/x", "a", "/x/y", true},
		{"a", "/x/y", "a", "/x", true},
		{"a", "/", "a", "/x", true},
		{"a", "/x", "b", "/x//y/", true}, // two names for one configuration
		{"a", "/x", "a", "/xy", false},
	}
	for _, test := range tests {
		b := setupTest(t)
		files{"f": "1"}.write(t, b.root+test.from)
		s := b.session(t.Context(), t)
		_, _, err := b.sync(t, s, mustOpen(t, s, local(test.name), test.from), mustOpen(t, s, local(test.other), test.to), nil)
		want := ""
		if test.overlap {
			want = ReasonOverlap
		}
		if got := reason(err); got != want {
			t.Errorf("%+v: ended with %q, want %q", test, got, want)
		}
	}
}

func TestCancelledSessionIsNeverASuccess(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1"}.write(t, b.root+"/src")
	why := errors.New("stopped by a person")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := b.session(ctx, t)
	from, to := mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst")
	cancel(why)
	_, _, err := b.sync(t, s, from, to, nil)
	if !errors.Is(err, why) {
		t.Errorf("ended with %v, want the cause", err)
	}
	if _, err := s.Open(local("c"), "/x"); !errors.Is(err, why) {
		t.Errorf("open after the end: %v, want the cause", err)
	}
	read(t, b.root+"/dst").equal(t, files{})
}

// The end comes with the last file: all is done, and still it is no success.
func TestCancelAtTheLastFile(t *testing.T) {
	t.Parallel()
	for _, dry := range []bool{true, false} {
		b := setupTest(t)
		files{"a": "1"}.write(t, b.root+"/src")
		why := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		s := b.session(ctx, t)
		result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), func(r *Request) {
			r.DryRun = dry
			r.OnFile = func(context.Context, job.FileRecord) { cancel(why) }
		})
		if !errors.Is(err, why) || result.Copied != 1 {
			t.Errorf("dry run %v: %+v, %v; want the cause", dry, result, err)
		}
	}
}

func TestCancelBetweenFiles(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	many := files{}
	for i := range 200 {
		many[strings.Repeat("d/", i%3)+"f"+strings.Repeat("x", i)] = "1"
	}
	many.write(t, b.root+"/src")
	files{"gone": "1", "kept": "1"}.write(t, b.root+"/dst")
	many["kept"] = "1"
	files{"kept": "1"}.write(t, b.root+"/src")
	why := errors.New("stopped")
	ctx, cancel := context.WithCancelCause(t.Context())
	s := b.session(ctx, t)
	var copied atomic.Int64
	result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, local("b"), "/dst"), func(r *Request) {
		r.OnFile = func(context.Context, job.FileRecord) {
			if copied.Add(1) == 10 {
				cancel(why)
			}
		}
	})
	if !errors.Is(err, why) {
		t.Fatalf("ended with %v, want the cause", err)
	}
	if result.Deleted != 0 || result.Copied < 10 || result.Copied > 10+DefaultTransfers {
		t.Errorf("%+v, want about 10 copied and none deleted", result)
	}
	// A file that was complete when the end came may be there uncounted.
	got := read(t, b.root+"/dst")
	if n := int64(len(got)) - 2; n < result.Copied || n > result.Copied+DefaultTransfers {
		t.Errorf("%d new files at the destination, %d were counted", n, result.Copied)
	}
	for name, content := range got {
		if content != "1" || name != "gone" && many[name] == "" {
			t.Errorf("%q at the destination is partial or foreign", name)
		}
	}
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
