package remote

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
)

// history is a listing of what two sides had in common after a bisync.
type history struct{ files map[string]versions }

// versions tell what a file was on either side.
type versions struct {
	A string `json:"a"`
	B string `json:"b"`
}

// historyLine is how a file stands in the stored form: gzipped JSON lines.
type historyLine struct {
	Name string `json:"n"`
	versions
}

func newHistory() *history { return &history{files: map[string]versions{}} }

func readHistory(stored []byte) (*history, error) {
	h := newHistory()
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
		h.files[line.Name] = line.versions
	}
}

func (h *history) bytes() ([]byte, error) {
	var out bytes.Buffer
	packed := gzip.NewWriter(&out)
	lines := json.NewEncoder(packed)
	for name, v := range h.files {
		if err := lines.Encode(historyLine{name, v}); err != nil {
			return nil, err
		}
	}
	err := packed.Close()
	return out.Bytes(), err
}

func (h *history) get(name string) (versions, bool) {
	v, ok := h.files[name]
	return v, ok
}

func (h *history) set(name, a, b string) { h.files[name] = versions{a, b} }

func (h *history) len() int { return len(h.files) }
