package jobs

import (
	"errors"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestChangedOccurrencesAreBounded(t *testing.T) {
	t.Parallel()
	now := at(t, "04 12:00:30.5")
	slot := func(n int) time.Time { return at(t, "04 13:00:00").Add(time.Duration(n) * time.Hour) }
	j := job.Job{ID: 19, Active: true, NextRun: slot(0), Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}}
	edit := func(n int, to time.Time) error {
		t.Helper()
		e, err := newEdit(&j, slot(n), now)
		if err != nil {
			t.Fatal(err)
		}
		return e.set(to)
	}
	for n := range job.MaxChanges {
		if err := edit(n, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	var full *job.ExhaustedError
	if err := edit(job.MaxChanges, time.Time{}); !errors.As(err, &full) || len(j.Changes) != job.MaxChanges {
		t.Errorf("one more: error %v, %d changes", err, len(j.Changes))
	}
	if err := edit(7, slot(2000)); err != nil || len(j.Changes) != job.MaxChanges {
		t.Errorf("another change of one: error %v, %d changes", err, len(j.Changes))
	}
}

// What becomes of a job that changes while its instance is paused.
func TestSettleHeld(t *testing.T) {
	t.Parallel()
	now := at(t, "04 12:00:30.5")
	hourly := job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC", Anchor: at(t, "01 00:00:00")}
	overdue, before := at(t, "04 12:00:00"), at(t, "04 07:30:00")
	for name, test := range map[string]struct {
		pausedAt    time.Time
		change      func(*job.Job)
		pausedAfter time.Time
		next        time.Time
		skipped     int64
	}{
		"name":            {time.Time{}, func(j *job.Job) { j.Name = "new" }, time.Time{}, overdue, 0},
		"schedule":        {time.Time{}, func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }, time.Time{}, at(t, "04 12:30:00"), 1},
		"pause":           {time.Time{}, func(j *job.Job) { j.Active = false }, now, time.Time{}, 1},
		"pause and more":  {time.Time{}, func(j *job.Job) { j.Active, j.Schedule.Cron = false, "30 * * * *" }, now, time.Time{}, 1},
		"resume":          {before, func(j *job.Job) { j.Active = true }, time.Time{}, at(t, "04 13:00:00"), 5},
		"paused, another": {before, func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }, now, time.Time{}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := job.Job{ID: 19, Active: test.pausedAt.IsZero(), PausedAt: test.pausedAt, Hold: &job.Pause{Since: at(t, "04 09:30:00")}, Schedule: hourly}
			if old.Active {
				old.NextRun = overdue
			}
			j := old
			test.change(&j)
			skips, err := settle(old, &j, now)
			if err != nil {
				t.Fatal(err)
			}
			var skipped int64
			for _, k := range skips {
				if skipped += k.Count; k.Reason != job.SkipPaused {
					t.Errorf("told as %s", k.Reason)
				}
			}
			if !j.PausedAt.Equal(test.pausedAfter) || !j.NextRun.Equal(test.next) || skipped != test.skipped {
				t.Errorf("paused at %v, next run %v, skips %+v", j.PausedAt, j.NextRun, skips)
			}
		})
	}
}
