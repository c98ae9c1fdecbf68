// Package doctor looks for broken promises of the engine in a live database:
// what no test can prove of the next night in production.
//
// Rules:
//   - It reads only, takes no lock, and what it reads is bounded: by how many
//     jobs and executions it looks at and how far back.
//   - What it finds is wrong whatever the load, or says how long it may take to
//     be right: a backlog alone is not a violation until it is old.
//   - A ledger is judged from the last change of its job's definition on, since
//     earlier definitions are not kept, and what seems wrong is looked at once
//     more: the database goes on while it is read.
package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Kind is a promise that can be broken.
type Kind string

// The kinds of violations.
const (
	// Overdue: the ticker did not come by a job.
	Overdue Kind = "overdue"
	// Orphaned: an open execution belongs to a replica that is gone.
	Orphaned Kind = "orphaned"
	// Stuck: an open execution should be somewhere else since long.
	Stuck Kind = "stuck"
	// Doubled: a due instant is told more than once.
	Doubled Kind = "doubled"
	// Missing: a due instant is told by nothing.
	Missing Kind = "missing"
	// Unfolded: rows of the ledger that should be one.
	Unfolded Kind = "unfolded"
)

// Kinds lists all.
func Kinds() []Kind { return []Kind{Overdue, Orphaned, Stuck, Doubled, Missing, Unfolded} }

// Violation is one broken promise.
type Violation struct {
	Kind Kind `json:"kind"`
	// Instance, Job and Execution are identifiers, empty for none.
	Instance  string `json:"instance,omitempty"`
	Job       string `json:"job,omitempty"`
	Execution string `json:"execution,omitempty"`
	// From and Until are the due instants that it is about; Until is zero for one.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Text is for people.
	Text string `json:"text"`
}

// Report is what a look came to.
type Report struct {
	// CheckedAt is the database's time at the beginning.
	CheckedAt time.Time `json:"checkedAt"`
	// Jobs is how many ledgers were looked at, back to Since.
	Jobs  int       `json:"jobs"`
	Since time.Time `json:"since"`
	// Violations are at most Options.Limit of each kind.
	Violations []Violation `json:"violations"`
}

// Count is how many violations of a kind are told.
func (r Report) Count(kind Kind) (n int) {
	for _, v := range r.Violations {
		if v.Kind == kind {
			n++
		}
	}
	return n
}

// Options bound a look.
type Options struct {
	// Window is how far back ledgers are looked at, up to the retention.
	Window time.Duration
	// Jobs is how many of the newest jobs have their ledgers looked at; 0 is all.
	Jobs int
	// Executions is how many of the newest are looked at for doubles; 0 is all.
	Executions int
	// OverdueAfter is how late the ticker may be.
	OverdueAfter time.Duration
	// StuckAfter is how long an execution may be open without a reason.
	StuckAfter time.Duration
	// Limit is how many violations of a kind are told.
	Limit int
}

// DefaultOptions are those of `carillon doctor`.
func DefaultOptions() Options {
	return Options{Window: 24 * time.Hour, Jobs: 1000, Executions: 100_000, OverdueAfter: time.Minute, StuckAfter: time.Hour, Limit: 1000}
}

// all stands for no bound; it fits what both databases take.
const all = 1 << 53

// Check looks at everything once.
func Check(ctx context.Context, s store.Inspection, o Options) (Report, error) {
	now, err := s.DatabaseTime(ctx)
	if err != nil {
		return Report{}, err
	}
	r := Report{CheckedAt: now, Since: now.Add(-o.Window), Violations: []Violation{}}
	if err := r.state(ctx, s, o); err != nil {
		return Report{}, err
	}
	page := store.Page{Limit: 100}
	for o.Jobs == 0 || r.Jobs < o.Jobs {
		if o.Jobs > 0 {
			page.Limit = min(page.Limit, o.Jobs-r.Jobs)
		}
		if page.Before, err = r.ledgers(ctx, s, o, page); err != nil {
			return Report{}, err
		}
		if page.Before == 0 {
			break
		}
	}
	return r, nil
}

// state looks at what is due and open now.
func (r *Report) state(ctx context.Context, s store.Inspection, o Options) error {
	overdue, err := s.OverdueJobs(ctx, r.CheckedAt.Add(-o.OverdueAfter), o.Limit)
	if err != nil {
		return err
	}
	for _, d := range overdue {
		r.add(Overdue, d.InstanceID, d.JobID, 0, d.NextRun, "the ticker should have come by %s ago", r.since(d.NextRun))
	}
	orphans, err := s.Orphans(ctx, o.Limit)
	if err != nil {
		return err
	}
	for _, e := range orphans {
		r.add(Orphaned, e.InstanceID, e.JobID, e.ExecutionID, e.NotBefore, "is %s and belongs to replica %d, which is gone", e.State, e.Owner)
	}
	stuck, err := s.Stuck(ctx, r.CheckedAt.Add(-o.StuckAfter), o.Limit)
	if err != nil {
		return err
	}
	for _, e := range stuck {
		r.add(Stuck, e.InstanceID, e.JobID, e.ExecutionID, e.NotBefore, "%s", r.stuck(e))
	}
	newest := o.Executions
	if newest == 0 {
		newest = all
	}
	doubles, err := s.Doubles(ctx, newest, o.Limit)
	for _, d := range doubles {
		r.add(Doubled, d.InstanceID, d.JobID, d.ExecutionID, d.ScheduledFor, "is a second execution of the same occurrence")
	}
	return err
}

func (r *Report) stuck(e store.Open) string {
	switch {
	case !e.StartedAt.IsZero() && e.TimeLimit > 0:
		return fmt.Sprintf("has been running for %s, with a time limit of %s", r.since(e.StartedAt), e.TimeLimit)
	case e.State == job.StateAwaitingApproval:
		return fmt.Sprintf("waits for an approval that expired %s ago", r.since(e.NotBefore))
	case e.Owner == 0:
		return fmt.Sprintf("could have started %s ago, and no replica takes it", r.since(e.NotBefore))
	default:
		return fmt.Sprintf("should have started %s ago, and replica %d, which has it, does not start it", r.since(e.NotBefore), e.Owner)
	}
}

func (r *Report) since(t time.Time) time.Duration { return r.CheckedAt.Sub(t).Round(time.Second) }

func (r *Report) add(kind Kind, instance, jobID, execution int64, from time.Time, format string, args ...any) {
	v := Violation{Kind: kind, From: from, Text: fmt.Sprintf(format, args...)}
	for _, id := range []struct {
		of   job.Kind
		id   int64
		into *string
	}{{job.KindInstance, instance, &v.Instance}, {job.KindJob, jobID, &v.Job}, {job.KindExecution, execution, &v.Execution}} {
		if id.id != 0 {
			*id.into = id.of.Format(id.id)
		}
	}
	r.Violations = append(r.Violations, v)
}
