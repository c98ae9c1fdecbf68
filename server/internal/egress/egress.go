// Package egress is the one way out for calls that tasks make on behalf of
// users: a dialer that refuses addresses inside the operator's network.
//
// Rules:
//   - The address is judged after name resolution, on the socket that is about
//     to connect. A name that resolves differently the second time, or to
//     several addresses, gains nothing.
//   - Denied unless public: loopback, private, link-local, metadata, multicast,
//     reserved and documentation addresses, and IPv6 forms that carry one of
//     those. The operator may allow networks by --egress-allow.
//   - A proxy from the environment is never used: it would resolve names
//     behind the guard's back.
//   - A redirect is a new call. Credentials stay with the first origin, a
//     request that changes something does not follow to another one, and
//     nothing falls back from https to http.
//   - Errors name the host as the caller wrote it, never what it resolved to
//     and never a query.
//   - A name without an address and one that leads inside are refused alike, in
//     words and in time: else whoever writes names into jobs could ask which of
//     them the operator's own name servers know.
package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// ReasonDenied is the reason of a call that the guard refused.
const ReasonDenied = "EGRESS_DENIED"

// refusalStep is the step of time in which names are refused: longer than most
// lookups take, so that a name server's answer from memory looks like any other.
const refusalStep = 500 * time.Millisecond

const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 30 * time.Second
	maxIdle          = 100
	maxIdlePerHost   = 4
	maxHeaderBytes   = 64 << 10
)

// Options configure a Guard.
type Options struct {
	// Allow lists networks that may be reached although they are not public.
	Allow []netip.Prefix
	// Resolver looks names up; nil is the system's.
	Resolver *net.Resolver
}

// Guard makes outgoing connections to allowed addresses only. It is safe for
// concurrent use.
type Guard struct {
	allow     []netip.Prefix
	resolver  *net.Resolver
	transport *http.Transport
}

// New returns a guard.
func New(o Options) *Guard {
	g := &Guard{allow: o.Allow, resolver: o.Resolver}
	g.transport = g.Transport()
	return g
}

// Allowed reports whether a connection to the address may be made.
func (g *Guard) Allowed(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	return contains(g.allow, addr) || public(addr)
}

// DialContext connects to a TCP address (host:port). A denied address and a name
// that does not exist are a *job.Failure with reason EGRESS_DENIED, every other
// failure is a *DialError.
func (g *Guard) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil || !strings.HasPrefix(network, "tcp") {
		return nil, fmt.Errorf("dial: %q is no TCP address", network)
	}
	// An address literal gets its verdict whether or not this machine could
	// reach that family at all.
	if addr, err := netip.ParseAddr(host); err == nil && !g.Allowed(addr) {
		return nil, deniedAddress(host)
	}
	began := time.Now()
	var refused atomic.Bool
	dialer := net.Dialer{
		Timeout:  dialTimeout,
		Resolver: g.resolver,
		ControlContext: func(_ context.Context, _, resolved string, _ syscall.RawConn) error {
			at, err := netip.ParseAddrPort(resolved)
			if err != nil || !g.Allowed(at.Addr()) {
				refused.Store(true)
				return deniedName(host)
			}
			return nil
		},
	}
	conn, err := dialer.DialContext(ctx, network, address)
	var lookup *net.DNSError
	switch {
	case err == nil:
		return conn, nil
	case refused.Load(), errors.As(err, &lookup) && lookup.IsNotFound:
		toStep(ctx, began)
		return nil, deniedName(host)
	}
	return nil, &DialError{Host: host, Cause: err}
}

// toStep waits until a whole number of steps has passed since began, or ctx ends.
func toStep(ctx context.Context, began time.Time) {
	wait := time.NewTimer(refusalStep - time.Since(began)%refusalStep)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// Transport returns a new HTTP transport that connects through the guard. It
// has idle connections of its own: make one and keep it.
func (g *Guard) Transport() *http.Transport {
	return &http.Transport{
		DialContext:            g.DialContext,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshakeTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// Client returns an HTTP client that connects through the guard and follows
// redirects by this package's rules. All clients of a guard share their idle
// connections. It has no time limit: the request's context sets that.
func (g *Guard) Client() *http.Client {
	return &http.Client{Transport: g.transport, CheckRedirect: checkRedirect}
}

// ParsePrefixes reads networks (10.0.0.0/8) and single addresses (10.1.2.3),
// as --egress-allow takes them.
func ParsePrefixes(texts []string) ([]netip.Prefix, error) {
	networks := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		network, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("network %q: %w", text, err)
		}
		networks = append(networks, network)
	}
	return networks, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("write it as 10.0.0.0/8, fd00::/8 or 10.1.2.3")
	case network.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("write the IPv4 network itself")
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits beyond its length; did you mean %s", network.Masked())
	}
	return network, nil
}

func deniedAddress(host string) *job.Failure {
	return denied("calls to %q are not allowed: it is not a public address; the operator can allow its network with --egress-allow", host)
}

// deniedName does not tell whether there is such a name.
func deniedName(host string) *job.Failure {
	return denied("calls to %q are not allowed: there is no such name, or it has no public address; the operator can allow a network with --egress-allow", host)
}

func denied(format, host string) *job.Failure {
	return &job.Failure{Code: "PERMISSION_DENIED", Reason: ReasonDenied, Message: fmt.Sprintf(format, host)}
}
