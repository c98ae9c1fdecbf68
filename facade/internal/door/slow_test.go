package door

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener with one connection.
type one struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *one) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *one) Close() error   { close(l.closed); return nil }
func (l *one) Addr() net.Addr { return &net.TCPAddr{} }

// A client that reads nothing of an answer without end doesn't hold its request
// for ever, and one that reads does.
func TestSlowReaderIsLetGo(t *testing.T) {
	t.Parallel()
	for name, reads := range map[string]bool{"one that reads": true, "one that does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began, ended := time.Now(), make(chan error, 1)
				handler := Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					for time.Since(began) < time.Hour {
						if _, err := w.Write(make([]byte, 64<<10)); err != nil {
							ended <- err
							return
						}
						time.Sleep(time.Second)
					}
					ended <- nil
				}), slog.New(slog.DiscardHandler), nil)
				listener := &one{make(chan net.Conn, 1), make(chan struct{})}
				server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
				go func() { _ = server.Serve(listener) }()
				client, inner := net.Pipe()
				listener.conns <- inner
				if _, err := client.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")); err != nil {
					t.Fatal(err)
				}
				if reads {
					go func() {
						for buffer := make([]byte, 32<<10); ; {
							if _, err := client.Read(buffer); err != nil {
								return
							}
						}
					}()
				}
				err := <-ended
				switch took := time.Since(began); {
				case reads && err != nil:
					t.Errorf("it ended after %s: %v", took, err)
				case !reads && (!errors.Is(err, os.ErrDeadlineExceeded) || took > 2*writeTimeout):
					t.Errorf("it ended after %s: %v, want a deadline", took, err)
				}
				_ = client.Close()
				_ = server.Close()
			})
		})
	}
}
