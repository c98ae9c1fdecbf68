package interceptor

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"buf.build/go/protovalidate"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/pointscene/carillon/internal/places"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

// Verifier tells who a bearer token stands for.
type Verifier interface {
	// Verify returns a *job.UnauthenticatedError for a token that is not valid.
	Verify(ctx context.Context, token string) (auth.Principal, error)
}

// Owners tells which instance an object belongs to.
type Owners interface {
	// InstanceOf returns store.ErrNotFound for an object that is missing.
	InstanceOf(ctx context.Context, kind job.Kind, id int64) (int64, error)
}

// defaultMaxDuration bounds unary calls: longer than any of them should take,
// shorter than the patience of proxies.
const defaultMaxDuration = 30 * time.Second

// Options are what a Chain works with.
type Options struct {
	Verifier Verifier
	// Certificates judges client certificates; nil where there are none.
	Certificates *auth.Certificates
	Authorizer   *auth.Authorizer
	Owners       Owners
	Log          *slog.Logger
	// Metrics gets carillon_rpc_duration_seconds.
	Metrics prometheus.Registerer
	// Audit takes the events of calls.
	Audit Audit
	// Trusted are the addresses of proxies that say whose call it is; nil for
	// none.
	Trusted func(netip.Addr) bool
	// ClientRate and InstanceRate bound the work of each client and for each
	// instance, in units a second; 0 is no limit.
	ClientRate, InstanceRate int
	// MaxStreams bounds the open streams of a client; 0 is no limit.
	MaxStreams int
	// MaxDuration bounds a unary call; 30 s when zero.
	MaxDuration time.Duration
	// ArrivalTime bounds how long a caller sends its request; 30 s when zero.
	ArrivalTime time.Duration
	// Now is the clock that durations are measured with.
	Now func() time.Time
}

// Chain is the steps that every call passes; see the package's rules.
type Chain struct {
	Options
	rules     map[string]*rule
	validator protovalidate.Validator
	durations *prometheus.HistogramVec

	perClient, perInstance *buckets
	streams                streams
	unread                 unread
	// late are the calls whose requests take long to arrive, by address.
	late *places.Places[string]
	// unknown bounds the events of callers who are nobody known.
	unknown *rate.Limiter
}

// New returns a Chain for the methods of carillon.v1. It fails when one of
// them doesn't declare what its caller needs.
func New(o Options) (*Chain, error) {
	if o.MaxDuration == 0 {
		o.MaxDuration = defaultMaxDuration
	}
	if o.ArrivalTime == 0 {
		o.ArrivalTime = arrivalTime
	}
	rules, err := readRules(protoregistry.GlobalFiles, "carillon.v1")
	if err != nil {
		return nil, fmt.Errorf("read the access rules of the methods: %w", err)
	}
	validator, err := protovalidate.New()
	if err != nil {
		return nil, fmt.Errorf("make the validator of requests: %w", err)
	}
	c := &Chain{
		Options: o, rules: rules, validator: validator, durations: newDurations(),
		perClient: newBuckets(o.ClientRate), perInstance: newBuckets(o.InstanceRate),
		streams: streams{open: map[string]int{}}, unread: unread{bytes: map[string]int{}}, unknown: newUnknown(),
		late: places.New[string](maxLate, maxLateOfOne),
	}
	if err := o.Metrics.Register(c.durations); err != nil {
		return nil, fmt.Errorf("register the metrics of calls: %w", err)
	}
	return c, nil
}

// Unary is the chain as a grpc.UnaryServerInterceptor.
func (c *Chain) Unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	ctx, call := c.begin(ctx, info.FullMethod)
	call.arrived(ctx)
	// Outside of a server, as in a test, there is no header to set.
	_ = grpc.SetHeader(ctx, call.header())
	ctx, cancel := context.WithTimeout(ctx, c.MaxDuration)
	defer cancel()
	var response any
	err := protect(func() error {
		ctx, err := c.authenticate(ctx, call)
		if err != nil {
			return err
		}
		if call.subject != "" {
			_ = grpc.SetHeader(ctx, metadata.Pairs(callerHeader, call.caller()))
		}
		ctx = c.begins(ctx, call)
		if err := c.admit(ctx, call, request); err != nil {
			return err
		}
		if err := c.roomToChange(call); err != nil {
			return err
		}
		if response, err = handler(ctx, request); err == nil {
			response, err = c.answered(ctx, call, response)
		}
		return err
	})
	if err := c.end(ctx, call, err); err != nil {
		return nil, err
	}
	return response, nil
}

// Stream is the chain as a grpc.StreamServerInterceptor. Streams may be long:
// they end with their client or with its token.
func (c *Chain) Stream(server any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if server == nil { // what Unknown answers: no rule and no metric knows such a method
		return handler(server, stream)
	}
	ctx, call := c.begin(stream.Context(), info.FullMethod)
	_ = stream.SetHeader(call.header()) // fails only when the client is gone
	err := protect(func() error {
		ctx, err := c.authenticate(ctx, call)
		if err != nil {
			return err
		}
		leave, err := c.enterStream(call)
		if err != nil {
			return err
		}
		defer leave()
		ctx, stop := c.whileValid(ctx, call)
		defer stop()
		return orRefused(ctx, handler(server, &admitted{ServerStream: stream, ctx: ctx, chain: c, call: call}))
	})
	return c.end(ctx, call, err)
}

// Unknown refuses a method that the server does not have, with a reason as every
// refusal has one. It is for grpc.UnknownServiceHandler.
func Unknown(any, grpc.ServerStream) error {
	return verdict{code: codes.Unimplemented, reason: "UNKNOWN_METHOD", message: "the server has no such method"}.status().Err()
}

// enterStream counts a stream of the caller, until leave; those that need no
// token, such as gRPC's own Watch of health, by the address.
func (c *Chain) enterStream(call *call) (leave func(), err error) {
	if c.MaxStreams == 0 || call.principal.Scopes.Operator() {
		return func() {}, nil
	}
	return c.streams.enter(call.caller(), c.MaxStreams)
}

// admitted is a stream whose every request passes the checks of the chain.
type admitted struct {
	grpc.ServerStream
	ctx   context.Context
	chain *Chain
	call  *call
}

func (s *admitted) Context() context.Context { return s.ctx }

func (s *admitted) RecvMsg(request any) error {
	if err := s.ServerStream.RecvMsg(request); err != nil {
		return err
	}
	s.call.arrived(s.ctx)
	return s.chain.admit(s.ctx, s.call, request)
}

// admit decides whether the caller may do this to this object and whether the
// request is well formed.
func (c *Chain) admit(ctx context.Context, call *call, request any) error {
	message, ok := request.(proto.Message)
	if !ok {
		return fmt.Errorf("request of %s is a %T", call.method, request)
	}
	if err := decoded(message.ProtoReflect()); err != nil || call.rule.foreign {
		return err
	}
	call.read(message.ProtoReflect())
	if err := c.limitCaller(call, message.ProtoReflect()); err != nil {
		return err
	}
	if err := c.guard(ctx, call, message.ProtoReflect()); err != nil {
		return err
	}
	return c.validate(call.rule, message)
}
