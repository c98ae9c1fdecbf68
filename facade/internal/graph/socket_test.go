package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// client is one end of a connection that a test speaks for.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

// connect opens a connection to a server on real sockets.
func (b *bench) connect(t *testing.T, header http.Header) *client {
	t.Helper()
	server := httptest.NewServer(b.handler)
	t.Cleanup(server.Close)
	conn, _, err := websocket.Dial(t.Context(), server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPHeader: header})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t, conn}
}

// known is connect and the beginning that most tests share.
func (b *bench) known(t *testing.T) *client {
	t.Helper()
	c := b.connect(t, nil)
	c.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + facadetest.Token + `"}}`)
	c.hear(`{"type":"connection_ack"}`)
	return c
}

func (c *client) say(text string) {
	c.t.Helper()
	if err := c.conn.Write(c.t.Context(), websocket.MessageText, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) subscribe(id, query string) {
	c.t.Helper()
	c.say(fmt.Sprintf(`{"id":%q,"type":"subscribe","payload":{"query":%q}}`, id, query))
}

func (c *client) heard() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

func (c *client) hear(want string) {
	c.t.Helper()
	if got := c.heard(); got != want {
		c.t.Fatalf("heard %s, want %s", got, want)
	}
}

// closed waits for the end and checks its code.
func (c *client) closed(code int, reason string) {
	c.t.Helper()
	for {
		_, _, err := c.conn.Read(c.t.Context())
		if err == nil {
			continue
		}
		var end websocket.CloseError
		if !errors.As(err, &end) || int(end.Code) != code || end.Reason != reason {
			c.t.Errorf("ended with %v, want %d %s", err, code, reason)
		}
		return
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	left := b.watches(2, errStays)
	c := b.known(t)
	c.say(`{"type":"ping","payload":{"secret":"x"}}`)
	c.hear(`{"type":"pong"}`)
	c.say(`{"type":"pong"}`)
	c.subscribe("1", changed)
	c.hear(`{"id":"1","type":"next","payload":` + told(0) + `}`)
	c.hear(`{"id":"1","type":"next","payload":` + told(1) + `}`)
	c.subscribe("2", `{ getScheduledJob(jobId: 19) { id } }`)
	c.hear(`{"id":"2","type":"next","payload":{"data":{"getScheduledJob":{"id":"job_19"}}}}`)
	c.hear(`{"id":"2","type":"complete"}`)
	c.subscribe("2", `mutation { deleteScheduledJob(jobId: 19) { success } }`) // the id is free again
	c.hear(`{"id":"2","type":"next","payload":{"data":{"deleteScheduledJob":{"success":true}}}}`)
	c.hear(`{"id":"2","type":"complete"}`)
	c.say(`{"id":"1","type":"complete"}`)
	<-left
	c.say(`{"id":"1","type":"complete"}`) // of nothing
	c.subscribe("1", changed)
	c.hear(`{"id":"1","type":"next","payload":` + told(0) + `}`)
	if err := c.conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	<-left
	for _, call := range b.Calls("WatchExecutions", "GetJob", "DeleteJob") {
		if got := call.Metadata.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+facadetest.Token {
			t.Errorf("%s was called with %v", call.Method, got)
		}
	}
}

func TestSocketCompletes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.watches(1, nil)
	c := b.known(t)
	c.subscribe("a", changed)
	c.hear(`{"id":"a","type":"next","payload":` + told(0) + `}`)
	c.hear(`{"id":"a","type":"complete"}`)
}

func TestSocketTellsErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ payload, code, field string }{
		"a missing instance": {`{"query":"subscription { executionChanged(instanceId: 1) { cursor } }"}`, "NOT_FOUND", ""},
		"no document":        {`{"query":"hunter2 {"}`, "INVALID_ARGUMENT", ""},
		"no query":           {`{}`, "INVALID_ARGUMENT", "query"},
		"no object":          {`["hunter2"]`, "INVALID_ARGUMENT", ""},
		"nothing":            {`null`, "INVALID_ARGUMENT", ""},
		"a key twice":        {`{"query":"query ($v: ID!) { getScheduledJob(jobId: $v) { id } }","variables":{"v":{"hunter2":1,"hunter2":2}}}`, "INVALID_ARGUMENT", "jobId.hunter2"},
		"a broken text":      {`{"query":"query ($v: ID!) { getScheduledJob(jobId: $v) { id } }","variables":{"v":"\ud800"}}`, "INVALID_ARGUMENT", "jobId"},
		"a missing variable": {`{"query":"subscription ($v: ID!) { executionChanged(instanceId: $v) { cursor } }"}`, "INVALID_ARGUMENT", "instanceId"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.watches(0, facadetest.Error(codes.NotFound, "INSTANCE_NOT_FOUND", "no such instance"))
			c := b.known(t)
			c.say(`{"id":"1","type":"subscribe","payload":` + test.payload + `}`)
			var got struct {
				ID, Type string
				Payload  []struct {
					Message    string
					Extensions struct {
						Code, Reason    string
						FieldViolations []struct{ Field, Description string }
					}
				}
			}
			text := c.heard()
			if err := json.Unmarshal([]byte(text), &got); err != nil || got.ID != "1" || got.Type != "error" || len(got.Payload) != 1 {
				t.Fatalf("heard %s, %v", text, err)
			}
			e := got.Payload[0].Extensions
			if e.Code != test.code || e.Reason == "" || test.field != "" && (len(e.FieldViolations) != 1 || e.FieldViolations[0].Field != test.field) {
				t.Errorf("heard %s, want %s of %q", text, test.code, test.field)
			}
			if strings.Contains(strings.ReplaceAll(text, test.field, ""), "hunter2") {
				t.Errorf("a value is repeated: %s", text)
			}
			c.subscribe("1", `{ __typename }`) // the connection lives, and the id is free
			c.hear(`{"id":"1","type":"next","payload":{"data":{"__typename":"Query"}}}`)
		})
	}
}

func TestSocketCloses(t *testing.T) {
	t.Parallel()
	const known = `{"type":"connection_init","payload":{"authorization":"Bearer ` + facadetest.Token + `"}}`
	for name, test := range map[string]struct {
		header http.Header
		say    []string
		code   int
		reason string
	}{
		"without a token":       {nil, []string{`{"type":"connection_init"}`}, 4403, "Forbidden"},
		"with another token":    {nil, []string{`{"type":"connection_init","payload":{"Authorization":"Bearer x"}}`}, 4403, "Forbidden"},
		"with two tokens":       {http.Header{"Authorization": {"Bearer x"}}, []string{known}, 4403, "Forbidden"},
		"with no text":          {nil, []string{`{"type":"connection_init","payload":{"Authorization":["Bearer good"]}}`}, 4403, "Forbidden"},
		"with a key twice":      {nil, []string{`{"type":"connection_init","payload":{"Authorization":"Bearer good","Authorization":"x"}}`}, 4400, "Invalid message"},
		"with a list":           {nil, []string{`{"type":"connection_init","payload":[1]}`}, 4400, "Invalid message"},
		"too early":             {nil, []string{`{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}`}, 4401, "Unauthorized"},
		"twice":                 {nil, []string{known, known}, 4429, "Too many initialisation requests"},
		"no JSON":               {nil, []string{known, `hunter2`}, 4400, "Invalid message"},
		"no object":             {nil, []string{known, `[]`}, 4400, "Invalid message"},
		"an unknown type":       {nil, []string{known, `{"type":"hunter2"}`}, 4400, "Invalid message"},
		"a server's type":       {nil, []string{known, `{"type":"next","id":"1"}`}, 4400, "Invalid message"},
		"a type twice":          {nil, []string{known, `{"type":"ping","type":"ping"}`}, 4400, "Invalid message"},
		"without an id":         {nil, []string{known, `{"type":"subscribe","payload":{"query":"{ __typename }"}}`}, 4400, "Invalid message"},
		"with a number as id":   {nil, []string{known, `{"type":"subscribe","id":1,"payload":{"query":"{ __typename }"}}`}, 4400, "Invalid message"},
		"with an endless id":    {nil, []string{known, `{"type":"subscribe","id":"` + strings.Repeat("x", 129) + `","payload":{"query":"{ __typename }"}}`}, 4400, "Invalid message"},
		"with an id in use":     {nil, []string{known, `{"type":"subscribe","id":"1","payload":{"query":"` + changed + `"}}`, `{"type":"subscribe","id":"1","payload":{"query":"{ __typename }"}}`}, 4409, "Subscriber already exists"},
		"with a large message":  {nil, []string{known, `{"type":"ping","payload":"` + strings.Repeat("x", 1<<20) + `"}`}, 1009, "read limited at 1048577 bytes"},
		"with a deep message":   {nil, []string{known, `{"type":"ping","deep":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`}, 4400, "Invalid message"},
		"with the header's own": {http.Header{"Authorization": {"Bearer " + facadetest.Token}}, []string{`{"type":"connection_init"}`, `{"type":"x"}`}, 4400, "Invalid message"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.watches(0, errStays)
			c := b.connect(t, test.header)
			for _, text := range test.say {
				_ = c.conn.Write(t.Context(), websocket.MessageText, []byte(text)) // it may be closed by now
			}
			c.closed(test.code, test.reason)
			if strings.Contains(b.log.String(), "hunter2") {
				t.Errorf("a message is in the log: %s", b.log.String())
			}
		})
	}
}

func TestSocketWithBytes(t *testing.T) {
	t.Parallel()
	c := newBench(t).known(t)
	if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(`{"type":"ping"}`)); err != nil {
		t.Fatal(err)
	}
	c.closed(4400, "Invalid message")
}

func TestSocketHasSoManyOperations(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.watches(0, errStays)
	c := b.known(t)
	for i := range maxOperations {
		c.subscribe(fmt.Sprint(i), changed)
	}
	c.subscribe("more", changed)
	if got := c.heard(); !strings.HasPrefix(got, `{"id":"more","type":"error","payload":[{"message":`) || !strings.Contains(got, `"code":"RESOURCE_EXHAUSTED"`) {
		t.Errorf("heard %s", got)
	}
	c.say(`{"id":"7","type":"complete"}`)
	c.subscribe("more", `{ __typename }`)
	c.hear(`{"id":"more","type":"next","payload":{"data":{"__typename":"Query"}}}`)
}

// pipes is a listener whose connections are in memory, for synthetic time.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	ended chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.ended) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

// dial connects on synthetic time.
func (b *bench) dial(t *testing.T) *client {
	t.Helper()
	p := &pipes{conns: make(chan net.Conn), ended: make(chan struct{})}
	server := &http.Server{Handler: b.handler}
	served := make(chan struct{})
	go func() { _ = server.Serve(p); close(served) }()
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		p.conns <- theirs
		return ours, nil
	}}
	conn, _, err := websocket.Dial(t.Context(), "http://service/graphql", &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.CloseNow()
		transport.CloseIdleConnections()
		_ = server.Close()
		<-served
	})
	return &client{t, conn}
}

func TestSocketOfSomebodySilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newBench(t).dial(t)
		began := time.Now()
		c.closed(4408, "Connection initialisation timeout")
		if took := time.Since(began); took != initTimeout {
			t.Errorf("closed after %v, want %v", took, initTimeout)
		}
	})
}

func TestSocketOfSomebodyGone(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]bool{"reads": true, "is gone": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				left := make(chan time.Time, 1)
				b.OnStream("WatchExecutions", func(ctx context.Context, _ proto.Message, send func(proto.Message) error) error {
					_ = send(&carillonv1.WatchExecutionsResponse{Execution: &carillonv1.Execution{Id: "exec_1"}, Cursor: "c"})
					<-ctx.Done()
					left <- time.Now()
					return ctx.Err()
				})
				c := b.dial(t)
				c.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + facadetest.Token + `"}}`)
				c.hear(`{"type":"connection_ack"}`)
				c.subscribe("1", changed)
				c.heard()
				began := time.Now()
				if reads { // which is what answers pings
					ctx := c.conn.CloseRead(t.Context())
					defer func() { <-ctx.Done() }()
				}
				select {
				case at := <-left:
					if took := at.Sub(began); reads || took > pingEvery+socketTimeout+time.Second {
						t.Errorf("ended after %v", took)
					}
				case <-time.After(time.Hour):
					if !reads {
						t.Error("still there after an hour")
					}
				}
				_ = c.conn.CloseNow()
			})
		})
	}
}

// lockedText is a log that a test reads while connections write to it.
type lockedText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *lockedText) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

// FuzzSocketMessage: a connection takes any bytes, and what it takes for a message
// holds a payload that is JSON.
func FuzzSocketMessage(f *testing.F) {
	for _, seed := range []string{`{"type":"connection_init"}`, `{"type":"subscribe","id":"1","payload":{"query":"{","variables":{"a":1,"a":2}}}`, `{"type":1}`, `[]`, `{"type":"ping","type":"pong"}`, "{\"id\":\"\x00\"}", `{"payload":` + strings.Repeat("[", 200)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m message
		if !wellFormed(data) || json.Unmarshal(data, &m) != nil {
			return
		}
		if len(m.Payload) > 0 && !json.Valid(m.Payload) {
			t.Errorf("%q has the payload %q", data, m.Payload)
		}
	})
}
