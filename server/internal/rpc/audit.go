package rpc

import (
	"context"
	"time"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/instances"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var _ carillonv1.AuditServiceServer = (*auditServer)(nil)

type auditServer struct {
	carillonv1.UnsafeAuditServiceServer
	instances *instances.Service
}

func (s *auditServer) ListAuditEvents(ctx context.Context, in *carillonv1.ListAuditEventsRequest) (*carillonv1.ListAuditEventsResponse, error) {
	f := audit.Filter{From: given(in.GetFrom()), To: given(in.GetTo()), Actor: in.GetActor(), Method: in.GetMethod(), Object: in.GetObject()}
	if text := in.GetInstanceId(); text != "" {
		id, err := idOf(job.KindInstance, text)
		if err != nil {
			return nil, err
		}
		f.InstanceID = id
	}
	q := query{
		carillonv1.AuditService_ListAuditEvents_FullMethodName, textOf(job.KindInstance, f.InstanceID),
		f.From.Format(time.RFC3339Nano), f.To.Format(time.RFC3339Nano), f.Actor, f.Method, f.Object,
	}
	page, next, err := list(q, in.GetPageSize(), in.GetPageToken(), rows[audit.Event, *carillonv1.AuditEvent]{
		read:    func(page store.Page) ([]audit.Event, error) { return s.instances.AuditEvents(ctx, f, page) },
		id:      func(e audit.Event) int64 { return e.ID },
		message: always(auditMessage),
	})
	if err != nil {
		return nil, err
	}
	return &carillonv1.ListAuditEventsResponse{Events: page, NextPageToken: next}, nil
}

func auditMessage(e audit.Event) *carillonv1.AuditEvent {
	return &carillonv1.AuditEvent{
		Id: textOf(job.KindAudit, e.ID), Time: stamp(e.Time), Actor: e.Actor, TokenId: e.TokenID, Scopes: e.Scopes, Method: e.Method,
		Object: e.Object, InstanceId: textOf(job.KindInstance, e.InstanceID), Peer: e.Peer, RequestId: e.RequestID, Code: e.Code, Details: e.Details,
	}
}
