package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/tests/harness"
)

// frames is a connection of HTTP/2 whose client does as it likes.
type frames struct {
	net.Conn
	*http2.Framer
	host, scheme string
	text         bytes.Buffer
	headers      *hpack.Encoder
	next         uint32
}

// newFrames opens one, by TLS unless config is nil.
func newFrames(t *testing.T, address string, config *tls.Config, settings ...http2.Setting) *frames {
	t.Helper()
	f := &frames{host: address, scheme: "http", next: 1}
	var err error
	if config != nil {
		config = config.Clone()
		config.NextProtos, f.scheme = []string{"h2"}, "https"
		f.Conn, err = tls.Dial("tcp", address, config)
	} else {
		f.Conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	f.Framer, f.headers = http2.NewFramer(f.Conn, f.Conn), hpack.NewEncoder(&f.text)
	if _, err := io.WriteString(f.Conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(settings...); err != nil {
		t.Fatal(err)
	}
	return f
}

// answers reads the connection, lets no stream go on, and tells of each answer that
// begins. It is closed with the connection.
func (f *frames) answers() <-chan struct{} {
	begun := make(chan struct{}, 1)
	go func() {
		defer close(begun)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Type == http2.FrameHeaders {
				select {
				case begun <- struct{}{}:
				default: // nobody waits any more
				}
			}
		}
	}()
	return begun
}

// open begins a request; fields are pairs of further headers.
func (f *frames) open(method, path string, end bool, fields ...string) (stream uint32, err error) {
	f.text.Reset()
	all := append([]string{":method", method, ":scheme", f.scheme, ":authority", f.host, ":path", path}, fields...)
	for i := 0; i+1 < len(all); i += 2 {
		if err := f.headers.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]}); err != nil {
			return 0, err
		}
	}
	stream, f.next = f.next, f.next+2
	return stream, f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: f.text.Bytes(), EndHeaders: true, EndStream: end})
}

// call begins a call of gRPC, whole or with the end of its message missing.
func (f *frames) call(rpc, token string, request proto.Message, whole bool) (stream uint32, err error) {
	method := harness.Methods()[rpc]
	path := "/" + string(method.Parent().FullName()) + "/" + rpc
	stream, err = f.open("POST", path, false, "content-type", "application/grpc", "te", "trailers", "authorization", "Bearer "+token)
	if err != nil {
		return 0, err
	}
	text, err := proto.Marshal(request)
	if err != nil {
		return 0, err
	}
	message := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
	if !whole {
		message = message[:len(message)-1]
	}
	return stream, f.WriteData(stream, whole, message)
}

// ended tells whether the server has closed the connection, or any stream of
// it, within a time; it reads whatever comes.
func (f *frames) ended(within time.Duration) bool {
	_ = f.SetReadDeadline(time.Now().Add(within))
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			var late net.Error
			return !errors.As(err, &late) || !late.Timeout()
		}
		switch frame.(type) {
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return true
		}
		if frame.Header().Flags.Has(http2.FlagDataEndStream) && frame.Header().StreamID != 0 {
			return true
		}
	}
}

// neighbour reads an instance again and again until stopped, and tells what
// that was like.
type neighbour struct {
	stop    chan struct{}
	done    sync.WaitGroup
	calls   int
	slowest time.Duration
	failed  error
	most    struct{ goroutines, mebibytes int }
}

func newNeighbour(t *testing.T, tenant *harness.Tenant) *neighbour {
	t.Helper()
	n := &neighbour{stop: make(chan struct{})}
	door := tenant.Operator.GRPCDoor()
	harness.Must(t, door, "GetInstance", object{"instanceId": tenant.Instance})
	n.done.Go(func() {
		for stopped := false; !stopped; {
			began := time.Now()
			_, err := door.Call(t.Context(), "GetInstance", object{"instanceId": tenant.Instance})
			// Where the machine stalls the database's time may end; then it is asked again.
			for later := new(harness.Refusal); harness.Stalled(time.Now()) && errors.As(err, &later) && later.Code == "UNAVAILABLE" && time.Since(began) < 30*time.Second; {
				_, err = door.Call(t.Context(), "GetInstance", object{"instanceId": tenant.Instance})
			}
			if err != nil {
				n.failed = err
			}
			n.calls++
			n.slowest = max(n.slowest, time.Since(began))
			n.most.goroutines = max(n.most.goroutines, tenant.Goroutines(t))
			n.most.mebibytes = max(n.most.mebibytes, tenant.Resident())
			select {
			case <-n.stop:
				stopped = true
			default:
			}
		}
	})
	return n
}

// noticed fails the test when the neighbour's calls failed or took long.
func (n *neighbour) noticed(t *testing.T, what string) {
	t.Helper()
	close(n.stop)
	n.done.Wait()
	t.Logf("%s: %d calls of a neighbour, the slowest %s; at most %d goroutines and %d MiB", what, n.calls, n.slowest, n.most.goroutines, n.most.mebibytes)
	if n.failed != nil || n.slowest > 30*time.Second { // a fifth of a second on a quiet machine
		t.Errorf("%s: the slowest call of a neighbour took %s, an error: %v", what, n.slowest, n.failed)
	}
}
