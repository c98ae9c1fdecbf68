package jobs

import (
	"fmt"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// wording puts rows into sentences, each with its time before a colon.
type wording struct {
	times *schedule.Schedule
	now   time.Time
}

// execution tells how an execution came about and what became of it.
func (w wording) execution(e job.Execution) string {
	id := job.KindExecution.Format(e.ID)
	origin := ""
	switch e.Trigger {
	case job.TriggerManual:
		origin = "run by hand, "
	case job.TriggerBackfill:
		origin = "run again by " + e.TriggerID + ", "
	}
	return clock(e.ScheduledFor) + ": " + origin + w.start(e, id) + w.end(e) + "."
}

// start tells when an execution started, or that it has not.
func (w wording) start(e job.Execution, id string) string {
	retried := e.Attempt > 1 || e.Attempt == 1 && e.State == job.StateQueued && e.Error != nil
	switch {
	case e.State == job.StateQueued && e.WaitingFor != 0:
		return id + " waits for " + holder(e.WaitingFor) + ", which works on a folder of its remotes"
	case e.State == job.StateQueued && retried:
		return fmt.Sprintf("%s failed in attempt %d (%s) and waits for the next one", id, e.Attempt, failure(e.Error)) + w.place(e)
	case e.State == job.StateQueued && e.ScheduledFor.After(w.now):
		return "is next, as " + id
	case e.State == job.StateQueued:
		return "waits to start as " + id + w.place(e)
	case e.StartedAt.IsZero():
		return id + " never started"
	case e.Attempt > 1:
		return fmt.Sprintf("%s started its attempt %d %s late", id, e.Attempt, span(e.StartedAt.Sub(e.ScheduledFor)))
	case e.Trigger == job.TriggerBackfill:
		return "started at " + clock(e.StartedAt) + " as " + id
	}
	return w.lateness(e) + " as " + id
}

// place tells when an execution that only waits for its time may start, or that it
// has no place.
func (w wording) place(e job.Execution) string {
	switch {
	case job.WantsPlace(e.ReadyAt, w.now):
		return ", for " + span(w.now.Sub(e.ReadyAt)) + " because no place is free"
	case e.ReadyAt.After(w.now):
		return w.away(e.ReadyAt)
	}
	return ""
}

// lateness tells how long after its time an execution started, and how much of
// that was meant.
func (w wording) lateness(e job.Execution) string {
	due, meant := e.ScheduledFor, ""
	if at := w.times.FireAt(due); e.Trigger == job.TriggerSchedule && at.After(due) && !e.StartedAt.Before(at) {
		meant = "with " + span(at.Sub(due)) + " of jitter and "
		due = at
	}
	if taken := e.CreatedAt.Sub(due); e.Trigger == job.TriggerSchedule && taken > policy.Grace {
		// Nothing ran at its time, or it was moved.
		return "taken up " + span(taken) + " after its time, started " + span(e.StartedAt.Sub(e.CreatedAt)) + " later"
	}
	late := e.StartedAt.Sub(due)
	if e.StartedAt.Before(e.ScheduledFor) {
		return "started " + span(-late) + " before its time" // it was moved
	}
	return "started " + meant + span(late) + " late"
}

// end tells what became of an execution after its start.
func (w wording) end(e job.Execution) string {
	took := ""
	if !e.StartedAt.IsZero() && !e.FinishedAt.IsZero() {
		took = " after " + span(e.FinishedAt.Sub(e.StartedAt))
	}
	why := ""
	if e.Error != nil {
		why = ": " + failure(e.Error)
	}
	switch e.State {
	case job.StateQueued:
		return ""
	case job.StateRunning:
		return ", has been running for " + span(w.now.Sub(e.StartedAt))
	case job.StateAwaitingApproval:
		return ", waits for approval"
	case job.StateCancelling:
		return ", was asked to end and has not let go yet" + why
	case job.StateSucceeded:
		return ", succeeded" + took
	case job.StatePartiallySucceeded:
		return ", succeeded in part" + took + why
	case job.StateCancelled:
		return ", was cancelled" + took + why
	case job.StateWorkerLost:
		return ", was lost with the server that ran it" + took + why
	default:
		return ", failed" + took + why
	}
}

// failure is a reason on one line, without the full stop of its message.
func failure(f *job.Failure) string {
	if f == nil {
		return "for an unknown reason"
	}
	message := strings.TrimSuffix(strings.Join(strings.Fields(f.Message), " "), ".")
	if message == "" {
		return f.Reason
	}
	return f.Reason + ", " + message
}

// skip tells why occurrences did not start.
func (w wording) skip(s job.Skip) string {
	blocker := "an earlier execution"
	if s.BlockedBy != 0 {
		blocker = job.KindExecution.Format(s.BlockedBy)
	}
	switch s.Reason {
	case job.SkipOverlap:
		return occurrences(s, "skipped, because "+blocker+" had not ended")
	case job.SkipRemoteBusy:
		return occurrences(s, "skipped, because "+holder(s.BlockedBy)+" worked on a folder of its remotes, or waited to")
	case job.SkipQuota:
		if s.BlockedBy == 0 {
			return occurrences(s, "skipped, because the instance had used up its executions of the hour")
		}
		return occurrences(s, fmt.Sprintf("skipped, because %d executions of the job waited already", job.MaxBuffered))
	case job.SkipMissed:
		return occurrences(s, "missed, because nothing ran at that time or no place was free, and not made up")
	case job.SkipPaused:
		return occurrences(s, "skipped, because the job was paused")
	case job.SkipSuperseded:
		return occurrences(s, "overtaken by a change of the schedule")
	case job.SkipExcluded:
		return occurrences(s, "left out, as the job's excluded dates say")
	case job.SkipByCaller:
		return occurrences(s, "left out by a caller")
	case policy.SkipInvalid:
		return occurrences(s, "skipped, because the stored schedule is damaged, and the job has stopped")
	default:
		return occurrences(s, "skipped: "+s.Reason)
	}
}

// holder names an execution that works on the job's folders.
func holder(id int64) string {
	if id <= 0 {
		return "an execution of another instance"
	}
	return job.KindExecution.Format(id)
}

// occurrences says the same of one or of many.
func occurrences(s job.Skip, what string) string {
	if s.Count == 1 {
		return clock(s.First) + ": " + what + "."
	}
	return fmt.Sprintf("%s: %d occurrences from then to %s were %s.", clock(s.First), s.Count, clock(s.Last), what)
}

// toCome tells what will become of an occurrence, or of those in a pause.
func (w wording) toCome(o Occurrence) string {
	at := clock(o.ScheduledFor) + ": "
	switch {
	case o.Outcome == Skipped && o.Reason == job.SkipByCaller:
		return at + "will be left out, as a caller wants it."
	case o.Outcome == Skipped && o.Reason == job.SkipExcluded && o.Count == 1:
		return at + "left out, as the job's excluded dates say."
	case o.Outcome == Skipped && o.Reason == job.SkipExcluded:
		return fmt.Sprintf("%s%d occurrences from then to %s were left out, as the job's excluded dates say.", at, o.Count, clock(o.Until))
	case o.Outcome == Skipped && o.Count == 1:
		return at + "does not run, because the job is paused."
	case o.Outcome == Skipped:
		return fmt.Sprintf("%s%d occurrences from then to %s do not run, because the job is paused.", at, o.Count, clock(o.Until))
	case o.Reason == job.WaitNoPlace:
		return at + "has been due for " + span(w.now.Sub(o.due())) + " and has not started, because no place is free."
	case !o.MovedTo.IsZero():
		return at + "moved by a caller; it is due at " + clock(o.MovedTo) + w.away(o.MovedTo) + "."
	default:
		return at + "is due" + w.away(o.ScheduledFor) + "."
	}
}

func (w wording) away(at time.Time) string {
	if !at.After(w.now) {
		return " now"
	}
	return ", in " + span(at.Sub(w.now))
}

// clock is an instant in words, to the second: 2026-11-22 14:36 UTC.
func clock(t time.Time) string {
	t = t.UTC().Truncate(time.Second)
	if t.Second() == 0 {
		return t.Format("2006-01-02 15:04 UTC")
	}
	return t.Format("2006-01-02 15:04:05 UTC")
}

// span is a duration in words, to two figures or two units: 0.7 ms, 1.5 s, 2 h
// 5 min.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	units := func(big time.Duration, bigName string, small time.Duration, smallName string) string {
		d := d.Round(small)
		text := fmt.Sprintf("%d %s", d/big, bigName)
		if rest := d % big / small; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, smallName)
		}
		return text
	}
	fraction := func(unit time.Duration, name string) string {
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()/unit.Seconds()), ".0") + " " + name
	}
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < 9950*time.Microsecond:
		return fraction(time.Millisecond, "ms")
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond)/time.Millisecond)
	case d < 59950*time.Millisecond:
		return fraction(time.Second, "s")
	case d < time.Hour-time.Second/2:
		return units(time.Minute, "min", time.Second, "s")
	case d < day-time.Minute/2:
		return units(time.Hour, "h", time.Minute, "min")
	default:
		return units(day, "d", time.Hour, "h")
	}
}
