package notice

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
)

const (
	// gaps is how many of the next occurrences are looked at for the longest time
	// between two, grace what is added to twice that.
	gaps  = 50
	grace = 5 * time.Minute
	// again is when a job that is paused is looked at next, unless somebody
	// resumes it before.
	again = time.Hour
)

// place is a job as one webhook sees it.
type place struct{ webhook, job int64 }

// freshness follows when jobs last succeeded.
type freshness struct {
	*step
	webhooks map[int64]job.Webhook
	rows     map[place]*job.Freshness
	changed  map[place]bool
}

func newFreshness(s *step) *freshness {
	f := &freshness{step: s, webhooks: map[int64]job.Webhook{}, rows: map[place]*job.Freshness{}, changed: map[place]bool{}}
	for _, w := range s.look.Webhooks {
		if w.WatchesFreshness() {
			f.webhooks[w.ID] = w
		}
	}
	for i := range s.look.Freshness {
		row := &s.look.Freshness[i]
		f.rows[place{row.WebhookID, row.JobID}] = row
	}
	for _, id := range s.look.Looked {
		f.watch(id)
	}
	return f
}

// watch makes the rows of a job that are missing.
func (f *freshness) watch(jobID int64) {
	j, known := f.look.Jobs[jobID]
	for _, w := range f.webhooks {
		at := place{w.ID, jobID}
		if !known || !w.Selects(jobID, j.Labels) {
			continue
		}
		if f.rows[at] == nil {
			f.rows[at] = &job.Freshness{WebhookID: w.ID, JobID: jobID, Since: later(j.CreatedAt, w.HeardSince)}
		}
		f.changed[at] = true
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// succeeded begins a job's time anew.
func (f *freshness) succeeded(e job.Execution) {
	f.watch(e.JobID)
	for at, row := range f.rows {
		if at.job != e.JobID || !e.FinishedAt.After(row.Since) {
			continue
		}
		f.changed[at] = true
		row.Since, row.Stood = e.FinishedAt, 0
		if w, heard := f.webhooks[at.webhook]; row.Stale && heard && w.Of(job.EventFresh) {
			f.tellTo([]int64{w.ID}, job.EventFresh, f.look.Jobs[e.JobID], e.ID, e.FinishedAt,
				fmt.Sprintf("%s %s %s", job.EventFresh, job.KindWebhook.Format(w.ID), job.KindExecution.Format(e.ID)),
				Data{ExecutionID: job.KindExecution.Format(e.ID), State: e.State, URL: f.page("execution", job.KindExecution.Format(e.ID))})
		}
		row.Stale = false
	}
}

// settle decides until when each job is fresh, and tells those that are not.
func (f *freshness) settle() {
	for at, row := range f.rows {
		due := !row.Due.IsZero() && !row.Due.After(f.look.Now)
		f.changed[at] = f.changed[at] || due || slices.Contains(f.look.Looked, at.job)
	}
	order := func(a, b place) int { return cmp.Or(cmp.Compare(a.webhook, b.webhook), cmp.Compare(a.job, b.job)) }
	var places []place
	for at, changed := range f.changed {
		if changed {
			places = append(places, at)
		}
	}
	for _, at := range slices.SortedFunc(slices.Values(places), order) {
		row := f.rows[at]
		w, heard := f.webhooks[at.webhook]
		j, known := f.look.Jobs[at.job]
		if !heard || !known || !w.Selects(j.ID, j.Labels) {
			if row.ID != 0 {
				f.out.Dropped = append(f.out.Dropped, row.ID)
			}
			continue
		}
		f.decide(w, j, row)
		f.out.Freshness = append(f.out.Freshness, *row)
	}
}

// decide looks at one job. While somebody has paused it, it stays fresh.
func (f *freshness) decide(w job.Webhook, j job.Job, row *job.Freshness) {
	row.Due = time.Time{}
	limit := w.Freshness
	if limit == 0 {
		limit = Derived(j, f.look.Now)
	}
	if limit == 0 || row.Stale {
		return
	}
	if stopped(j, f.look.Now) {
		row.Due = f.look.Now.Add(again)
		if !j.Hold.Over(f.look.Now) && !j.Hold.Until.IsZero() && j.Hold.Until.Before(row.Due) {
			row.Due = j.Hold.Until
		}
		return
	}
	row.Due = row.Since.Add(limit + row.Stood + held(j.Hold, row.Since, f.look.Now))
	if row.Due.After(f.look.Now) {
		return
	}
	row.Due, row.Stale = time.Time{}, true
	if w.Of(job.EventNotFresh) {
		f.tellTo([]int64{w.ID}, job.EventNotFresh, j, 0, f.look.Now,
			fmt.Sprintf("%s %s %s %d", job.EventNotFresh, job.KindWebhook.Format(w.ID), job.KindJob.Format(j.ID), row.Since.UnixMicro()),
			Data{LastSuccess: row.Since, Message: fmt.Sprintf("The job had no success for longer than %s.", limit)})
	}
}

// held is for how long an instance was paused between two times, by its last
// pause; those before it are in Stood.
func held(p *job.Pause, from, to time.Time) time.Duration {
	if p == nil {
		return 0
	}
	if !p.Until.IsZero() && p.Until.Before(to) {
		to = p.Until
	}
	return max(0, to.Sub(later(p.Since, from)))
}

// stopped tells whether somebody has paused a job or its instance. A pause by
// the service is no reason to be quiet.
func stopped(j job.Job, now time.Time) bool {
	own := !j.Active && (j.Pause == nil || j.Pause.Actor != job.ActorSystem)
	return own || !j.Hold.Over(now)
}

// Derived is for how long a job may have no success by its schedule, 0 for ever.
func Derived(j job.Job, now time.Time) time.Duration {
	if j.Schedule.Type == job.Manual {
		return 0
	}
	times, err := schedule.Compile(j.Schedule, j.ID)
	if err != nil {
		return 0
	}
	longest := time.Duration(0)
	last, ok := times.Next(now)
	for range gaps {
		next, more := times.Next(last)
		if !ok || !more {
			break
		}
		longest, last = max(longest, next.Sub(last)), next
	}
	if longest == 0 {
		return 0
	}
	return 2*longest + grace
}
