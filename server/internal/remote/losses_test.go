package remote

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// A WebDAV server that is told to move a file to where a folder is deletes the
// folder with all that is in it.
func TestBisyncNeverReplacesAFolderByAFile(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]func(*testing.T) (task.RemoteConfig, string){
		"webdav": func(t *testing.T) (task.RemoteConfig, string) {
			dir := t.TempDir()
			return davConfig(startWebDAV(t, dir).URL, testSecret), dir
		},
		"sftp":  func(t *testing.T) (task.RemoteConfig, string) { return startSFTP(t).remote(testSecret), "" },
		"local": func(*testing.T) (task.RemoteConfig, string) { return local("b"), "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			cfg, dir := of(t)
			at := "/b"
			switch name {
			case "sftp":
				dir = t.TempDir()
				at = dir + "/b"
			case "local":
				dir = b.root
			}
			files{"x": "a file", "y/f": "in a folder", "z": "1"}.write(t, b.root+"/a")
			files{"x/1": "precious", "x/sub/2": "precious too", "y": "a file", "z": "1"}.write(t, dir+"/b")
			s := b.session(t.Context(), t)
			result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/a"), mustOpen(t, s, cfg, at), func(r *Request) { r.Mode = Bisync })
			wantReason(t, err, ReasonFilesFailed)
			if result.Failed != 2 {
				t.Errorf("%+v, want both names in the way", result)
			}
			read(t, dir+"/b").equal(t, files{"x/1": "precious", "x/sub/2": "precious too", "y": "a file", "z": "1"})
			read(t, b.root+"/a").equal(t, files{"x": "a file", "y/f": "in a folder", "z": "1"})
		})
	}
}

// Nor does one that the filter hides.
func TestHiddenFolderIsNotReplacedByAFile(t *testing.T) {
	t.Parallel()
	for _, mode := range []Mode{Mirror, Copy, Bisync} {
		b := setupTest(t)
		dir := t.TempDir()
		files{"x": "a file", "z": "1"}.write(t, b.root+"/a")
		there := files{"x/1": "precious", "z": "1"}
		there.write(t, dir+"/b")
		s := b.session(t.Context(), t)
		result, _, err := b.sync(t, s, mustOpen(t, s, local("a"), "/a"), mustOpen(t, s, davConfig(startWebDAV(t, dir).URL, testSecret), "/b"), func(r *Request) {
			r.Mode, r.Exclude = mode, []string{"/x/**"}
		})
		wantReason(t, err, ReasonFilesFailed)
		if result.Failed != 1 {
			t.Errorf("%s: %+v", mode, result)
		}
		read(t, dir+"/b").equal(t, there)
	}
}

// A file that somebody writes to while it is copied fails, and what the
// destination had before stays there.
func TestDestinationKeepsItsVersionOfAFileThatIsBeingWritten(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, file string){
		"grows": func(t *testing.T, file string) {
			out, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = out.WriteString(strings.Repeat("more", 1<<20))
			if err := errors.Join(err, out.Close()); err != nil {
				t.Error(err)
			}
		},
		"shrinks": func(t *testing.T, file string) {
			if err := os.Truncate(file, 10); err != nil {
				t.Error(err)
			}
		},
		"is overwritten in place": func(t *testing.T, file string) {
			out, err := os.OpenFile(file, os.O_WRONLY, 0)
			if err != nil {
				t.Error(err)
				return
			}
			_, err = out.WriteAt([]byte(strings.Repeat("y", 4<<20)), 0)
			if err := errors.Join(err, out.Close()); err != nil {
				t.Error(err)
			}
		},
	} {
		for _, to := range []string{"local", "s3"} {
			t.Run(name+" to "+to, func(t *testing.T) {
				t.Parallel()
				b := setupTest(t)
				files{"a": strings.Repeat("x", 8<<20), "b": "1"}.write(t, b.root+"/src")
				server := startS3(t, testKey, testSecret, "bkt")
				dest, at := local("b"), "/dst"
				if to == "s3" {
					dest, at = server.config("cloud", testKey, testSecret), "/bkt/dst"
					server.put(t, "bkt", "dst/a", "the last good one")
				} else {
					files{"a": "the last good one"}.write(t, b.root+"/dst")
				}
				s := b.session(t.Context(), t)
				var once sync.Once
				result, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, dest, at), func(r *Request) {
					r.Announce = func(context.Context, []job.FileRecord) error { // after the listing
						once.Do(func() { change(t, b.root+"/src/a") })
						return nil
					}
				})
				got := read(t, b.root+"/dst")["a"]
				if to == "s3" {
					got = server.read(t, "bkt")["dst/a"]
				}
				if now := read(t, b.root+"/src")["a"]; got != "the last good one" && got != now {
					t.Errorf("the destination has %d bytes of %.20q, which nobody has written; %+v, %v, %v", len(got), got, result, events, err)
				}
			})
		}
	}
}

// What the source has but can't give, such as a link or a document, is not gone:
// a mirror leaves what the destination has of it.
func TestMirrorKeepsWhatTheSourceCanNotGive(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	there := files{"archive/1": "1", "archive/sub/2": "2", "current": "3", "gone": "4", "a": "5", "b": "6", "c": "7"}
	there.write(t, b.root+"/dst")
	files{"a": "5", "b": "6", "c": "7"}.write(t, b.root+"/src")
	// Somebody has moved a folder and a file to another disk, and left links.
	for _, name := range []string{"archive", "current"} {
		if err := os.Symlink("/elsewhere/"+name, b.root+"/src/"+name); err != nil {
			t.Fatal(err)
		}
	}
	result, events, err := b.syncLocal(t, "/src", "/dst", func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	if err != nil || result.Deleted != 1 {
		t.Errorf("%+v, %v, %v; want the one file deleted that is gone", result, events, err)
	}
	delete(there, "gone")
	read(t, b.root+"/dst").equal(t, there)
	skipped := 0
	for _, ev := range events {
		if ev.Action == Skipped && ev.Reason == ReasonNotAFile {
			skipped++
		}
	}
	if skipped != 2 {
		t.Errorf("events %v, want both links told of", events)
	}

	d := startDrive(t)
	d.addDocument("s/plan")
	d.add(driveFile{MimeType: "text/plain"}, "s/a").set([]byte("1"))
	files{"plan": "exported by hand", "a": "1", "gone": "2"}.write(t, d.root+"/d")
	s := d.begin(t)
	result, _, err = d.sync(t, s, mustOpen(t, s, d.config(), "/s"), mustOpen(t, s, local("b"), "/d"), func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	if err != nil || result.Deleted != 1 {
		t.Errorf("%+v, %v", result, err)
	}
	read(t, d.root+"/d").equal(t, files{"plan": "exported by hand", "a": "1"})
}

// A sync that ended before it had made all its changes knows the next time which
// of them are left: what was deleted stays so, and what was changed is no
// conflict.
func TestBisyncThatEndedInTheMiddle(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	old := files{}
	for _, name := range strings.Split("abcdefgh", "") {
		old[name] = "old"
	}
	old.write(t, b.root+"/a")
	first, err := b.bisync(t, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files{"a": "edit", "b": "edit"}.write(t, b.root+"/a")
	remove(t, b.root+"/a", "c", "d")
	broken := errors.New("the record can't be kept")
	second, err := b.bisync(t, first.Listing, func(r *Request) {
		r.Announce = func(context.Context, []job.FileRecord) error { return broken }
	})
	if !errors.Is(err, broken) {
		t.Fatalf("%+v, %v", second, err)
	}
	listing := first.Listing
	if second.Listing != nil {
		listing = second.Listing
	}
	third, err := b.bisync(t, listing, nil)
	if err != nil || third.Updated != 2 || third.Deleted != 2 || third.Conflicts+third.Copied != 0 {
		t.Errorf("%+v, %v; want two updates and two deletions", third.Result, err)
	}
	read(t, b.root+"/b").equal(t, files{"a": "edit", "b": "edit", "e": "old", "f": "old", "g": "old", "h": "old"})
}

// What somebody changes while a bisync runs is not overwritten and not deleted.
func TestBisyncSparesWhatChangesMeanwhile(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, dir string){
		"overwritten": func(t *testing.T, dir string) { files{"1": "edit of a"}.write(t, dir) },
		"deleted":     func(t *testing.T, dir string) { remove(t, dir, "1") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupTest(t)
			files{"1": "old", "2": "old", "3": "old", "4": "old"}.write(t, b.root+"/a")
			first, err := b.bisync(t, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			change(t, b.root+"/a")
			var once sync.Once
			second, err := b.bisync(t, first.Listing, func(r *Request) {
				r.Announce = func(context.Context, []job.FileRecord) error { // after the listing, before any change
					once.Do(func() { files{"1": "edit of b!"}.write(t, b.root+"/b") })
					return nil
				}
			})
			wantReason(t, err, ReasonFilesFailed)
			if second.Failed != 1 || second.FileErrors[0].Reason != ReasonFileChanged {
				t.Errorf("%+v, %v", second.Result, second.FileErrors)
			}
			if got := read(t, b.root+"/b")["1"]; got != "edit of b!" {
				t.Errorf("b has %q", got)
			}
			if _, err = b.bisync(t, second.Listing, nil); err != nil {
				t.Fatal(err)
			}
			versions := map[string]bool{}
			for _, content := range read(t, b.root+"/b") {
				versions[content] = true
			}
			if !versions["edit of b!"] || name == "overwritten" && !versions["edit of a"] {
				t.Errorf("a version is lost: %v", versions)
			}
			read(t, b.root+"/a").equal(t, read(t, b.root+"/b"))
		})
	}
}

// A folder that is listed and then not found is not an empty one.
func TestBisyncOfAFolderThatVanishes(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	dir := t.TempDir()
	var hidden atomic.Bool
	dav := startWebDAV(t, dir)
	handler := dav.Config.Handler
	dav.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hidden.Load() && strings.HasPrefix(r.URL.Path, "/b/sub") {
			http.NotFound(w, r)
			return
		}
		handler.ServeHTTP(w, r)
	})
	files{"sub/1": "1", "sub/2": "2", "3": "3", "4": "4", "5": "5"}.write(t, b.root+"/a")
	both := func(listing []byte) (Outcome, error) {
		s := b.session(t.Context(), t)
		return s.Sync(Request{Source: mustOpen(t, s, local("a"), "/a"), Dest: mustOpen(t, s, davConfig(dav.URL, testSecret), "/b"),
			Mode: Bisync, MaxDelete: DefaultDeleteLimit, Listing: listing, Pause: 1})
	}
	first, err := both(nil)
	if err != nil {
		t.Fatal(err)
	}
	hidden.Store(true)
	second, err := both(first.Listing)
	if second.Deleted > 0 {
		t.Errorf("%+v, %v", second.Result, err)
	}
	hidden.Store(false)
	if second.Listing == nil {
		second.Listing = first.Listing
	}
	third, err := both(second.Listing)
	if err != nil || third.Skipped != 5 {
		t.Errorf("%+v, %v; want nothing to do", third.Result, err)
	}
	if got := read(t, b.root+"/a"); len(got) != 5 {
		t.Errorf("a has %v", got)
	}
}

// A file that was put aside, and whose successor could not be written at first,
// is written at the second try.
func TestBackupOfAFileThatIsTriedTwice(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "dst/f", "older")
	files{"f": "new"}.write(t, b.root+"/src")
	var failed atomic.Int64
	broken := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/dst/f") && r.Header.Get("X-Amz-Copy-Source") == "" && failed.Add(1) == 1 {
			http.Error(w, "<Error><Code>EntityTooSmall</Code></Error>", http.StatusBadRequest)
			return true
		}
		return false
	}
	server.intercept.Store(&broken)
	s := b.session(t.Context(), t)
	cloud := server.config("cloud", testKey, testSecret)
	result, events, err := b.sync(t, s, mustOpen(t, s, local("a"), "/src"), mustOpen(t, s, cloud, "/bkt/dst"), func(r *Request) {
		r.Backup = mustOpen(t, s, cloud, "/bkt/old")
	})
	if err != nil || failed.Load() != 2 {
		t.Errorf("%+v, %v, %v after %d tries", result, events, err, failed.Load())
	}
	server.read(t, "bkt").equal(t, files{"dst/f": "new", "old/f": "older"})
}

// Two keys of one account at one endpoint are one account.
func TestOverlapOfTwoKeysIsRefused(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := startS3(t, testKey, testSecret, "bkt")
	server.put(t, "bkt", "x/y/1", "1")
	other := server.config("other", testKey, testSecret)
	other.Options["region"] = "eu-north-1"
	s := b.session(t.Context(), t)
	_, _, err := b.sync(t, s, mustOpen(t, s, server.config("cloud", testKey, testSecret), "/bkt/x/y"), mustOpen(t, s, other, "/bkt/x"),
		func(r *Request) { r.MaxDelete = DeleteLimit{Amount: 100, Percent: true} })
	wantReason(t, err, ReasonOverlap)
	server.read(t, "bkt").equal(t, files{"x/y/1": "1"})
}
