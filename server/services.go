package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/test/bufconn"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/egress"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/rpc"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
	"github.com/pointscene/carillon/server/internal/task"
)

// openServices makes the gRPC server with every service.
func (s *Server) openServices(context.Context) error {
	s.jobs = jobs.New(s.store, s.authorizer, s.types, s.lease.Now)
	s.jobs.PlanWith(&jobs.Planning{
		Configs: func(instanceID int64) task.Configs { return s.configs.For(instanceID, 0) }, Recall: s.store.Recall,
	})
	certificates, err := auth.NewCertificates(s.c.ClientCertScopes, now)
	if err != nil {
		return fmt.Errorf("--client-cert-scopes: %w", err)
	}
	identity, err := s.openIdentity()
	if err != nil {
		return err
	}
	chain, err := interceptor.New(interceptor.Options{
		Verifier:     identity.verifier,
		Certificates: certificates,
		Authorizer:   s.authorizer,
		Owners:       s.store,
		Log:          s.log,
		Metrics:      s.registry,
		Now:          time.Now,
		Audit:        s.store,
		Trusted:      s.trusted(),
		ClientRate:   s.c.ClientRate,
		InstanceRate: s.c.InstanceRate,
		MaxStreams:   maxStreamsOfClient,
	})
	if err != nil {
		return err
	}
	s.health = health.NewServer()
	s.executions = executions.New(executions.Options{
		Store: s.store, Authorizer: s.authorizer, Logs: s.logs,
		Links: auth.NewLinkSigner(s.keys, now), PublicURL: s.doors.publicURL, Now: now, Log: s.log,
	})
	deps := rpc.Deps{
		Jobs:       s.jobs,
		Instances:  instances.New(s.store, s.authorizer, s.lease.Now),
		Configs:    s.configs,
		Executions: s.executions,
		Webhooks:   s.webhooks,
		Types:      s.types,
		Exchanger:  identity.exchanger,
		Keys:       identity.keys,
		Rotation:   s.rotation,
		Issuer:     identity.issuer,
		Chain:      chain,
		Health:     s.health,
	}
	s.grpc = rpc.NewServer(deps, s.grpcCredentials())
	s.tellHealth(healthv1.HealthCheckResponse_NOT_SERVING)
	s.later("gRPC server", func(ctx context.Context) error { return stopGRPC(ctx, s.grpc) })
	// The facade shares one connection among all of its callers, and has
	// bounded their bodies already, which are larger as messages.
	s.inner = rpc.NewServer(deps, grpc.MaxConcurrentStreams(math.MaxUint32), grpc.MaxRecvMsgSize(maxInnerMessage))
	s.local = bufconn.Listen(1 << 20)
	s.later("services of the facade", func(ctx context.Context) error { return stopGRPC(ctx, s.inner) })
	return nil
}

// maxStreamsOfClient bounds how many logs and changes a client follows at once.
const maxStreamsOfClient = 200

// trusted tells which peers say whose call it is.
func (s *Server) trusted() func(netip.Addr) bool {
	networks, _ := egress.ParsePrefixes(s.c.TrustedProxies) // Validate has refused others
	return func(peer netip.Addr) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(peer) })
	}
}

// maxInnerMessage is what a body or an answer of the HTTP door may come to: 1
// MiB of JSON numbers is five times that as a message.
const maxInnerMessage = 16 << 20

// stopGRPC waits for calls as long as ctx lets it.
func stopGRPC(ctx context.Context, server *grpc.Server) error {
	done := make(chan struct{})
	go func() { server.GracefulStop(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		server.Stop()
		<-done
	}
	return nil
}

// startServices serves gRPC to the outside and to this process.
func (s *Server) startServices(ctx context.Context, failed chan<- error) {
	if s.grpc == nil {
		return
	}
	serve := func(server *grpc.Server, listener net.Listener) {
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			failed <- fmt.Errorf("serve gRPC: %w", err)
		}
	}
	go serve(s.inner, s.local)
	if s.c.has(RoleAPI) {
		go serve(s.grpc, s.doors.grpc)
	}
	s.engine.Go(func() { s.watchDatabase(ctx) })
	s.engine.Go(func() { s.rotation.Run(ctx) })
}

// watchDatabase tells health checks whether the database answers. It asks only
// when nobody else has had an answer for a while.
func (s *Server) watchDatabase(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		silence := s.store.Silence()
		if silence < askAfter {
			s.tellHealth(healthv1.HealthCheckResponse_SERVING)
			timer.Reset(askAfter - silence)
			continue
		}
		if err := s.ping(ctx); err != nil {
			s.tellHealth(healthv1.HealthCheckResponse_NOT_SERVING)
			timer.Reset(askAgain)
			continue
		}
		s.tellHealth(healthv1.HealthCheckResponse_SERVING)
		timer.Reset(askAfter)
	}
}

// tellHealth tells the status of the server and of each of its services: probes
// may ask for either.
func (s *Server) tellHealth(status healthv1.HealthCheckResponse_ServingStatus) {
	s.health.SetServingStatus("", status)
	for service := range s.grpc.GetServiceInfo() {
		s.health.SetServingStatus(service, status)
	}
}

// Together askAfter, longer than a heartbeat, and pingTimeout let health checks tell
// within 5 s that the database is away; askAgain is the time to the next question then.
const (
	askAfter    = 3200 * time.Millisecond
	pingTimeout = 1800 * time.Millisecond
	askAgain    = time.Second
)

func (s *Server) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return s.store.Ping(ctx)
}

// dial connects with the services: in this process, or those of --api-addr. The
// caller closes the connection.
func (s *Server) dial() (*grpc.ClientConn, error) {
	target := s.c.APIAddr
	secured := insecure.NewCredentials() // within this process
	if s.local == nil {
		var err error
		if secured, err = s.apiCredentials(); err != nil {
			return nil, err
		}
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(secured),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxInnerMessage)),
	}
	if s.local != nil {
		target = "passthrough:///in-process"
		options = append(options, grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return s.local.DialContext(ctx)
		}))
	} else {
		// Else calls to a machine that has vanished hang for as long as TCP tries.
		options = append(options, grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 3 * time.Second}))
	}
	conn, err := grpc.NewClient(target, options...)
	if err != nil {
		return nil, fmt.Errorf("--api-addr: %w", err)
	}
	return conn, nil
}
