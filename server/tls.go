package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pointscene/carillon/server/internal/auth"
)

// loopback tells whether an address host:port is only for this machine. An
// empty host is every interface.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// checkTLS refuses settings that lack another one. The files are read when the
// doors open.
func (c *Config) checkTLS(wrong func(flag, format string, args ...any)) {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		wrong("tls-cert, --tls-key", "belong together")
	}
	if c.ClientCA != "" && c.TLSCert == "" {
		wrong("client-ca", "needs --tls-cert and --tls-key")
	}
	if (c.ClientCA == "") != (len(c.ClientCertScopes) == 0) {
		wrong("client-ca, --client-cert-scopes", "belong together: without a name that is mapped to scopes a certificate may do nothing")
	}
	if _, err := auth.NewCertificates(c.ClientCertScopes, now); err != nil {
		wrong("client-cert-scopes", "%v", err)
	}
}

// filesLookedAt is how often handshakes make us look for changed files.
const filesLookedAt = time.Second

// fromFiles is a value that is read again when its files have changed. What
// can't be used, such as a certificate whose key has not been replaced yet,
// leaves the value as it is.
type fromFiles[T any] struct {
	what  string
	files []string
	read  func() (T, error)
	log   *slog.Logger

	mu       sync.Mutex
	lookedAt time.Time
	stamps   []stamp
	value    T
}

// stamp tells whether a file has changed.
type stamp struct {
	size     int64
	modified time.Time
}

func stampsOf(files []string) []stamp {
	stamps := make([]stamp, len(files))
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			stamps[i] = stamp{info.Size(), info.ModTime()}
		}
	}
	return stamps
}

// newFromFiles reads the value for the first time.
func newFromFiles[T any](what string, log *slog.Logger, read func() (T, error), files ...string) (*fromFiles[T], error) {
	f := &fromFiles[T]{what: what, files: files, read: read, log: log, lookedAt: time.Now(), stamps: stampsOf(files)}
	value, err := read()
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", what, err)
	}
	f.value = value
	return f, nil
}

func (f *fromFiles[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.lookedAt) < filesLookedAt {
		return f.value
	}
	f.lookedAt = time.Now()
	stamps := stampsOf(f.files)
	if slices.Equal(stamps, f.stamps) {
		return f.value
	}
	f.stamps = stamps
	value, err := f.read()
	if err != nil {
		f.log.Warn("files were changed and can't be used; what they held before stays in use", "flag", "--"+f.what, "error", err)
		return f.value
	}
	f.log.Info("read changed files", "flag", "--"+f.what)
	f.value = value
	return value
}

func readPool(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return pool, nil
}

// openTLS reads the certificate and the authorities of clients.
func (s *Server) openTLS() (err error) {
	if s.c.TLSCert == "" {
		return nil
	}
	s.certificate, err = newFromFiles("tls-cert", s.log, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(s.c.TLSCert, s.c.TLSKey)
		return &pair, err
	}, s.c.TLSCert, s.c.TLSKey)
	if err != nil || s.c.ClientCA == "" {
		return err
	}
	s.clientCA, err = newFromFiles("client-ca", s.log, func() (*x509.CertPool, error) { return readPool(s.c.ClientCA) }, s.c.ClientCA)
	return err
}

// tlsConfig is that of a door, nil for plain text.
func (s *Server) tlsConfig() *tls.Config {
	if s.certificate == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate.get(), nil },
	}
}

// grpcCredentials are those of the gRPC door, which takes client certificates
// too. Whoever has none needs a token.
func (s *Server) grpcCredentials() grpc.ServerOption {
	config := s.tlsConfig()
	if config == nil {
		return grpc.Creds(insecure.NewCredentials())
	}
	config.NextProtos = []string{"h2"}
	if s.clientCA != nil {
		config.ClientAuth = tls.VerifyClientCertIfGiven
		base := config.Clone()
		config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			current := base.Clone()
			current.ClientCAs = s.clientCA.get()
			return current, nil
		}
	}
	return grpc.Creds(credentials.NewTLS(config))
}

// serveDoor serves an HTTP door until it is shut down.
func serveDoor(server *http.Server, listener net.Listener) error {
	var err error
	if server.TLSConfig != nil {
		err = server.ServeTLS(listener, "", "")
	} else {
		err = server.Serve(listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// apiCredentials are those by which a process with only the facade dials the
// API: TLS, unless the API is on this machine or plain text was asked for. It
// shows no certificate of its own: its callers' tokens are all that it has.
func (s *Server) apiCredentials() (credentials.TransportCredentials, error) {
	if s.c.APICA == "" && (loopback(s.c.APIAddr) || s.c.InsecureListen) {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.c.APICA != "" {
		pool, err := readPool(s.c.APICA)
		if err != nil {
			return nil, fmt.Errorf("--api-ca: %w", err)
		}
		config.RootCAs = pool
	}
	return credentials.NewTLS(config), nil
}

// warnings are what an operator should know of how this process is set up.
func (s *Server) warnings() (list []string) {
	if s.keyring != nil && s.keyring.Source().Wrapper == nil {
		list = append(list, "the keyset lies unwrapped in a file: whoever reads it and the database reads every stored credential; wrap it by --keyset-kms")
	}
	for flag, listener := range map[string]net.Listener{"grpc-addr": s.doors.grpc, "http-addr": s.doors.http, "admin-addr": s.doors.admin} {
		if listener != nil && s.certificate == nil && !loopback(listener.Addr().String()) {
			list = append(list, "--"+flag+" serves plain text beyond this machine, as --insecure-listen allows: tokens are safe only behind a TLS proxy")
		}
	}
	slices.Sort(list)
	return list
}

// warn logs them at each start.
func (s *Server) warn(ctx context.Context) {
	for _, text := range s.warnings() {
		s.log.WarnContext(ctx, text)
	}
}
