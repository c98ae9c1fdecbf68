package tests

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/tests/harness"
)

// Streams that are opened and reset as fast as a client can (CVE-2023-44487)
// cost the others nothing that they notice, and leave nothing behind.
func TestRapidReset(t *testing.T) {
	t.Parallel()
	const streams = 20_000
	server, authority := secure(t)
	tenant := server.NewTenant(t)
	token := server.Token(t, "instance-read-"+tenant.Instance)
	ask := &carillonv1.ListJobsRequest{InstanceId: tenant.Instance}
	for name, c := range map[string]struct {
		address string
		open    func(f *frames) (uint32, error)
	}{
		"gRPC": {server.GRPC, func(f *frames) (uint32, error) { return f.call("ListJobs", token, ask, true) }},
		"HTTP": {server.HTTP, func(f *frames) (uint32, error) {
			return f.open("GET", "/v1/instances/"+tenant.Instance+"/jobs", true, "authorization", "Bearer "+token)
		}},
	} {
		before := server.Goroutines(t)
		n := newNeighbour(t, tenant)
		sent, connections, began := 0, 0, time.Now()
		for sent < streams && time.Since(began) < 20*time.Second {
			f := newFrames(t, c.address, &tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS12})
			go func() { _, _ = io.Copy(io.Discard, f.Conn) }() // a full window of answers is another story
			connections++
			for ; sent < streams; sent++ {
				stream, err := c.open(f)
				if err == nil {
					err = f.WriteRSTStream(stream, http2.ErrCodeCancel)
				}
				if err != nil {
					break // the server has had enough of this connection
				}
			}
			_ = f.Close()
		}
		n.noticed(t, fmt.Sprintf("%s: %d streams reset in %s, by %d connections", name, sent, time.Since(began).Round(time.Millisecond), connections))
		if n.most.goroutines > before+2000 {
			t.Errorf("%s: from %d to %d goroutines", name, before, n.most.goroutines)
		}
		harness.Wait(t, 20*time.Second, name+": what the streams left is gone", func() bool { return server.Goroutines(t) < before+100 })
	}
}

// A client that asks for large answers and reads none of them holds a bounded
// amount of memory, until it takes them or gives them up.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	if harness.RaceDetector {
		t.Skip("an answer of megabytes takes seconds there, and the neighbour waits behind them; make test runs it")
	}
	// Rates would bound it, too.
	server := harness.Start(t, harness.Options{Flags: []string{"--client-rate", "0", "--instance-rate", "0"}})
	tenant := server.NewTenant(t)
	for range 6 {
		tenant.Create(t, nil, object{"name": "a", "type": "http.request", "args": object{"url": "https://a.example", "method": "POST", "body": strings.Repeat("x", 500<<10)}})
	}
	token := server.Token(t, "instance-read-"+tenant.Instance)
	ask := &carillonv1.ListJobsRequest{InstanceId: tenant.Instance, PageSize: 10}
	before := server.Resident()
	n := newNeighbour(t, tenant)
	const connections, calls = 4, 100
	type opened struct {
		*frames
		streams []uint32
	}
	var all []opened
	for range connections {
		one := opened{frames: newFrames(t, server.GRPC, nil, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})}
		go func() { _, _ = io.Copy(io.Discard, one.Conn) }() // reads the connection, and lets no stream go on
		for range calls {
			stream, err := one.call("ListJobs", token, ask, true)
			if err != nil {
				t.Fatal(err)
			}
			one.streams = append(one.streams, stream)
		}
		all = append(all, one)
	}
	reader := server.As(token).GRPCDoor()
	large, small := object{"instanceId": tenant.Instance, "pageSize": 10}, object{"instanceId": tenant.Instance}
	var refusal *harness.Refusal
	harness.Wait(t, 30*time.Second, "the caller is told to read", func() bool {
		_, err := reader.Call(t.Context(), "ListJobs", large)
		return errors.As(err, &refusal) && refusal.Code == "RESOURCE_EXHAUSTED" && refusal.Reason == "TOO_MUCH_UNREAD"
	})
	harness.Must(t, reader, "GetInstance", small)
	n.noticed(t, fmt.Sprintf("%d unread answers of 2.9 MiB, from %d MiB", connections*calls, before))
	// Without the limit it is 2.8 GiB. What was read and refused is garbage for a while.
	if n.most.mebibytes > before+900 {
		t.Errorf("from %d to %d MiB", before, n.most.mebibytes)
	}
	for _, one := range all {
		for _, stream := range one.streams {
			if err := one.WriteRSTStream(stream, http2.ErrCodeCancel); err != nil {
				t.Fatal(err)
			}
		}
	}
	harness.Wait(t, 20*time.Second, "the caller is answered again", func() bool {
		_, err := reader.Call(t.Context(), "ListJobs", large)
		return err == nil
	})
}

// Who sends slowly, or not at all, is let go.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	token := server.Token(t, "instance-read-"+tenant.Instance)
	const patience = 45 * time.Second
	raw := func(address, text string) func(*testing.T) func(time.Duration) bool {
		return func(t *testing.T) func(time.Duration) bool {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			go func() { // one byte a second keeps an idle timeout away
				for address != server.GRPC {
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
					<-time.After(time.Second)
				}
			}()
			return func(within time.Duration) bool {
				_ = conn.SetReadDeadline(time.Now().Add(within))
				_, err := io.Copy(io.Discard, conn)
				var late net.Error
				return !errors.As(err, &late) || !late.Timeout()
			}
		}
	}
	for name, c := range map[string]struct {
		begin func(*testing.T) (ended func(time.Duration) bool)
		limit time.Duration
	}{
		"headers of HTTP": {raw(server.HTTP, "GET /v1/instances HTTP/1.1\r\nHost: a\r\nX-Slow: "), 10 * time.Second},
		"a body of HTTP":  {raw(server.HTTP, "POST /v1/instances HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: Bearer "+token+"\r\n\r\n{"), patience},
		"nothing to gRPC": {raw(server.GRPC, "P"), 15 * time.Second},
		"a message of gRPC": {func(t *testing.T) func(time.Duration) bool {
			f := newFrames(t, server.GRPC, nil)
			if _, err := f.call("ListJobs", token, &carillonv1.ListJobsRequest{InstanceId: tenant.Instance}, false); err != nil {
				t.Fatal(err)
			}
			return f.ended
		}, patience},
		"the message of a stream": {func(t *testing.T) func(time.Duration) bool {
			f := newFrames(t, server.GRPC, nil)
			if _, err := f.call("WatchExecutions", token, &carillonv1.WatchExecutionsRequest{InstanceId: tenant.Instance}, false); err != nil {
				t.Fatal(err)
			}
			return f.ended
		}, patience},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if !c.begin(t)(c.limit) {
				t.Errorf("nobody ended it within %s", c.limit)
			}
			t.Logf("%s were let go after %s", name, time.Since(began).Round(100*time.Millisecond))
		})
	}
}
