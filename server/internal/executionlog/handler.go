package executionlog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/pointscene/carillon/server/internal/mask"
)

const (
	// maxText is the length from which on one text of a line is cut.
	maxText = 16 << 10
	// maxLine is the length of a line beyond which its attributes are left out.
	maxLine = 64 << 10
	// timeLayout is RFC 3339 in UTC with microseconds, as everywhere.
	timeLayout = "2006-01-02T15:04:05.000000Z"
)

// The keys that every line has, or, for the task, may have.
const (
	keyTime    = "time"
	keyLevel   = "level"
	keyTask    = "task"
	keyMessage = "message"
)

// lazyHandler is a handler that is made at its first record: most attempts
// log nothing, and a handler costs more than the rest of their log.
type lazyHandler struct {
	writer *Writer
	// task is empty for the execution itself.
	task    string
	once    sync.Once
	handler slog.Handler
}

func (h *lazyHandler) made() slog.Handler {
	h.once.Do(func() {
		h.handler = newHandler(h.writer)
		if h.task != "" {
			h.handler = h.handler.WithAttrs([]slog.Attr{slog.String(keyTask, h.task)})
		}
	})
	return h.handler
}

// Enabled implements slog.Handler.
func (h *lazyHandler) Enabled(_ context.Context, level slog.Level) bool {
	least := slog.LevelInfo
	if l := h.writer.store.options.Level; l != nil {
		least = l.Level()
	}
	return level >= least
}

// Handle implements slog.Handler.
func (h *lazyHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.made().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *lazyHandler) WithAttrs(attributes []slog.Attr) slog.Handler {
	return h.made().WithAttrs(attributes)
}

// WithGroup implements slog.Handler.
func (h *lazyHandler) WithGroup(name string) slog.Handler { return h.made().WithGroup(name) }

// newHandler encodes records as JSON lines, whose escapes keep a text with line
// breaks from forging a line. Messages and names of tasks have none at all, so
// that they don't do it either where a reader prints them as they are.
func newHandler(w *Writer) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: w.store.options.Level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 {
				a = rename(a)
			}
			text, ok := textOf(a.Value)
			if ok && len(text) > maxText {
				// Masked before it is cut: a cut secret is not recognised.
				text = cut(w.Masked(text))
				a.Value = slog.StringValue(text)
			}
			if ok && len(groups) == 0 && (a.Key == keyMessage || a.Key == keyTask) {
				a.Value = slog.StringValue(mask.Visible(text))
			}
			return a
		},
	})
}

// rename gives slog's own fields the names and forms of our lines, and moves
// attributes that would shadow them out of the way.
func rename(a slog.Attr) slog.Attr {
	switch {
	case a.Key == slog.MessageKey:
		a.Key = keyMessage
	case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
		a.Value = slog.StringValue(a.Value.Time().UTC().Format(timeLayout))
	case a.Key == slog.LevelKey && isLevel(a.Value):
	case a.Key == slog.TimeKey, a.Key == slog.LevelKey, a.Key == keyMessage:
		a.Key += "_"
	}
	return a
}

func isLevel(v slog.Value) bool {
	_, ok := v.Any().(slog.Level)
	return ok
}

// textOf is the text of values that may be long.
func textOf(v slog.Value) (string, bool) {
	switch v.Kind() {
	case slog.KindString:
		return v.String(), true
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return err.Error(), true
		}
	}
	return "", false
}

// cut shortens a text and says how long it was.
func cut(text string) string {
	return fmt.Sprintf("%s… (cut, %d bytes)", strings.ToValidUTF8(text[:maxText], ""), len(text))
}

// encode makes the line that is kept of an encoded record: not too long, and
// without secrets. mu is held.
func (w *Writer) encode(line []byte) []byte {
	if len(line) > maxLine {
		line = withoutAttributes(line)
	}
	return w.masks.Line(line)
}

func withoutAttributes(line []byte) []byte {
	var head struct {
		Time    string `json:"time"`
		Level   string `json:"level"`
		Task    string `json:"task,omitempty"`
		Message string `json:"message"`
		Cut     int    `json:"cutBytes"`
	}
	_ = json.Unmarshal(line, &head) // a field of another type stays empty
	head.Cut = len(line)
	short, _ := json.Marshal(head) // texts and a number always encode
	return append(short, '\n')
}
