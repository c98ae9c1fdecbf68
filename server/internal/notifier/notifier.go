// Package notifier tells what happened: one loop finds changes and stores them
// as notices, another sends them to their webhooks.
//
// Rules:
//   - A change is found once, by whichever replica looks first, and stored with
//     how far the look went in one transaction. What is sent is sent at least
//     once: a replica that dies while it sends is followed by another one, with
//     the same webhook-id.
//   - No webhook waits for another: each has a few places, and a receiver that is
//     slow or gone fills only its own.
//   - An answer's body is not read, a redirect not followed, and every
//     connection passes the guard of package egress.
//   - Without webhooks the loops ask the database one question a second.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/notice"
	"github.com/pointscene/carillon/server/internal/store"
)

// Metrics hears what becomes of notices.
type Metrics interface {
	// Told counts notices.
	Told(notices int)
	// Attempted counts an attempt: delivered, retried or failed.
	Attempted(outcome string, took time.Duration)
}

// Watcher finds changes.
type Watcher struct {
	Store   store.Notices
	Deriver notice.Deriver
	// Every is the time between two looks.
	Every   time.Duration
	Metrics Metrics
	// Made is called when there is something to send.
	Made func()
	Log  *slog.Logger
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(w.Every)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "can't look for notices; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look looks at every instance that has webhooks. They take turns, and one
// that fails keeps none of the others waiting.
func (w *Watcher) look(ctx context.Context) error {
	instances, err := w.Store.NoticeInstances(ctx)
	errs := []error{err}
	for len(instances) > 0 && ctx.Err() == nil {
		instances = slices.DeleteFunc(instances, func(id int64) bool {
			made, more, err := w.Store.AdvanceNotices(ctx, id, w.Deriver.Derive)
			if err != nil {
				errs = append(errs, fmt.Errorf("instance %d: %w", id, err))
			}
			if made > 0 {
				w.Metrics.Told(made)
				w.Made()
			}
			return err != nil || !more
		})
	}
	return errors.Join(errs...)
}
