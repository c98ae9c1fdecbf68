package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/rclone/rclone/fs"
)

// cloud is a fake of a service with fixed host names, which all lead to it. A
// request without its access token is refused, and what a client must not do is
// noted.
type cloud struct {
	*httptest.Server
	*bundle

	mu         sync.Mutex
	violations []string
}

const cloudToken = "access-CLOUD"

func startCloud(t *testing.T, handler func(*cloud) http.Handler) *cloud {
	t.Helper()
	c := &cloud{}
	routes := handler(c)
	c.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+cloudToken {
			http.Error(w, `{"error":{"code":401,"message":"no"}}`, http.StatusUnauthorized)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	t.Cleanup(func() {
		for _, violation := range c.violations {
			t.Error(violation)
		}
	})
	c.bundle = setupWith(t, func(o *Options) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, c.Listener.Addr().String())
		}
	})
	return c
}

// begin opens a session that takes the fake's certificate.
func (c *cloud) begin(t *testing.T) *Session {
	t.Helper()
	s := c.beginIn(t.Context())
	t.Cleanup(s.Close)
	return s
}

func (c *cloud) beginIn(ctx context.Context) *Session {
	id := fmt.Sprintf("cloud-%d", sessions.Add(1))
	s := c.Begin(ctx, SessionOptions{ID: id, Log: slog.New(slog.NewTextHandler(c.log, nil))})
	ci := fs.GetConfig(s.ctx)
	ci.InsecureSkipVerify = true // nobody has the service's certificate
	if raceDetector {
		// The library's drive notes its last query for its own tests, without a
		// lock; nobody reads it. One call at a time keeps that from the report.
		ci.Transfers, ci.Checkers = 1, 1
	}
	return s
}

// Close is the server's: the bundle closes itself.
func (c *cloud) Close() { c.Server.Close() }
