package policy

import (
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/schedule"
	"github.com/pointscene/carillon/server/internal/store"
)

// Retry tells when the next attempt of a failed execution starts, or false
// when there is none: no policy, attempts used up, an error that an attempt
// can't change, too long since the first attempt, or the next slot comes first.
func Retry(c store.Claimed, failure *job.Failure, startedAt, now time.Time) (time.Time, bool) {
	p := c.Policies.Retry
	if p == nil || failure == nil || failure.Permanent() || c.Attempt > p.Count {
		return time.Time{}, false
	}
	at := now.Add(Backoff(*p, c.Attempt))
	first := c.FirstStartedAt
	if first.IsZero() {
		first = startedAt
	}
	if p.MaxDuration > 0 && at.Sub(first) > p.MaxDuration {
		return time.Time{}, false
	}
	if c.Trigger == job.TriggerSchedule && nextSlotBefore(c, now, at) {
		return time.Time{}, false
	}
	return at, true
}

// Backoff is the delay after the attempt with this number, from 1.
func Backoff(p job.RetryPolicy, attempt int) time.Duration {
	doublings := min(attempt-1, p.MaxDoublings)
	step := min(p.MinBackoff<<doublings, p.MaxBackoff)
	return min(step*time.Duration(attempt-doublings), p.MaxBackoff)
}

func nextSlotBefore(c store.Claimed, now, at time.Time) bool {
	times, err := schedule.Compile(c.Schedule, c.JobID)
	if err != nil {
		return true
	}
	next, ok := times.Next(now)
	return ok && !next.After(at)
}
