package strictjson

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// linearKeys is the number of keys up to which an object's keys are compared
// one by one.
const linearKeys = 16

// scanner walks the text once. The path holds what encloses the position.
type scanner struct {
	raw      []byte
	pos      int
	maxDepth int
	path     []step
}

// step is one object or list around the position.
type step struct {
	// key is the current key of an object; list says that index counts instead.
	key   string
	index int
	list  bool
	// inKey says that the object's next key is not read yet.
	inKey bool
}

func (s *scanner) space() {
	for s.pos < len(s.raw) {
		switch s.raw[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

// skip moves past c, and reports whether c was there.
func (s *scanner) skip(c byte) bool {
	if s.pos < len(s.raw) && s.raw[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

func (s *scanner) value() error {
	if s.pos == len(s.raw) {
		return s.unexpected("a value")
	}
	switch c := s.raw[s.pos]; {
	case c == '{':
		return s.object()
	case c == '[':
		return s.list()
	case c == '"':
		_, err := s.text(false)
		return err
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	}
	for _, word := range []string{"null", "true", "false"} {
		if bytes.HasPrefix(s.raw[s.pos:], []byte(word)) {
			s.pos += len(word)
			return nil
		}
	}
	return s.unexpected("a value")
}

func (s *scanner) list() error {
	if err := s.enter(step{list: true}); err != nil {
		return err
	}
	s.space()
	if s.skip(']') {
		return s.leave()
	}
	for {
		s.space()
		if err := s.value(); err != nil {
			return err
		}
		s.space()
		if s.skip(']') {
			return s.leave()
		}
		if !s.skip(',') {
			return s.unexpected(`"," or "]"`)
		}
		s.path[len(s.path)-1].index++
	}
}

func (s *scanner) object() error {
	if err := s.enter(step{inKey: true}); err != nil {
		return err
	}
	s.space()
	if s.skip('}') {
		return s.leave()
	}
	var seen keySet
	for {
		if err := s.key(&seen); err != nil {
			return err
		}
		s.space()
		if err := s.value(); err != nil {
			return err
		}
		s.path[len(s.path)-1].inKey = true
		s.space()
		if s.skip('}') {
			return s.leave()
		}
		if !s.skip(',') {
			return s.unexpected(`"," or "}"`)
		}
	}
}

// key reads a key up to its colon and makes it the current one.
func (s *scanner) key(seen *keySet) error {
	s.space()
	if s.pos == len(s.raw) || s.raw[s.pos] != '"' {
		return s.unexpected("a key in double quotes")
	}
	key, err := s.text(true)
	if err != nil {
		return err
	}
	at := &s.path[len(s.path)-1]
	at.key, at.inKey = key, false
	if !seen.add(key) {
		return s.fail(ReasonDuplicateKey, "is given twice in one object")
	}
	s.space()
	if !s.skip(':') {
		return s.unexpected(`":"`)
	}
	return nil
}

// enter steps into the object or list whose opening bracket is next.
func (s *scanner) enter(at step) error {
	if len(s.path) == s.maxDepth {
		return s.fail(ReasonTooDeep, fmt.Sprintf("is nested deeper than %d levels", s.maxDepth))
	}
	s.pos++
	s.path = append(s.path, at)
	return nil
}

func (s *scanner) leave() error {
	s.path = s.path[:len(s.path)-1]
	return nil
}

func (s *scanner) fail(reason, message string) error {
	return &Error{Path: s.where(), Reason: reason, Message: message}
}

// unexpected refuses what stands at the position instead of want.
func (s *scanner) unexpected(want string) error {
	if s.pos == len(s.raw) {
		return s.fail(ReasonMalformed, "the document ends where "+want+" is expected")
	}
	if s.raw[s.pos] == 0 {
		return s.fail(ReasonInvalidText, fmt.Sprintf("has a NUL character at byte %d", s.pos))
	}
	if r, size := utf8.DecodeRune(s.raw[s.pos:]); r == utf8.RuneError && size == 1 {
		return s.fail(ReasonInvalidText, fmt.Sprintf("has invalid UTF-8 at byte %d", s.pos))
	}
	return s.fail(ReasonMalformed, fmt.Sprintf("not valid JSON: at byte %d, %s is expected", s.pos, want))
}

// where is the path of the current field.
func (s *scanner) where() (path string) {
	for _, at := range s.path {
		switch {
		case at.list:
			path += "[" + strconv.Itoa(at.index) + "]"
		case at.inKey:
		default:
			path = Join(path, at.key)
		}
	}
	return path
}

// maxFieldName bounds a caller's key in an error's path, in bytes.
const maxFieldName = 64

// Join appends a key to a path, quoted unless it is a plain name, and cut when
// it is long.
func Join(path, key string) string {
	plain := key != "" && len(key) <= maxFieldName && strings.Trim(key,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == ""
	switch {
	case !plain:
		if len(key) > maxFieldName {
			key = strings.ToValidUTF8(key[:maxFieldName], "") + "…"
		}
		return fmt.Sprintf("%s[%q]", path, key)
	case path == "":
		return key
	default:
		return path + "." + key
	}
}

// keySet holds the keys of one object. Most objects are small enough for a
// list without any allocation of its own.
type keySet struct {
	few  [linearKeys]string
	n    int
	many map[string]struct{}
}

// add reports whether key is new.
func (k *keySet) add(key string) bool {
	if k.many == nil {
		for _, other := range k.few[:k.n] {
			if other == key {
				return false
			}
		}
		if k.n < len(k.few) {
			k.few[k.n] = key
			k.n++
			return true
		}
		k.many = make(map[string]struct{}, 4*linearKeys)
		for _, other := range k.few {
			k.many[other] = struct{}{}
		}
	}
	if _, there := k.many[key]; there {
		return false
	}
	k.many[key] = struct{}{}
	return true
}
