package entstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/store"
)

// channel is the PostgreSQL channel that carries signals. NOTIFY makes commits
// wait for one another, so it is sent only when somebody must look now.
const channel = "carillon"

// notify sends a signal when tx commits.
func (s *Store) notify(ctx context.Context, tx *ent.Tx, sig store.Signal) error {
	if s.postgres() {
		_, err := tx.ExecContext(ctx, "SELECT pg_notify($1, $2)", channel, signalText(sig))
		return err
	}
	tx.OnCommit(func(next ent.Committer) ent.Committer {
		return ent.CommitFunc(func(ctx context.Context, tx *ent.Tx) error {
			err := next.Commit(ctx, tx)
			if err == nil {
				s.local.send(sig)
			}
			return err
		})
	})
	return nil
}

func signalText(sig store.Signal) string {
	return string(sig.Kind) + ":" + strconv.FormatInt(sig.ID, 10)
}

func parseSignal(text string) (sig store.Signal, ok bool) {
	kind, id, ok := strings.Cut(text, ":")
	if !ok {
		return sig, false
	}
	n, err := strconv.ParseInt(id, 10, 64)
	return store.Signal{Kind: store.SignalKind(kind), ID: n}, err == nil
}

// Listen implements store.Signals.
func (s *Store) Listen(ctx context.Context, handle func(store.Signal)) error {
	if !s.postgres() {
		return s.local.listen(ctx, handle)
	}
	// The first time at once: a process without connections counts as dead.
	delay := time.Duration(0)
	for {
		if !pauseFor(ctx, delay) {
			return context.Cause(ctx)
		}
		began := time.Now()
		err := s.listenOnce(ctx, handle)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.log.WarnContext(ctx, "lost the connection that carries wake-ups; polling until it is back", "error", err)
		delay = min(2*delay+100*time.Millisecond, 3*time.Second)
		if time.Since(began) > 10*time.Second {
			delay = 0
		}
	}
}

// Listening implements store.Signals.
func (s *Store) Listening() bool { return !s.postgres() || s.listening.Load() }

// listenOnce listens on a connection of its own until that breaks.
func (s *Store) listenOnce(ctx context.Context, handle func(store.Signal)) error {
	connecting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(connecting, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if _, err := conn.Exec(connecting, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.listening.Store(true)
	defer s.listening.Store(false)
	handle(store.Signal{Kind: store.SignalMissed})
	for {
		note, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
		if sig, ok := parseSignal(note.Payload); ok {
			handle(sig)
		}
	}
}

func pauseFor(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// localSignals carries signals inside the one process that SQLite allows.
type localSignals struct {
	mu        sync.Mutex
	listeners map[int]chan store.Signal
	last      int
}

func newLocalSignals() *localSignals {
	return &localSignals{listeners: make(map[int]chan store.Signal)}
}

// send never blocks: a listener that is this far behind polls anyway.
func (l *localSignals) send(signals ...store.Signal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sig := range signals {
		for _, to := range l.listeners {
			select {
			case to <- sig:
			default:
			}
		}
	}
}

func (l *localSignals) listen(ctx context.Context, handle func(store.Signal)) error {
	mine := make(chan store.Signal, 1024)
	l.mu.Lock()
	l.last++
	id := l.last
	l.listeners[id] = mine
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.listeners, id)
	}()
	handle(store.Signal{Kind: store.SignalMissed})
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case sig := <-mine:
			handle(sig)
		}
	}
}
