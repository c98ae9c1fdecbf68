package doctor

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
)

// ledgers looks at the ledgers of a page of jobs, and answers the last job, 0
// when there are no more.
func (r *Report) ledgers(ctx context.Context, s store.Inspection, o Options, page store.Page) (last int64, err error) {
	jobs, err := s.AllJobs(ctx, page)
	if err != nil {
		return 0, err
	}
	told, err := s.Told(ctx, idsOf(jobs), r.Since, r.CheckedAt.Add(ahead))
	if err != nil {
		return 0, err
	}
	for _, j := range jobs {
		r.Jobs++
		last = j.ID
		found, err := examine(ctx, s, j, r.Since, r.CheckedAt, told[j.ID])
		if err != nil {
			return 0, fmt.Errorf("read the ledger of job %d: %w", j.ID, err)
		}
		for _, f := range found {
			if r.Count(f.kind) >= o.Limit || f.kind == Doubled && r.told(j.ID, f.first) {
				continue
			}
			r.add(f.kind, j.InstanceID, j.ID, f.execution, f.first, "%s", f.text)
			if f.last.After(f.first) {
				r.Violations[len(r.Violations)-1].Until = f.last
			}
		}
	}
	if len(jobs) < page.Limit {
		return 0, nil
	}
	return last, nil
}

func idsOf(jobs []job.Job) []int64 {
	ids := make([]int64, len(jobs))
	for i, j := range jobs {
		ids[i] = j.ID
	}
	return ids
}

// told tells whether an instant is known to be doubled already, by its second
// execution.
func (r *Report) told(jobID int64, at time.Time) bool {
	return slices.ContainsFunc(r.Violations, func(v Violation) bool {
		return v.Kind == Doubled && v.Job == job.KindJob.Format(jobID) && v.From.Equal(at)
	})
}

// finding is something wrong with a ledger.
type finding struct {
	kind        Kind
	first, last time.Time
	execution   int64
	text        string
}

// ahead is how far beyond now a ledger is read: what was told before its time.
const ahead = time.Hour

// examine looks at the ledger of a job since a time. What seems wrong must seem
// so twice. Most jobs have no ledger (told), which is not read then: that nothing
// was told is as wrong as that too little was.
func examine(ctx context.Context, s store.Inspection, j job.Job, since, now time.Time, told bool) ([]finding, error) {
	found, err := examineOnce(ctx, s, j, since, now, told)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	again, err := examineOnce(ctx, s, j, since, now, true)
	return slices.DeleteFunc(found, func(f finding) bool { return !slices.Contains(again, f) }), err
}

func examineOnce(ctx context.Context, s store.Inspection, j job.Job, since, now time.Time, told bool) ([]finding, error) {
	if !j.Active || j.Schedule.Type == job.Manual {
		return nil, nil // what a pause takes away is told at its end
	}
	l := ledger{from: latest(since, j.UpdatedAt, j.CreatedAt), now: now, told: map[int64]int{}, waits: map[int64]bool{}}
	var err error
	if l.times, err = schedule.Compile(j.Schedule, j.ID); err != nil {
		return nil, nil // damaged: the job has stopped, and the ledger says so
	}
	if told {
		if err := l.read(ctx, s, j.ID); err != nil {
			return nil, err
		}
	}
	l.bound(j)
	found := l.check()
	for _, apart := range l.unfolded() {
		parted, err := s.TakenUp(ctx, j.ID, apart.since, apart.until, executionsOfJob)
		if err != nil {
			return nil, err
		}
		if !parted {
			found = append(found, apart.finding)
		}
	}
	return found, nil
}

// read reads what tells the instants.
func (l *ledger) read(ctx context.Context, s store.Inspection, jobID int64) error {
	changes, err := s.OccurrenceChanges(ctx, jobID)
	if err != nil {
		return err
	}
	for _, c := range changes {
		l.waits[c.Slot.UnixMicro()] = !c.Done // what was moved to before its time is told already
	}
	if l.runs, err = s.Runs(ctx, jobID, l.from, l.now.Add(ahead)); err != nil {
		return err
	}
	l.rows, err = s.SkipsBetween(ctx, jobID, l.from, l.now.Add(ahead), math.MaxInt32)
	return err
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// executionsOfJob is how many of a job's newest executions are looked at for one
// that parts two rows: those of four days of a minute job.
const executionsOfJob = 6000

// ledger is what tells the due instants of a job in (from, upTo].
type ledger struct {
	times           *schedule.Schedule
	from, upTo, now time.Time
	runs            []store.Run
	// rows are the skips that touch the range.
	rows []job.Skip
	// told counts what tells one instant alone, in microseconds.
	told map[int64]int
	// waits are the instants that callers moved or left out, and that are not
	// told yet.
	waits map[int64]bool
}

// bound finds up to when everything must be told: before the ticker's next
// visit, and nothing of the future.
func (l *ledger) bound(j job.Job) {
	l.upTo = l.now
	switch {
	case j.Policies.MaxExecutions > 0 && j.Started >= j.Policies.MaxExecutions:
		l.upTo = l.lastRun() // beyond the last execution nothing is due
	case !j.NextRun.IsZero() && !j.NextRun.After(l.now):
		l.upTo = j.NextRun.Add(-1)
	}
}

func (l *ledger) lastRun() time.Time {
	if len(l.runs) == 0 {
		return l.from
	}
	return l.runs[len(l.runs)-1].ScheduledFor
}

// instant is one due instant.
type instant struct {
	at time.Time
	// alone is how many things tell it alone; covered is whether a row that tells
	// several does.
	alone   int
	covered bool
}

func (l *ledger) check() (found []finding) {
	for _, run := range l.runs {
		l.told[run.ScheduledFor.UnixMicro()]++
	}
	until := l.upTo
	var several []*several
	for _, row := range l.rows {
		if row.Reason == job.SkipExcluded {
			continue // no instants of the schedule
		}
		until = latest(until, row.Last)
		l.told[row.First.UnixMicro()]++
		if row.First.Before(row.Last) {
			l.told[row.Last.UnixMicro()]++
			several = append(several, newSeveral(row, l.from))
		}
	}
	instants := l.instants(until)
	l.cover(instants, several)
	for _, row := range several {
		if row.left > 0 && !row.older {
			text := fmt.Sprintf("a row with the reason %s tells %d instants, of which others tell %d too", row.Reason, row.Count, row.left)
			found = append(found, finding{Doubled, row.First, row.Last, 0, text})
		}
	}
	return append(found, l.untold(instants)...)
}

// instants are the due instants in (from, until].
func (l *ledger) instants(until time.Time) (all []instant) {
	for at, ok := l.times.Next(l.from); ok && !at.After(until); at, ok = l.times.Next(at) {
		all = append(all, instant{at: at, alone: l.told[at.UnixMicro()]})
	}
	return all
}

// several is a row that tells more than one instant: its first, its last, and
// left of those in between.
type several struct {
	job.Skip
	left int64
	// older says that it began before what is looked at: how many of its
	// instants are not is unknown.
	older bool
}

func newSeveral(row job.Skip, from time.Time) *several {
	s := &several{Skip: row, left: row.Count - 2, older: !row.First.After(from)}
	if s.older {
		s.left = math.MaxInt64
	}
	return s
}

// cover gives each instant that nothing tells alone to a row around it. Rows
// of earlier versions may overlap, where occurrences were moved; the one that ends
// first is the right one to take, unless that is an older one.
func (l *ledger) cover(instants []instant, rows []*several) {
	slices.SortStableFunc(rows, func(a, b *several) int {
		if a.older != b.older {
			return map[bool]int{false: -1, true: 1}[a.older]
		}
		return a.Last.Compare(b.Last)
	})
	for i := range instants {
		one := &instants[i]
		if one.alone > 0 || l.waits[one.at.UnixMicro()] {
			continue
		}
		for _, row := range rows {
			if row.left > 0 && row.First.Before(one.at) && row.Last.After(one.at) {
				row.left--
				one.covered = true
				break
			}
		}
	}
}

// untold finds the instants that are told by nothing, folded, and those that
// are told twice.
func (l *ledger) untold(instants []instant) (found []finding) {
	open := false
	count := 0
	for _, one := range instants {
		if one.alone > 1 {
			found = append(found, finding{Doubled, one.at, one.at, l.runOf(one.at), fmt.Sprintf("is told by %d rows or executions", one.alone)})
		}
		missing := one.alone == 0 && !one.covered && !l.waits[one.at.UnixMicro()] && !one.at.After(l.upTo)
		switch {
		case !missing:
			open = false
		case open:
			count++
			last := &found[len(found)-1]
			last.last, last.text = one.at, fmt.Sprintf("%d instants in a row are told by nothing", count)
		default:
			open, count = true, 1
			found = append(found, finding{Missing, one.at, one.at, 0, "is told by no execution and no row of the ledger"})
		}
	}
	return found
}

// runOf is an execution of an instant, 0 for none.
func (l *ledger) runOf(at time.Time) int64 {
	for _, run := range l.runs {
		if run.ScheduledFor.Equal(at) {
			return run.ExecutionID
		}
	}
	return 0
}

// apart are two rows that should be one, unless an execution was taken up
// between them, which parts them.
type apart struct {
	finding
	since, until time.Time
}

// unfolded finds rows that the row before should hold: with its reason and its
// blocker, and no instant between them. An occurrence that was moved has a row of
// its own, so one that tells a single instant counts only among others of the kind.
func (l *ledger) unfolded() (found []apart) {
	slices.SortFunc(l.rows, func(a, b job.Skip) int { return cmp.Compare(a.ID, b.ID) })
	single := func(i int) bool { return i >= 0 && i < len(l.rows) && l.rows[i].Count == 1 }
	for i := 1; i < len(l.rows); i++ {
		a, b := l.rows[i-1], l.rows[i]
		moved := (single(i-1) || single(i)) && !(single(i-1) && single(i) && (single(i-2) || single(i+1)))
		if moved || a.Reason != b.Reason || a.BlockedBy != b.BlockedBy || a.Reason == job.SkipExcluded || !a.First.After(l.from) {
			continue
		}
		if next, ok := l.times.Next(a.Last); !ok || !next.Equal(b.First) {
			continue
		}
		until := l.now
		if next, ok := l.times.Next(b.Last); ok && next.Before(until) {
			until = next
		}
		text := fmt.Sprintf("two rows with the reason %s should be one", a.Reason)
		found = append(found, apart{finding{Unfolded, a.First, b.Last, 0, text}, a.Last, until})
	}
	return found
}
