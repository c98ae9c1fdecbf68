package executionlog

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAttemptWithinASecondMakesOneWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := replicas(1, Options{})[0]
		w := store.Writer(ref, 1)
		for i := range 9 {
			writeLines(w, i, i+1)
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if got := objects(t, store); len(got) != 0 {
			t.Errorf("written before the end: %v", got)
		}
		mustClose(t, w)
		if got := objects(t, store); len(got) != 1 {
			t.Errorf("objects %v, want one", got)
		}
	})
}

func TestLinesAreStoredWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stores := replicas(2, Options{})
		w := stores[0].Writer(ref, 1)
		for i := range 5 {
			time.Sleep(10 * time.Second)
			writeLines(w, i, i+1)
			time.Sleep(flushEvery)
			synctest.Wait()
			if got := read(t, stores[1], ""); len(got) != i+1 {
				t.Errorf("%d lines are stored, want %d", len(got), i+1)
			}
		}
		if got := objects(t, stores[0]); len(got) != 1 {
			t.Errorf("a slow, short log is %d objects", len(got))
		}
		mustClose(t, w)
	})
}

// breakable is a folder store that can be made to fail.
func breakable(t *testing.T, options Options) (store *Store, fail, mend func()) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "logs")
	address, err := FolderURL(folder)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	store = opener(t, address)(options)
	fail = func() {
		must(os.Rename(folder, folder+".away"))
		must(os.WriteFile(folder, nil, 0o600))
	}
	mend = func() {
		must(os.Remove(folder))
		must(os.Rename(folder+".away", folder))
	}
	return store, fail, mend
}

func TestStoreThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var failures atomic.Int64
		store, fail, mend := breakable(t, Options{OnFailure: func(error) { failures.Add(1) }})
		store.segmentBytes = 500
		w := store.Writer(ref, 1)
		writeLines(w, 0, 3)
		w.flush(true)
		fail()
		writeLines(w, 3, 40) // several segments
		if got := failures.Load(); got != 1 {
			t.Errorf("%d failures, want 1: a store that is down is not asked for every segment", got)
		}
		time.Sleep(time.Minute + flushEvery/2) // between two attempts to store
		mend()
		time.Sleep(flushEvery)
		writeLines(w, 40, 70)
		if err := w.Close(); err == nil || !strings.Contains(err.Error(), ref.Path()) {
			t.Errorf("Close says %v", err)
		}

		var kept []string
		missing := 0
		for _, line := range read(t, store, "") {
			if n, ok := line.Attributes["missingLines"].(float64); ok {
				missing += int(n)
			} else {
				kept = append(kept, line.Message)
			}
		}
		if len(kept)+missing != 70 || missing == 0 {
			t.Errorf("%d lines are kept and %d told missing, want 70 together", len(kept), missing)
		}
		if len(kept) < 33 || kept[len(kept)-30] != message(40) || kept[len(kept)-1] != message(69) {
			t.Errorf("not all lines since the store is back: %v", kept)
		}
	})
}

func TestStoreThatIsBackInTimeLosesNothing(t *testing.T) {
	t.Parallel()
	store, fail, mend := breakable(t, Options{})
	w := store.Writer(ref, 1)
	fail()
	writeLines(w, 0, 5)
	w.flush(true)
	mend()
	if err := w.Close(); err == nil {
		t.Error("Close does not tell of the failure")
	}
	if got := read(t, store, ""); len(got) != 5 || got[4].Message != message(4) {
		t.Errorf("got %v", messages(got))
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]string{
		"":                              "scheme",
		"/var/log":                      "scheme",
		"gs://bucket":                   "scheme",
		"file://relative/path":          "file:///absolute/path",
		"file:///tmp?create_dir=1":      "file:///absolute/path",
		"file://" + file:                "not a directory",
		"s3://bucket?unknown_parameter": "unknown_parameter",
	} {
		store, err := Open(t.Context(), address, Options{})
		if err == nil {
			t.Errorf("%q is accepted", address)
			_ = store.Close()
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", address, err, want)
		}
	}
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	w.Mask("the-secret")
	log := slog.New(w.Handler())
	long := strings.Repeat("é", maxText)
	log.Info(long, "error", errors.New(long))
	log.Info("at the edge", "text", strings.Repeat("x", maxText-5)+"the-secret")
	many := []any{}
	for i := range 20 {
		many = append(many, fmt.Sprint("key", i), strings.Repeat("y", maxText))
	}
	log.With("task", "copy").Warn("many", many...)
	mustClose(t, w)

	for line := range strings.Lines(download(t, store)) {
		if len(line) > maxLine || !json.Valid([]byte(line)) {
			t.Errorf("a line of %d bytes: %.100q", len(line), line)
		}
		if strings.Contains(line, "the-s") {
			t.Error("a part of the secret is left where the text was cut")
		}
	}
	got := read(t, store, "")
	if !strings.HasSuffix(got[0].Message, "… (cut, 32768 bytes)") {
		t.Errorf("the message ends in %q", got[0].Message[len(got[0].Message)-40:])
	}
	if got[2].Message != "many" || got[2].Task != "copy" || got[2].Level != "WARN" || got[2].Attributes["cutBytes"] == nil {
		t.Errorf("got %+v", got[2])
	}
}

func TestAttributesDoNotShadowFields(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	slog.New(w.Handler()).Info("text", "level", "ERROR", "message", "other", "time", "never")
	mustClose(t, w)
	got := read(t, store, "")[0]
	if got.Level != "INFO" || got.Message != "text" || got.Time.IsZero() || len(got.Attributes) != 3 {
		t.Errorf("got %+v", got)
	}
}

// Whoever prints messages as they are is not shown lines that nobody logged.
func TestMessagesForgeNoLines(t *testing.T) {
	t.Parallel()
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	w.Mask("pass\n\"word")
	slog.New(w.Handler()).Info("a\r\n{\"level\":\"INFO\"}\x1b[2J\u202egnp\u2028 pass\n\"word é", "path", "in\nside")
	mustClose(t, w)
	if n := strings.Count(download(t, store), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	got := read(t, store, "")[0]
	if want := `a\r\n{"level":"INFO"}\x1b[2J\u202egnp\u2028 [masked] é`; got.Message != want {
		t.Errorf("%q, want %q", got.Message, want)
	}
	if got.Attributes["path"] != "in\nside" {
		t.Errorf("attributes are facts, and stay: %v", got.Attributes)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	for _, s := range []segment{{position: position{1, 0}}, {position: position{3, 77}, begin: 5}, {position: position{12345, 1 << 40}, begin: 1 << 50}} {
		if got, ok := ref.parseKey(ref.key(s)); !ok || got.position != s.position || got.begin != s.begin {
			t.Errorf("%v comes back as %v, %v", s, got, ok)
		}
	}
	for _, key := range []string{
		ref.Path(), ref.Path() + "0001/", ref.Path() + "0001/x.ndjson", ref.Path() + "1/0000000000-000000000000.ndjson", ref.Path() + "0001/0000000000.ndjson",
		ref.key(segment{position: position{1, 0}}) + ".tmp", Ref{1, 6}.key(segment{position: position{1, 0}}),
	} {
		if at, ok := ref.parseKey(key); ok {
			t.Errorf("%q is accepted as %v", key, at)
		}
	}
}

// BenchmarkSilentAttempt is what an execution that logs nothing costs.
func BenchmarkSilentAttempt(b *testing.B) {
	store := replicas(1, Options{})[0]
	b.ReportAllocs()
	for b.Loop() {
		if err := store.Writer(ref, 1).Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLine(b *testing.B) {
	store := replicas(1, Options{})[0]
	w := store.Writer(ref, 1)
	w.Mask("a-secret-of-some-length", "another one")
	log := slog.New(w.Handler())
	b.ReportAllocs()
	for b.Loop() {
		log.Info("copied", "path", "some/folder/file.txt", "bytes", 123456)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
}
