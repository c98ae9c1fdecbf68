package remote

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
