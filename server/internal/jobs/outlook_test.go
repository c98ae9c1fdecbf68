package jobs

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// What is told of slots at which the ticker does not come by, or not in time.
func TestOutlookWithoutAVisit(t *testing.T) {
	t.Parallel()
	now, today := at(t, "04 12:00:30.5"), Window{From: at(t, "04 00:00:00"), To: at(t, "05 00:00:00")}
	hourly := job.Job{ID: 19, InstanceID: 42, Active: true, Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}}
	for name, test := range map[string]struct {
		edit func(*job.Job)
		want []Occurrence
	}{
		"the rest is excluded": {
			func(j *job.Job) {
				j.Schedule.ExcludedDates, j.Schedule.End, j.Schedule.Since = []string{"2026-05-04"}, at(t, "04 20:00:00"), at(t, "03 23:30:00")
			},
			[]Occurrence{{ScheduledFor: at(t, "04 00:00:00"), Outcome: Skipped, Reason: job.SkipExcluded, Until: at(t, "04 12:00:00"), Count: 13}},
		},
		"overdue for want of a place": {
			func(j *job.Job) {
				j.NextRun = at(t, "04 12:00:00")
				j.Policies.MaxExecutions = 2
				j.Changes = []job.OccurrenceChange{{JobID: 19, Slot: at(t, "04 13:00:00"), MoveTo: at(t, "04 12:00:30")}}
			},
			[]Occurrence{
				{ScheduledFor: at(t, "04 12:00:00"), Outcome: Pending, Reason: job.WaitNoPlace, Count: 1},
				{ScheduledFor: at(t, "04 13:00:00"), Outcome: Pending, Count: 1, MovedTo: at(t, "04 12:00:30")},
			},
		},
		"moved over a pause without an end": {
			func(j *job.Job) {
				j.Active, j.PausedAt = false, at(t, "04 10:30:00")
				j.Pause = &job.Pause{Since: j.PausedAt}
				j.Changes = []job.OccurrenceChange{{JobID: 19, Slot: at(t, "04 09:00:00"), MoveTo: at(t, "04 15:30:00")}}
			},
			[]Occurrence{
				{ScheduledFor: at(t, "04 11:00:00"), Outcome: Skipped, Reason: job.SkipPaused, Until: at(t, "04 12:00:00"), Count: 2},
				{ScheduledFor: at(t, "04 09:00:00"), Outcome: Pending, Count: 1, MovedTo: at(t, "04 15:30:00")},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := hourly
			test.edit(&j)
			o, err := look(j, now)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, o.rows(today, nil, 10)); diff != "" {
				t.Errorf("occurrences (-want +got):\n%s", diff)
			}
		})
	}
}
