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

// paused tells the slots since then, and the wishes about them.
func (d *decider) paused(since time.Time) {
	d.skip(job.SkipPaused, since.Add(1), d.now, 0)
	for _, c := range d.Changes {
		if !c.Slot.After(d.now) {
			d.out.Consumed = append(d.out.Consumed, c.Slot)
		}
	}
}
