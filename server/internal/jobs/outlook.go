package jobs

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
)

// outlook is what is recorded nowhere yet of a job's occurrences: what becomes
// of them as long as nobody changes anything.
type outlook struct {
	plan occurrence.Plan
	// skipped are the slots that a pause takes away, up to its end, or up to now
	// when it has none; and those up to now that excluded dates took away, which
	// the ticker tells when it comes to the next run.
	skipped []job.Skip
	// from is when the next occurrence may come due, zero when none will.
	from time.Time
	// over is from when on slots are still to be told: those before it that were
	// moved over it, too.
	over time.Time
	// now is when it was looked at.
	now time.Time
	// left is how many executions the job may still make, negative for any.
	left int64
}

// look is the outlook of a job with its changes.
func look(j job.Job, now time.Time) (*outlook, error) {
	times, err := compile(j)
	if err != nil {
		return nil, err
	}
	o := &outlook{plan: occurrence.Plan{Times: times, Changes: j.Changes}, now: now, left: -1}
	switch {
	case exhausted(j):
		return o, nil
	case j.Active && j.NextRun.IsZero(): // nothing comes, and the ticker doesn't either
		o.skipped = excluded(j, times, now)
		return o, nil
	}
	if j.Policies.MaxExecutions > 0 {
		o.left = j.Policies.MaxExecutions - j.Started
	}
	since, paused := stopped(j, now)
	if !paused {
		o.from, o.over, o.skipped = j.NextRun, j.NextRun, excluded(j, times, now)
		return o, nil
	}
	end, ends := resumes(j, now)
	o.skipped, o.plan.Changes = o.plan.Passed(job.SkipPaused, since, end)
	o.skipped = append(o.skipped, excluded(j, times, now)...)
	for i := range o.skipped {
		o.skipped[i].JobID, o.skipped[i].InstanceID = j.ID, j.InstanceID
	}
	o.over = end.Add(1)
	if !ends {
		return o, nil
	}
	o.from = o.over
	if !j.Active && j.Schedule.Type == job.IntervalBased {
		j.Schedule.Anchor = j.Pause.Until.Truncate(time.Second) // as the ticker will do
		if _, err := retain(&j, o.plan.Changes, false, end); err != nil {
			return nil, err
		}
		o.plan.Changes = j.Changes
		o.plan.Times, err = compile(j)
	}
	return o, err
}

// resumes is when a job that does not run will do so by itself, or now and
// false for never. What is over may not be told yet, until the ticker comes by.
func resumes(j job.Job, now time.Time) (end time.Time, ends bool) {
	if !j.Active && (j.Pause == nil || j.Pause.Until.IsZero()) {
		return now, false
	}
	if !j.Active {
		end = j.Pause.Until
	}
	if !j.Hold.Over(now) || j.Active {
		if j.Hold.Until.IsZero() {
			return now, false
		}
		end = later(end, j.Hold.Until)
	}
	return end, true
}

// following lists up to n slots after an instant that are still to be told.
func (o *outlook) following(after time.Time, n int) (slots []time.Time) {
	if o.from.IsZero() {
		return nil
	}
	after = later(after, o.from.Add(-1))
	for slot, ok := o.plan.Times.Next(after); ok && len(slots) < n && !o.beyond(slot); slot, ok = o.plan.Times.Next(slot) {
		if c, _ := o.plan.Change(slot); !c.Done {
			slots = append(slots, slot)
		}
	}
	return slots
}

// beyond tells whether a slot comes after the last execution that the job may
// make.
func (o *outlook) beyond(slot time.Time) bool {
	if o.left < 0 {
		return false
	}
	before, ok := o.plan.Times.Between(o.from.Add(-1), slot.Add(-1))
	if !ok {
		return false
	}
	for _, c := range o.plan.Changes { // those that were left out don't count
		if c.MoveTo.IsZero() && !c.Slot.Before(before.First) && !c.Slot.After(before.Last) {
			before.Count--
		}
	}
	return before.Count >= o.left
}

// rows lists up to n occurrences in a window, oldest first. Those among told
// that started ahead of their time are not told again.
func (o *outlook) rows(w Window, told []Occurrence, n int) (list []Occurrence) {
	for _, skip := range o.skipped {
		if skip.First.Before(w.To) && !skip.Last.Before(w.start()) {
			list = append(list, occurrenceOf(skip))
		}
	}
	for _, c := range o.plan.Changes { // moved over now
		if c.Slot.Before(o.over) && !c.Done && !c.Slot.Before(w.start()) && c.Slot.Before(w.To) {
			list = append(list, o.toCome(c.Slot))
		}
	}
	ahead := map[time.Time]bool{}
	for _, t := range told {
		if t.Outcome == Started {
			ahead[t.ScheduledFor] = true
		}
	}
	for _, slot := range o.following(w.start().Add(-1), n) {
		if slot.Before(w.To) && !ahead[slot] {
			list = append(list, o.toCome(slot))
		}
	}
	return list
}

// toCome is what will become of a slot.
func (o *outlook) toCome(slot time.Time) Occurrence {
	c, changed := o.plan.Change(slot)
	if changed && c.MoveTo.IsZero() {
		return Occurrence{ScheduledFor: slot, Outcome: Skipped, Reason: job.SkipByCaller, Count: 1}
	}
	row := Occurrence{ScheduledFor: slot, Outcome: Pending, Count: 1, MovedTo: c.MoveTo}
	if job.WantsPlace(row.due(), o.now) {
		row.Reason = job.WaitNoPlace
	}
	return row
}
