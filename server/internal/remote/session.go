package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/rc"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	// DefaultTransfers is how many files a session copies at a time.
	DefaultTransfers = 4
	// MaxTransfers bounds what a session may ask for.
	MaxTransfers = 32
	// checkers is how many folders and files a session looks at, or deletes, at
	// a time; it is read from the session's settings of the library.
	checkers = 8
	// idleTimeout ends a connection on which nothing moves.
	idleTimeout = 2 * time.Minute
	// closeTimeout is how long a session's remotes may take to say good-bye.
	closeTimeout = 2 * time.Second
)

// Options configure [New].
type Options struct {
	// Dial makes every outgoing connection. Required.
	Dial DialFunc
	// LocalRoot is the folder below which remotes of type local exist; empty
	// turns the type off.
	LocalRoot string
	// App is the server's own app at Autodesk.
	App App
	// Log is the service's log.
	Log *slog.Logger
}

// Remotes opens sessions. It is safe for concurrent use.
type Remotes struct {
	gate *gate
	jail *os.Root
	app  App
	// tested counts tests, whose sessions it tells apart.
	tested atomic.Int64
}

// New starts the way out that sessions use. A LocalRoot that is not there is
// an error.
func New(o Options) (*Remotes, error) {
	setup()
	if o.Dial == nil {
		return nil, errors.New("remotes need a dialer")
	}
	r := &Remotes{app: o.App}
	if o.LocalRoot != "" {
		jail, err := os.OpenRoot(o.LocalRoot)
		if err != nil {
			return nil, fmt.Errorf("open the root of local remotes: %w", err)
		}
		r.jail = jail
	}
	gate, err := openGate(o.Dial)
	if err != nil {
		return nil, errors.Join(err, r.closeJail())
	}
	r.gate = gate
	if o.Log != nil {
		open.Lock()
		defer open.Unlock()
		if open.logs == nil {
			open.logs = map[*Remotes]*slog.Logger{}
		}
		open.logs[r] = o.Log
	}
	return r, nil
}

// Close ends all connections. Sessions must have been closed before.
func (r *Remotes) Close() error {
	open.Lock()
	delete(open.logs, r)
	open.Unlock()
	return errors.Join(r.gate.close(), r.closeJail())
}

func (r *Remotes) closeJail() error {
	if r.jail == nil {
		return nil
	}
	return r.jail.Close()
}

// SessionOptions configure one session.
type SessionOptions struct {
	// ID is unique among the sessions of the process that are open.
	ID string
	// Log is the execution's log. Required.
	Log *slog.Logger
	// Transfers is how many files are copied at a time, from 1 to
	// MaxTransfers; 0 means DefaultTransfers.
	Transfers int
	// Bandwidth limits the session, in bytes per second; 0 means no limit,
	// less than MinBandwidth means MinBandwidth.
	Bandwidth int64
	// Tries is how often the library tries one call; 0 means its own default.
	Tries int
}

// Session is one use of some remotes: with its own connections, log, masks,
// counters and settings, which no other session sees. One refused outgoing
// connection ends the whole session.
type Session struct {
	remotes *Remotes
	log     *slog.Logger
	mask    masker
	id      string
	ctx     context.Context
	cancel  context.CancelCauseFunc
	tunnel  *tunnel
	// running are the syncs of the session; left is set when one was abandoned.
	running sync.WaitGroup
	left    atomic.Bool

	mu       sync.Mutex
	opened   []*Remote
	lastDial error
}

// errClosed is the cause of a session's end when nothing else was.
var errClosed = errors.New("session closed")

// Begin opens a session that lives until ctx ends or Close.
func (r *Remotes) Begin(ctx context.Context, o SessionOptions) *Session {
	s := &Session{remotes: r, log: o.Log, id: o.ID}
	ctx, s.cancel = context.WithCancelCause(ctx)
	s.tunnel = r.gate.open(ctx, s.dialFailed)
	s.mask.add(s.tunnel.password)
	ctx, ci := fs.AddConfig(ctx)
	ci.HTTPProxy = s.tunnel.url()
	ci.BindAddr = loopback
	ci.Timeout = fs.Duration(idleTimeout)
	ci.ConnectTimeout = fs.Duration(dialTimeout)
	ci.Checkers = checkers
	ci.UserAgent = "carillon"
	ci.Transfers = o.transfers()
	ci.PartialSuffix = partialSuffix
	if o.Tries > 0 {
		ci.LowLevelRetries = o.Tries
	}
	if o.Bandwidth > 0 {
		// The library's limit is per file.
		perFile := max(o.Bandwidth, MinBandwidth) / int64(ci.Transfers)
		ci.BwLimitFile = fs.BwTimetable{{Bandwidth: fs.BwPair{Tx: fs.SizeSuffix(perFile), Rx: fs.SizeSuffix(perFile)}}}
	}
	ctx = accounting.WithStatsGroup(ctx, o.ID)
	s.ctx = context.WithValue(ctx, sessionKey{}, s)
	open.Lock()
	defer open.Unlock()
	if open.sessions == nil {
		open.sessions = map[*Session]struct{}{}
	}
	open.sessions[s] = struct{}{}
	return s
}

// transfers is how many files are copied at a time. Each has a limit of its
// own, which must not be so low that a wait for it delays a cancel.
func (o SessionOptions) transfers() int {
	n := min(max(o.Transfers, 0), MaxTransfers)
	if n == 0 {
		n = DefaultTransfers
	}
	if o.Bandwidth > 0 {
		n = min(n, int(max(o.Bandwidth/MinBandwidth, 1)))
	}
	return n
}

// Close ends the session's connections and forgets its secrets and counters.
func (s *Session) Close() {
	s.mu.Lock()
	opened := s.opened
	s.opened = nil
	s.mu.Unlock()
	s.shutDown(opened)
	s.cancel(errClosed)
	s.tunnel.close()
	if s.left.Load() {
		go s.forget()
	} else {
		s.forget()
	}
}

// forget ends what the library and the log keep of a session, when nothing of
// it runs any more.
func (s *Session) forget() {
	s.running.Wait()
	open.Lock()
	delete(open.sessions, s)
	open.Unlock()
	if call := rc.Calls.Get("core/stats-delete"); call != nil {
		_, _ = call.Fn(context.Background(), rc.Params{"group": s.id})
	}
}

// shutDown lets the remotes finish, but not for long.
func (s *Session) shutDown(opened []*Remote) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), closeTimeout)
	defer cancel()
	var closing sync.WaitGroup
	for _, r := range opened {
		if end := r.fs.Features().Shutdown; end != nil {
			closing.Go(func() {
				if err := end(ctx); err != nil {
					s.log.DebugContext(ctx, "close remote", "remote", r.String(), "error", s.mask.text(err.Error()))
				}
			})
		}
	}
	done := make(chan struct{})
	go func() { closing.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	case <-s.ctx.Done():
	}
}

// dialFailed is told by the tunnel why it could not connect. What the dialer
// refuses is never tried again.
func (s *Session) dialFailed(err error) {
	if _, refused := errors.AsType[*job.Failure](err); refused {
		s.cancel(err)
		return
	}
	s.mu.Lock()
	s.lastDial = err
	s.mu.Unlock()
}

// ended returns why the session's context ended, nil while it has not.
func (s *Session) ended() error { return context.Cause(s.ctx) }
