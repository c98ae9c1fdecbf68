package remote

import (
	"context"
	"log/slog"
	"strings"
	"sync"

	"github.com/rclone/rclone/fs"
)

// router is the library's log handler. A line that carries a session's context
// goes to that session's log; the few that carry none (of the backends, the
// OAuth code, the transport) go to the log of every open service, at debug
// level, with the secrets of all open sessions masked.
//
// Lines about single files are left out: the engine writes its own.
type router struct{}

type sessionKey struct{}

// open holds the sessions and services that lines without a context concern.
var open struct {
	sync.Mutex
	sessions map[*Session]struct{}
	logs     map[*Remotes]*slog.Logger
}

// toldByEngine begins the lines that repeat what the engine says of a file.
var toldByEngine = []string{"Failed to copy: ", "Couldn't delete: ", "Skipped "}

func (router) Enabled(_ context.Context, level slog.Level) bool { return level >= fs.SlogLevelNotice }

func (router) Handle(ctx context.Context, record slog.Record) error {
	for _, start := range toldByEngine {
		if strings.HasPrefix(record.Message, start) {
			return nil
		}
	}
	level := record.Level
	if level == fs.SlogLevelNotice {
		level = slog.LevelInfo
	}
	object := ""
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "object" {
			object = a.Value.String()
		}
		return true
	})
	if session, ok := ctx.Value(sessionKey{}).(*Session); ok {
		session.line(level, record.Message, object)
		return nil
	}
	open.Lock()
	defer open.Unlock()
	message := record.Message
	for session := range open.sessions {
		message, object = session.mask.text(message), session.mask.text(object)
	}
	for _, log := range open.logs {
		log.DebugContext(ctx, message, "severity", level.String(), "object", object)
	}
	return nil
}

func (r router) WithAttrs([]slog.Attr) slog.Handler { return r }
func (r router) WithGroup(string) slog.Handler      { return r }

// line writes one of the library's lines to the session's log.
func (s *Session) line(level slog.Level, message, object string) {
	args := []any{}
	if object != "" {
		args = append(args, "path", s.mask.text(object))
	}
	s.log.Log(context.WithoutCancel(s.ctx), level, s.mask.text(message), args...)
}
