package localfs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/hash"
	"github.com/rclone/rclone/fs/object"
)

// bundle is a root with a folder in it and something precious beside it.
type bundle struct {
	*Fs
	dir, outside string
}

func setup(t *testing.T, folder string) *bundle {
	t.Helper()
	dir := t.TempDir()
	b := &bundle{dir: filepath.Join(dir, "root"), outside: filepath.Join(dir, "outside")}
	for _, d := range []string{filepath.Join(b.dir, folder), b.outside} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.write(t, b.outside+"/secret", "precious")
	jail, err := os.OpenRoot(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { jail.Close() })
	b.Fs = New(jail, "x@1", folder, nil)
	return b
}

func (b *bundle) write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) link(t *testing.T, to, at string) {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
}

func (b *bundle) put(ctx context.Context, name, content string) (fs.Object, error) {
	info := object.NewStaticObjectInfo(name, time.Unix(1e9, 0), int64(len(content)), true, nil, nil)
	return b.Put(ctx, strings.NewReader(content), info)
}

func TestNothingLeadsOutOfTheRoot(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	b.link(t, b.outside, b.dir+"/f/abs")
	b.link(t, "../../outside", b.dir+"/f/rel")
	b.link(t, b.outside+"/secret", b.dir+"/f/file")
	ctx := t.Context()

	for _, dir := range []string{"abs", "rel"} {
		if _, err := b.List(ctx, dir); err == nil {
			t.Errorf("listed %s", dir)
		}
	}
	for _, name := range []string{"abs/secret", "rel/secret", "file", "../../outside/secret", "/../outside/secret"} {
		if _, err := b.NewObject(ctx, name); err == nil {
			t.Errorf("found %s", name)
		}
		o := &Object{fs: b.Fs, remote: name}
		if in, err := o.Open(ctx); err == nil {
			in.Close()
			t.Errorf("opened %s", name)
		}
		if err := o.SetModTime(ctx, time.Unix(0, 0)); err == nil && name != "file" {
			t.Errorf("set the time of %s", name)
		}
	}
	for _, name := range []string{"abs/new", "rel/new", "abs/secret"} {
		if _, err := b.put(ctx, name, "evil"); err == nil {
			t.Errorf("wrote %s", name)
		}
		if err := (&Object{fs: b.Fs, remote: name}).Remove(ctx); err == nil {
			t.Errorf("removed %s", name)
		}
	}
	if err := b.Mkdir(ctx, "abs/d/e"); err == nil {
		t.Error("made a folder")
	}
	// A name with dots is a name, not a way up.
	for _, name := range []string{"../../outside/secret", "../up"} {
		if _, err := b.put(ctx, name, "evil"); err != nil {
			t.Errorf("put %s: %v", name, err)
		}
	}
	// What stands in the place of a link is replaced, not written through.
	if _, err := b.put(ctx, "file", "mine"); err != nil {
		t.Errorf("put over a link: %v", err)
	}
	content, err := os.ReadFile(b.outside + "/secret")
	if err != nil || string(content) != "precious" {
		t.Errorf("outside is %q, %v", content, err)
	}
	for _, dir := range []string{b.outside, filepath.Dir(b.dir), b.dir} {
		entries, _ := os.ReadDir(dir)
		if len(entries) > 2 {
			t.Errorf("%s has new entries: %v", dir, entries)
		}
	}
}

func TestRootThatIsALinkToTheOutside(t *testing.T) {
	t.Parallel()
	b := setup(t, "")
	b.link(t, b.outside, b.dir+"/evil")
	evil := New(b.jail, "x@1", "evil", nil)
	if _, err := evil.List(t.Context(), ""); err == nil || errors.Is(err, fs.ErrorDirNotFound) {
		t.Errorf("listed the outside: %v; want an error that is not 'missing'", err)
	}
}

// Links are there, so that they are not taken for gone, and have no content.
func TestListShowsLinksAsBare(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	b.write(t, b.dir+"/f/a", "1")
	b.write(t, b.dir+"/f/"+partialPrefix+"xyz"+partialSuffix, "half")
	b.link(t, "a", b.dir+"/f/link")
	b.link(t, "nowhere", b.dir+"/f/dangling")
	bare := map[string]bool{}
	entries, err := b.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		bare[entry.Remote()] = !entry.(fs.Object).Storable()
	}
	if diff := cmp.Diff(map[string]bool{"a": false, "link": true, "dangling": true}, bare); diff != "" {
		t.Errorf("names, and whether they are bare (-want +got):\n%s", diff)
	}
	if _, err := b.List(t.Context(), "missing"); !errors.Is(err, fs.ErrorDirNotFound) {
		t.Errorf("missing folder: %v", err)
	}
	if _, err := b.List(t.Context(), "a"); err == nil || errors.Is(err, fs.ErrorDirNotFound) {
		t.Errorf("a file as a folder: %v", err)
	}
}

func TestPutReadHashRemove(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	ctx := t.Context()
	o, err := b.put(ctx, "d/e/x", "hello")
	if err != nil {
		t.Fatal(err)
	}
	if o.Size() != 5 || !o.ModTime(ctx).Equal(time.Unix(1e9, 0)) {
		t.Errorf("size %d, time %v", o.Size(), o.ModTime(ctx))
	}
	const want = "5d41402abc4b2a76b9719d911017c592"
	if got, err := o.Hash(ctx, hash.MD5); err != nil || got != want {
		t.Errorf("hash %s, %v", got, err)
	}
	found, err := b.NewObject(ctx, "d/e/x")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		options []fs.OpenOption
		want    string
	}{
		{nil, "hello"},
		{[]fs.OpenOption{&fs.SeekOption{Offset: 2}}, "llo"},
		{[]fs.OpenOption{&fs.RangeOption{Start: 1, End: 3}}, "ell"},
		{[]fs.OpenOption{&fs.HashesOption{Hashes: hash.NewHashSet(hash.MD5)}}, "hello"},
	} {
		in, err := found.Open(ctx, test.options...)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(in)
		if in.Close(); err != nil || string(content) != test.want {
			t.Errorf("%v: read %q, %v; want %q", test.options, content, err, test.want)
		}
	}
	if got, err := found.Hash(ctx, hash.MD5); err != nil || got != want {
		t.Errorf("hash after reading %s, %v", got, err)
	}
	if err := b.Rmdir(ctx, "d/e"); err == nil {
		t.Error("removed a folder with a file in it")
	}
	if err := b.Rmdir(ctx, "d/e/x"); !errors.Is(err, fs.ErrorIsFile) {
		t.Errorf("removed a file as a folder: %v", err)
	}
	if err := errors.Join(found.Remove(ctx), b.Rmdir(ctx, "d/e"), b.Rmdir(ctx, "d")); err != nil {
		t.Error(err)
	}
}

// A write that breaks off leaves the old file, and nothing half-written.
func TestBrokenWriteLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	old, err := b.put(t.Context(), "x", "old")
	if err != nil {
		t.Fatal(err)
	}
	info := object.NewStaticObjectInfo("x", time.Unix(1e9, 0), 100, true, nil, nil)
	broken := io.MultiReader(strings.NewReader("new but "), iotest.ErrReader(errors.New("the source is gone")))
	if err := old.Update(t.Context(), broken, info); err == nil {
		t.Error("a broken write succeeded")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := old.Update(ctx, strings.NewReader("new"), info); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled write: %v", err)
	}
	content, _ := os.ReadFile(b.dir + "/f/x")
	entries, _ := os.ReadDir(b.dir + "/f")
	if string(content) != "old" || len(entries) != 1 {
		t.Errorf("content %q among %v", content, entries)
	}
}

// Of a file that changes while it is read the last bytes are not given, whatever
// its size is then.
func TestFileThatChangesWhileItIsRead(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(file string) error{
		"grows":   func(file string) error { return os.WriteFile(file, []byte(strings.Repeat("y", 200_000)), 0o600) },
		"shrinks": func(file string) error { return os.Truncate(file, 80_000) },
		"is overwritten in place": func(file string) error {
			out, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = out.WriteString("z")
			return errors.Join(err, out.Close(), os.Chtimes(file, time.Time{}, time.Unix(2e9, 0)))
		},
	} {
		for _, options := range [][]fs.OpenOption{nil, {&fs.HashesOption{Hashes: hash.NewHashSet(hash.MD5)}}, {&fs.RangeOption{Start: 1, End: 99_999}}} {
			b := setup(t, "f")
			b.write(t, b.dir+"/f/a", strings.Repeat("x", 100_000))
			o, err := b.NewObject(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			in, err := o.Open(t.Context(), options...)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(in, make([]byte, 50_000)); err != nil {
				t.Fatal(err)
			}
			if err := change(b.dir + "/f/a"); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(in)
			if err == nil || len(rest) >= 50_000 {
				t.Errorf("%s: %d more bytes, %v", name, len(rest), err)
			}
			_ = in.Close()
		}
	}
}

// A file that has become longer or shorter since it was listed does not replace
// the one that is there.
func TestWriteOfAnotherSizeLeavesTheOldFile(t *testing.T) {
	t.Parallel()
	b := setup(t, "f")
	old, err := b.put(t.Context(), "x", "old")
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int64{2, 4} {
		info := object.NewStaticObjectInfo("x", time.Unix(1e9, 0), size, true, nil, nil)
		if err := old.Update(t.Context(), strings.NewReader("new"), info); err == nil {
			t.Errorf("3 bytes instead of %d were taken", size)
		}
	}
	content, _ := os.ReadFile(b.dir + "/f/x")
	entries, _ := os.ReadDir(b.dir + "/f")
	if string(content) != "old" || len(entries) != 1 {
		t.Errorf("content %q among %v", content, entries)
	}
}
