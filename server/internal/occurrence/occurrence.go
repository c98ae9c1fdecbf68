// Package occurrence applies callers' changes to the slots of a schedule. It is
// pure.
//
// Rules:
//   - An occurrence is known by its slot. It comes due at its slot, or at the
//     time that it was moved to, earlier or later.
//   - One that was left out is told as SKIPPED_BY_CALLER when its slot passes,
//     but in a pause as PAUSED like the others.
//   - One that was moved belongs to what happens at its new time: what was
//     moved into a pause is PAUSED, what was moved out of it runs.
//   - One that was moved earlier and is told already stays known as done until
//     its slot has passed, so that it is not told again.
package occurrence

import (
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// Plan is a schedule with the changes that callers made, in the order of their
// slots.
type Plan struct {
	Times   *schedule.Schedule
	Changes []job.OccurrenceChange
}

// Change is what a caller wants of a slot.
func (p Plan) Change(slot time.Time) (c job.OccurrenceChange, changed bool) {
	i, found := slices.BinarySearchFunc(p.Changes, slot, func(c job.OccurrenceChange, slot time.Time) int { return c.Slot.Compare(slot) })
	if !found {
		return job.OccurrenceChange{}, false
	}
	return p.Changes[i], true
}

// IsSlot tells whether the schedule has a slot at exactly this instant.
func (p Plan) IsSlot(at time.Time) bool {
	slot, ok := p.Times.Next(at.Add(-1))
	return ok && slot.Equal(at)
}

// Slot returns the first slot at or after an instant that was not moved
// elsewhere; one that was left out counts.
func (p Plan) Slot(from time.Time) (slot time.Time, ok bool) {
	for slot, ok = p.Times.Next(from.Add(-1)); ok; slot, ok = p.Times.Next(slot) {
		if c, changed := p.Change(slot); !changed || !elsewhere(c) {
			return slot, true
		}
	}
	return time.Time{}, false
}

// Next returns when, at or after an instant, the first occurrence comes due,
// zero for never. One that was left out counts: it must be told.
func (p Plan) Next(from time.Time) time.Time {
	next, _ := p.Slot(from)
	for _, c := range p.Changes {
		if elsewhere(c) && !c.Done && !c.MoveTo.Before(from) && (next.IsZero() || c.MoveTo.Before(next)) {
			next = c.MoveTo
		}
	}
	return next
}

// Starts is Next for the first occurrence that was not left out.
func (p Plan) Starts(from time.Time) time.Time {
	for {
		next := p.Next(from)
		c, changed := p.Change(next)
		if next.IsZero() || !changed || elsewhere(c) {
			return next
		}
		from = next.Add(1)
	}
}

// elsewhere tells whether an occurrence does not come due at its slot.
func elsewhere(c job.OccurrenceChange) bool { return c.Done || !c.MoveTo.IsZero() }

// Passed tells the occurrences that came due in (after, upTo] and did not run,
// with a reason, oldest slot first and folded; and the changes that are still
// needed afterwards. Of the rows JobID, InstanceID and BlockedBy are not set.
func (p Plan) Passed(reason string, after, upTo time.Time) (rows []job.Skip, rest []job.OccurrenceChange) {
	t := teller{times: p.Times, reason: reason, told: after}
	for _, c := range p.Changes {
		inside := c.Slot.After(after) && !c.Slot.After(upTo)
		moved := !c.MoveTo.IsZero()
		void := reason == job.SkipPaused && !moved && !c.Done
		switch cameDue := moved && !c.MoveTo.After(upTo); {
		case cameDue && inside, void:
			// It counts among the others, if it is one of them.
		case cameDue:
			t.add(job.Skip{Reason: reason, First: c.Slot, Alone: true})
			c.MoveTo, c.Done = time.Time{}, true
		case inside:
			t.without(c.Slot)
			if !moved && !c.Done {
				t.add(job.Skip{Reason: job.SkipByCaller, First: c.Slot})
			}
		}
		if c.Slot.After(upTo) || c.MoveTo.After(upTo) {
			rest = append(rest, c)
		}
	}
	t.upTo(upTo)
	p.InOrder(t.rows)
	return t.rows, rest
}

// InOrder sorts the rows that are told at one time by their first slots, and keeps
// those apart that another row may not be folded into: whatever comes between them,
// of excluded slots or of one that is told at another time, is told by it alone.
func (p Plan) InOrder(rows []job.Skip) {
	slices.SortStableFunc(rows, func(a, b job.Skip) int { return a.First.Compare(b.First) })
	for i := range rows {
		rows[i].Apart = rows[i].Alone || p.followsMoved(rows[i].First, rows[:i])
	}
}

// followsMoved tells whether a slot was moved after which this one is the next, and
// the rows before don't tell it in its turn.
func (p Plan) followsMoved(slot time.Time, rows []job.Skip) bool {
	return slices.ContainsFunc(p.Changes, func(c job.OccurrenceChange) bool {
		if !elsewhere(c) || !c.Slot.Before(slot) {
			return false
		}
		told := slices.ContainsFunc(rows, func(k job.Skip) bool {
			return !k.Alone && !c.Slot.Before(k.First) && !c.Slot.After(k.Last)
		})
		_, between := p.Times.Between(c.Slot, slot.Add(-1))
		return !told && !between
	})
}

// teller tells the slots of a range in order.
type teller struct {
	times  *schedule.Schedule
	reason string
	// told is up to where all is told.
	told time.Time
	rows []job.Skip
}

// upTo tells the slots that are not told yet, up to and with an instant, in a row
// for each stretch between excluded ones.
func (t *teller) upTo(at time.Time) {
	for _, run := range t.times.ExcludedRuns(t.told, at) {
		t.stretch(run.First)
	}
	t.stretch(at)
}

func (t *teller) stretch(at time.Time) {
	if slots, ok := t.times.Between(t.told, at); ok {
		t.rows = append(t.rows, job.Skip{Reason: t.reason, First: slots.First, Last: slots.Last, Count: slots.Count})
	}
	t.told = at
}

// without tells the slots before one, which is told elsewhere.
func (t *teller) without(slot time.Time) {
	t.upTo(slot.Add(-1))
	t.told = slot
}

// add tells one slot.
func (t *teller) add(row job.Skip) {
	row.Last, row.Count = row.First, 1
	t.rows = append(t.rows, row)
}
