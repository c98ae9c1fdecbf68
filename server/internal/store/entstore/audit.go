package entstore

import (
	"context"
	"time"

	"entgo.io/ent/dialect/sql"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/ent/auditevent"
	"github.com/pointscene/carillon/ent/predicate"
	"github.com/pointscene/carillon/server/internal/audit"
	"github.com/pointscene/carillon/server/internal/store"
)

// AddAuditEvent implements store.Audit.
func (s *Store) AddAuditEvent(ctx context.Context, e audit.Event) error {
	return s.run(ctx, "write audit event", func(ctx context.Context) error { return addEvent(ctx, s.client.AuditEvent, e) })
}

// addEvent writes an event with whatever else its client's transaction writes.
func addEvent(ctx context.Context, c *ent.AuditEventClient, e audit.Event) error {
	return c.Create().SetAt(micros(orNow(e.Time))).SetActor(e.Actor).SetTokenID(e.TokenID).SetScopes(e.Scopes).SetMethod(e.Method).
		SetObject(e.Object).SetInstanceID(e.InstanceID).SetPeer(e.Peer).SetRequestID(e.RequestID).SetCode(e.Code).SetDetails(e.Details).Exec(ctx)
}

// audited writes the event that the context carries, if any, as done.
func audited(ctx context.Context, tx *ent.Tx) (*audit.Pending, error) {
	pending := audit.From(ctx)
	if pending == nil {
		return nil, nil
	}
	e := pending.Event()
	e.Code = audit.CodeOK
	return pending, addEvent(ctx, tx.AuditEvent, e)
}

// AuditEvents implements store.Audit.
func (s *Store) AuditEvents(ctx context.Context, f audit.Filter, page store.Page) (list []audit.Event, err error) {
	err = s.query(ctx, "list audit events", func(ctx context.Context, c *ent.Client) error {
		rows, err := c.AuditEvent.Query().Where(auditevent.IDLT(before(page))).Where(selected(f)...).
			Order(ent.Desc(auditevent.FieldID)).Limit(page.Limit).All(ctx)
		list = mapAll(rows, eventOf)
		return err
	})
	return list, err
}

func selected(f audit.Filter) (all []predicate.AuditEvent) {
	add := func(wanted bool, p predicate.AuditEvent) {
		if wanted {
			all = append(all, p)
		}
	}
	add(f.InstanceID != 0, auditevent.InstanceID(f.InstanceID))
	add(f.InstanceIDs != nil, auditevent.InstanceIDIn(f.InstanceIDs...))
	add(!f.From.IsZero(), auditevent.AtGTE(micros(f.From)))
	add(!f.To.IsZero(), auditevent.AtLT(micros(f.To)))
	add(f.Actor != "", auditevent.Actor(f.Actor))
	add(f.Object != "", auditevent.Object(f.Object))
	add(f.Method != "", auditevent.Or(auditevent.Method(f.Method), func(s *sql.Selector) {
		s.Where(sql.HasSuffix(s.C(auditevent.FieldMethod), "/"+f.Method))
	}))
	return all
}

// PruneAuditEvents implements store.Audit.
func (s *Store) PruneAuditEvents(ctx context.Context, cutoff time.Time, limit int) (pruned int, err error) {
	err = s.tx(ctx, "prune audit events", func(ctx context.Context, tx *ent.Tx) error {
		ids, err := tx.AuditEvent.Query().Where(auditevent.AtLT(micros(cutoff))).Order(ent.Asc(auditevent.FieldAt)).Limit(limit).IDs(ctx)
		if err != nil {
			return err
		}
		pruned, err = tx.AuditEvent.Delete().Where(idsIn(ids)).Exec(ctx)
		return err
	})
	return pruned, err
}
