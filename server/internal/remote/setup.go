package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/accounting"
	"github.com/rclone/rclone/fs/fshttp"
	"github.com/rclone/rclone/lib/atexit"

	// The types of remotes. azureblob.go and gcs.go import theirs; localfs and
	// acc, which types.go imports, are not the library's.
	_ "github.com/rclone/rclone/backend/drive"
	_ "github.com/rclone/rclone/backend/dropbox"
	_ "github.com/rclone/rclone/backend/s3"
	_ "github.com/rclone/rclone/backend/sftp"
	_ "github.com/rclone/rclone/backend/webdav"

	_ "github.com/pointscene/carillon/server/internal/remote/noconfig"
)

// nowhere is a proxy that nobody listens at: whatever the library does without
// a session's context can't leave the machine.
const nowhere = "socks5h://127.0.0.1:0"

// loopback is the only address that outgoing connections of the library start
// from, so that none of them can end elsewhere than at the gate.
var loopback = net.IPv4(127, 0, 0, 1)

// maxStatsGroups is above any number of sessions at a time: the library drops
// the oldest one silently, in use or not.
const maxStatsGroups = 1 << 20

// setup tames what the library keeps per process.
var setup = sync.OnceFunc(func() {
	// Its signal handler ends the process while the server drains.
	atexit.IgnoreSignals()
	global := fs.GetConfig(context.Background())
	global.LogLevel = fs.LogLevelNotice
	global.MaxStatsGroups = maxStatsGroups
	global.HTTPProxy = nowhere
	global.BindAddr = loopback
	global.AskPassword = false
	fs.SetLogger(router{})
	// The library copies the fields of the standard transport for each client,
	// while the first use of that transport still sets some: so use it now.
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	shareTransport()
	// The part of accounting.Start that is wanted; the rest is a limit of the
	// bandwidth for the whole process and a signal handler for it.
	fs.CountError = func(ctx context.Context, err error) error { return accounting.Stats(ctx).Error(err) }
})

// shareTransport tames the one HTTP transport that the library keeps for the
// whole process, and that some backends use instead of one of the session:
// every request goes out by the tunnel of the session in its context, and one
// without a session not at all. Connections are pooled by their proxy, with its
// password, so that sessions share none; over HTTP/2 they would.
func shareTransport() {
	shared := fshttp.NewTransport(context.Background())
	shared.Proxy = func(r *http.Request) (*url.URL, error) {
		if session, ok := r.Context().Value(sessionKey{}).(*Session); ok {
			return url.Parse(session.tunnel.url())
		}
		return nil, errNoSession
	}
	shared.ForceAttemptHTTP2, shared.TLSNextProto = false, map[string]func(string, *tls.Conn) http.RoundTripper{}
	shared.MaxIdleConns, shared.MaxIdleConnsPerHost = 0, 2*MaxTransfers
	shared.TLSHandshakeTimeout, shared.ResponseHeaderTimeout = dialTimeout, idleTimeout
}

var errNoSession = errors.New("a request outside of any session is not sent")
