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
	"strings"

	"github.com/pointscene/carillon/facade/internal/door"
)

// AssetsPath is where [Assets] must be served.
const AssetsPath = "/graphql/assets/"

//go:embed page.html
var page []byte

//go:embed start.js start.css assets
var files embed.FS

// policy lets the page run its own scripts only. The editor writes styles into
// the page; fonts and pictures stand in the style sheet.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:; " +
	"img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// assets are what the page loads, by name.
var assets = map[string]struct{ file, kind string }{
	"start.js":     {"start.js", script},
	"start.css":    {"start.css", style},
	"graphiql.js":  {"assets/graphiql.js.gz", script},
	"graphiql.css": {"assets/graphiql.css.gz", style},
	"react.js":     {"assets/react.js.gz", script},
	"react-dom.js": {"assets/react-dom.js.gz", script},
	"LICENSES.txt": {"assets/LICENSES.txt", "text/plain; charset=utf-8"},
}

const (
	script = "text/javascript; charset=utf-8"
	style  = "text/css; charset=utf-8"
)

// Page answers the page.
func Page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Add("Vary", "Accept")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) // the client is gone, which nobody can be told
}

// Assets answers what the page loads.
func Assets(w http.ResponseWriter, r *http.Request) {
	asset, known := assets[strings.TrimPrefix(r.URL.Path, AssetsPath)]
	if !known {
		door.WriteError(w, r, door.NoSuchRoute())
		return
	}
	content, err := files.ReadFile(asset.file)
	if err != nil {
		door.WriteError(w, r, err)
		return
	}
	w.Header().Set("Content-Type", asset.kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Add("Vary", "Accept-Encoding")
	var out io.Reader = bytes.NewReader(content)
	switch compressed := strings.HasSuffix(asset.file, ".gz"); {
	case compressed && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip"):
		w.Header().Set("Content-Encoding", "gzip")
	case compressed:
		if out, err = gzip.NewReader(out); err != nil {
			door.WriteError(w, r, err)
			return
		}
	}
	_, _ = io.Copy(w, out) // the client is gone, which nobody can be told
}
