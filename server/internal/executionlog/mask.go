package executionlog

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
)

const (
	// minSecret is the length below which a value is not masked.
	minSecret = 4
	// minPart is the same for the parts of a secret: the line of a key file,
	// a string in a JSON token. Shorter ones are words such as "bearer".
	minPart     = 8
	replacement = "[masked]"
)

// mask finds secrets in texts. It is never changed, only replaced.
type mask struct{ forms [][]byte }

// with returns a mask that also finds these secrets.
func (m mask) with(secrets []string) mask {
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
	next := mask{forms: make([][]byte, 0, len(all))}
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
	forms = append(forms, base64Forms(secret)...)
	quoted := strconv.Quote(secret)
	forms = append(forms, quoted[1:len(quoted)-1])
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
// stands at each of the three offsets in an encoded text.
func base64Forms(secret string) []string {
	var forms []string
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
func (m mask) find(text []byte) []span {
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

// text replaces the secrets in a plain text.
func (m mask) text(text string) string {
	if spans := m.find([]byte(text)); len(spans) > 0 {
		return string(replace([]byte(text), spans, replacement))
	}
	return text
}

// line replaces the secrets in a line of JSON, which stays JSON: a span that
// begins or ends within an escape takes all of it, and a number becomes a text.
func (m mask) line(line []byte) []byte {
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
func (m mask) token(token []byte) []byte {
	if token[0] != '"' {
		if len(m.find(token)) > 0 {
			return []byte(`"` + replacement + `"`)
		}
		return token
	}
	inside := token[1 : len(token)-1]
	spans := m.find(inside)
	if len(spans) == 0 {
		return token
	}
	return slices.Concat([]byte{'"'}, replace(inside, merge(widen(inside, spans)), replacement), []byte{'"'})
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
