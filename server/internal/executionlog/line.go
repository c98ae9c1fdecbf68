package executionlog

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Line is one line of a log.
type Line struct {
	// Time is in UTC, in microseconds.
	Time time.Time
	// Level is DEBUG, INFO, WARN or ERROR.
	Level string
	// Task is the task that wrote the line, empty for the execution itself.
	Task    string
	Message string
	// Attributes are the line's other fields as decoded JSON.
	Attributes map[string]any
	// Cursor resumes reading after this line.
	Cursor string
}

var newline = []byte{'\n'}

// parseLine decodes a stored line. One that is no JSON object is told as it
// is: somebody else has written to the store.
func parseLine(text []byte) Line {
	var fields map[string]any
	if json.Unmarshal(text, &fields) != nil {
		return Line{Level: "ERROR", Message: strings.ToValidUTF8(string(text), "\uFFFD")}
	}
	take := func(key string) string {
		text, ok := fields[key].(string)
		if ok {
			delete(fields, key)
		}
		return text
	}
	line := Line{Level: take(keyLevel), Task: take(keyTask), Message: take(keyMessage)}
	if at, err := time.Parse(time.RFC3339Nano, take(keyTime)); err == nil {
		line.Time = at.UTC()
	}
	if len(fields) > 0 {
		line.Attributes = fields
	}
	return line
}

// gapLine tells a reader that lines are missing before next, and how many bytes
// they have, -1 when that is not known.
func gapLine(missing, size int64, next []byte) []byte {
	first, _, _ := strings.Cut(string(next), "\n")
	what := fmt.Sprintf("%d lines are", missing)
	if size >= 0 {
		what = fmt.Sprintf("%d lines with %d bytes are", missing, size)
	}
	text, _ := json.Marshal(struct { // texts and a number always encode
		Time    string `json:"time"`
		Level   string `json:"level"`
		Message string `json:"message"`
		Missing int64  `json:"missingLines"`
		Bytes   int64  `json:"missingBytes,omitempty"`
	}{
		parseLine([]byte(first)).Time.Format(timeLayout),
		"WARN",
		fmt.Sprintf("%s not kept here: the log was longer than its limit, or could not be stored", what),
		missing, max(size, 0),
	})
	return append(text, '\n')
}

// cursor is the text form of a position in a log, bound to its execution.
func (r Ref) cursor(at position) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d.%d", r.ExecutionID, at.attempt, at.line))
}

// parseCursor is the inverse of cursor; an empty one is the log's beginning.
// field is which of a request it is.
func (r Ref) parseCursor(field, text string) (position, error) {
	if text == "" {
		return position{}, nil
	}
	decoded, _ := base64.RawURLEncoding.DecodeString(text)
	parts := strings.Split(string(decoded), ".")
	if len(parts) == 3 {
		attempt, _ := strconv.Atoi(parts[1])
		line, _ := strconv.ParseInt(parts[2], 10, 64)
		// What does not come out the same was not made by cursor.
		if at := (position{attempt, line}); attempt > 0 && line >= 0 && r.cursor(at) == text {
			return at, nil
		}
	}
	return position{}, job.Invalid(field, "INVALID_CURSOR", "is not a cursor of this log; leave it out for the whole log")
}
