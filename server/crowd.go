package server

import (
	"net"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pointscene/carillon/internal/places"
)

// crowded is a door's listener with bounds for all connections and for those of
// one address. What comes beyond them is closed at once: if it waited, whoever
// fills the door would keep everybody else waiting too.
type crowded struct {
	net.Listener
	places *places.Places[netip.Prefix]
	// exempt are the proxies, which bring the connections of many addresses.
	exempt  func(netip.Addr) bool
	open    prometheus.Gauge
	refused prometheus.Counter
}

// crowded bounds a door's connections.
func (s *Server) crowded(door string, listener net.Listener) net.Listener {
	return &crowded{
		Listener: listener, places: places.New[netip.Prefix](s.c.MaxConnections, s.c.MaxConnectionsPerAddress), exempt: s.trusted(),
		open: s.connections.Open.WithLabelValues(door), refused: s.connections.Refused.WithLabelValues(door),
	}
}

// neighbours is the length of an IPv6 network that one customer has.
const neighbours = 64

// Accept implements net.Listener.
func (c *crowded) Accept() (net.Conn, error) {
	for {
		conn, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if leave, ok := c.enter(conn.RemoteAddr()); ok {
			c.open.Inc()
			return &counted{conn, sync.OnceFunc(func() { leave(); c.open.Dec() })}, nil
		}
		c.refused.Inc()
		_ = conn.Close() // it is refused either way
	}
}

// enter takes a place for a connection.
func (c *crowded) enter(from net.Addr) (leave func(), ok bool) {
	at, err := netip.ParseAddrPort(from.String())
	address, bits := at.Addr().Unmap().WithZone(""), neighbours
	if err != nil || c.exempt(address) {
		return c.places.TakeAny()
	}
	if address.Is4() {
		bits = address.BitLen()
	}
	network, err := address.Prefix(bits)
	if err != nil { // no address has fewer bits than these
		return nil, false
	}
	return c.places.Take(network)
}

// counted is a connection that has a place.
type counted struct {
	net.Conn
	leave func()
}

// Close implements net.Conn. A connection is closed more than once.
func (c *counted) Close() error {
	c.leave()
	return c.Conn.Close()
}
