// Package server is the whole service as a Go value: [New] opens everything in
// order, [Server.Run] serves until its context ends and then lets go in
// reverse. It is the only package outside of server/internal with an API.
//
// Rules:
//   - Whatever can be refused is refused by New, before a door serves: a wrong
//     setting, an old or newer database, a keyset that does not fit.
//   - The addresses of the doors are taken first, since tokens and links name
//     them; the doors serve last. The facade reaches the services only through a
//     gRPC connection, also inside one process, so that every caller passes the
//     same checks.
//   - A stop ends the claims first, then waits for executions, then for calls.
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

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/executionlog"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/executor"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/lease"
	"github.com/pointscene/carillon/server/internal/logquota"
	"github.com/pointscene/carillon/server/internal/notifier"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/retention"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/telemetry"
	"github.com/pointscene/carillon/server/internal/ticker"
	"github.com/pointscene/carillon/server/internal/webhooks"
)

// Server is one process of the service.
type Server struct {
	c        Config
	log      *slog.Logger
	registry *prometheus.Registry
	doors    doors
	// connections are counted by door.
	connections telemetry.Doors
	// certificate and clientCA are nil for doors in plain text.
	certificate *fromFiles[*tls.Certificate]
	clientCA    *fromFiles[*x509.CertPool]
	// closers let go of what New opened, the last first.
	closers []func(context.Context) error

	// The rest is nil in a process with only the facade.
	store      *entstore.Store
	keyring    *seal.Keyring
	keys       *auth.Keys
	rotation   *keys.Service
	issuer     *auth.Issuer
	logs       *executionlog.Store
	logQuota   *logquota.Logs
	lease      *lease.Keeper
	ticker     *ticker.Ticker
	pruner     *retention.Pruner
	executor   *executor.Executor
	remotes    *remote.Remotes
	types      *task.Registry
	authorizer *auth.Authorizer
	configs    *configs.Service
	jobs       *jobs.Service
	executions *executions.Service
	webhooks   *webhooks.Service
	watcher    *notifier.Watcher
	sender     *notifier.Sender
	grpc       *grpc.Server
	health     *health.Server
	// stopClaims ends the ticker; claims is its loop, engine all others and the
	// demo.
	stopClaims     context.CancelFunc
	claims, engine sync.WaitGroup
	// stopping is closed when the doors close: streams end then.
	stopping chan struct{}
	// http is nil without the facade.
	http, admin *http.Server
	// inner serves the facade of this process on local.
	inner *grpc.Server
	local *bufconn.Listener
}

// doors are the listeners and the addresses that they got.
type doors struct {
	grpc, http, admin net.Listener
	publicURL         string
}

// New opens the database and everything else and listens, but serves nothing
// before Run. On an error nothing is left open.
func New(ctx context.Context, c Config) (opened *Server, err error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log := c.Log
	if log == nil {
		if log, err = telemetry.NewLogger(os.Stderr, c.LogFormat, c.LogLevel); err != nil {
			return nil, err
		}
	}
	build := telemetry.NewBuild(c.Version)
	s := &Server{c: c, log: log, registry: telemetry.NewRegistry(build), stopping: make(chan struct{})}
	s.connections = telemetry.NewDoors(s.registry)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	flush, err := telemetry.StartTraces(ctx, build)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, flush)
	if err := s.listen(); err != nil {
		return nil, err
	}
	if err := s.openDataDir(); err != nil {
		return nil, err
	}
	if !c.facadeOnly() {
		if err := s.open(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.serveHTTP(); err != nil {
		return nil, err
	}
	s.warn(ctx)
	return s, nil
}

// open opens what needs the database.
func (s *Server) open(ctx context.Context) error {
	for _, step := range []func(context.Context) error{s.openStore, s.openKeys, s.openLogs, s.openEngine, s.openServices} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Run serves until ctx ends, then stops in order. It returns nil after a clean
// stop.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 8)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	s.start(serving, failed)
	if err := s.writeAddresses(); err != nil {
		failed <- err
	}
	s.announce()
	if s.c.Demo {
		s.engine.Go(func() { s.demo(serving) })
	}
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("stopping", "drain", s.c.DrainTimeout)
	case err = <-failed:
		s.log.Error("stopping because a part failed", "error", err)
	}
	return errors.Join(err, s.shutdown(stop))
}

// stopTimeout bounds what is left to do after executions had their time.
const stopTimeout = 10 * time.Second

// shutdown stops claims, drains executions, closes the doors, and lets go.
func (s *Server) shutdown(stop context.CancelFunc) error {
	if s.health != nil {
		s.health.Shutdown()
	}
	s.stopEngine()
	close(s.stopping)
	if s.executions != nil {
		s.executions.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	stop()
	return errors.Join(s.waitForLoops(ctx), s.close(ctx))
}

// waitForLoops waits for what runs by itself, no longer than ctx lets it: a call
// to a database that does not answer may hang in one of them.
func (s *Server) waitForLoops(ctx context.Context) error {
	ended := make(chan struct{})
	go func() { s.engine.Wait(); close(ended) }()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return errors.New("some loops did not end in time")
	}
}

func (s *Server) close(ctx context.Context) error {
	var problems []error
	for _, closer := range slices.Backward(s.closers) {
		if err := closer(ctx); err != nil {
			problems = append(problems, err)
		}
	}
	s.closers = nil
	return errors.Join(problems...)
}

// later adds something to let go of.
func (s *Server) later(what string, closer func(context.Context) error) {
	s.closers = append(s.closers, func(ctx context.Context) error {
		if err := closer(ctx); err != nil {
			return fmt.Errorf("close %s: %w", what, err)
		}
		return nil
	})
}
