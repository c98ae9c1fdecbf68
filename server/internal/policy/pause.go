package policy

import (
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// resume makes a paused job active whose pause has ended. What was due while
// it was paused is told and never made up; an interval counts anew. Both go by
// the end of the pause, however late the ticker comes.
func (d *decider) resume() {
	end := d.PausedUntil
	if end.IsZero() || end.After(d.now) {
		end = d.now
	}
	d.out.Resume = true
	if d.exhausted() {
		return // nothing was due
	}
	d.paused(d.PausedAt, end)
	d.excluded(end)
	if d.Schedule.Type == job.IntervalBased {
		d.Schedule.Anchor = end.Truncate(time.Second)
		d.out.Anchor = d.Schedule.Anchor
		// The anchor is all that changed, so what compiled before does again.
		if times, err := schedule.Compile(d.Schedule, d.JobID); err == nil {
			d.times = *times
		}
		d.forget(end)
	}
	d.out.Next = d.next(end, end)
}

// forget drops the changes of slots to come that a job with another anchor does
// not have, as resuming it by hand does.
func (d *decider) forget(now time.Time) {
	d.Changes = slices.DeleteFunc(slices.Clone(d.Changes), func(c job.OccurrenceChange) bool {
		gone := c.Slot.After(now) && !d.plan().IsSlot(c.Slot)
		if gone {
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		}
		return gone
	})
}

// hold tells what is due while the job's instance is paused. What comes after
// the end of the pause is the next visit's.
func (d *decider) hold() {
	upTo := d.now
	if end := d.Hold.Until; !end.IsZero() && end.Before(upTo) {
		upTo = end
	}
	if slots, ok := d.times.Between(d.NextRun.Add(-1), upTo); ok {
		d.excluded(slots.Last)
	}
	d.paused(d.NextRun.Add(-1), upTo)
	d.out.Next = d.next(upTo, upTo)
}

// paused tells the slots in (since, upTo]. Wishes about them are void, but for
// a move to a time that is still to come.
func (d *decider) paused(since, upTo time.Time) {
	first := since.Add(1)
	for _, c := range d.Changes {
		moves := !c.MoveTo.IsZero() && c.MoveTo.After(upTo)
		switch {
		case c.Slot.After(upTo) && !c.MoveTo.IsZero() && !moves: // moved into the pause
			d.outOfTurn(job.SkipPaused, c.Slot)
			d.out.Done = append(d.out.Done, c.Slot)
		case c.Slot.After(upTo):
		case moves && c.Slot.Before(first): // still to come
		case moves || c.Done:
			d.skip(job.SkipPaused, first, c.Slot.Add(-1), 0)
			first = c.Slot.Add(1)
			if c.Done {
				d.out.Consumed = append(d.out.Consumed, c.Slot)
			}
		default:
			if c.Slot.Before(first) && !c.MoveTo.IsZero() { // moved from before into the pause
				d.outOfTurn(job.SkipPaused, c.Slot)
			}
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		}
	}
	d.skip(job.SkipPaused, first, upTo, 0)
}

// outOfTurn tells one slot before those that precede it, or after those that follow.
func (d *decider) outOfTurn(reason string, slot time.Time) {
	row := d.row(reason, slot, slot, 1, 0)
	row.Alone = true
	d.out.Skips = append(d.out.Skips, row)
}
