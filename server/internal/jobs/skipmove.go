package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// ReasonNotAnOccurrence refuses a time at which a job is not due.
const ReasonNotAnOccurrence = "NOT_AN_OCCURRENCE"

// SkipOccurrence leaves an occurrence to come out.
func (s *Service) SkipOccurrence(ctx context.Context, id int64, slot time.Time) (Occurrence, error) {
	return s.changeOccurrence(ctx, id, slot, (*occurrenceEdit).leaveOut)
}

// MoveOccurrence lets an occurrence to come start at another time, in the
// future. To its own time it is restored.
func (s *Service) MoveOccurrence(ctx context.Context, id int64, slot, to time.Time) (Occurrence, error) {
	to = job.Time(to)
	return s.changeOccurrence(ctx, id, slot, func(e *occurrenceEdit) error { return e.move(to) })
}

// RestoreOccurrence undoes a skip or a move; one that is unchanged stays so.
func (s *Service) RestoreOccurrence(ctx context.Context, id int64, slot time.Time) (Occurrence, error) {
	return s.changeOccurrence(ctx, id, slot, (*occurrenceEdit).restore)
}

func (s *Service) changeOccurrence(ctx context.Context, id int64, slot time.Time, edit func(*occurrenceEdit) error) (o Occurrence, err error) {
	if _, err := s.load(ctx, id, auth.Write); err != nil {
		return Occurrence{}, err
	}
	_, err = s.store.ChangeOccurrences(ctx, id, s.now, func(j *job.Job, now time.Time) ([]job.Skip, error) {
		e, err := newEdit(j, slot, now)
		if err != nil {
			return nil, err
		}
		if err := edit(e); err != nil {
			return nil, err
		}
		o = e.toCome(slot)
		if len(e.skips) > 0 {
			o = occurrenceOf(e.skips[0])
		}
		return e.skips, nil
	})
	if err != nil {
		return Occurrence{}, store.OrMissing(err, job.KindJob, id)
	}
	return o, nil
}

// occurrenceEdit changes one occurrence of a job that is locked.
type occurrenceEdit struct {
	*outlook
	job  *job.Job
	slot time.Time
	now  time.Time
	// changed is set when there is a change of the occurrence already.
	changed bool
	// passed says that its slot is over: it was moved to a time to come.
	passed bool
	skips  []job.Skip
}

// newEdit refuses what is no occurrence to come.
func newEdit(j *job.Job, slot, now time.Time) (*occurrenceEdit, error) {
	o, err := look(*j, now)
	if err != nil {
		return nil, fmt.Errorf("read the schedule of job %d: %w", j.ID, err)
	}
	c, changed := occurrence.Plan{Changes: j.Changes}.Change(slot)
	e := &occurrenceEdit{outlook: o, job: j, slot: slot, now: now, changed: changed, passed: !slot.After(now)}
	moved := !c.MoveTo.IsZero()
	switch {
	case c.Done, moved && !c.MoveTo.After(now):
		return nil, &job.PreconditionError{
			Reason: "ALREADY_STARTED", Message: "The time that the occurrence was moved to has come; ListOccurrences tells what became of it.",
		}
	case changed && (moved || !e.passed), !e.passed && e.upcoming():
		return e, nil
	}
	return nil, e.refuse()
}

// upcoming tells whether the job is due at the slot, as long as nobody resumes
// it earlier than it would by itself.
func (e *occurrenceEdit) upcoming() bool {
	return !e.from.IsZero() && !e.slot.Before(e.from) && e.plan.IsSlot(e.slot) && !e.beyond(e.slot)
}

func (e *occurrenceEdit) refuse() error {
	_, paused := stopped(*e.job, e.now)
	next := e.following(later(e.now, e.slot.Add(-1)), 1)
	if len(next) == 0 {
		next = e.following(e.now, 1)
	}
	switch {
	case paused && e.from.IsZero():
		return job.Invalid("scheduledFor", ReasonNotAnOccurrence, "is no occurrence to come: the job is paused; resume it first")
	case len(next) == 0:
		return job.Invalid("scheduledFor", ReasonNotAnOccurrence, "is no occurrence to come: the job has none")
	default:
		return job.Invalid("scheduledFor", ReasonNotAnOccurrence, "is no occurrence to come; the next one is %s", next[0].Format(time.RFC3339))
	}
}

func (e *occurrenceEdit) leaveOut() error {
	if !e.passed {
		return e.set(time.Time{})
	}
	// The ticker does not come by any more: it is told now.
	e.skips = []job.Skip{{
		JobID: e.job.ID, InstanceID: e.job.InstanceID, Reason: job.SkipByCaller, First: e.slot, Last: e.slot, Count: 1,
		Apart: true, Alone: true,
	}}
	e.unset()
	return nil
}

// lastTime bounds what an occurrence can be moved to, as it bounds slots.
var lastTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func (e *occurrenceEdit) move(to time.Time) error {
	switch {
	case !to.After(e.now) || !to.Before(lastTime):
		return job.Invalid("moveTo", task.ReasonOutOfRange, "must be in the future, before 2200")
	case to.Equal(e.slot):
		e.unset()
		return nil
	default:
		return e.set(to)
	}
}

func (e *occurrenceEdit) restore() error {
	if e.passed {
		return &job.PreconditionError{
			Reason: "SLOT_PASSED", Message: "The occurrence's own time is over; move it to another time, or skip it.",
		}
	}
	e.unset()
	return nil
}

// set stores a change: a new time, or none to leave the occurrence out.
func (e *occurrenceEdit) set(to time.Time) error {
	if !e.changed && len(e.job.Changes) >= job.MaxChanges {
		return &job.ExhaustedError{Reason: job.SkipQuota, Message: fmt.Sprintf("A job has at most %d changed occurrences; restore some first.", job.MaxChanges)}
	}
	e.unset()
	e.job.Changes = append(e.job.Changes, job.OccurrenceChange{JobID: e.job.ID, Slot: e.slot, MoveTo: to})
	slices.SortFunc(e.job.Changes, func(a, b job.OccurrenceChange) int { return a.Slot.Compare(b.Slot) })
	e.visit()
	return nil
}

// unset takes the change back.
func (e *occurrenceEdit) unset() {
	e.job.Changes = slices.DeleteFunc(e.job.Changes, func(c job.OccurrenceChange) bool { return c.Slot.Equal(e.slot) })
	e.visit()
}

// visit moves the next run of a job that has one. What is due until now and
// not told begins with the old one; later there may be anything.
func (e *occurrenceEdit) visit() {
	e.plan.Changes = e.job.Changes
	if e.job.NextRun.IsZero() {
		return
	}
	from := e.now.Add(1)
	if e.job.NextRun.Before(from) {
		from = e.job.NextRun
	}
	e.job.NextRun = e.plan.Next(from)
}
