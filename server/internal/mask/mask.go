// Package mask finds secrets in texts and replaces them, in every form in which
// they are usually written: raw, quoted, JSON-escaped, URL-escaped, hexadecimal,
// and base64 of both alphabets at every offset, padded or not, in a URL or not.
//
// Rules:
//   - Pure. A [Mask] is never changed, only replaced.
//   - Of a secret that is JSON, or that has several lines, the parts are secret
//     too. Values of less than four bytes are not masked, since they occur
//     everywhere.
//   - A line of JSON stays a line of JSON.
package mask

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	// minSecret is the length below which a value is not masked.
	minSecret = 4
	// minPart is the same for the parts of a secret: the line of a key file,
	// a string in a JSON token. Shorter ones are words such as "bearer".
	minPart = 8
	// Replacement stands where a secret stood.
	Replacement = "[masked]"
)

// Mask finds secrets in texts. The zero value finds none.
type Mask struct{ forms [][]byte }

// With returns a mask that also finds these secrets.
func (m Mask) With(secrets ...string) Mask {
	all := map[string]bool{}
	for _, form := range m.forms {
		all[string(form)] = true
	}
	for _, secret := range secrets {
		if len(secret) < minSecret {
			continue
		}
		addForms(all, secret)
		for _, part := range parts(secret) {
			if len(part) >= minPart {
				addForms(all, part)
			}
		}
	}
	next := Mask{forms: make([][]byte, 0, len(all))}
	for form := range all {
		next.forms = append(next.forms, []byte(form))
	}
	return next
}

// parts are the strings in a JSON secret (a stored OAuth token), or the lines
// of one with several (a private key).
func parts(secret string) []string {
	var found []string
	var value any
	if json.Unmarshal([]byte(secret), &value) != nil {
		for line := range strings.Lines(secret) {
			found = append(found, strings.TrimSpace(line))
		}
		return found
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case string:
			found = append(found, value)
		case []any:
			for _, v := range value {
				walk(v)
			}
		case map[string]any:
			for _, v := range value {
				walk(v)
			}
		}
	}
	walk(value)
	return found
}

// addForms adds the ways in which a secret may be written.
func addForms(all map[string]bool, secret string) {
	forms := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for _, escaped := range []string{
		url.QueryEscape(secret),
		strings.ReplaceAll(url.QueryEscape(secret), "+", "%20"),
		url.PathEscape(secret),
		(&url.URL{Path: secret}).EscapedPath(),
	} {
		forms = append(forms, escaped, lowerEscapes(escaped))
	}
	for _, form := range base64Forms(secret) {
		// In a URL, + / and = are escaped.
		forms = append(forms, form, url.QueryEscape(form), lowerEscapes(url.QueryEscape(form)))
	}
	quoted := strconv.Quote(secret)
	forms = append(forms, quoted[1:len(quoted)-1], Visible(secret))
	// A line escapes every text once, and a text may be JSON already.
	for range 2 {
		for _, form := range slices.Clone(forms) {
			forms = append(forms, jsonEscape(form, true), jsonEscape(form, false))
		}
	}
	for _, form := range forms {
		all[form] = true
	}
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(escaped string) string {
	text := []byte(escaped)
	for i := 0; i+2 < len(text); i++ {
		if text[i] == '%' {
			copy(text[i+1:], bytes.ToLower(text[i+1:i+3]))
		}
	}
	return string(text)
}

// base64Forms are the characters that depend on the secret alone, when it
// stands at each of the three offsets in an encoded text, and all of them when
// nothing else is encoded.
func base64Forms(secret string) []string {
	forms := []string{base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret))}
	for offset := range 3 {
		padded := append(make([]byte, offset), secret...)
		begin, end := (offset*8+5)/6, len(padded)*8/6
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, encoding.EncodeToString(padded)[begin:end])
		}
	}
	return forms
}

// jsonEscape is the inside of the JSON string, with <, > and & escaped as
// encoding/json does by default, or not, as slog does.
func jsonEscape(text string, html bool) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(html)
	_ = encoder.Encode(text) // a string always encodes
	return string(out.Bytes()[1 : out.Len()-2])
}

// span is a stretch of a text, [begin, end).
type span struct{ begin, end int }

// find returns where the secrets stand, in order and without overlaps.
func (m Mask) find(text []byte) []span {
	var spans []span
	for _, form := range m.forms {
		for from := 0; ; {
			i := bytes.Index(text[from:], form)
			if i < 0 {
				break
			}
			spans = append(spans, span{from + i, from + i + len(form)})
			from += i + 1
		}
	}
	return merge(spans)
}

// merge joins spans that touch, so that no rest of a secret stays between.
func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.begin, b.begin) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.begin <= merged[n-1].end {
			merged[n-1].end = max(merged[n-1].end, s.end)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// Text replaces the secrets in a plain text.
func (m Mask) Text(text string) string {
	if spans := m.find([]byte(text)); len(spans) > 0 {
		return string(replace([]byte(text), spans, Replacement))
	}
	return text
}

// Line replaces the secrets in a line of JSON, which stays JSON: a span that
// begins or ends within an escape takes all of it, and a number becomes a text.
func (m Mask) Line(line []byte) []byte {
	if len(m.find(line)) == 0 {
		return line
	}
	head := headLength(line)
	out := bytes.Clone(line[:head])
	for rest := line[head:]; len(rest) > 0; {
		n := nextToken(rest)
		out = append(out, m.token(rest[:n])...)
		rest = rest[n:]
	}
	return out
}

// headLength is the length of {"time":"…","level":"…", which no secret is in:
// masking a date that a short secret happens to match would break the line.
func headLength(line []byte) int {
	const mark = `","level":"`
	i := bytes.Index(line, []byte(mark))
	if i < 0 || !bytes.HasPrefix(line, []byte(`{"time":"`)) {
		return 0
	}
	i += len(mark)
	return i + bytes.IndexByte(line[i:], '"') + 1
}

// nextToken is the length of the first token: a string, a number or a name, or
// one other byte.
func nextToken(text []byte) int {
	switch c := text[0]; {
	case c == '"':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return i + 1
			}
		}
		return len(text)
	case bytes.IndexByte(punctuation, c) >= 0:
		return 1
	default:
		if i := bytes.IndexAny(text, string(punctuation)+`"`); i > 0 {
			return i
		}
		return len(text)
	}
}

var punctuation = []byte("{}[]:, \n")

// token replaces the secrets in one token.
func (m Mask) token(token []byte) []byte {
	if token[0] != '"' {
		if len(m.find(token)) > 0 {
			return []byte(`"` + Replacement + `"`)
		}
		return token
	}
	inside := token[1 : len(token)-1]
	spans := m.find(inside)
	if len(spans) == 0 {
		return token
	}
	return slices.Concat([]byte{'"'}, replace(inside, merge(widen(inside, spans)), Replacement), []byte{'"'})
}

// widen moves the ends of spans out of escapes such as \n and \u00e9.
func widen(inside []byte, spans []span) []span {
	next := 0 // the first span that does not end before i
	for i := 0; i < len(inside); i++ {
		if inside[i] != '\\' || i+1 == len(inside) {
			continue
		}
		end := i + 2
		if inside[i+1] == 'u' {
			end = min(i+6, len(inside))
		}
		for next < len(spans) && spans[next].end <= i {
			next++
		}
		for j := next; j < len(spans) && spans[j].begin < end; j++ {
			if spans[j].begin > i {
				spans[j].begin = i
			}
			spans[j].end = max(spans[j].end, end)
		}
		i = end - 1
	}
	return spans
}

func replace(text []byte, spans []span, with string) []byte {
	var out []byte
	from := 0
	for _, s := range spans {
		out = append(append(out, text[from:s.begin]...), with...)
		from = s.end
	}
	return append(out, text[from:]...)
}

// Visible writes control characters, and those that turn the direction of a
// text, as escapes.
func Visible(text string) string {
	hidden := func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
	}
	if !strings.ContainsFunc(text, hidden) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
