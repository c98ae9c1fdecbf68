package httprequest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/task"
)

const (
	// maxRead bounds how much of a body is read at all, in bytes. Beyond it the
	// connection is closed rather than drained.
	maxRead = 1 << 20
	// maxHandedOn bounds the body that becomes part of the output, in bytes.
	maxHandedOn = 64 << 10
)

// handedOnHeaders describe the body; others may hold credentials.
var handedOnHeaders = []string{"Content-Type", "Etag", "Last-Modified", "Retry-After"}

// answer is what is kept of a response.
type answer struct {
	status int
	header http.Header
	// size is how much was read, in bytes, up to maxRead.
	size int64
	// body is nil when it is larger than maxHandedOn.
	body []byte
}

func readAnswer(response *http.Response) (*answer, error) {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxHandedOn+1))
	if err != nil {
		return nil, err
	}
	a := &answer{status: response.StatusCode, header: response.Header, size: int64(len(body)), body: body}
	if len(body) <= maxHandedOn {
		return a, nil
	}
	a.body = nil
	more, err := io.CopyN(io.Discard, response.Body, maxRead-a.size)
	a.size += more
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return a, nil
}

func (a *answer) output() task.Output {
	headers := make(map[string]any)
	for _, name := range handedOnHeaders {
		if value := a.header.Get(name); value != "" {
			headers[strings.ToLower(name)] = value
		}
	}
	out := task.Output{"status": float64(a.status), "headers": headers, "bodyBytes": float64(a.size)}
	if body := a.value(); body != nil {
		out["body"] = body
	}
	return out
}

// value is the body as JSON if it says it is and is, else as text; nil when
// there is none, or when it is neither.
func (a *answer) value() any {
	if len(a.body) == 0 || !utf8.Valid(a.body) {
		return nil
	}
	media, _, _ := mime.ParseMediaType(a.header.Get("Content-Type"))
	if media == "application/json" || strings.HasSuffix(media, "+json") {
		var v any
		if json.Unmarshal(a.body, &v) == nil {
			return v
		}
	}
	return string(a.body)
}
