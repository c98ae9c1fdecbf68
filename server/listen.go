package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/pointscene/carillon/facade"
	"github.com/pointscene/carillon/server/internal/egress"
)

// listen opens the doors that this process has, without serving.
func (s *Server) listen() error {
	for _, door := range []struct {
		flag, addr string
		wanted     bool
		into       *net.Listener
	}{
		{"grpc-addr", s.c.GRPCAddr, s.c.has(RoleAPI), &s.doors.grpc},
		{"http-addr", s.c.HTTPAddr, s.c.has(RoleFacade), &s.doors.http},
		{"admin-addr", s.c.AdminAddr, true, &s.doors.admin},
	} {
		if !door.wanted {
			continue
		}
		listener, err := net.Listen("tcp", door.addr)
		if err != nil {
			return fmt.Errorf("--%s: %w", door.flag, err)
		}
		*door.into = s.crowded(strings.TrimSuffix(door.flag, "-addr"), listener)
		s.later(door.flag, func(context.Context) error {
			if err := listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	s.doors.publicURL = strings.TrimSuffix(s.c.PublicURL, "/")
	if s.doors.publicURL == "" {
		s.doors.publicURL = s.scheme() + s.httpAddr()
	}
	return s.openTLS()
}

// scheme begins the addresses of the HTTP door.
func (s *Server) scheme() string {
	if s.c.TLSCert != "" {
		return "https://"
	}
	return "http://"
}

// httpAddr is where the HTTP door is, as far as this process knows.
func (s *Server) httpAddr() string {
	if s.doors.http != nil {
		return s.doors.http.Addr().String()
	}
	return s.c.HTTPAddr
}

// Addresses tells where the doors are; those that this process lacks are empty.
type Addresses struct {
	GRPC  string `json:"grpc,omitempty"`
	HTTP  string `json:"http,omitempty"`
	Admin string `json:"admin,omitempty"`
}

// Addresses returns where the doors are.
func (s *Server) Addresses() Addresses {
	text := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	return Addresses{GRPC: text(s.doors.grpc), HTTP: text(s.doors.http), Admin: text(s.doors.admin)}
}

// writeAddresses leaves the addresses for scripts, whole or not at all.
func (s *Server) writeAddresses() error {
	text, err := json.Marshal(s.Addresses())
	if err != nil {
		return err
	}
	file := filepath.Join(s.c.DataDir, "addresses.json")
	if err := os.WriteFile(file+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("write addresses: %w", err)
	}
	s.later("addresses", func(context.Context) error {
		if err := os.Remove(file); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil // somebody was faster
	})
	return os.Rename(file+".new", file)
}

func (s *Server) announce() {
	a := s.Addresses()
	s.log.Info("serving", "version", s.c.Version, "grpc", a.GRPC, "http", a.HTTP, "admin", a.Admin, "public", s.doors.publicURL)
}

// serveHTTP prepares the HTTP and admin doors.
func (s *Server) serveHTTP() error {
	if s.doors.http != nil {
		conn, err := s.dial()
		if err != nil {
			return err
		}
		s.later("connection to the services", func(context.Context) error { return conn.Close() })
		proxies, _ := egress.ParsePrefixes(s.c.TrustedProxies) // Validate has refused others
		handler, err := facade.New(conn, facade.Options{PublicURL: s.doors.publicURL, TrustedProxies: proxies, Log: s.log, Stopping: s.stopping})
		if err != nil {
			return err
		}
		s.http = s.httpServer("HTTP server", handler)
	}
	s.admin = s.httpServer("admin server", s.adminHandler())
	return nil
}

// httpServer is a server whose slow clients can't hold it: headers and idle
// connections have limits, bodies are bounded by the handlers.
func (s *Server) httpServer(name string, handler http.Handler) *http.Server {
	server := &http.Server{
		Handler: handler, TLSConfig: s.tlsConfig(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, SendPingTimeout: 30 * time.Second, PingTimeout: 15 * time.Second},
	}
	s.later(name, func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			s.log.Warn("some requests did not end in time; they are cut off", "server", name)
			return server.Close()
		}
		return err
	})
	return server
}

// adminHandler is for operators and asks for no token. Profiles show the memory
// of the process, secrets included, so they never leave this machine.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry}))
	mux.HandleFunc("GET /healthz", s.alive)
	mux.HandleFunc("GET /readyz", s.ready)
	if !loopback(s.doors.admin.Addr().String()) {
		return mux
	}
	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
	profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.Handle("/debug/pprof/", onlyHere(profiles))
	return mux
}

// onlyHere refuses requests for another host: a browser of this machine sends them
// for a foreign page whose name has been made to lead here.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !loopback(net.JoinHostPort(strings.Trim(host, "[]"), "0")) {
			http.Error(w, "profiles are answered at localhost or a loopback address only", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// alive says that the process lives, and what an operator should know of it.
func (s *Server) alive(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("ok\n"))
	for _, text := range s.warnings() {
		_, _ = w.Write([]byte("warning: " + text + "\n"))
	}
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if s.health != nil {
		status, err := s.health.Check(r.Context(), &healthv1.HealthCheckRequest{})
		if err != nil || status.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			http.Error(w, "the database does not answer, or the process is stopping", http.StatusServiceUnavailable)
			return
		}
	}
	_, _ = w.Write([]byte("ok\n"))
}

// start starts whatever this process has.
func (s *Server) start(ctx context.Context, failed chan<- error) {
	s.startServices(ctx, failed)
	s.startEngine(ctx)
	serve := func(name string, server *http.Server, listener net.Listener) {
		if err := serveDoor(server, listener); err != nil {
			failed <- fmt.Errorf("serve %s: %w", name, err)
		}
	}
	if s.http != nil {
		go serve("HTTP", s.http, s.doors.http)
	}
	go serve("admin", s.admin, s.doors.admin)
}
