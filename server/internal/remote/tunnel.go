package remote

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// DialFunc makes an outgoing connection or refuses it with a *job.Failure.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

const (
	greetTimeout = 10 * time.Second
	dialTimeout  = 30 * time.Second
)

// gate is a SOCKS5 server (RFC 1928, CONNECT only, with the passwords of
// RFC 1929) on loopback: the one way out that the library is shown. It is of
// no use to anybody without the password of a tunnel.
type gate struct {
	listener net.Listener
	dial     DialFunc
	serving  sync.WaitGroup

	mu      sync.Mutex
	tunnels map[string]*tunnel
}

// tunnel is one session's use of the gate. Its connections end with the
// session's context; new ones, to give up what was begun, can be made for the
// time of a farewell, and end with that.
type tunnel struct {
	gate *gate
	// ctx ends when the tunnel is closed, by end.
	ctx            context.Context
	end            context.CancelFunc
	user, password string
	// failed is told why a connection could not be made.
	failed func(error)

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func openGate(dial DialFunc) (*gate, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for outgoing connections: %w", err)
	}
	g := &gate{listener: listener, dial: dial, tunnels: map[string]*tunnel{}}
	g.serving.Go(g.serve)
	return g, nil
}

// close stops the gate and waits for its connections to end.
func (g *gate) close() error {
	err := g.listener.Close()
	g.mu.Lock()
	tunnels := g.tunnels
	g.tunnels = nil
	g.mu.Unlock()
	for _, t := range tunnels {
		t.close()
	}
	g.serving.Wait()
	return err
}

// open starts a tunnel that lives until it is closed, or a farewell longer than
// ctx.
func (g *gate) open(ctx context.Context, failed func(error)) *tunnel {
	t := &tunnel{gate: g, user: rand.Text(), password: rand.Text(), failed: failed, conns: map[net.Conn]struct{}{}}
	t.ctx, t.end = context.WithCancel(context.WithoutCancel(ctx))
	g.mu.Lock()
	if g.tunnels == nil {
		t.closed = true
	} else {
		g.tunnels[t.user] = t
	}
	g.mu.Unlock()
	context.AfterFunc(ctx, func() {
		t.cut()
		time.AfterFunc(farewell, t.close)
	})
	return t
}

// address is what an SSH client takes: user:password@host:port.
func (t *tunnel) address() string {
	return t.user + ":" + t.password + "@" + t.gate.listener.Addr().String()
}

// url is what an HTTP transport takes. Names are resolved at the gate.
func (t *tunnel) url() string {
	u := url.URL{Scheme: "socks5h", User: url.UserPassword(t.user, t.password), Host: t.gate.listener.Addr().String()}
	return u.String()
}

func (t *tunnel) close() {
	t.end()
	t.gate.mu.Lock()
	delete(t.gate.tunnels, t.user)
	t.gate.mu.Unlock()
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.cut()
}

// cut closes the connections that there are.
func (t *tunnel) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for conn := range t.conns {
		conn.Close()
	}
}

// hold makes sure that conn is closed with the tunnel, at once when that has
// happened already.
func (t *tunnel) hold(conn net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		conn.Close()
		return
	}
	t.conns[conn] = struct{}{}
}

func (t *tunnel) release(conn net.Conn) {
	t.mu.Lock()
	delete(t.conns, conn)
	t.mu.Unlock()
	conn.Close()
}

func (g *gate) serve() {
	for {
		conn, err := g.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of file descriptors, most likely
			time.Sleep(10 * time.Millisecond)
			continue
		}
		g.serving.Go(func() { g.handle(conn) })
	}
}

// Codes of the SOCKS5 protocol.
const (
	socksVersion  = 5
	passwordAuth  = 2
	noMethod      = 0xff
	loginVersion  = 1
	connect       = 1
	addressIPv4   = 1
	addressName   = 3
	addressIPv6   = 4
	replyOK       = 0
	replyDenied   = 2
	replyNotFound = 4
	replyBadWord  = 7
)

func (g *gate) handle(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(greetTimeout))
	t, err := g.login(conn)
	if err != nil {
		return
	}
	t.hold(conn)
	defer t.release(conn)
	address, err := readRequest(conn)
	if err != nil {
		_ = reply(conn, replyBadWord)
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, dialTimeout)
	defer cancel()
	out, err := g.dial(ctx, "tcp", address)
	if err != nil {
		t.failed(err)
		_ = reply(conn, replyNotFound)
		return
	}
	t.hold(out)
	defer t.release(out)
	_ = conn.SetDeadline(time.Time{})
	if err := reply(conn, replyOK); err != nil {
		return
	}
	join(conn, out)
}

// login reads the greeting and the password.
func (g *gate) login(conn net.Conn) (*tunnel, error) {
	version, methods, err := readCounted(conn)
	if err != nil || version != socksVersion {
		return nil, errors.New("no SOCKS5 greeting")
	}
	method := byte(noMethod)
	for _, m := range methods {
		if m == passwordAuth {
			method = passwordAuth
		}
	}
	if _, err := conn.Write([]byte{socksVersion, method}); err != nil || method == noMethod {
		return nil, errors.New("no password offered")
	}
	_, user, err := readCounted(conn)
	if err != nil {
		return nil, err
	}
	password, err := readText(conn)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	t := g.tunnels[string(user)]
	g.mu.Unlock()
	if t == nil || subtle.ConstantTimeCompare(password, []byte(t.password)) != 1 {
		_, _ = conn.Write([]byte{loginVersion, replyDenied})
		return nil, errors.New("wrong password")
	}
	_, err = conn.Write([]byte{loginVersion, replyOK})
	return t, err
}

// readRequest reads where to connect to.
func readRequest(conn net.Conn) (string, error) {
	var head [4]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return "", err
	}
	if head[0] != socksVersion || head[1] != connect {
		return "", errors.New("not a connect request")
	}
	var host string
	switch head[3] {
	case addressIPv4, addressIPv6:
		raw := make([]byte, map[byte]int{addressIPv4: 4, addressIPv6: 16}[head[3]])
		if _, err := io.ReadFull(conn, raw); err != nil {
			return "", err
		}
		addr, _ := netip.AddrFromSlice(raw)
		host = addr.String()
	case addressName:
		name, err := readText(conn)
		if err != nil {
			return "", err
		}
		host = string(name)
	default:
		return "", errors.New("unknown kind of address")
	}
	var port [2]byte
	if _, err := io.ReadFull(conn, port[:]); err != nil {
		return "", err
	}
	return net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(port[:])))), nil
}

// readCounted reads a first byte, and a text whose length the second tells.
func readCounted(r io.Reader) (first byte, text []byte, err error) {
	var head [1]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	text, err = readText(r)
	return head[0], text, err
}

func readText(r io.Reader) ([]byte, error) {
	var length [1]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	text := make([]byte, length[0])
	_, err := io.ReadFull(r, text)
	return text, err
}

func reply(conn net.Conn, code byte) error {
	_, err := conn.Write([]byte{socksVersion, code, 0, addressIPv4, 0, 0, 0, 0, 0, 0})
	return err
}

// join copies both ways until both ends are done or either breaks.
func join(a, b net.Conn) {
	var copying sync.WaitGroup
	copying.Go(func() { pump(a, b) })
	pump(b, a)
	copying.Wait()
}

// pump copies to to's end and passes the end on; what it can't pass on, it
// breaks.
func pump(to, from net.Conn) {
	_, err := io.Copy(to, from)
	half, ok := to.(interface{ CloseWrite() error })
	if err != nil || !ok || half.CloseWrite() != nil {
		to.Close()
		from.Close()
	}
}
