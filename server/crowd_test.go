package server

import (
	"net"
	"net/netip"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/pointscene/carillon/internal/places"
)

// arriving is a listener of connections that come from where a test says.
type arriving struct {
	net.Listener
	from []string
}

type visitor struct {
	net.Conn
	from   string
	closed bool
}

func (v *visitor) Close() error         { v.closed = true; return nil }
func (v *visitor) RemoteAddr() net.Addr { return address(v.from) }

type address string

func (a address) Network() string { return "tcp" }
func (a address) String() string  { return string(a) }

func (a *arriving) Accept() (net.Conn, error) {
	if len(a.from) == 0 {
		return nil, net.ErrClosed
	}
	v := &visitor{from: a.from[0]}
	a.from = a.from[1:]
	return v, nil
}

func TestCrowded(t *testing.T) {
	t.Parallel()
	door := &arriving{}
	c := &crowded{
		Listener: door, places: places.New[netip.Prefix](6, 2),
		exempt: func(a netip.Addr) bool { return a == netip.MustParseAddr("10.0.0.1") },
		open:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "open"}), refused: prometheus.NewCounter(prometheus.CounterOpts{Name: "refused"}),
	}
	enter := func(from ...string) (conns []net.Conn) {
		door.from = from
		for {
			conn, err := c.Accept()
			if err != nil {
				return conns
			}
			conns = append(conns, conn)
		}
	}
	two := enter("192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "[::ffff:192.0.2.1]:4")
	if len(two) != 2 {
		t.Errorf("an address has %d connections", len(two))
	}
	if network := enter("[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3%eth0]:1", "[2001:db8:0:1::1]:1"); len(network) != 3 {
		t.Errorf("two networks have %d connections, want 2 and 1", len(network))
	}
	if got := testutil.ToFloat64(c.refused); got != 3 {
		t.Errorf("%v were refused", got)
	}
	if proxy := enter("10.0.0.1:1", "10.0.0.1:2"); len(proxy) != 1 {
		t.Errorf("a proxy has %d connections, want the last place", len(proxy))
	}
	for range 2 {
		_ = two[0].Close()
	}
	if again := enter("192.0.2.1:5", "192.0.2.1:6"); len(again) != 1 {
		t.Errorf("after one has left %d come in", len(again))
	}
	if got := testutil.ToFloat64(c.open); got != 6 {
		t.Errorf("%v are open", got)
	}
}
