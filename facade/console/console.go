// Package console is the page for people at the root of the HTTP door: what
// runs, what did not and why. It is a client of the GraphQL door like any other
// and has no way of its own into the service.
//
// Rules:
//   - dist holds what the browser loads, built from src with the packages that
//     package-lock.json pins (make console). It is committed, so that only Go is
//     needed to build the program, and CI builds it again and compares.
//   - The page needs no token and holds none: who signs in keeps the token in
//     the browser's tab. The content security policy allows the page's own files
//     and this origin, nothing else.
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"github.com/pointscene/carillon/facade/internal/door"
)

// AssetsPath is where [Assets] must be served.
const AssetsPath = "/console/"

//go:embed dist
var dist embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// asset is one file as it is answered.
type asset struct {
	kind, etag        string
	plain, compressed []byte
}

var assets = sync.OnceValues(func() (map[string]asset, error) {
	all := map[string]asset{}
	for name, kind := range map[string]string{
		"index.html": "text/html; charset=utf-8",
		"console.js": "text/javascript; charset=utf-8",
		"style.css":  "text/css; charset=utf-8",
		// Of the packages in console.js.
		"LICENSES.txt": "text/plain; charset=utf-8",
	} {
		text, err := dist.ReadFile("dist/" + name)
		if err != nil {
			return nil, err
		}
		var small bytes.Buffer
		writer, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := writer.Write(text); err != nil {
			return nil, err
		}
		if err := writer.Close(); err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		all[name] = asset{kind, `"` + hex.EncodeToString(sum[:12]) + `"`, text, small.Bytes()}
	}
	return all, nil
})

// Page answers the page.
func Page(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	answer(w, r, "index.html")
}

// Assets answers what the page loads.
func Assets(w http.ResponseWriter, r *http.Request) {
	answer(w, r, strings.TrimPrefix(r.URL.Path, AssetsPath))
}

// answer writes a file, or that the browser has it already: it asks each time,
// so that a new version of the program is a new console at once.
func answer(w http.ResponseWriter, r *http.Request, name string) {
	all, err := assets()
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	file, known := all[name]
	if !known {
		door.WriteError(w, r, door.NoSuchRoute())
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", file.etag)
	h.Add("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == file.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", file.kind)
	body := file.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = file.compressed
	}
	_, _ = w.Write(body) // the client is gone, which nobody can be told
}
