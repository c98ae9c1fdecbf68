package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	"github.com/pointscene/carillon/facade/internal/graph/exec"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// The subscriptions, each with the call that must come of it.
var subscriptions = []struct{ field, arguments, method, request string }{
	{"executionChanged", `instanceId: 1, jobId: "job_19", cursor: "c"`, "WatchExecutions", `{"instanceId": "1", "jobId": "job_19", "cursor": "c"}`},
	{"executionLog", `executionId: 5, cursor: "c"`, "TailLog", `{"executionId": "5", "follow": true, "cursor": "c"}`},
}

const changed = `subscription { executionChanged(instanceId: 1) { execution { id state } cursor } }`

// change is the n-th of a watch.
func change(n int) *carillonv1.WatchExecutionsResponse {
	return &carillonv1.WatchExecutionsResponse{
		Execution: &carillonv1.Execution{Id: fmt.Sprint("exec_", n), State: carillonv1.Execution_RUNNING, CreatedAt: timestamppb.New(at)},
		Cursor:    fmt.Sprint("c", n),
	}
}

func told(n int) string {
	return fmt.Sprintf(`{"data":{"executionChanged":{"execution":{"id":"exec_%d","state":"RUNNING"},"cursor":"c%d"}}}`, n, n)
}

// watches answers n changes, and then fails, or ends, or waits for the client
// to go if end is errStays.
func (b *bench) watches(n int, end error) (gone <-chan struct{}) {
	left := make(chan struct{}, 100)
	b.OnStream("WatchExecutions", func(ctx context.Context, _ proto.Message, send func(proto.Message) error) error {
		for i := range n {
			if err := send(change(i)); err != nil {
				return err
			}
		}
		if errors.Is(end, errStays) {
			<-ctx.Done()
			left <- struct{}{}
			return ctx.Err()
		}
		return end
	})
	return left
}

var errStays = fmt.Errorf("stays")

func asEvents(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }

// events sends a document and reads the events to their end.
func (b *bench) events(t *testing.T, query string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	body, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(string(body)))
	r.Header.Set("Authorization", "Bearer "+facadetest.Token)
	r.Header.Set("Content-Type", "application/json")
	for _, e := range append([]func(*http.Request){asEvents}, edit...) {
		e(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

func event(text string) string { return "event: next\ndata: " + text + "\n\n" }

const completed = "event: complete\ndata:\n\n"

func TestEventsOfEachSubscription(t *testing.T) {
	t.Parallel()
	schema := exec.NewExecutableSchema(exec.Config{}).Schema()
	tested := map[string]bool{}
	for _, c := range subscriptions {
		tested[c.field] = true
		t.Run(c.field, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.watches(1, nil)
			b.OnStream("TailLog", func(_ context.Context, _ proto.Message, send func(proto.Message) error) error {
				return send(&carillonv1.TailLogResponse{Time: timestamppb.New(at), Level: "INFO", Cursor: "c1"})
			})
			// As little as the service answers: nothing that must not be null may be.
			query := fmt.Sprintf("subscription { %s(%s) %s }", c.field, c.arguments, everything(schema, schema.Subscription.Fields.ForName(c.field).Type))
			w := b.events(t, strings.ReplaceAll(query, "trigger ", ""))
			if w.Code != http.StatusOK || strings.Contains(w.Body.String(), "errors") || strings.Count(w.Body.String(), "event: next") != 1 || !strings.HasSuffix(w.Body.String(), completed) {
				t.Errorf("%s: status %d: %s", query, w.Code, w.Body)
			}
			want := b.Calls(c.method)[0].Request.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal([]byte(c.request), want); err != nil {
				t.Fatal(err)
			}
			if got := b.Calls(c.method)[0].Request; !proto.Equal(got, want) {
				t.Errorf("asked %v, want %v", got, want)
			}
		})
	}
	for _, field := range schema.Subscription.Fields {
		if !strings.HasPrefix(field.Name, "__") && !tested[field.Name] {
			t.Errorf("%s is not tested", field.Name)
		}
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	missing := facadetest.Error(codes.NotFound, "INSTANCE_NOT_FOUND", "no such instance")
	notFound := event(`{"errors":[{"message":"no such instance","extensions":{"code":"NOT_FOUND","fieldViolations":[],"reason":"INSTANCE_NOT_FOUND"}}]}`)
	for name, test := range map[string]struct {
		query string
		end   error
		n     int
		want  string
	}{
		"to the end":        {changed, nil, 2, event(told(0)) + event(told(1)) + completed},
		"none":              {changed, nil, 0, completed},
		"an error at once":  {changed, missing, 0, notFound + completed},
		"an error later":    {changed, missing, 1, event(told(0)) + notFound + completed},
		"a query":           {`{ getScheduledJob(jobId: 19) { id } }`, nil, 0, event(`{"data":{"getScheduledJob":{"id":"job_19"}}}`) + completed},
		"a mutation":        {`mutation { deleteScheduledJob(jobId: 19) { success } }`, nil, 0, event(`{"data":{"deleteScheduledJob":{"success":true}}}`) + completed},
		"a hidden error":    {changed, facadetest.Error(codes.Internal, "", ""), 0, ""},
		"no such field":     {`subscription { nothing }`, nil, 0, ""},
		"only a type name":  {`subscription { __typename }`, nil, 0, ""},
		"no document":       {`subscription {`, nil, 0, ""},
		"two at once":       {`subscription { a: executionLog(executionId: 1) { level } b: executionLog(executionId: 1) { level } }`, nil, 0, ""},
		"a wrong argument":  {`subscription { executionLog(executionId: 1.5) { level } }`, nil, 0, ""},
		"a missing one":     {`subscription { executionLog { level } }`, nil, 0, ""},
		"conditionally two": {`subscription { ...F } fragment F on Subscription { a: executionLog(executionId: 1) { level } executionChanged(instanceId: 1) { cursor } }`, nil, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.watches(test.n, test.end)
			w := b.events(t, test.query)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream" || !w.Flushed {
				t.Fatalf("status %d, %v: %s", w.Code, w.Header(), w.Body)
			}
			got := strings.TrimPrefix(w.Body.String(), ":\n\n")
			if test.want == "" { // one event with an error
				if strings.Count(got, "event: next") != 1 || !strings.Contains(got, `data: {"errors":[`) || !strings.Contains(got, `"fieldViolations":`) || !strings.HasSuffix(got, completed) {
					t.Errorf("events %s", got)
				}
			} else if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if strings.Contains(b.log.String(), "msg=panic") {
				t.Errorf("a panic: %s", b.log.String())
			}
		})
	}
}

// What comes before a document is answered as without events.
func TestEventsRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		query  string
		edit   func(*http.Request)
		status int
		reason string
	}{
		"without a token":            {changed, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "UNAUTHENTICATED"},
		"a query without one":        {`{ getScheduledJob(jobId: 19) { id } }`, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "UNAUTHENTICATED"},
		"with two tokens":            {changed, func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401, "UNAUTHENTICATED"},
		"as a form":                  {changed, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415, "UNSUPPORTED_MEDIA_TYPE"},
		"as JSON":                    {changed, func(r *http.Request) { r.Header.Set("Accept", "application/json") }, 406, "NOT_ACCEPTABLE"},
		"as anything":                {changed, func(r *http.Request) { r.Header.Set("Accept", "*/*") }, 406, "NOT_ACCEPTABLE"},
		"without a wish":             {changed, func(r *http.Request) { r.Header.Del("Accept") }, 406, "NOT_ACCEPTABLE"},
		"as events that are refused": {changed, func(r *http.Request) { r.Header.Set("Accept", "application/json, text/event-stream;q=0") }, 406, "NOT_ACCEPTABLE"},
		"by GET":                     {changed, func(r *http.Request) { r.Method = http.MethodGet }, 406, "NOT_ACCEPTABLE"},
		"by PUT":                     {changed, func(r *http.Request) { r.Method = http.MethodPut }, 406, "NOT_ACCEPTABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.watches(1, nil)
			w := b.events(t, test.query, test.edit)
			var got outcome
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != test.status || len(got.Errors) != 1 || got.Errors[0].Extensions.Reason != test.reason {
				t.Errorf("status %d, %v: %s; want %d and %s", w.Code, w.Header(), w.Body, test.status, test.reason)
			}
			if media := w.Header().Get("Content-Type"); media != "application/json; charset=utf-8" {
				t.Errorf("as %s", media)
			}
		})
	}
}

// A client that takes events and JSON alike gets what an operation is like.
func TestEventsOrJSON(t *testing.T) {
	t.Parallel()
	both := func(r *http.Request) {
		r.Header.Set("Accept", "application/graphql-response+json, application/json, text/event-stream, multipart/mixed")
	}
	b := newBench(t)
	b.watches(1, nil)
	if w := b.events(t, changed, both); w.Header().Get("Content-Type") != "text/event-stream" {
		t.Errorf("a subscription is answered as %v", w.Header())
	}
	for _, query := range []string{`{ getScheduledJob(jobId: 19) { id } }`, `subscription {`} {
		if w := b.events(t, query, both); w.Header().Get("Content-Type") != "application/graphql-response+json; charset=utf-8" {
			t.Errorf("%s is answered as %v", query, w.Header())
		}
	}
}

// Whoever goes away ends the stream behind it.
func TestEventsEndWithTheClient(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	gone := b.watches(1, errStays)
	server := httptest.NewServer(b.handler)
	t.Cleanup(server.Close)
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/graphql", strings.NewReader(`{"query": "`+changed+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	asEvents(r)
	r.Header.Set("Authorization", "Bearer "+facadetest.Token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	want := ":\n\n" + event(told(0))
	got := make([]byte, len(want))
	if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != want {
		t.Fatalf("first %q, %v", got, err)
	}
	leave()
	<-gone
}
