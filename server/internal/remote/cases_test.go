package remote

import (
	"context"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/webdav"
)

// foldingDir is a folder on a disk that takes names which differ by case for one,
// as those of Windows and macOS do.
type foldingDir struct{ webdav.Dir }

// real is the name as it is on the disk.
func (d foldingDir) real(name string) string {
	at := "/"
	for part := range strings.SplitSeq(strings.Trim(path.Clean("/"+name), "/"), "/") {
		entries, _ := os.ReadDir(filepath.Join(string(d.Dir), at))
		for _, entry := range entries {
			if strings.EqualFold(entry.Name(), part) {
				part = entry.Name()
			}
		}
		at = path.Join(at, part)
	}
	return at
}

func (d foldingDir) Mkdir(ctx context.Context, name string, perm os.FileMode) error {
	return d.Dir.Mkdir(ctx, d.real(name), perm)
}

func (d foldingDir) OpenFile(ctx context.Context, name string, flag int, perm os.FileMode) (webdav.File, error) {
	return d.Dir.OpenFile(ctx, d.real(name), flag, perm)
}

func (d foldingDir) RemoveAll(ctx context.Context, name string) error {
	return d.Dir.RemoveAll(ctx, d.real(name))
}

func (d foldingDir) Rename(ctx context.Context, from, to string) error {
	return d.Dir.Rename(ctx, d.real(from), d.real(to))
}

func (d foldingDir) Stat(ctx context.Context, name string) (os.FileInfo, error) {
	return d.Dir.Stat(ctx, d.real(name))
}

// Whether a WebDAV or SFTP server tells names apart that differ by case only,
// nobody says. If it does not, they are one file, whose versions must not be
// lost.
func TestNamesThatAServerTakesForOne(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Mirror, Copy, Bisync} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			dir := t.TempDir()
			server := serveWebDAV(t, foldingDir{webdav.Dir(dir)})
			files{"report": "of a", "Folder/f": "of a", "same": "1"}.write(t, b.root+"/a")
			files{"Report": "of b!", "folder/f": "of b!", "folder/g": "only b", "same": "1"}.write(t, dir+"/b")
			s := b.session(t.Context(), t)
			result, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/a"), mustOpen(t, s, davConfig(server.URL, testSecret), "/b"), func(r *Request) {
				r.Mode, r.MaxDelete = mode, DeleteLimit{Amount: 100, Percent: true}
			})
			ofA, ofB := read(t, b.root+"/a"), read(t, dir+"/b")
			t.Logf("%+v %v %v\na: %v\nb: %v", result, events, err, ofA, ofB)
			versions := map[string]bool{}
			for _, content := range ofB {
				versions[content] = true
			}
			if !versions["of a"] {
				t.Errorf("the destination has lost what the source has: %v", ofB)
			}
			if mode == Bisync {
				for _, content := range ofA {
					versions[content] = true
				}
				if !versions["of b!"] || !versions["only b"] {
					t.Errorf("a version is lost: a has %v, b %v", ofA, ofB)
				}
			}
		})
	}
}

// Of two names that the server takes for one the first gets there, and the other is
// told of.
func TestTwinsThatAreNew(t *testing.T) {
	t.Parallel()
	for _, folds := range []bool{true, false} {
		b := setupTest(t)
		dir := t.TempDir()
		system := webdav.FileSystem(webdav.Dir(dir))
		if folds {
			system = foldingDir{webdav.Dir(dir)}
		}
		server := serveWebDAV(t, system)
		files{"Makefile": "1", "makefile": "22", "D/f": "333", "d/f": "4444", "x": "1"}.write(t, b.root+"/a")
		for range 2 {
			s := b.session(t.Context(), t)
			result, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/a"), mustOpen(t, s, davConfig(server.URL, testSecret), "/b"), nil)
			got := read(t, dir+"/b")
			if want := map[bool]int{true: 3, false: 5}[folds]; err != nil || len(got) != want {
				t.Errorf("folds %v: the destination has %v; %+v, %v, %v", folds, got, result, events, err)
			}
			skipped := 0
			for _, ev := range events {
				if ev.Action == Skipped && ev.Reason == ReasonSameName {
					skipped++
				}
			}
			if want := map[bool]int{true: 2, false: 0}[folds]; skipped != want {
				t.Errorf("folds %v: %v, want %d skipped", folds, events, want)
			}
		}
	}
}

// However often such a server is synced with, no version is lost on either side.
func TestBisyncWithAServerThatFoldsCase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ a, b files }{
		"other case on either side": {files{"report": "1", "Dir/f": "2"}, files{"Report": "1", "dir/f": "2", "dir/g": "3"}},
		"other content":             {files{"report": "of a", "x": "1"}, files{"Report": "of b!", "x": "1"}},
		"two on one side":           {files{"Makefile": "1", "makefile": "22", "D/f": "333", "d/f": "4444", "x": "1"}, files{"x": "1"}},
		"a third on the other":      {files{"Makefile": "1", "makefile": "22", "x": "1"}, files{"MAKEFILE": "333", "x": "1"}},
		"a folder and a file":       {files{"Name": "1", "x": "1"}, files{"name/f": "22", "x": "1"}},
		"a file and a folder":       {files{"name/f": "22", "x": "1"}, files{"Name": "1", "x": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			dir := t.TempDir()
			server := serveWebDAV(t, foldingDir{webdav.Dir(dir)})
			test.a.write(t, b.root+"/a")
			test.b.write(t, dir+"/b")
			var listing []byte
			for range 4 {
				s := b.session(t.Context(), t)
				outcome, err := s.Sync(Request{Source: mustOpen(t, s, local("a"), "/a"), Dest: mustOpen(t, s, davConfig(server.URL, testSecret), "/b"),
					Mode: Bisync, MaxDelete: DeleteLimit{Amount: 100, Percent: true}, Listing: listing, Pause: 1})
				if outcome.Listing != nil {
					listing = outcome.Listing
				}
				ofA, ofB := read(t, b.root+"/a"), read(t, dir+"/b")
				for side, had := range map[string]files{"a": test.a, "b": test.b} {
					for file, content := range had {
						if !slices.Contains(slices.Concat(slices.Collect(maps.Values(ofA)), slices.Collect(maps.Values(ofB))), content) {
							t.Fatalf("%s of %s is lost: a has %v, b %v; %+v, %v", file, side, ofA, ofB, outcome.Result, err)
						}
					}
				}
				for file, content := range test.a {
					if ofA[file] != content {
						t.Fatalf("a's own %s is %q: a has %v, b %v; %+v, %v", file, ofA[file], ofA, ofB, outcome.Result, err)
					}
				}
			}
		})
	}
}
