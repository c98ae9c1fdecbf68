// Package rpc is the gRPC door: handlers that translate between the messages
// of carillon.v1 and the use cases, and the server that they run in.
//
// Rules:
//   - A handler maps, calls one use case and maps back. What every call needs
//     is in package interceptor; what is allowed is in the use cases.
//   - Identifiers have their prefix only here and in messages.
//   - Handlers return plain errors; the interceptor turns them into status.
//   - A list is continued by an opaque token that is bound to its query.
package rpc

import (
	"context"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/executions"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/jobs"
	"github.com/pointscene/carillon/server/internal/keys"
	"github.com/pointscene/carillon/server/internal/rpc/interceptor"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/server/internal/webhooks"
)

// The limits of a connection.
const (
	// maxMessage is the 1 MiB that a request's body may have, and room for
	// what surrounds it: the same document is longer in protobuf than in JSON.
	maxMessage = 1<<20 + 256<<10
	maxStreams = 100
	// maxHeaders bounds the metadata of a call, in bytes; the rest of gRPC's own
	// 16 MiB would be kept for each stream.
	maxHeaders = 64 << 10
)

// Exchanger answers tokens for credentials.
type Exchanger interface {
	// Exchange refuses with an *auth.OAuthError.
	Exchange(ctx context.Context, r auth.Request) (auth.Response, error)
}

// PublicKeys answers the public keys that tokens are signed with.
type PublicKeys interface {
	JWKS(ctx context.Context) ([]byte, error)
}

// AccessChecker says what the caller may do, as the interceptors do for a call.
type AccessChecker interface {
	CheckAccess(ctx context.Context, level carillonv1.AccessRule_Level, kind carillonv1.AccessObject_Kind, id string) error
}

// Deps are what the services work with.
type Deps struct {
	Jobs       *jobs.Service
	Instances  *instances.Service
	Configs    *configs.Service
	Executions *executions.Service
	Webhooks   *webhooks.Service
	Types      *task.Registry
	Exchanger  Exchanger
	Keys       PublicKeys
	Rotation   *keys.Service
	// Issuer is what tokens carry as their issuer.
	Issuer string
	Chain  *interceptor.Chain
	// Health tells whether the server serves; its owner sets it.
	Health *health.Server
}

// Register adds the services of carillon.v1 to a registrar whose calls pass
// the interceptors of d.Chain.
func Register(to grpc.ServiceRegistrar, d Deps) {
	carillonv1.RegisterJobServiceServer(to, &jobServer{jobs: d.Jobs, executions: d.Executions})
	carillonv1.RegisterExecutionServiceServer(to, &executionServer{executions: d.Executions})
	carillonv1.RegisterInstanceServiceServer(to, &instanceServer{instances: d.Instances})
	carillonv1.RegisterConfigServiceServer(to, &configServer{configs: d.Configs})
	carillonv1.RegisterTaskServiceServer(to, &taskServer{types: d.Types})
	carillonv1.RegisterKeyServiceServer(to, &keyServer{keys: d.Rotation})
	carillonv1.RegisterAuditServiceServer(to, &auditServer{instances: d.Instances})
	carillonv1.RegisterNoticeServiceServer(to, &noticeServer{webhooks: d.Webhooks})
	carillonv1.RegisterTokenServiceServer(to, &tokenServer{exchanger: d.Exchanger, keys: d.Keys, issuer: d.Issuer, access: d.Chain})
}

// NewServer returns a server with all services, health and reflection. extra
// options come last, so that they win.
func NewServer(d Deps, extra ...grpc.ServerOption) *grpc.Server {
	options := []grpc.ServerOption{
		grpc.InTapHandle(d.Chain.Arrive),
		grpc.UnaryInterceptor(d.Chain.Unary),
		grpc.StreamInterceptor(d.Chain.Stream),
		grpc.UnknownServiceHandler(interceptor.Unknown),
		grpc.StatsHandler(otelgrpc.NewServerHandler(otelgrpc.WithFilter(filters.Not(filters.HealthCheck())))),
		grpc.ForceServerCodecV2(interceptor.Codec()),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: time.Minute, Timeout: 20 * time.Second, MaxConnectionIdle: 15 * time.Minute}),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.WaitForHandlers(true),
	}
	server := grpc.NewServer(append(options, extra...)...)
	Register(server, d)
	healthv1.RegisterHealthServer(server, d.Health)
	reflection.Register(server)
	return server
}
