package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/fs/fshttp"
	"golang.org/x/net/proxy"
)

// dialThrough connects through the gate as the library does.
func dialThrough(gate, user, password, to string) (net.Conn, error) {
	var auth *proxy.Auth
	if user != "" {
		auth = &proxy.Auth{User: user, Password: password}
	}
	dialer, err := proxy.SOCKS5("tcp", gate, auth, nil)
	if err != nil {
		return nil, err
	}
	return dialer.Dial("tcp", to)
}

func TestGateWantsThePasswordOfAnOpenSession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	target, gate := server.Listener.Addr().String(), b.gate.listener.Addr().String()
	s := b.session(t.Context(), t)
	other := b.session(t.Context(), t)
	gone := b.session(t.Context(), t)
	gone.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancelled := b.session(ctx, t)
	cancel()
	<-cancelled.tunnel.ctx.Done() // after its farewell

	tests := map[string]struct {
		user, password string
		ok             bool
	}{
		"right":             {s.tunnel.user, s.tunnel.password, true},
		"no password":       {"", "", false},
		"wrong password":    {s.tunnel.user, "x", false},
		"another's":         {s.tunnel.user, other.tunnel.password, false},
		"unknown user":      {"x", s.tunnel.password, false},
		"closed session":    {gone.tunnel.user, gone.tunnel.password, false},
		"cancelled session": {cancelled.tunnel.user, cancelled.tunnel.password, false},
	}
	for name, test := range tests {
		conn, err := dialThrough(gate, test.user, test.password, target)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != test.ok {
			t.Errorf("%s: %v, want ok %v", name, err, test.ok)
		}
	}
}

func TestGateRefusesWhatIsNoConnect(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	s := b.session(t.Context(), t)
	login := "\x05\x01\x02\x01" + string(rune(len(s.tunnel.user))) + s.tunnel.user + string(rune(len(s.tunnel.password))) + s.tunnel.password
	for name, talk := range map[string]string{
		"http":            "GET / HTTP/1.1\r\n\r\n",
		"old version":     "\x04\x01\x00\x50\x7f\x00\x00\x01\x00",
		"no methods":      "\x05\x00",
		"bind":            login + "\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50",
		"strange address": login + "\x05\x01\x00\x09abcdef",
		"cut off":         login + "\x05\x01\x00\x03\xffabc",
	} {
		conn, err := net.Dial("tcp", b.gate.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, talk)
		_ = conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(greetTimeout - time.Second)) // after that it would go anyway
		answer, err := io.ReadAll(conn)
		conn.Close()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s: the gate kept the connection", name)
		}
		if strings.HasSuffix(string(answer), "\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00") {
			t.Errorf("%s: the gate connected", name)
		}
	}
	if b.dials.Load() != 0 {
		t.Errorf("%d connections were made", b.dials.Load())
	}
}

func TestConnectionsEndWithTheirSession(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	for _, how := range []string{"closed", "cancelled"} {
		ctx, cancel := context.WithCancel(t.Context())
		s := b.session(ctx, t)
		conn, err := dialThrough(b.gate.listener.Addr().String(), s.tunnel.user, s.tunnel.password, silent.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if how == "closed" {
			s.Close()
		}
		cancel()
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = conn.Read(make([]byte, 1))
		if e, ok := errors.AsType[net.Error](err); err == nil || ok && e.Timeout() {
			t.Errorf("the connection outlived its %s session", how)
		}
		conn.Close()
	}
}

// Whatever the library does without a session's context can't leave the machine.
func TestLibraryWithoutASessionReachesNothing(t *testing.T) {
	t.Parallel()
	b := setupTest(t)
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	if resp, err := fshttp.NewClient(context.Background()).Get(server.URL); err == nil {
		resp.Body.Close()
		t.Error("a client without a session got through")
	}
	global := fs.GetConfig(context.Background())
	if u, err := url.Parse(global.HTTPProxy); err != nil || u.Port() != "0" {
		t.Errorf("the global proxy is %q", global.HTTPProxy)
	}
	// The same client with a session does.
	s := b.session(t.Context(), t)
	resp, err := fshttp.NewClient(s.ctx).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if b.dials.Load() != 1 {
		t.Errorf("%d connections went through the gate, want 1", b.dials.Load())
	}
}
