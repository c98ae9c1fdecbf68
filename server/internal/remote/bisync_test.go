package remote

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// bisync syncs /a and /b, and answers what it did and the next listing.
func (b *bundle) bisync(t *testing.T, listing []byte, change func(*Request)) (Outcome, error) {
	t.Helper()
	s := b.session(t.Context(), t)
	r := Request{Source: mustOpen(t, s, local("a"), "/a"), Dest: mustOpen(t, s, local("b"), "/b"), Mode: Bisync, MaxDelete: DefaultDeleteLimit, Listing: listing, Pause: 1}
	if change != nil {
		change(&r)
	}
	return s.Sync(r)
}

func remove(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// Each case begins with both sides having 1 to 8, and tells what either side
// does to them.
func TestBisyncCarriesChangesBothWays(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		a, b         files
		goneA, goneB []string
		want         files // of both sides, besides the files that nobody touched
		result       Result
	}{
		"nothing":                     {want: files{"1": "old", "2": "old"}, result: Result{Found: 8, Skipped: 8}},
		"new on either side":          {a: files{"x/y": "new"}, b: files{"z": "new!"}, want: files{"x/y": "new", "z": "new!"}, result: Result{Found: 10, Skipped: 8, Copied: 2, Bytes: 7}},
		"changed on either side":      {a: files{"1": "new1"}, b: files{"2": "new2!"}, want: files{"1": "new1", "2": "new2!"}, result: Result{Found: 8, Skipped: 6, Updated: 2, Bytes: 9}},
		"gone on either side":         {goneA: []string{"1"}, goneB: []string{"2"}, want: files{"3": "old"}, result: Result{Found: 8, Skipped: 6, Deleted: 2}},
		"gone on both":                {goneA: []string{"1"}, goneB: []string{"1"}, result: Result{Found: 7, Skipped: 7}},
		"a change beats a deletion":   {a: files{"1": "edit"}, goneB: []string{"1", "2"}, b: files{"3": "edit!"}, goneA: []string{"3"}, want: files{"1": "edit", "3": "edit!"}, result: Result{Found: 8, Skipped: 5, Copied: 2, Deleted: 1, Bytes: 9}},
		"changed to the same on both": {a: files{"1": "equal"}, b: files{"1": "equal"}, want: files{"1": "equal"}, result: Result{Found: 8, Skipped: 8}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			old := files{}
			for i := range 8 {
				old[fmt.Sprint(i+1)] = "old"
			}
			old.write(t, b.root+"/a")
			first, err := b.bisync(t, nil, nil)
			if err != nil || first.Copied != 8 {
				t.Fatalf("%+v, %v", first, err)
			}
			remove(t, b.root+"/a", test.goneA...)
			remove(t, b.root+"/b", test.goneB...)
			test.a.write(t, b.root+"/a")
			test.b.write(t, b.root+"/b")
			second, err := b.bisync(t, first.Listing, nil)
			if err != nil {
				t.Fatal(err)
			}
			second.TotalFiles, second.TotalBytes = 0, 0
			if diff := cmp.Diff(test.result, second.Result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			both := read(t, b.root+"/a")
			read(t, b.root+"/b").equal(t, both)
			for name, content := range test.want {
				if both[name] != content {
					t.Errorf("%s is %q, want %q", name, both[name], content)
				}
			}
			for _, name := range slices.Concat(test.goneA, test.goneB) {
				if _, there := both[name]; there && test.want[name] == "" {
					t.Errorf("%s is still there", name)
				}
			}
			third, err := b.bisync(t, second.Listing, nil)
			if err != nil || third.Skipped != third.Found || third.Found != int64(len(both)) {
				t.Errorf("a third time: %+v, %v; want nothing to do", third.Result, err)
			}
		})
	}
}

// Of a conflict both versions stay, on both sides.
func TestBisyncConflict(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"d/report.txt": "old", "other": "1"}.write(t, b.root+"/a")
	first, err := b.bisync(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files{"d/report.txt": "of a"}.write(t, b.root+"/a")
	files{"d/report.txt": "of b!"}.write(t, b.root+"/b")
	second, err := b.bisync(t, first.Listing, nil)
	if err != nil || second.Conflicts != 1 {
		t.Fatalf("%+v, %v", second, err)
	}
	both := read(t, b.root+"/a")
	read(t, b.root+"/b").equal(t, both)
	names := slices.Sorted(maps.Keys(both))
	if len(names) != 3 || !strings.HasPrefix(names[0], "d/report.conflict-") || !strings.HasSuffix(names[0], ".txt") ||
		both[names[0]] != "of b!" || both["d/report.txt"] != "of a" {
		t.Errorf("both have %v", both)
	}
	third, err := b.bisync(t, second.Listing, nil)
	if err != nil || third.Skipped != 3 || third.Found != 3 {
		t.Errorf("a third time: %+v, %v; want nothing to do", third.Result, err)
	}
}

func TestBisyncGuards(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		gone    []string
		change  func(*Request)
		reason  string
		deleted bool
	}{
		"within the limit":  {gone: []string{"1", "2"}, deleted: true},
		"over the limit":    {gone: []string{"1", "2", "3"}, reason: ReasonMaxDelete},
		"an emptied side":   {gone: []string{"1", "2", "3", "4"}, reason: ReasonSideEmpty},
		"dry, over":         {gone: []string{"1", "2", "3"}, change: func(r *Request) { r.DryRun = true }, reason: ReasonMaxDelete},
		"dry, within":       {gone: []string{"1"}, change: func(r *Request) { r.DryRun = true }},
		"without a listing": {gone: []string{"1", "2", "3"}, change: func(r *Request) { r.Listing = nil }},
		"allowed by name":   {gone: []string{"1", "2", "3"}, change: func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 3} }, deleted: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			files{"1": "", "2": "", "3": "", "4": ""}.write(t, b.root+"/a")
			first, err := b.bisync(t, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			remove(t, b.root+"/b", test.gone...)
			_, err = b.bisync(t, first.Listing, test.change)
			wantReason(t, err, test.reason)
			want := 4
			if test.deleted {
				want = 4 - len(test.gone)
			}
			if got := read(t, b.root+"/a"); len(got) != want {
				t.Errorf("a has %v", got)
			}
		})
	}
}

// More changes than can be held are refused, and a copy beforehand helps.
func TestBisyncOfTooMuch(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	many := files{}
	for i := range flowsHeld + 1 {
		many[strings.Repeat("x", i+1)] = "1"
	}
	many.write(t, b.root+"/a")
	few := func(r *Request) { r.held = 1 }
	_, err := b.bisync(t, nil, few)
	wantReason(t, err, ReasonTooManyChanges)
	read(t, b.root+"/b").equal(t, files{})
	if _, _, err := b.syncLocal(t, "/a", "/b", func(r *Request) { r.Mode = Copy }); err != nil {
		t.Fatal(err)
	}
	outcome, err := b.bisync(t, nil, few)
	if err != nil || outcome.Skipped != int64(len(many)) {
		t.Errorf("%+v, %v", outcome.Result, err)
	}
}

// A plan of more changes than are held is carried out whole.
func TestMirrorBeyondWhatAPlanHolds(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	src, dst := files{}, files{}
	for i := range 300 {
		src[fmt.Sprintf("%d/%d", i%7, i)] = "new"
		dst[fmt.Sprintf("%d/gone-%d", i%5, i)] = "x"
		if i%3 == 0 {
			dst[fmt.Sprintf("%d/%d", i%7, i)] = "old!"
		}
	}
	src.write(t, b.root+"/src")
	dst.write(t, b.root+"/dst")
	result, events, err := b.syncLocal(t, "/src", "/dst", func(r *Request) {
		r.held, r.MaxDelete = 50, DeleteLimit{Amount: 300}
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (Result{Found: 300, Copied: 200, Updated: 100, Deleted: 300, Bytes: 900}); result != want {
		t.Errorf("result %+v, want %+v", result, want)
	}
	if len(events) != 600 {
		t.Errorf("%d events, want one for each file", len(events))
	}
	read(t, b.root+"/dst").equal(t, src)
}

// The digest is that of the changes, in whatever order they are found.
func TestPlansDigest(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	files{"a": "1", "b/c": "2", "d/e": "3"}.write(t, b.root+"/src")
	files{"x": "1", "y": "1", "z": "1", "a": "1"}.write(t, b.root+"/dst")
	plan := func() job.Plan {
		t.Helper()
		s := b.session(t.Context(), t)
		p, err := s.Plan(Request{Source: mustOpen(t, s, local("a"), "/src"), Dest: mustOpen(t, s, local("b"), "/dst"), Mode: Mirror, MaxDelete: DefaultDeleteLimit})
		if err != nil || p.Guard == nil || p.Guard.Reason != ReasonMaxDelete {
			t.Fatalf("%+v, %v", p, err)
		}
		return p
	}
	first := plan()
	for range 5 {
		if again := plan(); again.Digest != first.Digest {
			t.Fatalf("digest %s, was %s", again.Digest, first.Digest)
		}
	}
	files{"y": "22"}.write(t, b.root+"/dst")
	if changed := plan(); changed.Digest == first.Digest {
		t.Error("another version of a file to delete has the same digest")
	}
}
