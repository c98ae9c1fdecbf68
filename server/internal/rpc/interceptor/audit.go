package interceptor

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
)

// Audit takes the events that no transaction has written.
type Audit interface {
	AddAuditEvent(ctx context.Context, e audit.Event) error
}

const (
	// auditTimeout bounds the writing of an event after its call.
	auditTimeout = 3 * time.Second
	// maxAuditScopes bounds what is kept of a token's scopes, in bytes.
	maxAuditScopes = 1000
	// Refused calls of nobody known, and at once.
	unknownPerSecond, unknownBurst = 5, 100
)

func newUnknown() *rate.Limiter { return rate.NewLimiter(unknownPerSecond, unknownBurst) }

// begins makes the call's event, which the transaction of its change will
// write.
func (c *Chain) begins(ctx context.Context, call *call) context.Context {
	if !call.rule.audited {
		return ctx
	}
	p := call.principal
	e := audit.Event{
		Actor: p.Subject, TokenID: p.TokenID, Scopes: p.Scopes.String(),
		Method: strings.TrimPrefix(call.method, "/"), Peer: call.peer, RequestID: call.requestID,
	}
	if len(e.Scopes) > maxAuditScopes {
		e.Scopes = e.Scopes[:maxAuditScopes] + "…"
	}
	call.event = audit.NewPending(e)
	return audit.With(ctx, call.event)
}

// about names the object of the call's event; its owner is told only of who may
// read it.
func (call *call) about(instance int64, refused error) {
	if call.event == nil {
		return
	}
	var unreadable *job.NotFoundError
	if errors.As(refused, &unreadable) {
		instance = 0
	}
	call.event.About(call.object, instance)
}

// read notes what a request tells of its event: whether it asks for checks
// only, and what it acts on, unless the guard finds that out.
func (call *call) read(request protoreflect.Message) {
	fields := request.Descriptor().Fields()
	if field := fields.ByName("validate_only"); field != nil {
		call.changesNothing = request.Get(field).Bool()
	}
	if call.event == nil || call.rule.access() != auth.None {
		return
	}
	for name, kind := range idFields {
		field := fields.ByName(name)
		if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
			continue
		}
		if id, ok := kind.Parse(request.Get(field).String()); ok {
			call.object = kind.Format(id)
			instance := int64(0)
			if kind == job.KindInstance {
				instance = id
			}
			call.event.About(call.object, instance)
		}
	}
}

// idFields name what calls without a guarded object act on.
var idFields = map[protoreflect.Name]job.Kind{
	"client_id": job.KindClient, "instance_id": job.KindInstance, "key_id": job.KindKey,
}

// ends writes the event of a call unless a transaction has.
func (c *Chain) ends(ctx context.Context, call *call, code codes.Code, err error) {
	if call.rule == nil || !call.rule.audited {
		return
	}
	if call.event == nil { // it got no further than its token
		c.begins(ctx, call)
	}
	e := call.event.Event()
	e.Code = codeName(code)
	if e.Actor == "" && code == codes.OK {
		e.Actor = e.Object // a client that proved to be it by its secret
	}
	switch {
	case !call.event.Open(), code == codes.OK && call.changesNothing, isLimited(err):
		return
	case e.Actor == "" && !c.unknown.AllowN(c.Now(), 1):
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTimeout)
	defer cancel()
	if err := c.Audit.AddAuditEvent(ctx, e); err != nil {
		c.Log.LogAttrs(ctx, slog.LevelError, "can't write an audit event", slog.String("method", e.Method), slog.String("actor", e.Actor), slog.Any("error", err))
	}
}

// peerOf is the address that a call comes from. A call of this process's own
// facade, or of a trusted proxy, says whose call it is.
func (c *Chain) peerOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	address, err := netip.ParseAddrPort(p.Addr.String())
	inner := err != nil // bufconn
	if inner || c.Trusted != nil && c.Trusted(address.Addr().Unmap()) {
		if said := metadata.ValueFromIncomingContext(ctx, "x-forwarded-for"); len(said) == 1 {
			if client, err := netip.ParseAddr(said[0]); err == nil {
				return client.Unmap().WithZone("").String()
			}
		}
	}
	if inner {
		return ""
	}
	return address.Addr().Unmap().String()
}
