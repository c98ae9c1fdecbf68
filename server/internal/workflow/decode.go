package workflow

import (
	"encoding/json"
	"strconv"
)

// Decode reads a stored document: what json.Unmarshal makes of it, for a fraction
// of its time, which every execution pays. By itself it reads plain documents:
// ASCII without escapes, not too deep, nothing wrong. Any other goes the long way.
func Decode(text []byte) (doc any, err error) {
	d := decoder{text: string(text)}
	if doc, ok := d.value(0); ok && d.next() == 0 && d.at == len(d.text) {
		return doc, nil
	}
	err = json.Unmarshal(text, &doc)
	return doc, err
}

// decoder reads values from at on; all strings share the text. What it answers
// false for is not plain.
type decoder struct {
	text string
	at   int
}

// next passes over white space and answers the byte behind it, 0 at the end.
func (d *decoder) next() byte {
	for ; d.at < len(d.text); d.at++ {
		switch c := d.text[d.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// skip passes over one byte, which must be the next.
func (d *decoder) skip(c byte) bool {
	if d.next() != c {
		return false
	}
	d.at++
	return true
}

func (d *decoder) value(depth int) (any, bool) {
	switch c := d.next(); {
	case depth > MaxDepth:
		return nil, false
	case c == '{':
		return d.object(depth + 1)
	case c == '[':
		return d.array(depth + 1)
	case c == '"':
		return d.string()
	case c == 't':
		return true, d.word("true")
	case c == 'f':
		return false, d.word("false")
	case c == 'n':
		return nil, d.word("null")
	}
	return d.number()
}

func (d *decoder) word(word string) bool {
	if len(d.text)-d.at < len(word) || d.text[d.at:d.at+len(word)] != word {
		return false
	}
	d.at += len(word)
	return true
}

func (d *decoder) object(depth int) (any, bool) {
	d.at++
	object := make(map[string]any)
	if d.skip('}') {
		return object, true
	}
	for {
		if d.next() != '"' {
			return nil, false
		}
		key, ok := d.string()
		if !ok || !d.skip(':') {
			return nil, false
		}
		if object[key], ok = d.value(depth); !ok {
			return nil, false
		}
		if !d.skip(',') {
			return object, d.skip('}')
		}
	}
}

func (d *decoder) array(depth int) (any, bool) {
	d.at++
	list := []any{}
	if d.skip(']') {
		return list, true
	}
	for {
		v, ok := d.value(depth)
		if !ok {
			return nil, false
		}
		list = append(list, v)
		if !d.skip(',') {
			return list, d.skip(']')
		}
	}
}

func (d *decoder) string() (string, bool) {
	d.at++
	for i := d.at; i < len(d.text); i++ {
		switch c := d.text[i]; {
		case c == '"':
			text := d.text[d.at:i]
			d.at = i + 1
			return text, true
		case c < ' ' || c > '~' || c == '\\':
			return "", false
		}
	}
	return "", false
}

// number reads digits with at most a sign and a point: no exponent, no zero in
// front of others.
func (d *decoder) number() (any, bool) {
	begin := d.at
	if d.at < len(d.text) && d.text[d.at] == '-' {
		d.at++
	}
	first := d.at
	if n := d.digits(); n == 0 || n > 1 && d.text[first] == '0' {
		return nil, false
	}
	if d.at < len(d.text) && d.text[d.at] == '.' {
		d.at++
		if d.digits() == 0 {
			return nil, false
		}
	}
	if d.at < len(d.text) && (d.text[d.at] == 'e' || d.text[d.at] == 'E') {
		return nil, false
	}
	n, err := strconv.ParseFloat(d.text[begin:d.at], 64)
	return n, err == nil
}

func (d *decoder) digits() (n int) {
	for ; d.at < len(d.text) && '0' <= d.text[d.at] && d.text[d.at] <= '9'; d.at++ {
		n++
	}
	return n
}
