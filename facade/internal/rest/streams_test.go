package rest

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func line(text, cursor string) *carillonv1.TailLogResponse {
	return &carillonv1.TailLogResponse{
		Level: "INFO", Message: text, Cursor: cursor,
		Attributes: &structpb.Struct{Fields: map[string]*structpb.Value{"path": structpb.NewStringValue("a\nb")}},
	}
}

func sendLines(ctx context.Context, _ proto.Message, send func(proto.Message) error) error {
	for _, l := range []*carillonv1.TailLogResponse{line("one", "c1"), line("two", "c2")} {
		if err := send(l); err != nil {
			return err
		}
	}
	return nil
}

func events1(r *http.Request) { r.Header.Set("Accept", "text/event-stream") }

func TestLogAsLines(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OnStream("TailLog", sendLines)
	w := b.ask(t, "GET", "/v1/executions/exec_1/log", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" || !w.Flushed {
		t.Fatalf("status %d, %v", w.Code, w.Header())
	}
	lines, err := facadetest.Lines(w.Body)
	if err != nil || len(lines) != 2 {
		t.Fatalf("lines %q, %v", lines, err)
	}
	for i, want := range []*carillonv1.TailLogResponse{line("one", "c1"), line("two", "c2")} {
		got := &carillonv1.TailLogResponse{}
		if err := protojson.Unmarshal([]byte(lines[i]), got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Errorf("line %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestEmptyLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.ask(t, "GET", "/v1/executions/exec_1/log", "")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/x-ndjson" || w.Body.Len() != 0 {
		t.Errorf("status %d, %v, %q", w.Code, w.Header(), w.Body)
	}
}

func TestLogAsEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OnStream("TailLog", sendLines)
	w := b.ask(t, "GET", "/v1/executions/exec_1/log?follow=true&cursor=old", "", events1, func(r *http.Request) {
		r.Header.Set("Last-Event-ID", "newer")
	})
	if got := w.Header().Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	blocks := strings.Split(w.Body.String(), "\n\n")
	if len(blocks) != 4 || !strings.HasPrefix(blocks[0], "id: c1\ndata: {") || strings.Count(blocks[0], "\n") != 1 || blocks[2] != "event: end\ndata: {}" {
		t.Errorf("events %q", blocks)
	}
	want := &carillonv1.TailLogRequest{ExecutionId: "exec_1", Follow: true, Cursor: "newer"}
	if got := b.Calls("TailLog")[0].Request; !proto.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
}

// A browser reconnects for ever unless it is told that there is nothing more.
func TestResumedEventsEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.ask(t, "GET", "/v1/executions/exec_1/log", "", events1, func(r *http.Request) { r.Header.Set("Last-Event-ID", "c2") })
	if w.Code != http.StatusNoContent {
		t.Errorf("status %d, want 204", w.Code)
	}
}

func TestLogErrors(t *testing.T) {
	t.Parallel()
	missing := facadetest.Error(codes.NotFound, "EXECUTION_NOT_FOUND", "no such execution")
	atOnce := func(context.Context, proto.Message, func(proto.Message) error) error { return missing }
	later := func(_ context.Context, _ proto.Message, send func(proto.Message) error) error {
		if err := send(line("one", "c1")); err != nil {
			return err
		}
		return missing
	}
	b := newBench(t)
	b.OnStream("TailLog", atOnce)
	if got := refusalOf(t, b.ask(t, "GET", "/v1/executions/1/log", "")); got.HTTP != 404 {
		t.Errorf("before the first line: %+v", got)
	}
	if got := refusalOf(t, b.ask(t, "GET", "/v1/executions/1/log", "", noToken)); got.HTTP != 401 {
		t.Errorf("without a token: %+v", got)
	}
	b.OnStream("TailLog", later)
	lines, err := facadetest.Lines(b.ask(t, "GET", "/v1/executions/1/log", "").Body)
	if err != nil || len(lines) != 2 || !strings.HasPrefix(lines[1], `{"error":{`) || !strings.Contains(lines[1], "EXECUTION_NOT_FOUND") {
		t.Errorf("after the first line: %q, %v", lines, err)
	}
	if got := b.ask(t, "GET", "/v1/executions/1/log", "", events1).Body.String(); !strings.Contains(got, "\n\nevent: error\ndata: {\"error\":{") {
		t.Errorf("as an event: %q", got)
	}
}

// A follower gets a line when it is written, and ends the call by leaving.
func TestLogFollows(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	left := make(chan struct{})
	b.OnStream("TailLog", func(ctx context.Context, _ proto.Message, send func(proto.Message) error) error {
		if err := send(line("one", "c1")); err != nil {
			return err
		}
		<-ctx.Done()
		close(left)
		return ctx.Err()
	})
	server := httptest.NewServer(b.handler)
	defer server.Close()
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/v1/executions/1/log?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := bufio.NewReader(answer.Body).ReadString('\n'); err != nil || !strings.Contains(text, "one") {
		t.Fatalf("first line %q, %v", text, err)
	}
	leave()
	<-left
}

// An answer begins even when there is nothing to tell yet.
func TestQuietLogBegins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := make(chan struct{})
	b.OnStream("TailLog", func(ctx context.Context, _ proto.Message, _ func(proto.Message) error) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	server := httptest.NewServer(b.handler)
	defer server.Close()
	r, err := http.NewRequestWithContext(t.Context(), "GET", server.URL+"/v1/executions/1/log?follow=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer good")
	answer, err := http.DefaultClient.Do(r) // returns with the first byte
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("status %d", answer.StatusCode)
	}
	close(release)
	if rest := readAll(t, answer.Body); rest != "" {
		t.Errorf("body %q", rest)
	}
}

func TestSignedLog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OnStream("DownloadLog", func(_ context.Context, _ proto.Message, send func(proto.Message) error) error {
		for _, part := range []string{"{\"a\":1}\n", "{\"a\":2}\n"} {
			if err := send(&carillonv1.DownloadLogResponse{Data: []byte(part)}); err != nil {
				return err
			}
		}
		return nil
	})
	w := b.ask(t, "GET", "/logs/exec_5?expires=1700000000&key_id=k1&signature=s", "", noToken)
	if w.Code != http.StatusOK || w.Body.String() != "{\"a\":1}\n{\"a\":2}\n" {
		t.Fatalf("status %d: %q", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff",
		"Content-Disposition": `attachment; filename="execution.log"`, "Cache-Control": "no-store",
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	want := &carillonv1.DownloadLogRequest{ExecutionId: "exec_5", Expires: 1700000000, KeyId: "k1", Signature: "s"}
	if got := b.Calls("DownloadLog")[0].Request; !proto.Equal(got, want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	if strings.Contains(b.log.String(), "signature") {
		t.Errorf("the log holds the link: %s", &b.log)
	}
	b.OnStream("DownloadLog", func(context.Context, proto.Message, func(proto.Message) error) error {
		return facadetest.Error(codes.PermissionDenied, "PERMISSION_DENIED", "the link has expired")
	})
	for _, query := range []string{"", "?expires=never&signature=s"} {
		if got := refusalOf(t, b.ask(t, "GET", "/logs/exec_5"+query, "", noToken)); got.HTTP != http.StatusForbidden {
			t.Errorf("%q: %+v", query, got)
		}
	}
}
