package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

const (
	// maxExplained is how much one explanation tells at most.
	maxExplained = 1000
	// explainedFuture is how many occurrences to come are told unless the
	// caller says until when.
	explainedFuture = 3
)

// Explanation is what happened to a job and why, in words.
type Explanation struct {
	// Summary is the job's state and schedule, and which of its remotes need
	// new credentials.
	Summary string
	// Events are in the order of their times.
	Events []Event
}

// Event is what happened, or will, at one time or in a folded range.
type Event struct {
	// ScheduledFor is when it was due, or the first of a range.
	ScheduledFor time.Time
	// Text is one sentence.
	Text string
	// ExecutionID is what it is about, 0 for none.
	ExecutionID int64
}

// Explain tells what happened to a job in [from, to), which of its occurrences
// are to come, and why. A zero from is 24 hours ago; a zero to is after the next
// occurrences.
func (s *Service) Explain(ctx context.Context, id int64, from, to time.Time) (e Explanation, err error) {
	err = s.store.Snapshot(ctx, func(ctx context.Context) error {
		e, err = s.explanation(ctx, id, from, to)
		return err
	})
	return e, err
}

func (s *Service) explanation(ctx context.Context, id int64, from, to time.Time) (Explanation, error) {
	j, err := s.load(ctx, id, auth.Read)
	if err != nil {
		return Explanation{}, err
	}
	if j.Changes, err = s.store.OccurrenceChanges(ctx, id); err != nil {
		return Explanation{}, fmt.Errorf("read the changed occurrences of job %d: %w", id, err)
	}
	now := s.now()
	o, err := look(j, now)
	if err != nil {
		return Explanation{}, fmt.Errorf("read the schedule of job %d: %w", id, err)
	}
	w := Window{From: job.Time(from), To: job.Time(to)}
	if err := w.complete(o, now, explainedFuture); err != nil {
		return Explanation{}, err
	}
	executions, err := s.store.ExecutionsBetween(ctx, id, w.From, w.To, maxExplained+1)
	if err != nil {
		return Explanation{}, fmt.Errorf("read the executions of job %d: %w", id, err)
	}
	skips, err := s.store.SkipsBetween(ctx, id, w.From, w.To, maxExplained+1)
	if err != nil {
		return Explanation{}, fmt.Errorf("read the skips of job %d: %w", id, err)
	}
	credentials, err := s.credentials(ctx, j, later(w.To, now.Add(job.ExpiringWithin)), now)
	if err != nil {
		return Explanation{}, err
	}
	e := explain(shown(j, now), o, w, executions, skips, now)
	e.Summary += credentials
	return e, nil
}

// explain puts what was read into words.
func explain(j job.Job, o *outlook, w Window, executions []job.Execution, skips []job.Skip, now time.Time) Explanation {
	e := Explanation{Summary: summary(j, o, now)}
	words := wording{times: o.plan.Times, now: now}
	var told []Occurrence
	for _, x := range executions {
		e.Events = append(e.Events, Event{x.ScheduledFor, words.execution(x), x.ID})
		if x.Trigger == job.TriggerSchedule {
			told = append(told, Occurrence{ScheduledFor: x.ScheduledFor, Outcome: Started})
		}
	}
	for _, skip := range skips {
		e.Events = append(e.Events, Event{skip.First, words.skip(skip), skip.BlockedBy})
	}
	for _, row := range o.rows(w, told, maxExplained+1) {
		e.Events = append(e.Events, Event{row.ScheduledFor, words.toCome(row), 0})
	}
	slices.SortStableFunc(e.Events, func(a, b Event) int { return a.ScheduledFor.Compare(b.ScheduledFor) })
	if len(e.Events) > maxExplained {
		e.Events = e.Events[:maxExplained]
		e.Summary += fmt.Sprintf(" There is more than can be told at once: the last event told is of %s.", clock(e.Events[maxExplained-1].ScheduledFor))
	}
	return e
}

// summary is the state of a job, its schedule, and what it does when
// occurrences collide or are missed.
func summary(j job.Job, o *outlook, now time.Time) string {
	text := stateOf(j) + " " + scheduleWords(j, o.plan.Times, now)
	if j.Schedule.Type == job.Manual {
		return text
	}
	return text + " " + overlapWords[j.Policies.Overlap] + " " + catchUpWords(j.Policies)
}

func stateOf(j job.Job) string {
	switch {
	case j.Pause != nil:
		return pauseWords(*j.Pause)
	case !j.Active:
		return "Paused."
	case exhausted(j):
		return fmt.Sprintf("Exhausted: it has made the %d executions that it may make.", j.Policies.MaxExecutions)
	case j.NextRun.IsZero() && j.Schedule.Type != job.Manual:
		return "Exhausted: its schedule has no further time."
	default:
		return "Active."
	}
}

func pauseWords(p job.Pause) string {
	text := "Paused"
	if p.InstanceID != 0 {
		text = "Paused with " + job.KindInstance.Format(p.InstanceID)
	}
	if !p.Since.IsZero() {
		text += " since " + clock(p.Since)
	}
	if p.Actor != "" {
		text += " by " + p.Actor
	}
	switch {
	case p.Until.IsZero() && p.Reauth:
		text += ", until new credentials are stored or somebody resumes it"
	case p.Until.IsZero():
		text += ", until somebody resumes it"
	default:
		text += ", until " + clock(p.Until)
	}
	if p.Reason != "" {
		return text + `, for the reason "` + p.Reason + `".`
	}
	return text + "."
}

func scheduleWords(j job.Job, times *schedule.Schedule, now time.Time) string {
	text := "Runs " + times.Describe()
	if s := j.Schedule.Start; s.After(now) {
		text += ", from " + clock(s) + " on"
	}
	if e := j.Schedule.End; !e.IsZero() {
		text += ", until " + clock(e)
	}
	switch n := len(j.Schedule.ExcludedDates); n {
	case 0:
	case 1:
		text += ", but not on " + j.Schedule.ExcludedDates[0]
	default:
		text += fmt.Sprintf(", but not on %d dates or ranges of dates", n)
	}
	if j.Schedule.Jitter > 0 {
		text += ", up to " + span(j.Schedule.Jitter) + " later by jitter"
	}
	if !j.NextRun.IsZero() {
		text += "; next at " + clock(j.NextRun)
	}
	if n := j.Policies.MaxExecutions; n > 0 && !exhausted(j) {
		text += fmt.Sprintf("; %d of at most %d executions are made", j.Started, n)
	}
	return text + "."
}

var overlapWords = map[job.OverlapPolicy]string{
	job.OverlapSkip:        "While an execution has not ended, occurrences are skipped.",
	job.OverlapBufferOne:   "While an execution has not ended, one occurrence waits and further ones are skipped.",
	job.OverlapBufferAll:   fmt.Sprintf("While an execution has not ended, up to %d occurrences wait.", job.MaxBuffered),
	job.OverlapCancelOther: "An occurrence cancels an execution that has not ended, and then starts.",
	job.OverlapAllow:       "Executions may run side by side.",
}

func catchUpWords(p job.Policies) string {
	switch p.CatchUp {
	case job.CatchUpAll:
		return fmt.Sprintf("Of what was missed while nothing ran, up to %d occurrences of the last %s are made up.", job.MaxCatchUp, span(p.CatchUpWindow))
	case job.CatchUpNone:
		return "What was missed while nothing ran is not made up."
	default:
		return fmt.Sprintf("Of what was missed while nothing ran, the newest occurrence of the last %s is made up.", span(p.CatchUpWindow))
	}
}
