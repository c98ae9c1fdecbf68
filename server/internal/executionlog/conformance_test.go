package executionlog

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

var ref = Ref{InstanceID: 1, ExecutionID: 5}

// backends are the stores that must behave alike. Each opens twice on the same
// data, as two replicas do.
var backends = map[string]func(t *testing.T) (open func(Options) *Store){
	"memory": func(*testing.T) func(Options) *Store {
		bucket := memblob.OpenBucket(nil)
		return func(o Options) *Store { return newStore(bucket, o) }
	},
	"folder": func(t *testing.T) func(Options) *Store {
		address, err := FolderURL(filepath.Join(t.TempDir(), "with space", "logs"))
		if err != nil {
			t.Fatal(err)
		}
		return opener(t, address)
	},
	"s3": func(t *testing.T) func(Options) *Store {
		return opener(t, "s3://logs?region=eu-central-1&use_path_style=true&prefix=carillon/&endpoint="+startS3(t))
	},
}

func opener(t *testing.T, address string) func(Options) *Store {
	return func(o Options) *Store {
		store, err := Open(t.Context(), address, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		return store
	}
}

func TestConformance(t *testing.T) {
	cases := map[string]func(t *testing.T, open func(Options) *Store){
		"silent":    silentAttemptLeavesNothing,
		"roundtrip": linesComeBack,
		"cursors":   everyCursorResumes,
		"attempts":  attemptsFollowEachOther,
		"crash":     crashLeavesWhatWasStored,
		"limit":     limitKeepsHeadAndTail,
		"growing":   readerOfAGrowingSegment,
		"backwards": pagesFromTheEnd,
		"delete":    deleteRemovesOneLog,
	}
	for backend, start := range backends {
		for name, run := range cases {
			t.Run(backend+"/"+name, func(t *testing.T) { run(t, start(t)) })
		}
	}
}

func silentAttemptLeavesNothing(t *testing.T, open func(Options) *Store) {
	store := open(Options{})
	w := store.Writer(ref, 1)
	slog.New(w.Handler()).Debug("below the level")
	mustClose(t, w)
	if got := w.Bytes(); got != 0 {
		t.Errorf("%d bytes", got)
	}
	if got := objects(t, store); len(got) != 0 {
		t.Errorf("objects %v", got)
	}
	if got := download(t, store); got != "" {
		t.Errorf("log %q", got)
	}
	if got := read(t, store, ""); len(got) != 0 {
		t.Errorf("lines %v", got)
	}
}

func linesComeBack(t *testing.T, open func(Options) *Store) {
	store := open(Options{})
	w := store.Writer(ref, 1)
	log := slog.New(w.Handler())
	log.Info("first\r\n{\"message\":\"forged\"}")
	log.With("task", "copy").Warn("second", "path", "a/b.txt", slog.Group("size", "bytes", 7))
	mustClose(t, w)
	log.Error("after the end")

	got := read(t, store, "")
	want := []Line{
		{Level: "INFO", Message: `first\r\n{"message":"forged"}`},
		{Level: "WARN", Task: "copy", Message: "second", Attributes: map[string]any{"path": "a/b.txt", "size": map[string]any{"bytes": 7.0}}},
	}
	for i := range got {
		if got[i].Time.IsZero() || got[i].Time.Nanosecond()%1000 != 0 {
			t.Errorf("time %v", got[i].Time)
		}
		got[i].Time, got[i].Cursor = want[0].Time, ""
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := objects(t, store); len(got) != 1 {
		t.Errorf("a short log is %d objects, want one: %v", len(got), got)
	}
	if got := int64(len(download(t, store))); got != w.Bytes() {
		t.Errorf("the log has %d bytes, the writer counted %d", got, w.Bytes())
	}
}

func everyCursorResumes(t *testing.T, open func(Options) *Store) {
	store := open(Options{})
	store.segmentBytes = 300
	for attempt := range 2 {
		w := store.Writer(ref, attempt+1)
		writeLines(w, 0, 20)
		mustClose(t, w)
	}
	all := read(t, store, "")
	if len(all) != 40 {
		t.Fatalf("%d lines, want 40", len(all))
	}
	for i, line := range all {
		if diff := cmp.Diff(messages(all[i+1:]), messages(read(t, store, line.Cursor))); diff != "" {
			t.Fatalf("after line %d: %s", i, diff)
		}
	}
}

func attemptsFollowEachOther(t *testing.T, open func(Options) *Store) {
	store := open(Options{})
	for attempt := 1; attempt <= 11; attempt++ { // 11 sorts after 2
		w := store.Writer(ref, attempt)
		writeLines(w, attempt, attempt+1)
		mustClose(t, w)
	}
	var want []string
	for attempt := 1; attempt <= 11; attempt++ {
		want = append(want, message(attempt))
	}
	if diff := cmp.Diff(want, messages(read(t, open(Options{}), ""))); diff != "" {
		t.Error(diff)
	}
}

// A process that dies leaves the segments that it stored, and the next attempt
// goes on behind them.
func crashLeavesWhatWasStored(t *testing.T, open func(Options) *Store) {
	crashed, survivor := open(Options{}), open(Options{})
	w := crashed.Writer(ref, 1)
	writeLines(w, 0, 3)
	w.flush(true) // what the timer does
	writeLines(w, 3, 5)
	seen := read(t, crashed, "")
	if len(seen) != 5 {
		t.Fatalf("a reader in the process saw %d lines, want 5", len(seen))
	}

	next := survivor.Writer(ref, 2)
	writeLines(next, 100, 102)
	mustClose(t, next)
	want := []string{message(0), message(1), message(2), message(100), message(101)}
	if diff := cmp.Diff(want, messages(read(t, survivor, ""))); diff != "" {
		t.Error(diff)
	}
	// Who saw the unsaved lines goes on with the next attempt, without a repeat.
	if diff := cmp.Diff(want[3:], messages(read(t, survivor, seen[4].Cursor))); diff != "" {
		t.Error(diff)
	}
}

func limitKeepsHeadAndTail(t *testing.T, open func(Options) *Store) {
	const limit, segment, lines = 4000, 500, 1000
	store := open(Options{Limit: limit})
	store.segmentBytes = segment
	w := store.Writer(ref, 1)
	writeLines(w, 0, lines)
	written := w.begin + int64(len(w.lines))
	mustClose(t, w)

	if got := len(download(t, store)); got > limit+3*segment {
		t.Errorf("%d bytes are kept, the limit is %d", got, limit)
	}
	got := read(t, store, "")
	gap := slices.IndexFunc(got, func(l Line) bool { return l.Attributes["missingLines"] != nil })
	if gap < 1 {
		t.Fatalf("no line tells of the missing ones: %v", messages(got))
	}
	if got[gap].Level != "WARN" || got[gap].Time.IsZero() {
		t.Errorf("got %+v", got[gap])
	}
	kept := messages(slices.Delete(slices.Clone(got), gap, gap+1))
	if n := int(got[gap].Attributes["missingLines"].(float64)); n+len(kept) != lines {
		t.Errorf("%d kept and %d missing, want %d together", len(kept), n, lines)
	}
	segments, err := store.list(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	stored := int64(0)
	for _, s := range segments {
		stored += s.size
	}
	if size := int64(got[gap].Attributes["missingBytes"].(float64)); size+stored != written || !strings.Contains(got[gap].Message, fmt.Sprintf(" lines with %d bytes are ", size)) {
		t.Errorf("%d bytes kept and told %d missing, want %d together: %s", stored, size, written, got[gap].Message)
	}
	if kept[0] != message(0) || kept[gap-1] != message(gap-1) || kept[len(kept)-1] != message(lines-1) {
		t.Errorf("not head and tail: %v", kept)
	}
	if half := float64(gap) / float64(len(kept)); half < 0.3 || half > 0.7 {
		t.Errorf("%d of %d kept lines are of the head", gap, len(kept))
	}
	// Resuming behind the gap line does not tell of the gap again.
	if diff := cmp.Diff(messages(got[gap+1:]), messages(read(t, store, got[gap].Cursor))); diff != "" {
		t.Error(diff)
	}
}

// Who reads the last lines, and those before them, and so on, has read the log:
// two attempts, one of which has a gap and the other unsaved lines.
func pagesFromTheEnd(t *testing.T, open func(Options) *Store) {
	store := open(Options{Limit: 2000})
	store.segmentBytes = 300
	first := store.Writer(ref, 1)
	writeLines(first, 0, 100)
	mustClose(t, first)
	second := store.Writer(ref, 2)
	writeLines(second, 0, 25)
	all := read(t, store, "")
	for _, size := range []int{1, 7, 40, 1000} {
		var got []Line
		for before := ""; ; {
			page := readTail(t, store, Tail{Last: size, Before: before})
			if len(page) == 0 {
				break
			}
			if len(page) > size+1 { // the gap is told besides
				t.Fatalf("%d lines, asked for the last %d", len(page), size)
			}
			got, before = append(page, got...), page[0].Cursor
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("pages of %d: %s", size, diff)
		}
	}
	some := readTail(t, store, Tail{Last: 3, Cursor: all[4].Cursor, Before: all[6].Cursor})
	if diff := cmp.Diff(all[5:6], some); diff != "" {
		t.Errorf("between two cursors: %s", diff)
	}
	found := readTail(t, store, Tail{Last: 2, Filter: Filter{Search: "LINE 1"}})
	if diff := cmp.Diff([]string{message(18), message(19)}, messages(found)); diff != "" {
		t.Errorf("the last that fit: %s", diff)
	}
	mustClose(t, second)
}

// Another replica's reader, which remembers how far it read in a segment, sees
// each line of a growing log once.
func readerOfAGrowingSegment(t *testing.T, open func(Options) *Store) {
	writing := open(Options{})
	writing.segmentBytes = 400
	w := writing.Writer(ref, 1)
	r := &reader{store: open(Options{}), ref: ref}
	var got, want []string
	for i := range 30 {
		writeLines(w, i, i+1)
		want = append(want, message(i))
		w.flush(true)
		err := r.read(t.Context(), segment{}, false, false, func(text []byte) bool {
			got = append(got, parseLine(text).Message)
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
	mustClose(t, w)
}

func deleteRemovesOneLog(t *testing.T, open func(Options) *Store) {
	store := open(Options{})
	store.segmentBytes = 300
	other := Ref{InstanceID: 1, ExecutionID: 55} // 5 is a prefix of it
	for _, r := range []Ref{ref, other} {
		w := store.Writer(r, 1)
		writeLines(w, 0, 10)
		mustClose(t, w)
	}
	if err := store.Delete(t.Context(), ref, Ref{InstanceID: 9, ExecutionID: 9}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, store, ""); len(got) != 0 {
		t.Errorf("%d lines are left", len(got))
	}
	var out bytes.Buffer
	if err := store.Copy(t.Context(), &out, other); err != nil || strings.Count(out.String(), "\n") != 10 {
		t.Errorf("the other log: %v, %q", err, out.String())
	}
}

func TestDeleteLeavesNoFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	address, err := FolderURL(folder)
	if err != nil {
		t.Fatal(err)
	}
	store := opener(t, address)(Options{})
	w := store.Writer(ref, 1)
	writeLines(w, 0, 1)
	mustClose(t, w)
	// What a process that was killed while storing leaves behind.
	stray := filepath.Join(folder, filepath.FromSlash(ref.key(segment{position: position{1, 0}}))+".18ac.tmp")
	if err := os.WriteFile(stray, []byte("half a li"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := read(t, store, ""); len(got) != 1 {
		t.Errorf("%d lines, want 1", len(got))
	}
	if err := store.Delete(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(filepath.Join(folder, "logs", "inst_1"))
	if err != nil || len(left) != 0 {
		t.Errorf("%v %v", left, err)
	}
}

// Helpers.

func message(i int) string { return fmt.Sprintf("line %d", i) }

func writeLines(w *Writer, from, to int) {
	log := slog.New(w.Handler())
	for i := from; i < to; i++ {
		log.Info(message(i))
	}
}

func mustClose(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func objects(t *testing.T, store *Store) (keys []string) {
	t.Helper()
	page, _, err := store.bucket.ListPage(t.Context(), blob.FirstPageToken, 1000, &blob.ListOptions{Prefix: "logs/"})
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range page {
		keys = append(keys, object.Key)
	}
	return keys
}

func download(t *testing.T, store *Store) string {
	t.Helper()
	var out bytes.Buffer
	if err := store.Copy(t.Context(), &out, ref); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func read(t *testing.T, store *Store, cursor string) []Line {
	t.Helper()
	return readTail(t, store, Tail{Cursor: cursor})
}

func readTail(t *testing.T, store *Store, tail Tail) (lines []Line) {
	t.Helper()
	for line, err := range store.Tail(t.Context(), ref, tail) {
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

func messages(lines []Line) (texts []string) {
	for _, line := range lines {
		texts = append(texts, line.Message)
	}
	return texts
}
