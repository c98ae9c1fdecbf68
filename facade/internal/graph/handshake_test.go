package graph

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func TestSocketHandshake(t *testing.T) {
	t.Parallel()
	upgrade := func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
		r.Header.Set("Sec-WebSocket-Version", "13")
		r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
		r.Header.Set("Sec-WebSocket-Protocol", subprotocol)
	}
	for name, test := range map[string]struct {
		edit   func(*http.Request)
		status int
		reason string
	}{
		"from another page": {func(r *http.Request) { r.Header.Set("Origin", "https://hunter2.example") }, 403, "ORIGIN_REFUSED"},
		"from no page":      {func(r *http.Request) { r.Header.Set("Origin", "null") }, 403, "ORIGIN_REFUSED"},
		"by POST":           {func(r *http.Request) { r.Method = http.MethodPost }, 405, "WEBSOCKET_HANDSHAKE"},
		"by an old version": {func(r *http.Request) { r.Header.Set("Sec-WebSocket-Version", "hunter2") }, 400, "WEBSOCKET_HANDSHAKE"},
		"without a key":     {func(r *http.Request) { r.Header.Del("Sec-WebSocket-Key") }, 400, "WEBSOCKET_HANDSHAKE"},
		"without Upgrade":   {func(r *http.Request) { r.Header.Set("Connection", "hunter2") }, 426, "WEBSOCKET_HANDSHAKE"},
		"with two tokens":   {func(r *http.Request) { r.Header["Authorization"] = []string{"a", "b"} }, 401, "UNAUTHENTICATED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			r := httptest.NewRequest(http.MethodGet, "/graphql", nil)
			upgrade(r)
			test.edit(r)
			w := httptest.NewRecorder()
			b.handler.ServeHTTP(w, r)
			var got outcome
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != test.status || len(got.Errors) != 1 || got.Errors[0].Extensions.Reason != test.reason {
				t.Errorf("status %d: %s, %v; want %d and %s", w.Code, w.Body, err, test.status, test.reason)
			}
			if strings.Contains(w.Body.String()+b.log.String(), "hunter2") {
				t.Errorf("a header is repeated: %s", w.Body)
			}
		})
	}
}

func TestSocketOrigins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := httptest.NewServer(New(b.Conn, "carillon.example"))
	t.Cleanup(server.Close)
	for origin, allowed := range map[string]bool{"": true, server.URL: true, "https://carillon.example": true, "https://carillon.example.evil": false, "https://x.carillon.example": false} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		conn, _, err := websocket.Dial(t.Context(), server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPHeader: header})
		if (err == nil) != allowed {
			t.Errorf("from %q: %v, want allowed %v", origin, err, allowed)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
}

func TestSocketWithoutOurProtocol(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	server := httptest.NewServer(b.handler)
	t.Cleanup(server.Close)
	for _, protocols := range [][]string{nil, {"graphql-ws"}} {
		conn, _, err := websocket.Dial(t.Context(), server.URL+"/graphql", &websocket.DialOptions{Subprotocols: protocols})
		if err != nil {
			t.Fatal(err)
		}
		(&client{t, conn}).closed(4406, "Subprotocol not acceptable")
	}
}
