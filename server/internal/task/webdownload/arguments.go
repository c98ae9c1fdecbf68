package webdownload

import (
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

const (
	defaultTimeout = time.Hour
	minTimeout     = time.Second
	maxTimeout     = 24 * time.Hour
	// maxName is the longest name that a file system takes, in bytes.
	maxName = 255
)

// reasonPath refuses a place in the work directory.
const reasonPath = "INVALID_PATH"

// arguments are what the task is asked for.
type arguments struct {
	files    []source
	header   http.Header
	maxBytes int64
	timeout  time.Duration
}

// source is one file to download.
type source struct {
	url string
	// shown is the URL without what may be secret in it.
	shown string
	// path is the place in the work directory.
	path string
	// sha256 is in lower case; empty unless given.
	sha256 string
}

// readArguments reads the arguments, or refuses them with a *job.InvalidError.
func readArguments(args task.Args) (*arguments, error) {
	r := task.Read(args)
	a := &arguments{timeout: defaultTimeout, maxBytes: math.MaxInt64 - 1}
	a.header = egress.ReadHeaders(r.StringMap("headers"), func(name, reason, text string) {
		r.Refuse(job.JoinPath("headers", task.Field(name)), reason, "%s", text)
	})
	if a.header.Get("User-Agent") == "" {
		a.header.Set("User-Agent", userAgent)
	}
	if r.Has("maxBytes") {
		a.maxBytes = r.Int("maxBytes")
	}
	if timeout := r.Duration("timeout", minTimeout, maxTimeout); timeout > 0 {
		a.timeout = timeout
	}
	files, _ := r.Any("files").([]any)
	for i, element := range files {
		object, _ := element.(map[string]any)
		s := readSource(r, task.Index("files", i), object)
		for k, other := range a.files {
			if overlap(s.path, other.path) {
				r.Refuse(task.Index("files", i)+".path", reasonPath, "is the place of %s, or one lies in the other", task.Index("files", k))
				break
			}
		}
		a.files = append(a.files, s)
	}
	return a, r.Done()
}

func readSource(r *task.Reader, at string, object map[string]any) source {
	text := func(name string) string { s, _ := object[name].(string); return s }
	s := source{url: text("url"), path: text("path"), sha256: strings.ToLower(text("sha256"))}
	u, problem := egress.ParseURL(s.url)
	if problem != "" {
		r.Refuse(at+".url", task.ReasonInvalidValue, "%s", problem)
		return s
	}
	s.shown = egress.Bare(u)
	if s.path == "" {
		// Only the last part, so that it needs no folder.
		if s.path = path.Base(u.Path); s.path == "/" || s.path == "." {
			r.Refuse(at+".path", task.ReasonRequired, "is required: the URL names no file")
			return s
		}
	}
	if problem := badPath(s.path); problem != "" {
		r.Refuse(at+".path", reasonPath, "%s", problem)
	}
	return s
}

// badPath says what is wrong with a place in the work directory.
func badPath(p string) string {
	switch {
	case !utf8.ValidString(p) || strings.ContainsFunc(p, unicode.IsControl) || strings.Contains(p, `\`):
		return "must be text without control characters and backslashes"
	case path.IsAbs(p) || path.Clean(p) != p || p == "." || p == ".." || strings.HasPrefix(p, "../"):
		return `must be a plain path below the work directory, such as in/scan.laz, without "." and ".."`
	case slices.ContainsFunc(strings.Split(p, "/"), func(name string) bool { return len(name) > maxName }):
		return "a name must have at most 255 bytes"
	}
	return ""
}

// overlap tells whether two places can't be files side by side.
func overlap(a, b string) bool {
	return a != "" && b != "" && (a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/"))
}
