package remote

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
)

// history is a listing of what two sides had in common after a bisync. It is
// held by folder, as packed as reading it one folder at a time allows: it has
// every file of the tree.
type history struct {
	// folders have, for each file, its name and its versions, each ended by a
	// NUL; that of B is empty where it is A's.
	folders map[string][]byte
	files   int
}

// versions tell what a file was on either side.
type versions struct {
	A string `json:"a"`
	B string `json:"b"`
}

// historyLine is how a file stands in the stored form: gzipped JSON lines, of
// which a later one of the same name counts.
type historyLine struct {
	Name string `json:"n"`
	versions
}

func readHistory(stored []byte) (*history, error) {
	h := &history{folders: map[string][]byte{}}
	if len(stored) == 0 {
		return h, nil
	}
	in, err := gzip.NewReader(bytes.NewReader(stored))
	if err != nil {
		return nil, err
	}
	lines := json.NewDecoder(in)
	for {
		var line historyLine
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return h, nil
		}
		if err != nil {
			return nil, err
		}
		h.add(line)
	}
}

func (h *history) add(line historyLine) {
	if strings.Contains(line.Name, "\x00") {
		return // no remote has such a name
	}
	if line.A == line.B {
		line.B = ""
	}
	folder := path.Dir(line.Name)
	packed := h.folders[folder]
	for _, text := range []string{path.Base(line.Name), line.A, line.B} {
		packed = append(append(packed, text...), 0)
	}
	h.folders[folder] = packed
	h.files++
}

// in are the files of one folder, by the last part of their names.
func (h *history) in(folder string) map[string]versions {
	packed := h.folders[path.Clean(folder)]
	files := map[string]versions{}
	next := func() (text string) {
		end := bytes.IndexByte(packed, 0)
		text, packed = string(packed[:end]), packed[end+1:]
		return text
	}
	for len(packed) > 0 {
		name := next()
		v := versions{A: next(), B: next()}
		if v.B == "" {
			v.B = v.A
		}
		files[name] = v
	}
	return files
}

// historyWriter packs a listing while it is made. It is safe for concurrent use.
type historyWriter struct {
	before *history

	mu     sync.Mutex
	out    bytes.Buffer
	packed *gzip.Writer
	lines  *json.Encoder
	// kept are names of which the listing before is to be told again.
	kept []string
}

func newHistory(before *history) *historyWriter {
	w := &historyWriter{before: before}
	w.packed = gzip.NewWriter(&w.out)
	w.lines = json.NewEncoder(w.packed)
	return w
}

func (w *historyWriter) set(name string, v versions) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.lines.Encode(historyLine{name, v}) // texts, into memory: it can't fail
}

// keep remembers of a name what was known before.
func (w *historyWriter) keep(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = append(w.kept, name)
}

// keepFolder remembers what was known before of everything in a folder.
func (w *historyWriter) keepFolder(folder string) {
	for dir := range w.before.folders {
		if dir == folder || strings.HasPrefix(dir, folder+"/") {
			for name := range w.before.in(dir) {
				w.keep(path.Join(dir, name))
			}
		}
	}
}

// bytes ends the listing.
func (w *historyWriter) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.SortFunc(w.kept, func(a, b string) int { // each folder is unpacked once
		return cmp.Or(strings.Compare(path.Dir(a), path.Dir(b)), strings.Compare(a, b))
	})
	folder, known := "", map[string]versions(nil)
	for _, name := range slices.Compact(w.kept) {
		if dir := path.Dir(name); dir != folder {
			folder, known = dir, w.before.in(dir)
		}
		if was, synced := known[path.Base(name)]; synced {
			_ = w.lines.Encode(historyLine{name, was}) // likewise
		}
	}
	w.kept = nil
	_ = w.packed.Close()
	return w.out.Bytes()
}
