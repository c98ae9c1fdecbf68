package strictjson

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxInteger is 2^53-1, the largest integer that every reader of JSON keeps.
const maxInteger = 1<<53 - 1

// exponentFrom is the number from which JSON writers print an exponent
// instead of all digits. A number below it that is beyond ±(2^53-1) counts as
// an integer however it is written, as it does for the service behind.
const exponentFrom = 1e21

// safeDigits is the length of a literal that is surely in range.
const safeDigits = 15

// text reads a string. Its content is returned only when it is wanted, which
// it is for keys.
func (s *scanner) text(wanted bool) (string, error) {
	s.pos++ // the opening quote
	start := s.pos
	var unescaped []byte // the content so far, once an escape was met
	for s.pos < len(s.raw) {
		c := s.raw[s.pos]
		switch {
		case c == '"':
			rest := s.raw[start:s.pos]
			s.pos++
			if !wanted {
				return "", nil
			}
			return string(append(unescaped, rest...)), nil
		case c == '\\':
			before := s.raw[start:s.pos]
			r, err := s.escape()
			if err != nil {
				return "", err
			}
			start = s.pos
			if wanted {
				unescaped = utf8.AppendRune(append(unescaped, before...), r)
			}
		case c == 0:
			return "", s.unexpected("text")
		case c < ' ':
			return "", s.unexpected("an escape for a control character")
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.raw[s.pos:])
			if r == utf8.RuneError && size == 1 {
				return "", s.unexpected("text")
			}
			s.pos += size
		}
	}
	return "", s.unexpected("a closing quote")
}

// escape reads a backslash and what belongs to it.
func (s *scanner) escape() (rune, error) {
	s.pos++
	if s.pos == len(s.raw) {
		return 0, s.unexpected("an escape")
	}
	const letters, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	c := s.raw[s.pos]
	if i := bytes.IndexByte([]byte(letters), c); i >= 0 {
		s.pos++
		return rune(meanings[i]), nil
	}
	if c != 'u' {
		return 0, s.unexpected("an escape")
	}
	at := s.pos - 1
	r, err := s.codeUnit()
	if err != nil {
		return 0, err
	}
	if r == 0 {
		return 0, s.fail(ReasonInvalidText, fmt.Sprintf("has a NUL character at byte %d", at))
	}
	if !utf16.IsSurrogate(r) {
		return r, nil
	}
	if bytes.HasPrefix(s.raw[s.pos:], []byte(`\u`)) {
		s.pos++
		low, err := s.codeUnit()
		if err != nil {
			return 0, err
		}
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return pair, nil
		}
	}
	return 0, s.fail(ReasonInvalidText, fmt.Sprintf("has half of a surrogate pair at byte %d", at))
}

// codeUnit reads the u and the four digits after it.
func (s *scanner) codeUnit() (rune, error) {
	s.pos++
	var r rune
	for range 4 {
		if s.pos == len(s.raw) {
			return 0, s.unexpected("a hexadecimal digit")
		}
		switch c := s.raw[s.pos]; {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case 'A' <= c && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, s.unexpected("a hexadecimal digit")
		}
		s.pos++
	}
	return r, nil
}

func (s *scanner) number() error {
	start := s.pos
	s.skip('-')
	if !s.skip('0') {
		if err := s.digits(); err != nil {
			return err
		}
	}
	integer := true
	if s.skip('.') {
		integer = false
		if err := s.digits(); err != nil {
			return err
		}
	}
	if s.skip('e') || s.skip('E') {
		integer = false
		if !s.skip('+') {
			s.skip('-')
		}
		if err := s.digits(); err != nil {
			return err
		}
	}
	return s.inRange(s.raw[start:s.pos], integer)
}

func (s *scanner) digits() error {
	start := s.pos
	for s.pos < len(s.raw) && '0' <= s.raw[s.pos] && s.raw[s.pos] <= '9' {
		s.pos++
	}
	if s.pos == start {
		return s.unexpected("a digit")
	}
	return nil
}

func (s *scanner) inRange(literal []byte, integer bool) error {
	if integer && len(literal) <= safeDigits {
		return nil
	}
	f, err := strconv.ParseFloat(string(literal), 64)
	size := math.Abs(f)
	switch {
	case size > maxInteger && (integer || size < exponentFrom):
		return s.fail(ReasonNumberRange, "must be within ±9007199254740991; write larger numbers as text")
	case err != nil:
		return s.fail(ReasonNumberRange, "is beyond the range of a 64-bit floating-point number")
	}
	return nil
}
