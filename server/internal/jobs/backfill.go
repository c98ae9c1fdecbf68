package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/task"
)

// Backfill asks to run the occurrences of a range in the past.
type Backfill struct {
	JobID int64
	// From is inclusive, To exclusive.
	From, To time.Time
	// Concurrency is how many run at a time, 1 when zero.
	Concurrency int
	// Overlap is BUFFER_ALL, also when empty, or ALLOW.
	Overlap job.OverlapPolicy
	// ValidateOnly checks everything and changes nothing.
	ValidateOnly bool
	Request      store.Request
}

// Backfill begins to run the occurrences of a range in the past, also those
// that have run. Whether the job is paused makes no difference.
func (s *Service) Backfill(ctx context.Context, b Backfill) (job.Backfill, error) {
	j, err := s.load(ctx, b.JobID, auth.Write)
	if err != nil {
		return job.Backfill{}, err
	}
	out := job.Backfill{
		JobID: j.ID, InstanceID: j.InstanceID, From: job.Time(b.From), To: job.Time(b.To), Concurrency: max(1, b.Concurrency),
		Overlap: b.Overlap, State: job.BackfillRunning, CreatedAt: s.now(),
	}
	if out.Overlap == "" {
		out.Overlap = job.OverlapBufferAll
	}
	if out.Total, err = countSlots(j, out.From, out.To, out.CreatedAt); err != nil || b.ValidateOnly {
		return out, err
	}
	if b.Request.Key != "" {
		b.Request.Digest = digest([]any{out.From, out.To, out.Concurrency, out.Overlap})
	}
	made, err := s.store.CreateBackfill(ctx, out, b.Request)
	return made, store.OrMissing(err, job.KindJob, j.ID)
}

// countSlots tells how many slots a range in the past has, and refuses one that
// has none or too many.
func countSlots(j job.Job, from, to, now time.Time) (int, error) {
	var bad job.InvalidError
	if from.Unix() < 0 {
		bad.Add("from", task.ReasonOutOfRange, "must not be before 1970")
	}
	switch {
	case to.After(now):
		bad.Add("to", task.ReasonOutOfRange, "must not be in the future; what is to come runs by itself")
	case !from.Before(to):
		bad.Add("to", task.ReasonOutOfRange, "must be later than from")
	}
	if err := bad.Err(); err != nil {
		return 0, err
	}
	if j.Schedule.Type == job.Manual {
		return 0, &job.PreconditionError{Reason: "NO_SCHEDULE", Message: "The job runs by hand only: it has no occurrences."}
	}
	times, err := compile(j)
	if err != nil {
		return 0, fmt.Errorf("read the schedule of job %d: %w", j.ID, err)
	}
	slots, ok := times.Between(from.Add(-1), to.Add(-1))
	switch {
	case !ok && j.Schedule.Type == job.IntervalBased:
		return 0, job.Invalid("from", "NO_OCCURRENCES", "the range holds no occurrence; the interval counts from %s", j.Schedule.Anchor.Format(time.RFC3339))
	case !ok:
		return 0, job.Invalid("from", "NO_OCCURRENCES", "the range holds no occurrence of the job's schedule")
	case slots.Count > job.MaxBackfill:
		return 0, job.Invalid("to", task.ReasonOutOfRange, "the range holds %d occurrences, %d are allowed; ask for parts of it", slots.Count, job.MaxBackfill)
	}
	return int(slots.Count), nil
}

// GetBackfill answers how far a backfill is, also of a deleted job.
func (s *Service) GetBackfill(ctx context.Context, id int64) (job.Backfill, error) {
	return s.loadBackfill(ctx, id, auth.Read)
}

// CancelBackfill ends a backfill with all of its executions. One that is
// cancelled stays so.
func (s *Service) CancelBackfill(ctx context.Context, id int64) (job.Backfill, error) {
	if _, err := s.loadBackfill(ctx, id, auth.Write); err != nil {
		return job.Backfill{}, err
	}
	caller, err := auth.Require(ctx)
	if err != nil {
		return job.Backfill{}, err
	}
	why := job.Failure{Code: "CANCELLED", Reason: "BACKFILL_CANCELLED", Message: "its backfill was cancelled by " + caller.Subject}
	b, err := s.store.CancelBackfill(ctx, id, s.now(), why)
	return b, store.OrMissing(err, job.KindBackfill, id)
}

// loadBackfill reads a backfill and checks the caller's access to it.
func (s *Service) loadBackfill(ctx context.Context, id int64, access auth.Access) (job.Backfill, error) {
	return auth.Load(ctx, s.auth, job.KindBackfill, id, access, s.store.Backfill, func(b job.Backfill) int64 { return b.InstanceID })
}
