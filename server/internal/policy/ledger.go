package policy

import (
	"sort"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// missed tells the slots in [first, last]: as MISSED, or as a caller wanted it.
func (d *decider) missed(first, last time.Time) {
	for _, c := range d.Changes {
		if c.Slot.Before(first) || c.Slot.After(last) {
			continue
		}
		d.skip(job.SkipMissed, first, c.Slot.Add(-1), 0)
		d.leaveOut(c)
		first = c.Slot.Add(1)
	}
	d.skip(job.SkipMissed, first, last, 0)
}

// leaveOut tells a slot that a caller changed: a skip now, a move when its own
// time comes.
func (d *decider) leaveOut(c job.OccurrenceChange) {
	if c.MoveTo.IsZero() && !c.Done {
		d.out.Skips = append(d.out.Skips, d.row(job.SkipByCaller, c.Slot, c.Slot, 1, 0))
		d.out.Consumed = append(d.out.Consumed, c.Slot)
	}
}

// moved starts the moved slots whose new time has come. One that was moved
// earlier keeps its change until its slot has passed, lest it is due again.
func (d *decider) moved() {
	for _, c := range d.Changes {
		past := !c.Slot.After(d.now)
		if c.Done && past {
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		}
		if c.MoveTo.IsZero() || c.MoveTo.After(d.now) {
			continue
		}
		if past {
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		} else {
			d.out.Done = append(d.out.Done, c.Slot)
		}
		told := len(d.out.Skips)
		if d.now.Sub(c.MoveTo) > d.policies.CatchUpWindow {
			d.out.Skips = append(d.out.Skips, d.row(job.SkipMissed, c.Slot, c.Slot, 1, 0))
		} else {
			d.start(c.Slot, c.MoveTo)
		}
		for i := range d.out.Skips[told:] {
			d.out.Skips[told+i].Alone = c.Slot.Before(d.NextRun) || !past
		}
	}
}

// excluded tells the slots that excluded dates took away and that are not told
// yet, and notes up to where they are, if there were any.
func (d *decider) excluded(upTo time.Time) {
	if len(d.Schedule.ExcludedDates) == 0 || d.Schedule.Since.IsZero() {
		return
	}
	for _, run := range d.times.ExcludedRuns(d.Schedule.Since, upTo) {
		d.out.Skips = append(d.out.Skips, d.row(job.SkipExcluded, run.First, run.Last, run.Count, 0))
		d.out.Since = upTo
	}
}

// skip tells the slots in [first, last], if there are any, in a row for each
// stretch between excluded ones: what lies in a row's range is told by that row.
func (d *decider) skip(reason string, first, last time.Time, blockedBy int64) {
	if last.Before(first) {
		return
	}
	after := first.Add(-1)
	tell := func(upTo time.Time) {
		if slots, ok := d.times.Between(after, upTo); ok {
			d.out.Skips = append(d.out.Skips, d.row(reason, slots.First, slots.Last, slots.Count, blockedBy))
		}
		after = upTo
	}
	for _, run := range d.times.ExcludedRuns(after, last) {
		tell(run.First)
	}
	tell(last)
}

func (d *decider) row(reason string, first, last time.Time, count, blockedBy int64) job.Skip {
	return job.Skip{JobID: d.JobID, InstanceID: d.InstanceID, Reason: reason, First: first, Last: last, Count: count, BlockedBy: blockedBy}
}

// searchSeconds is the least number of whole seconds up to limit for which
// enough is true.
func searchSeconds(limit time.Duration, enough func(time.Duration) bool) time.Duration {
	n := sort.Search(int(limit/time.Second), func(s int) bool { return enough(time.Duration(s) * time.Second) })
	return time.Duration(n) * time.Second
}
