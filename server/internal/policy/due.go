package policy

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
)

// Grace is how late a slot may be and still count as on time: longer than any
// claim takes in a herd, shorter than the shortest interval.
const Grace = 30 * time.Second

// SkipInvalid is the reason for a job whose stored schedule can't be read: it
// was checked when it was stored, so this is damage, and the job stops instead
// of stopping the ticker.
const SkipInvalid = "SCHEDULE_INVALID"

// Due decides what becomes of a job that the ticker comes by at now, which may
// be a moment before it is due.
func Due(due store.Due, now time.Time) store.Decision {
	times, err := schedule.Compile(due.Schedule, due.JobID)
	if err != nil || due.Damaged {
		return Invalid(due)
	}
	d := decider{Due: due, times: *times, now: now, policies: due.Policies.WithDefaults()}
	switch {
	case !due.Active:
		d.resume()
	case due.Hold.Covers(due.NextRun):
		d.hold()
	default:
		d.decide()
	}
	d.plan().InOrder(d.out.Skips)
	return d.out
}

// Invalid is the decision for a job whose schedule can't be evaluated.
func Invalid(due store.Due) store.Decision {
	d := decider{Due: due}
	return store.Decision{Skips: []job.Skip{d.row(SkipInvalid, due.NextRun, due.NextRun, 1, 0)}}
}

type decider struct {
	store.Due
	times    schedule.Schedule // no pointer, lest it is kept on the heap
	now      time.Time
	policies job.Policies
	out      store.Decision
}

// decide tells every slot from the one that was due to now, and every move
// whose time has come. A move is never decided ahead of its time: what a caller
// wants may change until then.
func (d *decider) decide() {
	upTo := d.now
	if d.NextRun.After(upTo) {
		upTo = d.NextRun // ahead of its time
	}
	newest := upTo
	if slots, ok := d.times.Between(d.NextRun.Add(-1), upTo); ok {
		newest = slots.Last
		d.excluded(newest)
		d.catchUp(slots.First, slots.Last)
	}
	d.moved()
	if !d.exhausted() {
		d.out.Next = d.next(newest, d.now)
	}
}

// plan is the schedule with the changes that callers made.
func (d *decider) plan() occurrence.Plan { return occurrence.Plan{Times: &d.times, Changes: d.Changes} }

// changed tells whether a caller left a slot out or moved it.
func (d *decider) changed(slot time.Time) bool {
	_, changed := d.plan().Change(slot)
	return changed
}

// next is when the ticker comes by again: at the first slot that was not moved
// elsewhere, or at the first move.
func (d *decider) next(after, upTo time.Time) (next time.Time) {
	next, _ = d.plan().Slot(after.Add(1))
	for _, c := range d.Changes {
		if c.MoveTo.After(upTo) && (next.IsZero() || c.MoveTo.Before(next)) {
			next = c.MoveTo
		}
	}
	return next
}

// catchUp starts what the catch-up policy chooses of the slots in [oldest,
// newest], and tells the others.
func (d *decider) catchUp(oldest, newest time.Time) {
	last, ok := d.newestFree(oldest, newest)
	if !ok {
		d.missed(oldest, newest)
		return
	}
	late := d.now.Sub(last)
	switch {
	case late >= Grace && late > d.policies.CatchUpWindow, d.policies.CatchUp == job.CatchUpNone && late >= Grace:
		d.missed(oldest, newest)
	case d.policies.CatchUp == job.CatchUpAll:
		d.catchUpAll(oldest, newest)
	default:
		d.missed(oldest, last.Add(-1))
		d.start(last, d.times.FireAt(last))
		d.missed(last.Add(1), newest)
	}
}

// newestFree is the newest slot that nobody left out or moved.
func (d *decider) newestFree(oldest, newest time.Time) (time.Time, bool) {
	for d.changed(newest) {
		slots, ok := d.times.Between(oldest.Add(-1), newest.Add(-1))
		if !ok {
			return newest, false
		}
		newest = slots.Last
	}
	return newest, true
}

// catchUpAll starts the newest slots inside the window, one after the other.
func (d *decider) catchUpAll(oldest, newest time.Time) {
	after := oldest.Add(-1)
	if start := d.now.Add(-d.policies.CatchUpWindow); start.After(after) {
		after = start.Add(-1)
	}
	after = d.lastBut(job.MaxCatchUp, after, newest)
	told := oldest
	for slot, ok := d.times.Next(after); ok && !slot.After(newest); slot, ok = d.times.Next(slot) {
		if d.changed(slot) {
			continue // missed tells it
		}
		d.missed(told, slot.Add(-1))
		d.start(slot, d.times.FireAt(slot))
		told = slot.Add(1)
	}
	d.missed(told, newest)
}

// lastBut returns the earliest instant from after on, to the second, that has
// at most n slots between itself and newest.
func (d *decider) lastBut(n int64, after, newest time.Time) time.Time {
	seconds := searchSeconds(newest.Sub(after), func(offset time.Duration) bool {
		slots, ok := d.times.Between(after.Add(offset), newest)
		return !ok || slots.Count <= n
	})
	return after.Add(seconds)
}

// exhausted tells whether the job has made all the executions that it may.
func (d *decider) exhausted() bool {
	return d.policies.MaxExecutions > 0 && d.Started+int64(len(d.out.Starts)) >= d.policies.MaxExecutions
}

// start makes an execution of the slot, or a skip when a policy says so.
// Slots that follow another one of the same decision go one after the other,
// unless the job's executions may run side by side.
func (d *decider) start(slot, notBefore time.Time) {
	if d.exhausted() {
		return // beyond the last execution nothing is due
	}
	if d.Room != nil && int64(len(d.out.Starts)) >= *d.Room {
		d.skip(job.SkipQuota, slot, slot, 0)
		return
	}
	waits, reason, by := d.overlap(len(d.out.Starts) == 0)
	if reason != "" {
		d.skip(reason, slot, slot, by)
		return
	}
	if waits {
		d.Waiting++
	}
	d.out.Starts = append(d.out.Starts, store.Start{ScheduledFor: slot, NotBefore: notBefore, Waits: waits})
}

// overlap tells whether a start waits for others, or why there is none and
// which execution stands in the way.
func (d *decider) overlap(first bool) (waits bool, skip string, by int64) {
	holder, busy := blocking(d.InstanceID, d.Folders, d.Holders)
	full := d.Waiting >= job.MaxBuffered
	switch {
	case d.policies.Overlap == job.OverlapAllow:
		// Side by side, but never two that write one folder.
		waits = busy || !first && job.Collide(d.Folders, d.Folders)
		if waits && full {
			return false, job.SkipQuota, known(holder)
		}
		return waits, "", 0
	case d.Blocking == 0 && !busy:
		return !first, "", 0 // behind an earlier slot of the same catch-up
	case d.Blocking != 0:
		holder = d.Blocking
	}
	switch d.policies.Overlap {
	case job.OverlapBufferOne, job.OverlapCancelOther:
		if d.Waiting > 0 {
			return false, job.SkipOverlap, known(holder)
		}
		d.out.CancelRunning = d.out.CancelRunning || d.policies.Overlap == job.OverlapCancelOther && d.Blocking != 0
	case job.OverlapBufferAll:
		if full {
			return false, job.SkipQuota, known(holder)
		}
	default:
		if d.Blocking != 0 {
			return false, job.SkipOverlap, d.Blocking
		}
		return false, job.SkipRemoteBusy, known(holder)
	}
	return true, "", 0
}
