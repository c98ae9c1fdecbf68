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
	held, before := at(t, "04 09:30:00"), at(t, "04 07:30:00")
	for name, test := range map[string]struct {
		pausedAt    time.Time
		change      func(*job.Job)
		pausedAfter time.Time
		heldAfter   time.Time
		skipped     int64
	}{
		"name":            {time.Time{}, func(j *job.Job) { j.Name = "new" }, time.Time{}, held, 0},
		"schedule":        {time.Time{}, func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }, time.Time{}, now, 3},
		"pause":           {time.Time{}, func(j *job.Job) { j.Active = false }, held, held, 0},
		"pause and more":  {time.Time{}, func(j *job.Job) { j.Active, j.Schedule.Cron = false, "30 * * * *" }, now, now, 3},
		"resume":          {before, func(j *job.Job) { j.Active = true }, time.Time{}, now, 5},
		"paused, another": {before, func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }, now, now, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := job.Job{ID: 19, Active: test.pausedAt.IsZero(), PausedAt: test.pausedAt, HeldAt: held, Schedule: hourly}
			j := old
			test.change(&j)
			skips, err := settle(old, &j, now)
			if err != nil {
				t.Fatal(err)
			}
			var skipped int64
			for _, k := range skips {
				skipped += k.Count
			}
			if !j.PausedAt.Equal(test.pausedAfter) || !j.HeldAt.Equal(test.heldAfter) || !j.NextRun.IsZero() || skipped != test.skipped {
				t.Errorf("paused at %v, held at %v, next run %v, skips %+v", j.PausedAt, j.HeldAt, j.NextRun, skips)
			}
		})
	}
}
