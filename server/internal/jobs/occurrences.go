package jobs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/task"
)

// The defaults of a list of occurrences.
const (
	defaultPast   = 24 * time.Hour
	defaultFuture = 10
)

// Outcome is what became of a due instant.
type Outcome string

// The outcomes.
const (
	Pending Outcome = "PENDING"
	Started Outcome = "STARTED"
	Skipped Outcome = "SKIPPED"
)

// Occurrence is a due instant of a job, or a folded range of them.
type Occurrence struct {
	// ScheduledFor is the first instant of a range.
	ScheduledFor time.Time
	Outcome      Outcome
	// Reason is why it was skipped, or is pending although it is due.
	Reason string
	// ExecutionID is what it started or what blocked it, 0 for none.
	ExecutionID int64
	// Until is the last instant of a range, zero for a single one.
	Until time.Time
	Count int64
	// MovedTo is when it starts instead, zero unless it was moved.
	MovedTo time.Time
}

// due is when it starts, or would have.
func (o Occurrence) due() time.Time {
	if o.MovedTo.IsZero() {
		return o.ScheduledFor
	}
	return o.MovedTo
}

// Window is a part of a job's occurrences. The window of a first page says
// From and To or leaves them zero; that of a further page is the one that the
// page before answered.
type Window struct {
	// From is inclusive, To exclusive.
	From time.Time `json:"f"`
	To   time.Time `json:"t"`
	// After is the last instant that was answered, and Seen how many rows with
	// that instant were.
	After time.Time `json:"a,omitzero"`
	Seen  int       `json:"s,omitempty"`
}

// Occurrences tells what became of a job's due instants and which come next,
// oldest first, at most limit. more continues the list; nil when it has ended.
func (s *Service) Occurrences(ctx context.Context, id int64, w Window, limit int) (list []Occurrence, more *Window, err error) {
	err = s.store.Snapshot(ctx, func(ctx context.Context) error {
		list, more, err = s.occurrences(ctx, id, w, limit)
		return err
	})
	return list, more, err
}

func (s *Service) occurrences(ctx context.Context, id int64, w Window, limit int) (list []Occurrence, more *Window, err error) {
	j, err := s.load(ctx, id, auth.Read)
	if err != nil {
		return nil, nil, err
	}
	if j.Changes, err = s.store.OccurrenceChanges(ctx, id); err != nil {
		return nil, nil, fmt.Errorf("read the changed occurrences of job %d: %w", id, err)
	}
	now := s.now()
	o, err := look(j, now)
	if err != nil {
		return nil, nil, fmt.Errorf("read the schedule of job %d: %w", id, err)
	}
	if err := w.complete(o, now, defaultFuture); err != nil {
		return nil, nil, err
	}
	// One more row than asked for tells whether there are more; and rows of
	// the last page may come again.
	n := limit + w.Seen + 2
	told, err := s.told(ctx, j, w, n)
	if err != nil {
		return nil, nil, err
	}
	told = append(told, o.rows(w, told, n)...)
	slices.SortStableFunc(told, func(a, b Occurrence) int { return a.ScheduledFor.Compare(b.ScheduledFor) })
	told = w.rest(told)
	if len(told) <= limit {
		return told, nil, nil
	}
	return told[:limit], w.behind(told[:limit]), nil
}

// complete fills in the defaults of a first page, which ends with some
// occurrences to come.
func (w *Window) complete(o *outlook, now time.Time, future int) error {
	if w.From.IsZero() {
		w.From = now.Add(-defaultPast)
	}
	if w.To.IsZero() {
		w.To = later(now, w.From).Add(time.Microsecond)
		if next := o.following(later(now, w.From.Add(-1)), future); len(next) > 0 {
			w.To = next[len(next)-1].Add(time.Microsecond)
		}
	}
	if !w.From.Before(w.To) {
		return job.Invalid("to", task.ReasonOutOfRange, "must be later than from, which is %s", w.From.UTC().Format(time.RFC3339))
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// start is where a page begins to read.
func (w *Window) start() time.Time { return later(w.From, w.After) }

// rest drops the rows that earlier pages have answered.
func (w *Window) rest(list []Occurrence) []Occurrence {
	if w.After.IsZero() {
		return list
	}
	seen := 0
	return slices.DeleteFunc(list, func(o Occurrence) bool {
		if o.ScheduledFor.Equal(w.After) && seen < w.Seen {
			seen++
			return true
		}
		return o.ScheduledFor.Before(w.After)
	})
}

// behind is the window that follows a page.
func (w *Window) behind(page []Occurrence) *Window {
	next := *w
	last := page[len(page)-1].ScheduledFor
	if !last.Equal(w.After) {
		next.Seen = 0
	}
	next.After = last
	for _, o := range page {
		if o.ScheduledFor.Equal(last) {
			next.Seen++
		}
	}
	return &next
}

// told lists what is recorded: executions and skips.
func (s *Service) told(ctx context.Context, j job.Job, w Window, limit int) ([]Occurrence, error) {
	var list []Occurrence
	executions, err := s.store.ScheduledBetween(ctx, j.ID, w.start(), w.To, limit)
	if err != nil {
		return nil, fmt.Errorf("read the executions of job %d: %w", j.ID, err)
	}
	for _, e := range executions {
		list = append(list, Occurrence{ScheduledFor: e.ScheduledFor, Outcome: Started, ExecutionID: e.ID, Count: 1})
	}
	skips, err := s.store.SkipsBetween(ctx, j.ID, w.start(), w.To, limit)
	if err != nil {
		return nil, fmt.Errorf("read the skips of job %d: %w", j.ID, err)
	}
	for _, skip := range skips {
		list = append(list, occurrenceOf(skip))
	}
	return list, nil
}

func occurrenceOf(skip job.Skip) Occurrence {
	o := Occurrence{ScheduledFor: skip.First, Outcome: Skipped, Reason: skip.Reason, ExecutionID: skip.BlockedBy, Count: skip.Count}
	if skip.Count > 1 {
		o.Until = skip.Last
	}
	return o
}
