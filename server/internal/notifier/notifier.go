// Package notifier tells what happened: one loop finds changes and stores them
// as notices, another sends them to their webhooks.
//
// Rules:
//   - A change is found once, by whichever replica looks first, and stored with
//     how far the look went in one transaction. What is sent is sent at least
//     once: a replica that dies while it sends is followed by another one, with
//     the same webhook-id.
//   - No webhook waits for another: each has a few places, each instance some, and
//     all that are failing together half of them: receivers that are slow or gone
//     fill only their own.
//   - An answer's body is not read, a redirect not followed, and every
//     connection passes the guard of package egress.
//   - With nothing to do the loops sleep: without webhooks until there is one, and
//     with nothing to send until something is due. The store's signals and now and
//     then a heartbeat wake them ([Watcher.Wake], [Sender.Wake]); signals may be lost,
//     so they never sleep long.
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
	// Every is the time between two looks, Idle the longest one while no instance
	// has webhooks and Listening tells that Wake is called when one has.
	Every, Idle time.Duration
	Listening   func() bool
	Metrics     Metrics
	// Made is called when there is something to send.
	Made func()
	Log  *slog.Logger

	wake alarm
}

// NewWatcher returns a watcher with the fields of w.
func NewWatcher(w Watcher) *Watcher {
	w.wake = newAlarm()
	return &w
}

// Wake makes it look now.
func (w *Watcher) Wake() { w.wake.ring() }

// alarm wakes a loop; rung again before it is heard, it wakes once.
type alarm chan struct{}

func newAlarm() alarm { return make(alarm, 1) }

func (a alarm) ring() {
	select {
	case a <- struct{}{}:
	default:
	}
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.wake:
		}
		watched, err := w.look(ctx)
		if err != nil && ctx.Err() == nil {
			w.Log.WarnContext(ctx, "can't look for notices; trying again", "error", err)
		}
		if err != nil || watched || !w.Listening() {
			timer.Reset(w.Every)
		} else {
			timer.Reset(w.Idle)
		}
	}
}

// look looks at every instance that has webhooks, and tells whether there is
// any. They take turns, and one that fails keeps none of the others waiting.
func (w *Watcher) look(ctx context.Context) (watched bool, err error) {
	instances, err := w.Store.NoticeInstances(ctx)
	watched = len(instances) > 0
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
	return watched, errors.Join(errs...)
}
