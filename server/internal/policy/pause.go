package policy

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// resume makes a paused job active whose pause has ended. What was due while
// it was paused is told and never made up; an interval counts anew.
func (d *decider) resume() {
	d.paused(d.PausedAt)
	d.out.Resume = true
	if d.Schedule.Type == job.IntervalBased {
		d.Schedule.Anchor = d.now.Truncate(time.Second)
		d.out.Anchor = d.Schedule.Anchor
		// The anchor is all that changed, so what compiled before does again.
		if times, err := schedule.Compile(schedule.ForJob(d.Schedule, d.JobID)); err == nil {
			d.times = times
		}
	}
	d.out.Next = d.next(d.now, d.now)
}

// endHold lets a job go on whose instance was paused. One that is itself
// paused stays so, until its own pause ends.
func (d *decider) endHold() {
	d.out.Unhold = true
	if !d.Active {
		d.out.Next = d.PausedUntil
		return
	}
	d.paused(d.HeldAt)
	d.out.Next = d.next(d.now, d.now)
}

// paused tells the slots since then. Wishes about them are void, but for a
// move to a time that is still to come.
func (d *decider) paused(since time.Time) {
	first := since.Add(1)
	for _, c := range d.Changes {
		moves := !c.MoveTo.IsZero() && c.MoveTo.After(d.now)
		switch {
		case c.Slot.After(d.now) && !c.MoveTo.IsZero() && !moves: // moved into the pause
			d.out.Skips = append(d.out.Skips, d.row(job.SkipPaused, c.Slot, c.Slot, 1, 0))
			d.out.Done = append(d.out.Done, c.Slot)
		case c.Slot.After(d.now):
		case moves && c.Slot.Before(first): // still to come
		case moves || c.Done:
			d.skip(job.SkipPaused, first, c.Slot.Add(-1), 0)
			first = c.Slot.Add(1)
			if c.Done {
				d.out.Consumed = append(d.out.Consumed, c.Slot)
			}
		default:
			if c.Slot.Before(first) && !c.MoveTo.IsZero() { // moved from before into the pause
				d.out.Skips = append(d.out.Skips, d.row(job.SkipPaused, c.Slot, c.Slot, 1, 0))
			}
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		}
	}
	d.skip(job.SkipPaused, first, d.now, 0)
	if len(d.Schedule.ExcludedDates) > 0 {
		d.excludedRuns(since, d.now)
		d.out.Since = d.now // what was excluded until now is told
	}
}
