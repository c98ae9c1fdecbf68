package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// maxGaps bounds how many times of a schedule are looked at. The times of one
// day repeat on every day that it runs, so two such days show the shortest gap;
// there are at most 1440 times in a day.
const maxGaps = 2 * 24 * 60

// checkFrequency refuses a new or changed schedule that runs more often than
// the instance's quota allows.
func (s *Service) checkFrequency(ctx context.Context, base, j job.Job) error {
	same := j.Schedule.Type == base.Schedule.Type && j.Schedule.Cron == base.Schedule.Cron && j.Schedule.IntervalMinutes == base.Schedule.IntervalMinutes
	if same || j.Schedule.Type == job.Manual {
		return nil
	}
	limits, err := s.store.Limits(ctx, j.InstanceID)
	if err != nil {
		return fmt.Errorf("read the limits of instance %d: %w", j.InstanceID, err)
	}
	least := time.Duration(limits.MinIntervalMinutes) * time.Minute
	if least <= time.Minute { // no schedule can do less
		return nil
	}
	gap, err := shortestGap(j, s.now(), least)
	if err != nil || gap >= least {
		return err
	}
	return &job.ExhaustedError{
		Reason: job.ReasonQuota, Subject: "instance:" + job.KindInstance.Format(j.InstanceID),
		Message: fmt.Sprintf("the schedule has times that are %d minutes apart; the instance's quota allows no less than %d", int(gap.Minutes()), limits.MinIntervalMinutes),
	}
}

// shortestGap is the least time between two times of a schedule from now on, or
// the first one that is less than enough.
func shortestGap(j job.Job, now time.Time, enough time.Duration) (time.Duration, error) {
	if j.Schedule.Type == job.IntervalBased {
		return time.Duration(j.Schedule.IntervalMinutes) * time.Minute, nil
	}
	// What bounds or thins out the times doesn't count: it can be changed.
	j.Schedule.ScheduleOptions = job.ScheduleOptions{}
	times, err := compile(j)
	if err != nil {
		return 0, err
	}
	shortest := time.Duration(1<<63 - 1)
	last, ok := times.Next(now)
	for range maxGaps {
		next, more := times.Next(last)
		if !ok || !more {
			break
		}
		if shortest = min(shortest, next.Sub(last)); shortest < enough {
			break
		}
		last = next
	}
	return shortest, nil
}
