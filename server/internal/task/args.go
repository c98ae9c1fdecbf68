package task

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// The reasons that a [Reader] gives; a type adds its own with [Reader.Refuse].
const (
	ReasonRequired     = "REQUIRED"
	ReasonWrongType    = "WRONG_TYPE"
	ReasonUnknownField = "UNKNOWN_FIELD"
	ReasonOutOfRange   = "OUT_OF_RANGE"
	ReasonInvalidValue = "INVALID_VALUE"
)

// maxUnknown bounds how many unknown arguments one error names.
const maxUnknown = 10

// Presence says whether an argument may be left out.
type Presence bool

// An argument that is null counts as left out.
const (
	Optional Presence = false
	Required Presence = true
)

// Reader takes arguments out of [Args] one by one and remembers every
// violation, so that a caller learns of all of them at once. Each method
// returns the zero value for an argument that is left out or wrong; an
// argument that no method asked for is refused by [Reader.Done].
//
// A Reader is for one use by one goroutine. Its errors never repeat values.
type Reader struct {
	args    Args
	known   []string
	backing [8]string
	errs    job.InvalidError
}

// Read starts reading args.
func Read(args Args) *Reader {
	r := &Reader{args: args}
	r.known = r.backing[:0]
	return r
}

// Has reports whether the argument is there and not null. It counts as asking
// for the argument.
func (r *Reader) Has(name string) bool {
	r.know(name)
	return r.args[name] != nil
}

// Refuse adds a violation; path is relative to the arguments.
func (r *Reader) Refuse(path, reason, format string, args ...any) {
	r.errs.Add(path, reason, format, args...)
}

// Refused reports whether any violation was found so far.
func (r *Reader) Refused() bool { return len(r.errs.Violations) > 0 }

// Done refuses arguments that were never asked for, and returns everything
// found as a *job.InvalidError, or nil.
func (r *Reader) Done() error {
	var unknown []string
	for name := range r.args {
		if !slices.Contains(r.known, name) {
			unknown = append(unknown, name)
		}
	}
	slices.Sort(unknown)
	for _, name := range unknown[:min(len(unknown), maxUnknown)] {
		if len(r.known) == 0 {
			r.Refuse(Field(name), ReasonUnknownField, "unknown argument: this task takes none")
			continue
		}
		r.Refuse(Field(name), ReasonUnknownField, "unknown argument; known are %s", strings.Join(r.known, ", "))
	}
	return r.errs.Err()
}

// Any returns the argument as it is.
func (r *Reader) Any(name string, p Presence) any {
	v, _ := r.take(name, p)
	return v
}

// String returns a string; a required one is not empty.
func (r *Reader) String(name string, p Presence) string {
	v, ok := r.take(name, p)
	if !ok {
		return ""
	}
	s, ok := v.(string)
	switch {
	case !ok:
		r.wrongType(name, "a string")
	case s == "" && p == Required:
		r.Refuse(Field(name), ReasonRequired, "must not be empty")
	}
	return s
}

// OneOf returns a string that is one of values, or "".
func (r *Reader) OneOf(name string, p Presence, values ...string) string {
	s := r.String(name, p)
	if s == "" && (p == Required || !r.isString(name)) {
		return ""
	}
	if !slices.Contains(values, s) {
		r.Refuse(Field(name), ReasonInvalidValue, "must be one of %s", strings.Join(values, ", "))
		return ""
	}
	return s
}

// Strings returns a list of strings; a single string is a list of one. A
// required list is not empty.
func (r *Reader) Strings(name string, p Presence) []string {
	v, ok := r.take(name, p)
	if !ok {
		return nil
	}
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		if len(v) == 0 && p == Required {
			r.Refuse(Field(name), ReasonRequired, "must not be empty")
		}
		return r.strings(name, v)
	}
	r.wrongType(name, "a list of strings")
	return nil
}

func (r *Reader) strings(name string, list []any) []string {
	out := make([]string, 0, len(list))
	for i, element := range list {
		s, ok := element.(string)
		if !ok {
			r.Refuse(Index(Field(name), i), ReasonWrongType, "must be a string")
			return nil
		}
		out = append(out, s)
	}
	return out
}

// StringMap returns an object whose values are all strings.
func (r *Reader) StringMap(name string, p Presence) map[string]string {
	v, ok := r.take(name, p)
	if !ok {
		return nil
	}
	object, ok := v.(map[string]any)
	if !ok {
		r.wrongType(name, "an object with string values")
		return nil
	}
	out := make(map[string]string, len(object))
	for key, value := range object {
		s, ok := value.(string)
		if !ok {
			r.Refuse(job.JoinPath(Field(name), Field(key)), ReasonWrongType, "must be a string")
			return nil
		}
		out[key] = s
	}
	return out
}

// Bool returns true or false.
func (r *Reader) Bool(name string, p Presence) bool {
	v, ok := r.take(name, p)
	if !ok {
		return false
	}
	b, ok := v.(bool)
	if !ok {
		r.wrongType(name, "true or false")
	}
	return b
}

// Int returns a whole number within lowest and highest.
func (r *Reader) Int(name string, p Presence, lowest, highest int64) int64 {
	v, ok := r.take(name, p)
	if !ok {
		return 0
	}
	n, ok := WholeNumber(v)
	switch {
	case !ok:
		r.wrongType(name, "a whole number")
		return 0
	case n < lowest || n > highest:
		r.Refuse(Field(name), ReasonOutOfRange, "must be from %d to %d", lowest, highest)
		return 0
	}
	return n
}

// Duration returns a length of time within lowest and highest, written as a
// Go duration ("1m30s") or as a number of seconds.
func (r *Reader) Duration(name string, p Presence, lowest, highest time.Duration) time.Duration {
	v, ok := r.take(name, p)
	if !ok {
		return 0
	}
	d, ok := duration(v)
	switch {
	case !ok:
		r.wrongType(name, `a duration such as "1m30s" or a number of seconds`)
		return 0
	case d < lowest || d > highest:
		r.Refuse(Field(name), ReasonOutOfRange, "must be from %s to %s", lowest, highest)
		return 0
	}
	return d
}

// ID returns an identifier as the caller wrote it; a JSON number becomes its
// digits. Whether such an object exists is for the caller to find out.
func (r *Reader) ID(name string, p Presence) string {
	v, ok := r.take(name, p)
	if !ok {
		return ""
	}
	id, ok := IDText(v)
	switch {
	case !ok:
		r.wrongType(name, "an identifier: a string or a positive whole number")
	case id == "" && p == Required:
		r.Refuse(Field(name), ReasonRequired, "must not be empty")
	}
	return id
}

// take marks the argument as known and returns it; false when it is left out.
func (r *Reader) take(name string, p Presence) (any, bool) {
	r.know(name)
	v := r.args[name]
	if v == nil && p == Required {
		r.Refuse(Field(name), ReasonRequired, "is required")
	}
	return v, v != nil
}

func (r *Reader) know(name string) {
	if !slices.Contains(r.known, name) {
		r.known = append(r.known, name)
	}
}

func (r *Reader) isString(name string) bool {
	_, ok := r.args[name].(string)
	return ok
}

func (r *Reader) wrongType(name, want string) {
	r.Refuse(Field(name), ReasonWrongType, "must be %s", want)
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
