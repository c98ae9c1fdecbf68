package acc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fserrors"
	"github.com/rclone/rclone/fs/hash"

	"github.com/pointscene/carillon/tests/apstest"
)

const mib = 1 << 20

// A file in parts of the real size, with every fault that parts can have.
func TestPartsAreSentAgain(t *testing.T) {
	t.Parallel()
	aps, _ := setup(t)
	f := open(t, aps, "Project Files/", map[string]string{"chunk_size": "5Mi"})
	aps.Inject(apstest.Fault{Op: apstest.OpPutPart, Skip: 1, Cut: mib})
	aps.Inject(apstest.Fault{Op: apstest.OpPutPart, Skip: 2, Status: http.StatusForbidden}) // a URL that has ended
	aps.Inject(apstest.Fault{Op: apstest.OpPutPart, Skip: 2, Lost: true})
	content := pattern(11 * mib)
	o := mustPut(t, f, "large.bin", content)
	if aps.Files("Project Files")["large.bin"] != content {
		t.Error("the content differs")
	}
	if parts, calls := aps.Requests(apstest.OpPutPart), aps.Requests(apstest.OpSignUpload); parts != 6 || calls != 4 {
		t.Errorf("%d parts sent with %d batches of URLs, want 6 and 4", parts, calls)
	}
	if sum, err := o.Hash(t.Context(), hash.SHA1); err != nil || len(sum) != 40 {
		t.Errorf("SHA-1 is %q, %v", sum, err)
	}
	if got := read(t, o, &fs.RangeOption{Start: 7 * mib, End: 7*mib + 9}); got != content[7*mib:7*mib+10] {
		t.Errorf("a range is %q", got)
	}
}

// More parts than one call signs.
func TestURLsComeInBatches(t *testing.T) {
	t.Parallel()
	aps := apstest.Start(t, apstest.Options{RateFactor: 1000, MinPart: 5 * mib})
	f := open(t, aps, "Project Files/", map[string]string{"chunk_size": "5Mi"})
	in := io.LimitReader(zeros{}, 130*mib+1)
	if _, err := f.(fs.PutStreamer).PutStream(t.Context(), in, info("zeros", -1)); err != nil {
		t.Fatal(err)
	}
	if parts, calls := aps.Requests(apstest.OpPutPart), aps.Requests(apstest.OpSignUpload); parts != 27 || calls != 2 {
		t.Errorf("%d parts with %d batches of URLs, want 27 and 2", parts, calls)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestVersions(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	mustPut(t, f, "d/a", "1")
	o := mustPut(t, f, "d/A", "2") // a name is taken whatever its case
	if err := o.Update(t.Context(), strings.NewReader("3"), info("d/a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := o.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := aps.Versions("Project Files/d/a"); !slices.Equal(got, []string{"1", "2", "3", ""}) {
		t.Errorf("versions are %q", got)
	}
	if got := aps.Files("Project Files"); len(got) != 0 {
		t.Errorf("a deleted file is visible: %v", got)
	}
	mustPut(t, f, "d/a", "4")
	if got := aps.Files("Project Files"); got["d/a"] != "4" {
		t.Errorf("after it was written again: %v", got)
	}
}

// A step whose answer is lost happens once.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	lose := func(op string) { aps.Inject(apstest.Fault{Op: op, Lost: true}) }
	lose(apstest.OpCreateFolder)
	lose(apstest.OpCreateItem)
	o := mustPut(t, f, "d/a", "1")
	lose(apstest.OpCreateVersion)
	if err := o.Update(t.Context(), strings.NewReader("2"), info("d/a", 1)); err != nil {
		t.Fatal(err)
	}
	lose(apstest.OpCreateItem)
	if _, err := f.(fs.Copier).Copy(t.Context(), o, "d/b"); err != nil {
		t.Fatal(err)
	}
	lose(apstest.OpCreateVersion)
	if err := o.Remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := aps.Versions("Project Files/d/a"); !slices.Equal(got, []string{"1", "2", ""}) {
		t.Errorf("versions of a are %q", got)
	}
	if got := aps.Versions("Project Files/d/b"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("versions of b are %q", got)
	}
}

func TestHiddenFoldersAreShownAgain(t *testing.T) {
	t.Parallel()
	aps, f := setup(t)
	for range 2 {
		if err := f.Mkdir(t.Context(), "d/e"); err != nil {
			t.Fatal(err)
		}
		if got := aps.Folders("Project Files"); !slices.Equal(got, []string{"d", "d/e"}) {
			t.Fatalf("folders are %v", got)
		}
		if err := f.Rmdir(t.Context(), "d"); !errors.Is(err, fs.ErrorDirectoryNotEmpty) {
			t.Errorf("a folder that is not empty: %v", err)
		}
		if err := errors.Join(f.Rmdir(t.Context(), "d/e"), f.Rmdir(t.Context(), "d")); err != nil {
			t.Fatal(err)
		}
		if got := aps.Folders("Project Files"); len(got) != 0 {
			t.Fatalf("folders are %v", got)
		}
	}
}

// Nothing is visible of a file whose writing was cancelled, at any step.
func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, op := range []string{apstest.OpStorage, apstest.OpSignUpload, apstest.OpPutPart, apstest.OpCompleteUpload, apstest.OpCreateItem} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			aps, f := setup(t)
			aps.Inject(apstest.Fault{Op: op, Times: -1, Wait: make(chan struct{})})
			why := errors.New("stopped by a person")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				for aps.Requests(op) == 0 && t.Context().Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel(why)
			}()
			if _, err := put(ctx, f, "a", "1"); !errors.Is(err, why) {
				t.Errorf("ended with %v, want the cause", err)
			}
			if got := aps.Files("Project Files"); len(got) != 0 {
				t.Errorf("visible: %v", got)
			}
		})
	}
}

// What the service can't have is refused before any content is sent.
func TestRefusedFiles(t *testing.T) {
	t.Parallel()
	aps, _ := setup(t)
	f := open(t, aps, "", nil)
	for name, want := range map[string]string{
		"a": "beside the top folders", "New Folder/a": "no top folder",
		"Plans/a.txt": "takes only", "Plans/sub/a.pdf": "takes PDF files apart",
		"Project Files/a®": "rename it", "Project Files/" + strings.Repeat("x", 256): "255 characters",
		"Project Files" + strings.Repeat("/d", 26) + "/a": "26 levels",
	} {
		_, err := put(t.Context(), f, name, "1")
		if err == nil || !strings.Contains(err.Error(), want) || !fserrors.IsNoRetryError(err) {
			t.Errorf("%.40s: %v, want %q", name, err, want)
		}
	}
	mustPut(t, f, "Plans/a.dwg", "1")
	mustPut(t, f, "Project Files"+strings.Repeat("/d", 25)+"/a", "1")
	if err := f.Rmdir(t.Context(), "Plans"); err == nil {
		t.Error("a top folder was removed")
	}
	if n := aps.Requests(apstest.OpStorage); n != 2 {
		t.Errorf("%d files were begun, want the two good ones", n)
	}
}
