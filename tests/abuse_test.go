package tests

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/tests/harness"
)

// What a client can send without end on one connection of HTTP/2 costs the others
// nothing that they notice, and leaves nothing behind: streams that are opened and
// reset as fast as it can (CVE-2023-44487), frames that must be answered, by one who
// reads no answers, and headers that never end (CVE-2023-45288).
func TestFloods(t *testing.T) {
	t.Parallel()
	server, authority := secure(t)
	tenant := server.NewTenant(t)
	token := server.Token(t, "instance-read-"+tenant.Instance)
	ask := &carillonv1.ListJobsRequest{InstanceId: tenant.Instance}
	type flood struct {
		// frames are as many as are sent, unless the server ends it; reads says that
		// the client takes the answers.
		frames int
		reads  bool
		begin  func(f *frames) error
		send   func(f *frames) error
	}
	nothing := func(*frames) error { return nil }
	opened := func(open func(f *frames) (uint32, error)) flood {
		return flood{20_000, true, nothing, func(f *frames) error {
			stream, err := open(f)
			if err == nil {
				err = f.WriteRSTStream(stream, http2.ErrCodeCancel)
			}
			return err
		}}
	}
	endless := func(f *frames) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x82}}) // :method GET
	}
	piece := bytes.Repeat([]byte{0x00, 0x01, 'a', 0x01, 'b'}, 3000) // a: b
	common := map[string]flood{
		"settings":       {100_000, false, nothing, func(f *frames) error { return f.WriteSettings() }},
		"pings":          {100_000, false, nothing, func(f *frames) error { return f.WritePing(false, [8]byte{}) }},
		"window updates": {100_000, false, nothing, func(f *frames) error { return f.WriteWindowUpdate(0, 1) }},
		"priorities":     {100_000, false, nothing, func(f *frames) error { return f.WritePriority(3, http2.PriorityParam{Weight: 1}) }},
		"continuations":  {2000, true, endless, func(f *frames) error { return f.WriteContinuation(1, false, piece) }},
		"empty pieces":   {100_000, true, endless, func(f *frames) error { return f.WriteContinuation(1, false, nil) }},
	}
	for door, c := range map[string]struct {
		address string
		resets  flood
	}{
		"gRPC": {server.GRPC, opened(func(f *frames) (uint32, error) { return f.call("ListJobs", token, ask, true) })},
		"HTTP": {server.HTTP, opened(func(f *frames) (uint32, error) {
			return f.open("GET", "/v1/instances/"+tenant.Instance+"/jobs", true, "authorization", "Bearer "+token)
		})},
	} {
		common["resets"] = c.resets
		for _, name := range slices.Sorted(maps.Keys(common)) {
			flood, what := common[name], door+", "+name
			if harness.RaceDetector { // each frame takes ten times as long
				flood.frames /= 10
			}
			goroutines, memory := server.Goroutines(t), server.Resident()
			n := newNeighbour(t, tenant)
			sent, connections, began := 0, 0, time.Now()
			for limit := 3 * time.Second; sent < flood.frames && time.Since(began) < limit && connections < 300; connections++ {
				f := newFrames(t, c.address, &tls.Config{RootCAs: authority.Pool, MinVersion: tls.VersionTLS12})
				_ = f.SetWriteDeadline(time.Now().Add(2 * time.Second)) // who is not read any more has lost
				if flood.reads {
					go func() { _, _ = io.Copy(io.Discard, f.Conn) }()
				}
				for err := flood.begin(f); err == nil && sent < flood.frames; sent++ {
					err = flood.send(f)
				}
				_ = f.Close()
			}
			n.noticed(t, fmt.Sprintf("%s: %d sent in %s, by %d connections", what, sent, time.Since(began).Round(time.Millisecond), connections))
			if n.most.goroutines > goroutines+2000 || n.most.mebibytes > memory+150 {
				t.Errorf("%s: from %d to %d goroutines, from %d to %d MiB", what, goroutines, n.most.goroutines, memory, n.most.mebibytes)
			}
			harness.Wait(t, 20*time.Second, what+": what it left is gone", func() bool { return server.Goroutines(t) < goroutines+100 })
		}
	}
}

// One address has its share of a door's connections and no more, nobody waits
// behind it, and what is closed makes room.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8")
	}
	server := harness.Start(t, harness.Options{Flags: []string{"--max-connections", "150", "--max-connections-per-address", "40"}})
	tenant := server.NewTenant(t)
	open := func(from, to string) net.Conn {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", to)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	for _, address := range []string{server.GRPC, server.HTTP} {
		served := func(conn net.Conn) bool { // by whatever it says first
			_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
			if address == server.GRPC {
				_, _ = io.WriteString(conn, http2.ClientPreface)
				_ = http2.NewFramer(conn, nil).WriteSettings()
			} else {
				_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
			}
			n, _ := conn.Read(make([]byte, 1))
			return n == 1
		}
		var greedy []net.Conn
		refused := 0
		for range 60 {
			conn := open("127.0.0.9", address)
			if served(conn) {
				greedy = append(greedy, conn)
			} else {
				refused++
			}
		}
		if len(greedy) != 40 || refused != 20 {
			t.Errorf("%d connections of one address are served, %d refused", len(greedy), refused)
		}
		if !served(open("127.0.0.10", address)) {
			t.Error("another address waits")
		}
		harness.Must(t, tenant.Operator.GRPCDoor(), "GetInstance", object{"instanceId": tenant.Instance})
		_ = greedy[0].Close()
		harness.Wait(t, 10*time.Second, "there is room again", func() bool { return served(open("127.0.0.9", address)) })
	}
	if text, err := server.Get(server.Admin, "/metrics"); err != nil || !strings.Contains(text, `carillon_connections_refused_total{door="grpc"} 2`) {
		t.Errorf("the metrics don't tell it: %v", err)
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
		answered := one.answers()
		for range calls {
			stream, err := one.call("ListJobs", token, ask, true)
			if err != nil {
				t.Fatal(err)
			}
			one.streams = append(one.streams, stream)
			<-answered // all at once they would be a flood of another kind
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
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	token := server.Token(t, "instance-read-"+tenant.Instance)
	// Bodies have half a minute. What is let go sooner must be so before that.
	const patience, sooner = 2 * time.Minute, 25 * time.Second
	raw := func(address, text string) func(*testing.T) func(time.Duration) bool {
		return func(t *testing.T) func(time.Duration) bool {
			began := time.Now()
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
				_ = conn.SetReadDeadline(began.Add(within))
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
		"headers of HTTP": {raw(server.HTTP, "GET /v1/instances HTTP/1.1\r\nHost: a\r\nX-Slow: "), sooner},
		"a body of HTTP":  {raw(server.HTTP, "POST /v1/instances HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: Bearer "+token+"\r\n\r\n{"), patience},
		"nothing to gRPC": {raw(server.GRPC, "P"), time.Minute},
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
	// Many slow ones of one address are let go long before their time.
	const many, left = 60, 32
	t.Run("many bodies of HTTP", func(t *testing.T) {
		t.Parallel()
		var all []func(time.Duration) bool
		for range many {
			all = append(all, raw(server.HTTP, "POST /v1/instances HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nAuthorization: Bearer "+token+"\r\n\r\n{")(t))
		}
		var ended atomic.Int64
		var waiting sync.WaitGroup
		for _, one := range all {
			waiting.Go(func() {
				if one(sooner) {
					ended.Add(1)
				}
			})
		}
		waiting.Wait()
		if n := ended.Load(); n < many-left || n > many-left+5 { // of which some are those of the stories above
			t.Errorf("%d of %d were let go", n, many)
		}
	})
	t.Run("many messages of gRPC", func(t *testing.T) {
		t.Parallel()
		f := newFrames(t, server.GRPC, nil)
		_ = f.SetReadDeadline(time.Now().Add(sooner))
		for range many {
			if _, err := f.call("ListJobs", token, &carillonv1.ListJobsRequest{InstanceId: tenant.Instance}, false); err != nil {
				t.Fatal(err)
			}
		}
		ended := map[uint32]bool{}
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				break
			}
			if header := frame.Header(); header.StreamID != 0 && (header.Type == http2.FrameRSTStream || header.Flags.Has(http2.FlagDataEndStream) && header.Type != http2.FrameSettings) {
				ended[header.StreamID] = true
			}
		}
		if n := len(ended); n < many-left || n > many-left+5 {
			t.Errorf("%d of %d were let go", n, many)
		}
	})
}
