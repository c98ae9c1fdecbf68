// Package explorer is the page that shows the GraphQL schema and tries
// operations in a browser: GraphiQL, with everything it needs embedded, so
// that it works without the internet. fetch.sh says which versions.
//
// The page itself needs no token. It keeps none either: a token that is typed
// into its headers editor is gone when the page is.
package explorer

import (
	"bytes"
	"compress/gzip"
	"embed"
	"io"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// AssetsPath is where [Assets] must be served.
const AssetsPath = "/graphql/assets/"

//go:embed page.html start.js start.css assets
var files embed.FS

// policy lets the page run its own scripts only. The editor writes styles into
// the page; fonts and pictures stand in the style sheet.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Page answers the page.
func Page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Add("Vary", "Accept")
	write(w, "page.html", "text/html; charset=utf-8")
}

// Assets answers what the page loads.
func Assets(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, AssetsPath)
	kind := map[string]string{".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".txt": "text/plain; charset=utf-8"}[path.Ext(name)]
	if kind == "" || strings.Contains(name, "/") {
		http.NotFound(w, r)
		return
	}
	// They change only with the program, which has no use for their dates.
	w.Header().Set("Cache-Control", "public, max-age=3600")
	packed, err := files.ReadFile("assets/" + name + ".gz")
	if err != nil {
		if _, err := files.ReadFile(name); err != nil {
			name = "assets/" + name
		}
		write(w, name, kind)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Add("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		unpacked, err := gzip.NewReader(bytes.NewReader(packed))
		if err == nil {
			_, _ = io.Copy(w, unpacked) // the client is gone, which nobody can be told
		}
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(packed)))
	_, _ = w.Write(packed)
}

func write(w http.ResponseWriter, name, kind string) {
	content, err := files.ReadFile(name)
	if err != nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(content)
}
