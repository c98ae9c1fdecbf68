package graph

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/facadetest"
)

// quiet is a stream that tells nothing until it is left.
func quiet(ctx context.Context, _ proto.Message, _ func(proto.Message) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// A server that stops says goodbye to WebSockets and ends event streams: nobody
// waits for either.
func TestStreamsEndWithTheServer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OnStream("WatchExecutions", quiet)
	stopping := make(chan struct{})
	server := httptest.NewServer(door.WithStopping(b.handler, stopping))
	t.Cleanup(server.Close)

	conn, _, err := websocket.Dial(t.Context(), server.URL+"/graphql", &websocket.DialOptions{Subprotocols: []string{subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	c := &client{t, conn}
	c.say(`{"type":"connection_init","payload":{"Authorization":"Bearer ` + facadetest.Token + `"}}`)
	c.hear(`{"type":"connection_ack"}`)

	body := strings.NewReader(`{"query":"subscription { executionChanged(instanceId: 1) { cursor } }"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/graphql", body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+facadetest.Token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "text/event-stream")
	events, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = events.Body.Close() }()

	close(stopping)
	var goodbye websocket.CloseError
	if _, _, err := conn.Read(t.Context()); !errors.As(err, &goodbye) || goodbye.Code != websocket.StatusGoingAway {
		t.Errorf("the WebSocket ended with %v", err)
	}
	for lines := bufio.NewScanner(events.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), "complete") {
			t.Error("the events are said to be complete: the client would not come back")
		}
	}
}
