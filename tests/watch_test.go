package tests

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// sight is a change as a watch tells it.
type sight struct {
	Execution struct{ ID, State string }
	Cursor    string
}

// watcher tells the changes of an instance after a cursor, in one way, until the
// connection is gone.
type watcher func(ctx context.Context, server *harness.Server, token, instance, cursor string, tell func(sight)) error

func watchByGRPC(ctx context.Context, server *harness.Server, token, instance, cursor string, tell func(sight)) error {
	caller := server.As(token)
	conn, err := caller.Conn()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stream, err := carillonv1.NewExecutionServiceClient(conn).WatchExecutions(caller.Outgoing(ctx), &carillonv1.WatchExecutionsRequest{InstanceId: instance, Cursor: cursor})
	for err == nil {
		var answer *carillonv1.WatchExecutionsResponse
		if answer, err = stream.Recv(); err == nil {
			s := sight{Cursor: answer.GetCursor()}
			s.Execution.ID, s.Execution.State = answer.GetExecution().GetId(), answer.GetExecution().GetState().String()
			tell(s)
		}
	}
	return err
}

func watchByREST(ctx context.Context, server *harness.Server, token, instance, cursor string, tell func(sight)) error {
	path := "/v1/instances/" + instance + "/executions:watch?cursor=" + url.QueryEscape(cursor)
	return eachLine(ctx, http.MethodGet, server.URL(path), token, "", func(line string) error {
		var s sight
		err := json.Unmarshal([]byte(line), &s)
		tell(s)
		return err
	})
}

func watchByEvents(ctx context.Context, server *harness.Server, token, instance, cursor string, tell func(sight)) error {
	body := harness.Object{"query": subscription(instance, cursor)}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return eachLine(ctx, http.MethodPost, server.URL("/graphql"), token, string(text), func(line string) error {
		data, is := strings.CutPrefix(line, "data: ")
		if !is {
			return nil
		}
		return tellData(data, tell)
	})
}

func watchBySocket(ctx context.Context, server *harness.Server, token, instance, cursor string, tell func(sight)) error {
	conn, _, err := websocket.Dial(ctx, "ws://"+server.HTTP+"/graphql", &websocket.DialOptions{
		Subprotocols: []string{"graphql-transport-ws"}, HTTPHeader: http.Header{"Authorization": {"Bearer " + token}}})
	if err != nil {
		return err
	}
	defer func() { _ = conn.CloseNow() }()
	for _, text := range []string{
		`{"type":"connection_init"}`, fmt.Sprintf(`{"id":"1","type":"subscribe","payload":{"query":%q}}`, subscription(instance, cursor)),
	} {
		if err := conn.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
			return err
		}
	}
	for err == nil {
		var text []byte
		var message struct {
			Type    string
			Payload json.RawMessage
		}
		if _, text, err = conn.Read(ctx); err == nil {
			err = json.Unmarshal(text, &message)
		}
		if err == nil && message.Type == "next" {
			err = tellData(string(message.Payload), tell)
		}
	}
	return err
}

func subscription(instance, cursor string) string {
	after := ""
	if cursor != "" {
		after = fmt.Sprintf(", cursor: %q", cursor)
	}
	return fmt.Sprintf("subscription { executionChanged(instanceId: %q%s) { execution { id state } cursor } }", instance, after)
}

// tellData tells an event of the subscription.
func tellData(text string, tell func(sight)) error {
	var event struct {
		Data struct{ ExecutionChanged sight }
	}
	if err := json.Unmarshal([]byte(text), &event); err != nil {
		return err
	}
	tell(event.Data.ExecutionChanged)
	return nil
}

// eachLine reads an answer line by line while it comes.
func eachLine(ctx context.Context, method, url, token, body string, read func(string) error) error {
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Accept", "text/event-stream")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	for lines := bufio.NewScanner(answer.Body); err == nil && lines.Scan(); {
		err = read(lines.Text())
	}
	return err
}

// follower watches again and again from its last cursor.
type follower struct {
	mu     sync.Mutex
	states map[string]string
	joins  int
}

// cutAfter is when a follower cuts its connection, once it was told something: a
// busy machine takes longer to tell the first.
const cutAfter = 700 * time.Millisecond

func (f *follower) follow(ctx context.Context, watch watcher, server *atomic.Pointer[harness.Server], token, instance string) {
	cursor := ""
	for ctx.Err() == nil {
		joined, cut := context.WithCancel(ctx)
		var told sync.Once
		_ = watch(joined, server.Load(), token, instance, cursor, func(s sight) { // it ends when it is cut, or its server is killed
			told.Do(func() { time.AfterFunc(cutAfter, cut) })
			f.mu.Lock()
			defer f.mu.Unlock()
			if s.Execution.ID != "" { // else a sign of life
				f.states[s.Execution.ID], cursor = s.Execution.State, s.Cursor
			}
		})
		cut()
		f.mu.Lock()
		f.joins++
		f.mu.Unlock()
	}
}

// differs are the executions of which it was told something else in the end.
func (f *follower) differs(ended map[string]string) (wrong []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, state := range ended {
		if f.states[id] != state {
			wrong = append(wrong, fmt.Sprintf("%s: told %q, is %s", id, f.states[id], state))
		}
	}
	for id := range f.states {
		if ended[id] == "" {
			wrong = append(wrong, id+" is not known")
		}
	}
	return wrong
}

// Whoever watches is told how each execution ends, in whatever way, though the
// connection is cut again and again and the replica that served it is killed.
func TestWatchGoesOn(t *testing.T) {
	t.Parallel()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: harness.Loopback})
	l := newLoad(t, replicas[0].NewTenant(t))
	token, instance := l.tenant.Operator.Token, l.tenant.Instance
	var server atomic.Pointer[harness.Server]
	server.Store(replicas[0])
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	defer func() { stop(); working.Wait() }()
	followers := map[string]*follower{}
	for name, watch := range map[string]watcher{"gRPC": watchByGRPC, "REST": watchByREST, "server-sent events": watchByEvents, "WebSocket": watchBySocket} {
		f := &follower{states: map[string]string{}}
		followers[name] = f
		working.Go(func() { f.follow(ctx, watch, &server, token, instance) })
	}
	onKilled, stopKilled := context.WithCancel(t.Context())
	onOther, stopOther := context.WithCancel(t.Context())
	both := []*sync.WaitGroup{l.drive(onKilled, replicas[0]), l.drive(onOther, replicas[1])}
	harness.Wait(t, 20*time.Second, "much has run", func() bool { return l.acknowledged() > 60 })
	server.Store(replicas[1])
	replicas[0].Kill(t)
	stopKilled()
	more := l.acknowledged() + 60
	harness.Wait(t, 20*time.Second, "more has run", func() bool { return l.acknowledged() > more })
	stopOther()
	for _, each := range both {
		each.Wait()
	}
	l.check(t, replicas[1])
	ended := map[string]string{}
	list, err := harness.All(t.Context(), replicas[1].As(token).GRPCDoor(), "ListExecutions", "executions", object{"instanceId": instance})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		ended[harness.Text(e, "id")] = harness.Text(e, "state")
	}
	for name, f := range followers {
		if !harness.Within(5*time.Second, func() bool { return len(f.differs(ended)) == 0 }) {
			t.Errorf("by %s: %v", name, f.differs(ended))
		}
		f.mu.Lock()
		t.Logf("by %s %d ends were told in %d joins", name, len(ended), f.joins)
		f.mu.Unlock()
	}
}
