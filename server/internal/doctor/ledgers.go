package doctor

import (
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
	for _, j := range jobs {
		r.Jobs++
		last = j.ID
		found, err := examine(ctx, s, j, r.Since, r.CheckedAt)
		if err != nil {
			return 0, fmt.Errorf("read the ledger of job %d: %w", j.ID, err)
		}
		for _, f := range found {
			if r.Count(f.kind) >= o.Limit {
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

// finding is something wrong with a ledger.
type finding struct {
	kind        Kind
	first, last time.Time
	execution   int64
	text        string
}

// examine looks at the ledger of a job since a time. What seems wrong must seem
// so twice.
func examine(ctx context.Context, s store.Inspection, j job.Job, since, now time.Time) ([]finding, error) {
	found, err := examineOnce(ctx, s, j, since, now)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	again, err := examineOnce(ctx, s, j, since, now)
	return slices.DeleteFunc(found, func(f finding) bool { return !slices.Contains(again, f) }), err
}

func examineOnce(ctx context.Context, s store.Inspection, j job.Job, since, now time.Time) ([]finding, error) {
	if !j.Active || j.Schedule.Type == job.Manual {
		return nil, nil // what a pause takes away is told at its end
	}
	l := ledger{from: latest(since, j.UpdatedAt, j.CreatedAt), now: now, told: map[int64]int{}, waits: map[int64]bool{}}
	var err error
	if l.times, err = schedule.Compile(schedule.ForJob(j.Schedule, j.ID)); err != nil {
		return nil, nil // damaged: the job has stopped, and the ledger says so
	}
	changes, err := s.OccurrenceChanges(ctx, j.ID)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		l.waits[c.Slot.UnixMicro()] = true
	}
	if l.runs, l.backfilled, err = s.Runs(ctx, j.ID, l.from, now.Add(time.Hour)); err != nil {
		return nil, err
	}
	if l.rows, err = s.SkipsBetween(ctx, j.ID, l.from, now.Add(time.Hour), math.MaxInt32); err != nil {
		return nil, err
	}
	l.bound(j)
	return l.check(), nil
}

func latest(times ...time.Time) time.Time { return slices.MaxFunc(times, time.Time.Compare) }

// ledger is what tells the due instants of a job in (from, upTo].
type ledger struct {
	times           *schedule.Schedule
	from, upTo, now time.Time
	runs            []store.Run
	backfilled      bool
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
	case !j.HeldAt.IsZero():
		l.upTo = j.HeldAt
	case !j.NextRun.IsZero() && !j.NextRun.After(l.now):
		l.upTo = j.NextRun.Add(-1)
	case j.NextRun.IsZero() && j.Policies.MaxExecutions > 0:
		l.upTo = l.lastTold() // beyond the last execution nothing is due
	}
}

func (l *ledger) lastTold() time.Time {
	last := l.from
	for _, run := range l.runs {
		if run.Trigger == job.TriggerSchedule {
			last = latest(last, run.ScheduledFor)
		}
	}
	for _, row := range l.rows {
		last = latest(last, row.Last)
	}
	return last
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
		if run.Trigger == job.TriggerSchedule {
			l.told[run.ScheduledFor.UnixMicro()]++
		}
	}
	slices.SortFunc(l.rows, func(a, b job.Skip) int { return int(a.ID - b.ID) })
	found = l.unfolded()
	rows := slices.DeleteFunc(slices.Clone(l.rows), func(row job.Skip) bool { return row.Reason == job.SkipExcluded })
	until := l.upTo
	for _, row := range rows {
		if row.First.Equal(row.Last) {
			l.told[row.First.UnixMicro()]++
		}
		until = latest(until, row.Last)
	}
	instants := l.instants(until)
	for _, row := range rows {
		if row.First.Before(row.Last) {
			found = append(found, l.cover(instants, row)...)
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

// cover marks what a row of several instants tells: those in its range that
// nothing else tells. Of one that began before, only the end is known.
func (l *ledger) cover(instants []instant, row job.Skip) []finding {
	free := int64(0)
	for i := range instants {
		one := &instants[i]
		if one.at.Before(row.First) || one.at.After(row.Last) || one.alone > 0 || one.covered || l.waits[one.at.UnixMicro()] {
			continue
		}
		one.covered = true
		free++
	}
	switch {
	case !row.First.After(l.from) || free == row.Count:
		return nil
	case free < row.Count:
		return []finding{{Doubled, row.First, row.Last, 0, fmt.Sprintf("a row with the reason %s tells %d instants, of which other rows or executions tell %d too", row.Reason, row.Count, row.Count-free)}}
	default:
		return []finding{{Missing, row.First, row.Last, 0, fmt.Sprintf("a row with the reason %s tells %d of the %d instants in its range, and nothing tells the others", row.Reason, row.Count, free)}}
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
		if run.Trigger == job.TriggerSchedule && run.ScheduledFor.Equal(at) {
			return run.ExecutionID
		}
	}
	return 0
}

// unfolded finds rows that the row before should hold: with its reason and its
// blocker, and no instant and no start of an execution between them.
func (l *ledger) unfolded() (found []finding) {
	for i := 1; i < len(l.rows); i++ {
		a, b := l.rows[i-1], l.rows[i]
		if a.Reason != b.Reason || a.BlockedBy != b.BlockedBy || a.Reason == job.SkipExcluded || !a.First.After(l.from) {
			continue
		}
		next, ok := l.times.Next(a.Last)
		if ok && next.Equal(b.First) && !l.startedBetween(a.Last, b.Last) {
			found = append(found, finding{Unfolded, a.First, b.Last, 0, fmt.Sprintf("two rows with the reason %s should be one", a.Reason)})
		}
	}
	return found
}

// startedBetween tells whether an execution may have been taken up between two
// rows, which parts them: by any trigger, or for a further attempt, of whose
// times only the last is kept.
func (l *ledger) startedBetween(last, end time.Time) bool {
	until := l.now
	if next, ok := l.times.Next(end); ok && next.Before(until) {
		until = next
	}
	return l.backfilled || slices.ContainsFunc(l.runs, func(run store.Run) bool {
		inside := !run.StartedAt.Before(last) && run.StartedAt.Before(until)
		return inside || run.Attempt > 1 || run.StartedAt.IsZero() && run.Attempt > 0
	})
}
