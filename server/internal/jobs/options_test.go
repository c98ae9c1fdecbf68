package jobs

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// What becomes of the state of an hourly job that is due at 13:00 when its
// options and limits change at 04 12:00:30.5.
func TestSettleOptions(t *testing.T) {
	t.Parallel()
	const now = "04 12:00:30.5"
	type state struct {
		next, pausedAt, since string
		started               int64
		failures              int
	}
	type skip struct {
		reason, first, last string
		count               int64
	}
	type edit = func(*job.Job)
	dates := func(since string, list ...string) edit {
		return func(j *job.Job) { j.Schedule.ExcludedDates, j.Schedule.Since = list, at(t, since) }
	}
	paused := func(since string) edit {
		return func(j *job.Job) { j.Active, j.NextRun, j.PausedAt = false, time.Time{}, at(t, since) }
	}
	next := func(text string) edit { return func(j *job.Job) { j.NextRun = at(t, text) } }
	limit := func(n int64) edit { return func(j *job.Job) { j.Policies.MaxExecutions = n } }
	counted := func(started int64, failures int) edit {
		return func(j *job.Job) { j.Started, j.Failures = started, failures }
	}
	resume := func(j *job.Job) { j.Active = true }
	jitter := func(j *job.Job) { j.Schedule.Jitter = time.Hour }
	tests := map[string]struct {
		old, change []edit
		want        state
		skips       []skip
	}{
		"jitter":       {nil, []edit{func(j *job.Job) { j.Schedule.Jitter = time.Minute }}, state{next: "04 13:00:00"}, nil},
		"start":        {nil, []edit{func(j *job.Job) { j.Schedule.Start = at(t, "06 10:30:00") }}, state{next: "06 11:00:00"}, nil},
		"end":          {nil, []edit{func(j *job.Job) { j.Schedule.End = at(t, "04 13:00:00") }}, state{}, nil},
		"end, overdue": {[]edit{next("04 12:00:00")}, []edit{func(j *job.Job) { j.Schedule.End = at(t, "04 13:00:00") }}, state{}, []skip{{"SUPERSEDED", "04 12:00:00", "04 12:00:00", 1}}},
		"clock":        {nil, []edit{func(j *job.Job) { j.Schedule.DSTGap = job.GapSkip }}, state{next: "04 13:00:00"}, nil},
		"dates":        {nil, []edit{dates("", "2026-05-04", "2026-05-06")}, state{next: "05 00:00:00", since: now}, nil},
		"no dates any more": {[]edit{dates("03 10:00:00", "2026-05-04"), next("05 00:00:00")}, []edit{dates("03 10:00:00")}, state{next: "04 13:00:00"},
			[]skip{{"EXCLUDED", "04 00:00:00", "04 12:00:00", 13}}},
		"other dates": {[]edit{dates("04 10:30:00", "2026-05-04"), next("05 00:00:00")}, []edit{dates("04 10:30:00", "2026-05-05")}, state{next: "04 13:00:00", since: now},
			[]skip{{"EXCLUDED", "04 11:00:00", "04 12:00:00", 2}}},
		"dates that leave nothing": {[]edit{dates("03 10:00:00", "2026-05-04/2199-12-31"), next("")}, []edit{dates("03 10:00:00")}, state{next: "04 13:00:00"},
			[]skip{{"EXCLUDED", "04 00:00:00", "04 12:00:00", 13}}},
		"dates, overdue": {[]edit{dates("01 10:30:00", "2026-05-02", "2026-05-04"), next("01 23:00:00")}, []edit{dates("01 10:30:00")}, state{next: "04 13:00:00"},
			[]skip{{"SUPERSEDED", "01 23:00:00", "01 23:00:00", 1}, {"EXCLUDED", "02 00:00:00", "02 23:00:00", 24}, {"SUPERSEDED", "03 00:00:00", "03 23:00:00", 24}, {"EXCLUDED", "04 00:00:00", "04 12:00:00", 13}}},
		"dates, the next one moved": {[]edit{dates("01 10:30:00", "2026-05-04"), next("05 01:00:00")}, []edit{paused("")}, state{pausedAt: now, since: now},
			[]skip{{"EXCLUDED", "04 00:00:00", "04 12:00:00", 13}}},
		"overdue, paused":         {[]edit{next("04 12:00:00")}, []edit{paused("")}, state{pausedAt: now}, []skip{{"MISSED", "04 12:00:00", "04 12:00:00", 1}}},
		"late by jitter, paused":  {[]edit{jitter, next("04 12:00:00")}, []edit{paused("")}, state{pausedAt: now}, []skip{{"PAUSED", "04 12:00:00", "04 12:00:00", 1}}},
		"later by jitter, paused": {[]edit{jitter, next("04 11:00:00")}, []edit{paused("")}, state{pausedAt: now}, []skip{{"MISSED", "04 11:00:00", "04 12:00:00", 2}}},
		"dates, resumed": {[]edit{dates("02 23:30:00", "2026-05-02", "2026-05-04"), paused("03 21:30:00")}, []edit{resume}, state{next: "05 00:00:00", since: now},
			[]skip{{"PAUSED", "03 22:00:00", "03 23:00:00", 2}, {"EXCLUDED", "04 00:00:00", "04 12:00:00", 13}}},
		"dates, renamed": {[]edit{dates("01 10:30:00", "2026-05-04"), next("05 00:00:00")}, []edit{func(j *job.Job) { j.Name = "new" }}, state{next: "05 00:00:00", since: "01 10:30:00"}, nil},

		"another limit":                  {[]edit{limit(5), counted(3, 2)}, []edit{limit(4)}, state{next: "04 13:00:00", failures: 2}, nil},
		"no limit any more":              {[]edit{limit(5), counted(3, 0)}, []edit{limit(0)}, state{next: "04 13:00:00"}, nil},
		"another limit, exhausted":       {[]edit{limit(3), counted(3, 0), next("")}, []edit{limit(5)}, state{next: "04 13:00:00"}, nil},
		"no limit any more, exhausted":   {[]edit{limit(3), counted(3, 0), next("")}, []edit{limit(0)}, state{next: "04 13:00:00"}, nil},
		"another limit, paused":          {[]edit{limit(3), counted(3, 0), paused("04 10:30:00")}, []edit{limit(5)}, state{pausedAt: "04 10:30:00"}, nil},
		"another time, exhausted":        {[]edit{limit(3), counted(3, 0), next("")}, []edit{func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }}, state{started: 3}, nil},
		"the same limit, resumed":        {[]edit{limit(3), counted(3, 0), paused("04 10:30:00")}, []edit{resume}, state{started: 3}, nil},
		"another limit, resumed":         {[]edit{limit(3), counted(3, 0), paused("04 10:30:00")}, []edit{resume, limit(4)}, state{next: "04 13:00:00"}, nil},
		"not yet exhausted, resumed":     {[]edit{limit(3), counted(2, 0), paused("04 10:30:00")}, []edit{resume}, state{next: "04 13:00:00", started: 2}, []skip{{"PAUSED", "04 11:00:00", "04 12:00:00", 2}}},
		"another limit of failures":      {[]edit{counted(0, 2)}, []edit{func(j *job.Job) { j.Policies.PauseAfterFailures = 3 }}, state{next: "04 13:00:00"}, nil},
		"paused after failures, resumed": {[]edit{counted(0, 2), paused("04 12:00:10")}, []edit{resume}, state{next: "04 13:00:00"}, nil},
		"priority":                       {[]edit{limit(5), counted(3, 2)}, []edit{func(j *job.Job) { j.Policies.Priority = 3 }}, state{next: "04 13:00:00", started: 3, failures: 2}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := job.Job{ID: 19, InstanceID: 42, Active: true, NextRun: at(t, "04 13:00:00"), Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"}}
			for _, do := range test.old {
				do(&old)
			}
			j := old
			for _, do := range test.change {
				do(&j)
			}
			skips, err := settle(old, &j, at(t, now))
			if err != nil {
				t.Fatal(err)
			}
			var told []job.Skip
			for _, s := range test.skips {
				told = append(told, job.Skip{JobID: 19, InstanceID: 42, Reason: s.reason, First: at(t, s.first), Last: at(t, s.last), Count: s.count})
			}
			if diff := cmp.Diff(told, skips); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
			got := []any{j.NextRun, j.PausedAt, j.Schedule.Since, j.Started, j.Failures}
			want := []any{at(t, test.want.next), at(t, test.want.pausedAt), at(t, test.want.since), test.want.started, test.want.failures}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("next run, pause, since, started and failures (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOptionsAreDefinition(t *testing.T) {
	t.Parallel()
	base := func() job.Job {
		return job.Job{Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2026-12-24"}}}}
	}
	changes := map[string]func(*job.Job){
		"gap":          func(j *job.Job) { j.Schedule.DSTGap = job.GapSkip },
		"overlap":      func(j *job.Job) { j.Schedule.DSTOverlap = job.OverlapBoth },
		"start":        func(j *job.Job) { j.Schedule.Start = time.Unix(1, 0) },
		"end":          func(j *job.Job) { j.Schedule.End = time.Unix(1, 0) },
		"jitter":       func(j *job.Job) { j.Schedule.Jitter = 1 },
		"dates":        func(j *job.Job) { j.Schedule.ExcludedDates = nil },
		"order":        func(j *job.Job) { j.Schedule.ExcludedDates = []string{"2026-12-24", "2026-12-25"} },
		"limit":        func(j *job.Job) { j.Policies.MaxExecutions = 1 },
		"time limit":   func(j *job.Job) { j.Policies.TimeLimit = 1 },
		"failures":     func(j *job.Job) { j.Policies.PauseAfterFailures = 1 },
		"priority":     func(j *job.Job) { j.Policies.Priority = 1 },
		"negative one": func(j *job.Job) { j.Policies.Priority = -1 },
	}
	a, b := base(), base()
	b.Schedule.Since, b.Schedule.Anchor, b.Started, b.Failures = time.Unix(1, 0), time.Unix(2, 0), 3, 4
	b.Schedule.Start, a.Schedule.Start = time.Unix(5, 0).UTC(), time.Unix(5, 0).In(time.FixedZone("", 3600))
	if !sameDefinition(&a, &b) {
		t.Error("state, or how a time is written, counts as definition")
	}
	for name, change := range changes {
		a, b := base(), base()
		change(&b)
		if sameDefinition(&a, &b) {
			t.Errorf("a changed %s is no change", name)
		}
	}
}
