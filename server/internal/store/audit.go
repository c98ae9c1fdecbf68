package store

import (
	"context"
	"time"

	"github.com/pointscene/carillon/server/internal/audit"
)

// Audit keeps audit events. Every transaction of this store whose context
// carries a [audit.Pending] writes that event, as done, and marks it written
// when it is committed.
type Audit interface {
	// AddAuditEvent writes an event by itself. Without a Time it gets the
	// present.
	AddAuditEvent(ctx context.Context, e audit.Event) error
	// AuditEvents lists those that a filter selects.
	AuditEvents(ctx context.Context, f audit.Filter, page Page) ([]audit.Event, error)
	// PruneAuditEvents deletes up to limit events from before cutoff and
	// answers how many; it is called again until it answers 0.
	PruneAuditEvents(ctx context.Context, cutoff time.Time, limit int) (int, error)
}
