package policy

import (
	"sort"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
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

// Due decides what becomes of a job that is due at now, or will be in a moment.
func Due(due store.Due, now time.Time) store.Decision {
	times, err := schedule.Compile(schedule.ForJob(due.Schedule, due.JobID))
	if err != nil {
		return store.Decision{Skips: []job.Skip{skipOf(due, SkipInvalid, due.NextRun, due.NextRun, 1, 0)}}
	}
	d := decider{Due: due, times: times, now: now, policies: due.Policies.WithDefaults()}
	return d.decide()
}

type decider struct {
	store.Due
	times    *schedule.Schedule
	now      time.Time
	policies job.Policies
	out      store.Decision
}

func (d *decider) decide() store.Decision {
	newest := d.NextRun
	if d.NextRun.Before(d.now) {
		if slots, ok := d.times.Between(d.NextRun, d.now); ok {
			newest = slots.Last
		}
	}
	for _, slot := range d.catchUp(newest) {
		d.start(slot)
	}
	d.out.Next, _ = d.times.Next(newest)
	return d.out
}

// catchUp chooses the slots from the one that was due to the newest that are
// to start, and records the others as missed.
func (d *decider) catchUp(newest time.Time) []time.Time {
	oldest := d.NextRun
	if d.now.Sub(newest) > d.policies.CatchUpWindow {
		d.missed(oldest, newest)
		return nil
	}
	switch d.policies.CatchUp {
	case job.CatchUpAll:
		return d.catchUpAll(oldest, newest)
	case job.CatchUpNone:
		if d.now.Sub(newest) >= Grace {
			d.missed(oldest, newest)
			return nil
		}
	}
	if newest.After(oldest) {
		d.missed(oldest, newest.Add(-1))
	}
	return []time.Time{newest}
}

// catchUpAll chooses the newest MaxCatchUp slots inside the window.
func (d *decider) catchUpAll(oldest, newest time.Time) []time.Time {
	after := oldest.Add(-1)
	if start := d.now.Add(-d.policies.CatchUpWindow); start.After(after) {
		after = start.Add(-1)
	}
	after = d.lastBut(job.MaxCatchUp, after, newest)
	var slots []time.Time
	for slot, ok := d.times.Next(after); ok && !slot.After(newest); slot, ok = d.times.Next(slot) {
		slots = append(slots, slot)
	}
	if len(slots) > 0 && slots[0].After(oldest) {
		d.missed(oldest, slots[0].Add(-1))
	}
	return slots
}

// lastBut returns the earliest instant from after on, to the second, that has
// at most n slots between itself and newest.
func (d *decider) lastBut(n int64, after, newest time.Time) time.Time {
	seconds := sort.Search(int(newest.Sub(after)/time.Second), func(s int) bool {
		slots, ok := d.times.Between(after.Add(time.Duration(s)*time.Second), newest)
		return !ok || slots.Count <= n
	})
	return after.Add(time.Duration(seconds) * time.Second)
}

// missed records the slots in [first, last].
func (d *decider) missed(first, last time.Time) { d.skip(job.SkipMissed, first, last, 0) }

// skip records the slots in [first, last] with a reason.
func (d *decider) skip(reason string, first, last time.Time, blockedBy int64) {
	count := int64(1)
	if slots, ok := d.times.Between(first.Add(-1), last); ok {
		first, last, count = slots.First, slots.Last, slots.Count
	}
	d.out.Skips = append(d.out.Skips, skipOf(d.Due, reason, first, last, count, blockedBy))
}

func skipOf(due store.Due, reason string, first, last time.Time, count, blockedBy int64) job.Skip {
	return job.Skip{JobID: due.JobID, InstanceID: due.InstanceID, Reason: reason, First: first, Last: last, Count: count, BlockedBy: blockedBy}
}

// start makes an execution of the slot, or a skip when the overlap policy
// says so. Slots that follow another one of the same decision count as
// overlapping it, except that a catch-up of several goes one after the other.
func (d *decider) start(slot time.Time) {
	first := len(d.out.Starts) == 0
	waits, reason := d.overlap(first)
	if reason != "" {
		d.skip(reason, slot, slot, d.Blocking)
		return
	}
	if waits {
		d.Waiting++
	}
	d.out.Starts = append(d.out.Starts, store.Start{ScheduledFor: slot, NotBefore: d.times.FireAt(slot), Waits: waits})
}

// overlap tells whether a start waits for others, or why there is none.
func (d *decider) overlap(first bool) (waits bool, skip string) {
	if d.policies.Overlap == job.OverlapAllow {
		return false, ""
	}
	if !first && d.Blocking == 0 {
		return true, "" // behind an earlier slot of the same catch-up
	}
	if d.Blocking == 0 {
		return false, ""
	}
	switch d.policies.Overlap {
	case job.OverlapBufferOne:
		if d.Waiting > 0 {
			return false, job.SkipOverlap
		}
	case job.OverlapBufferAll:
		if d.Waiting >= job.MaxBuffered {
			return false, job.SkipQuota
		}
	case job.OverlapCancelOther:
		if d.Waiting > 0 {
			return false, job.SkipOverlap
		}
		d.out.CancelRunning = true
	default:
		return false, job.SkipOverlap
	}
	return true, ""
}
