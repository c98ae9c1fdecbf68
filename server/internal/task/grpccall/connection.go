package grpccall

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pointscene/carillon/server/internal/egress"
)

// connection is a client connection that remembers why it could not be made:
// the library tells that as text only.
type connection struct {
	*grpc.ClientConn

	mu  sync.Mutex
	why error
}

// connect prepares a connection; the first call makes it.
func (t *Type) connect(c *call) (*connection, error) {
	conn := &connection{}
	var err error
	conn.ClientConn, err = grpc.NewClient("passthrough:///"+c.address,
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			raw, err := t.dial(ctx, "tcp", address)
			if err != nil {
				conn.note(err)
				return nil, err
			}
			return &bounded{Conn: raw, left: maxConnection}, nil
		}),
		grpc.WithTransportCredentials(watched{c.credentials(), conn.note}),
		grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithMaxHeaderListSize(64<<10), grpc.WithUserAgent(userAgent),
	)
	return conn, err
}

func (c *connection) note(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = err
}

// broken is why the connection could not be made, nil if it could.
func (c *connection) broken() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.why
}

// explain is why a call has no answer, fit to show.
func (c *connection) explain(ctx context.Context, to *call) error {
	why := c.broken()
	if why == nil {
		why = errors.New("ended")
	}
	return egress.Explain(ctx, to.String(), why)
}

// credentials are plaintext only when asked for.
func (c *call) credentials() credentials.TransportCredentials {
	if c.plaintext {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: c.authorities})
}

// watched tells why a handshake failed.
type watched struct {
	credentials.TransportCredentials
	failed func(error)
}

// ClientHandshake implements credentials.TransportCredentials.
func (w watched) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := w.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		w.failed(err)
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (w watched) Clone() credentials.TransportCredentials {
	return watched{w.TransportCredentials.Clone(), w.failed}
}

// bounded is a connection that ends after so many bytes.
type bounded struct {
	net.Conn
	left int64 // of the reading goroutine
}

var errTooMuch = errors.New("the server sent too much")

// Read implements net.Conn.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.Conn.Read(p)
	b.left -= int64(n)
	return n, err
}

// codeName is the name of a google.rpc.Code.
func codeName(c codes.Code) string {
	if name, ok := code.Code_name[int32(c)]; ok { //nolint:gosec // a code that does not fit has no name
		return name
	}
	return "UNKNOWN"
}

// retryAfter is how long the server asks to be left alone.
func retryAfter(s *status.Status) time.Duration {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return max(0, info.GetRetryDelay().AsDuration())
		}
	}
	return 0
}
