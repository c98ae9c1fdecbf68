package executionlog

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
)

// Filter chooses lines. The zero value chooses all of them.
type Filter struct {
	// Level is the least severe level that is wanted, such as WARN.
	Level string
	// Search is text that the message, the task or an attribute contains, in
	// any case.
	Search string
}

// matcher is a filter made ready. Most lines of a long log are refused by their
// bytes, without being decoded.
type matcher struct {
	level  slog.Level
	all    bool
	search string
	// quoted is search as it stands in JSON, levels are the fields of which a
	// line has one.
	quoted []byte
	levels [][]byte
}

func (f Filter) matcher() matcher {
	m := matcher{level: slog.LevelDebug, all: f == Filter{}, search: strings.ToLower(f.Search)}
	if f.Level != "" {
		m.level = severity(f.Level)
		for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
			if level >= m.level {
				m.levels = append(m.levels, []byte(`"`+level.String()+`"`))
			}
		}
	}
	var quoted bytes.Buffer
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false) // as the handler writes it
	_ = encoder.Encode(m.search) // text always encodes
	m.quoted = bytes.Trim(quoted.Bytes(), "\"\n")
	return m
}

// severity is a level by its name; what has no known one is taken for an error.
func severity(name string) slog.Level {
	var level slog.Level
	if level.UnmarshalText([]byte(name)) != nil {
		return slog.LevelError
	}
	return level
}

// matches decides about a stored line.
func (m matcher) matches(text []byte) bool {
	if m.all {
		return true
	}
	if bytes.HasPrefix(text, []byte{'{'}) && !m.may(text) {
		return false
	}
	line := parseLine(text)
	return severity(line.Level) >= m.level && m.contains(line)
}

// may tells whether a line can match.
func (m matcher) may(text []byte) bool {
	named := m.levels == nil
	for _, level := range m.levels {
		named = named || bytes.Contains(text, level)
	}
	return named && (m.search == "" || bytes.Contains(bytes.ToLower(text), m.quoted))
}

func (m matcher) contains(line Line) bool {
	in := func(text string) bool { return strings.Contains(strings.ToLower(text), m.search) }
	if in(line.Message) || in(line.Task) {
		return true
	}
	for key, value := range line.Attributes {
		text, isText := value.(string)
		if !isText {
			encoded, _ := json.Marshal(value) // it was decoded from JSON
			text = string(encoded)
		}
		if in(key) || in(text) {
			return true
		}
	}
	return false
}
