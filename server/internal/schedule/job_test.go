package schedule

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestForJob(t *testing.T) {
	t.Parallel()
	start, end := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	options := job.ScheduleOptions{
		DSTGap: job.GapSkip, DSTOverlap: job.OverlapBoth, Start: start, End: end, Jitter: time.Minute,
		ExcludedDates: []string{"2026-12-24", "2026-12-31/2027-01-06"}, Since: start,
	}
	for name, test := range map[string]struct {
		schedule job.Schedule
		want     Spec
	}{
		"cron": {job.Schedule{Type: job.CronBased, Cron: "* * * * *", TimeZone: "UTC"}, Spec{Kind: Cron, Cron: "* * * * *", TimeZone: "UTC", Seed: 7}},
		"interval": {
			job.Schedule{Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC", Anchor: start},
			Spec{Kind: Interval, IntervalMinutes: 5, TimeZone: "UTC", Anchor: start, Seed: 7},
		},
		"by hand": {job.Schedule{Type: job.Manual, TimeZone: "UTC"}, Spec{Kind: Manual, TimeZone: "UTC", Seed: 7}},
		"the defaults by name": {
			job.Schedule{Type: job.Manual, TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{DSTGap: job.GapShiftForward, DSTOverlap: job.OverlapFirst}},
			Spec{Kind: Manual, TimeZone: "UTC", Seed: 7},
		},
		"options": {
			job.Schedule{Type: job.CronBased, Cron: "* * * * *", TimeZone: "UTC", ScheduleOptions: options},
			Spec{
				Kind: Cron, Cron: "* * * * *", TimeZone: "UTC", DSTGap: Skip, DSTOverlap: Both, Start: start, End: end, Jitter: time.Minute,
				Exclusions: []Exclusion{{From: "2026-12-24"}, {From: "2026-12-31", To: "2027-01-06"}}, Seed: 7,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, ForJob(test.schedule, 7)); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
		})
	}
}

// What is no date and no range is refused by its place in the list.
func TestForJobRefusesDates(t *testing.T) {
	t.Parallel()
	dates := []string{
		"2026-12-24", "", "/", "2026-12-24/", "/2026-12-24", "2026-12-24/2026-12-25/2026-12-26", "2026-02-29", "24.12.2026",
		"2027-01-06/2026-12-24", "2026-12-24/2026-12-24",
	}
	_, err := Compile(ForJob(job.Schedule{TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{ExcludedDates: dates}}, 0))
	var bad *job.InvalidError
	if !errors.As(err, &bad) {
		t.Fatalf("error is %v", err)
	}
	var got []string
	for _, v := range bad.Violations {
		got = append(got, v.Field+" "+v.Reason)
	}
	want := []string{
		"excludedDates[1] EXCLUSION_DATE", "excludedDates[2] EXCLUSION_DATE", "excludedDates[3] EXCLUSION_DATE", "excludedDates[4] EXCLUSION_DATE",
		"excludedDates[5] EXCLUSION_DATE", "excludedDates[6] EXCLUSION_DATE", "excludedDates[7] EXCLUSION_DATE", "excludedDates[8] EXCLUSION_ORDER",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}
