package jobs

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// start gives a job the state that its definition asks for from now on.
func start(j *job.Job, now time.Time) error {
	times, err := compile(*j)
	if err != nil {
		return err
	}
	j.NextRun, j.PausedAt = time.Time{}, time.Time{}
	if !j.Active {
		j.PausedAt = now
	}
	if j.Active && !exhausted(*j) {
		j.NextRun = occurrence.Plan{Times: times, Changes: j.Changes}.Next(now.Add(1))
	}
	j.Schedule.Since = time.Time{}
	if len(j.Schedule.ExcludedDates) > 0 {
		j.Schedule.Since = now
	}
	return nil
}

// settle moves the state of a job whose definition changed from old to j, and
// tells which slots of the old one are left behind.
func settle(old job.Job, j *job.Job, now time.Time) ([]job.Skip, error) {
	moved, revived := !sameTimes(old.Schedule, j.Schedule), recount(old, j)
	if !moved && !revived && old.Active == j.Active {
		return nil, nil
	}
	activated := j.Active && !old.Active
	if activated || old.Schedule.Type != j.Schedule.Type || old.Schedule.IntervalMinutes != j.Schedule.IntervalMinutes {
		j.Schedule.Anchor = now.Truncate(time.Second)
	}
	reason := job.SkipMissed
	switch {
	case moved:
		reason = job.SkipSuperseded
	case !j.Active && jitters(old, now):
		reason = job.SkipPaused
	}
	skips, rest := left(old, reason, now)
	dropped, err := retain(j, rest, moved, now)
	if err != nil {
		return nil, err
	}
	// For a job that stays paused, the pause counts from now on by the new
	// schedule: what the old one had is told.
	return append(skips, dropped...), start(j, now)
}

// jitters tells whether all that is overdue of a job is one slot that was to
// start later by jitter.
func jitters(j job.Job, now time.Time) bool {
	if !j.Active || j.Schedule.Jitter == 0 || j.NextRun.IsZero() {
		return false
	}
	times, err := compile(j)
	if err != nil {
		return false
	}
	overdue, ok := times.Between(j.NextRun.Add(-1), now)
	return ok && overdue.Count == 1 && times.FireAt(overdue.First).After(now)
}

// retain keeps the changes of occurrences that the job still has. With another
// schedule, an occurrence that was moved over now belongs to the old one.
func retain(j *job.Job, changes []job.OccurrenceChange, moved bool, now time.Time) (dropped []job.Skip, err error) {
	times, err := compile(*j)
	if err != nil {
		return nil, err
	}
	plan := occurrence.Plan{Times: times}
	j.Changes = nil
	for _, c := range changes {
		switch passed := !c.Slot.After(now); {
		case passed && moved:
			dropped = append(dropped, job.Skip{
				JobID: j.ID, InstanceID: j.InstanceID, Reason: job.SkipSuperseded, First: c.Slot, Last: c.Slot, Count: 1,
				Apart: true, Alone: true,
			})
		case passed, plan.IsSlot(c.Slot):
			j.Changes = append(j.Changes, c)
		}
	}
	return dropped, nil
}

// left folds the slots up to now of which nothing has been told: those of a
// pause, or else, with the reason given, those that were overdue, and those
// that excluded dates took away. rest are the changes that are still needed.
func left(old job.Job, reason string, now time.Time) (skips []job.Skip, rest []job.OccurrenceChange) {
	after, paused := old.PausedAt, !old.Active
	if !paused {
		after = old.NextRun.Add(-1)
	}
	if paused || old.Hold.Covers(old.NextRun) {
		reason = job.SkipPaused
	}
	times, err := compile(old)
	overdue := paused || !old.NextRun.IsZero() && !old.NextRun.After(now)
	plan := occurrence.Plan{Times: times, Changes: old.Changes}
	rest = old.Changes
	switch {
	case exhausted(old):
		return nil, rest
	case err != nil && overdue && !paused: // damaged in the store: the one slot is all we know
		skips = []job.Skip{{Reason: reason, First: old.NextRun, Last: old.NextRun, Count: 1}}
	case err != nil:
		return nil, rest
	case overdue:
		skips, rest = plan.Passed(reason, after, now)
	}
	if err == nil {
		skips = append(skips, excluded(old, times, now)...)
		plan.InOrder(skips)
	}
	for i := range skips {
		skips[i].JobID, skips[i].InstanceID = old.ID, old.InstanceID
	}
	return skips, rest
}

// stopped tells whether a job does not run, by itself or with its instance,
// and up to when its slots are told then.
func stopped(j job.Job, now time.Time) (told time.Time, paused bool) {
	if !j.Active {
		return j.PausedAt, true
	}
	return j.NextRun.Add(-1), !j.Hold.Over(now) || j.Hold.Covers(j.NextRun)
}

// excluded tells the slots that excluded dates took away and that are not told
// yet.
func excluded(j job.Job, times *schedule.Schedule, now time.Time) (skips []job.Skip) {
	if j.Schedule.Since.IsZero() {
		return nil
	}
	for _, run := range times.ExcludedRuns(j.Schedule.Since, now) {
		skips = append(skips, job.Skip{Reason: job.SkipExcluded, First: run.First, Last: run.Last, Count: run.Count})
	}
	return skips
}
