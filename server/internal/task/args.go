package task

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// The reasons for which arguments are refused; a type adds its own with
// [Reader.Refuse].
const (
	ReasonRequired     = "REQUIRED"
	ReasonWrongType    = "WRONG_TYPE"
	ReasonUnknownField = "UNKNOWN_FIELD"
	ReasonOutOfRange   = "OUT_OF_RANGE"
	ReasonInvalidValue = "INVALID_VALUE"
)

// maxUnknown bounds how many unknown arguments one error names.
const maxUnknown = 10

// Reader takes arguments that the schema has let through out of [Args], and
// remembers what a type refuses beyond that, so that a caller learns of all of
// it at once. Each method returns the zero value for an argument that is left
// out, null, or of another type: the schema's refusals are not repeated.
//
// A Reader is for one use by one goroutine. Its errors never repeat values.
type Reader struct {
	args Args
	errs job.InvalidError
}

// Read starts reading args.
func Read(args Args) *Reader { return &Reader{args: args} }

// Has reports whether the argument is there and not null.
func (r *Reader) Has(name string) bool { return r.args[name] != nil }

// Refuse adds a violation; path is relative to the arguments.
func (r *Reader) Refuse(path, reason, format string, args ...any) {
	r.errs.Add(path, reason, format, args...)
}

// Done returns everything refused as a *job.InvalidError, or nil.
func (r *Reader) Done() error { return r.errs.Err() }

// Any returns the argument as it is.
func (r *Reader) Any(name string) any { return r.args[name] }

// String returns a string.
func (r *Reader) String(name string) string {
	s, _ := r.args[name].(string)
	return s
}

// Strings returns a list of strings; a single string is a list of one.
func (r *Reader) Strings(name string) []string {
	switch v := r.args[name].(type) {
	case string:
		return []string{v}
	case []any:
		out := make([]string, len(v))
		for i, element := range v {
			out[i], _ = element.(string)
		}
		return out
	}
	return nil
}

// StringMap returns an object whose values are all strings.
func (r *Reader) StringMap(name string) map[string]string {
	object, ok := r.args[name].(map[string]any)
	if !ok {
		return nil
	}
	out := make(map[string]string, len(object))
	for key, value := range object {
		out[key], _ = value.(string)
	}
	return out
}

// Bool returns true or false.
func (r *Reader) Bool(name string) bool {
	b, _ := r.args[name].(bool)
	return b
}

// Int returns a whole number within ±(2^53-1).
func (r *Reader) Int(name string) int64 {
	n, _ := WholeNumber(r.args[name])
	return n
}

// Duration returns a length of time within lowest and highest, written as a
// Go duration ("1m30s") or as a number of seconds; a schema can't say that.
func (r *Reader) Duration(name string, lowest, highest time.Duration) time.Duration {
	if !r.Has(name) {
		return 0
	}
	d, reason, text := ParseDuration(r.args[name], lowest, highest)
	if reason != "" {
		r.Refuse(Field(name), reason, "%s", text)
	}
	return d
}

// ID returns an identifier as the caller wrote it; a JSON number becomes its
// digits. Whether such an object exists is for the caller to find out.
func (r *Reader) ID(name string) string {
	id, _ := IDText(r.args[name])
	return id
}

// IDText returns the text of an identifier that stands in JSON as a string or
// as a whole number from 1 to job.MaxID; false for anything else.
func IDText(v any) (string, bool) {
	if s, ok := v.(string); ok {
		return s, true
	}
	n, ok := WholeNumber(v)
	if !ok || n < 1 {
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

// WholeNumber returns a decoded JSON number that is whole and within
// ±(2^53-1); false for anything else.
func WholeNumber(v any) (int64, bool) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) || math.Abs(f) > job.MaxID {
		return 0, false
	}
	return int64(f), true
}

// ParseDuration reads a Go duration ("1m30s") or a number of seconds. One that
// is not within lowest and highest is refused with a reason and a text.
func ParseDuration(v any, lowest, highest time.Duration) (d time.Duration, reason, text string) {
	d, ok := duration(v)
	switch {
	case !ok:
		return 0, ReasonWrongType, `must be a duration such as "1m30s" or a number of seconds`
	case d < lowest || d > highest:
		return 0, ReasonOutOfRange, fmt.Sprintf("must be from %s to %s", lowest, highest)
	}
	return d, "", ""
}

// duration reads a Go duration or a number of seconds. Numbers too large for
// a time.Duration become the largest one, so that the range check names them.
func duration(v any) (time.Duration, bool) {
	switch v := v.(type) {
	case string:
		d, err := time.ParseDuration(v)
		return d, err == nil
	case float64:
		nanos := v * float64(time.Second)
		switch {
		case math.IsNaN(nanos):
			return 0, false
		case nanos >= math.MaxInt64:
			return math.MaxInt64, true
		case nanos <= math.MinInt64:
			return math.MinInt64, true
		}
		return time.Duration(math.Round(nanos)), true
	}
	return 0, false
}

// maxFieldName bounds a caller's key in an error's path, in bytes.
const maxFieldName = 64

// Field returns a key as a part of a field path: itself when it is a plain
// name, else quoted in brackets (["a.b"]) and cut to a bearable length.
func Field(key string) string {
	if len(key) <= maxFieldName && isPlain(key) {
		return key
	}
	if len(key) > maxFieldName {
		key = strings.ToValidUTF8(key[:maxFieldName], "") + "…"
	}
	return "[" + strconv.Quote(key) + "]"
}

func isPlain(key string) bool {
	for i := range len(key) {
		c := key[i]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return key != ""
}

// Index returns the path of the i-th element of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
