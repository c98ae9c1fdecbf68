package jobs

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	if text == "" {
		return time.Time{}
	}
	parsed, err := time.Parse("2006-01-02 15:04:05.999", "2026-05-"+text)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// What becomes of a job's state when its definition changes at 04 12:00:30.5.
func TestSettle(t *testing.T) {
	t.Parallel()
	const now = "04 12:00:30.5"
	hourly := func(j *job.Job) { j.Schedule = job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"} }
	daily := func(j *job.Job) {
		j.Schedule = job.Schedule{Type: job.CronBased, Cron: "30 6 * * *", TimeZone: "UTC"}
	}
	every := func(minutes int, anchor string) func(*job.Job) {
		return func(j *job.Job) {
			j.Schedule = job.Schedule{Type: job.IntervalBased, IntervalMinutes: minutes, TimeZone: "UTC", Anchor: at(t, anchor)}
		}
	}
	byHand := func(j *job.Job) { j.Schedule = job.Schedule{Type: job.Manual, TimeZone: "UTC"} }
	zone := func(name string) func(*job.Job) { return func(j *job.Job) { j.Schedule.TimeZone = name } }
	next := func(text string) func(*job.Job) { return func(j *job.Job) { j.NextRun = at(t, text) } }
	paused := func(since string) func(*job.Job) {
		return func(j *job.Job) { j.Active, j.NextRun, j.PausedAt = false, time.Time{}, at(t, since) }
	}
	pause := func(j *job.Job) { j.Active = false }
	resume := func(j *job.Job) { j.Active = true }
	rename := func(j *job.Job) { j.Name, j.Description, j.Workflow = "new", "new", []byte(`{}`) }
	type skip struct {
		reason, first, last string
		count               int64
	}
	tests := map[string]struct {
		old, change []func(*job.Job)
		next        string
		pausedAt    string
		anchor      string
		skips       []skip
	}{
		"name and workflow":         {[]func(*job.Job){hourly, next("04 13:00:00")}, []func(*job.Job){rename}, "04 13:00:00", "", "", nil},
		"name of an overdue one":    {[]func(*job.Job){hourly, next("04 09:00:00")}, []func(*job.Job){rename}, "04 09:00:00", "", "", nil},
		"name of a paused one":      {[]func(*job.Job){hourly, paused("04 09:30:00")}, []func(*job.Job){rename}, "", "04 09:30:00", "", nil},
		"cron":                      {[]func(*job.Job){hourly, next("04 13:00:00")}, []func(*job.Job){daily}, "05 06:30:00", "", "", nil},
		"cron of an overdue one":    {[]func(*job.Job){hourly, next("04 09:00:00")}, []func(*job.Job){daily}, "05 06:30:00", "", "", []skip{{"SUPERSEDED", "04 09:00:00", "04 12:00:00", 4}}},
		"interval, due this second": {[]func(*job.Job){every(60, "01 00:00:30"), next("04 12:00:30")}, []func(*job.Job){daily}, "05 06:30:00", "", "04 12:00:30", []skip{{"SUPERSEDED", "04 12:00:30", "04 12:00:30", 1}}},
		"zone":                      {[]func(*job.Job){daily, next("05 06:30:00")}, []func(*job.Job){zone("America/New_York")}, "05 10:30:00", "", "", nil},
		"zone of an interval":       {[]func(*job.Job){every(60, "01 00:10:00"), next("04 12:10:00")}, []func(*job.Job){zone("Asia/Tokyo")}, "04 12:10:00", "", "01 00:10:00", nil},
		"interval":                  {[]func(*job.Job){every(60, "01 00:10:00"), next("04 12:10:00")}, []func(*job.Job){every(30, "01 00:10:00")}, "04 12:30:30", "", "04 12:00:30", nil},
		"interval, overdue":         {[]func(*job.Job){every(60, "01 00:10:00"), next("04 10:10:00")}, []func(*job.Job){every(30, "01 00:10:00")}, "04 12:30:30", "", "04 12:00:30", []skip{{"SUPERSEDED", "04 10:10:00", "04 11:10:00", 2}}},
		"cron to interval":          {[]func(*job.Job){hourly, next("04 13:00:00")}, []func(*job.Job){every(60, "")}, "04 13:00:30", "", "04 12:00:30", nil},
		"interval to cron":          {[]func(*job.Job){every(60, "01 00:10:00"), next("04 12:10:00")}, []func(*job.Job){hourly}, "04 13:00:00", "", "04 12:00:30", nil},
		"to by hand":                {[]func(*job.Job){hourly, next("04 12:00:00")}, []func(*job.Job){byHand}, "", "", "04 12:00:30", []skip{{"SUPERSEDED", "04 12:00:00", "04 12:00:00", 1}}},
		"from by hand":              {[]func(*job.Job){byHand}, []func(*job.Job){every(1, "")}, "04 12:01:30", "", "04 12:00:30", nil},
		"pause":                     {[]func(*job.Job){hourly, next("04 13:00:00")}, []func(*job.Job){pause}, "", now, "", nil},
		"pause an overdue one":      {[]func(*job.Job){hourly, next("04 11:00:00")}, []func(*job.Job){pause}, "", now, "", []skip{{"MISSED", "04 11:00:00", "04 12:00:00", 2}}},
		"pause and change":          {[]func(*job.Job){hourly, next("04 12:00:00")}, []func(*job.Job){pause, daily}, "", now, "", []skip{{"SUPERSEDED", "04 12:00:00", "04 12:00:00", 1}}},
		"resume":                    {[]func(*job.Job){hourly, paused("03 12:00:00")}, []func(*job.Job){resume}, "04 13:00:00", "", "04 12:00:30", []skip{{"PAUSED", "03 13:00:00", "04 12:00:00", 24}}},
		"resume before any slot":    {[]func(*job.Job){hourly, paused("04 12:00:10")}, []func(*job.Job){resume}, "04 13:00:00", "", "04 12:00:30", nil},
		"resume an interval":        {[]func(*job.Job){every(60, "01 00:10:00"), paused("04 10:00:00")}, []func(*job.Job){resume}, "04 13:00:30", "", "04 12:00:30", []skip{{"PAUSED", "04 10:10:00", "04 11:10:00", 2}}},
		"resume and change":         {[]func(*job.Job){hourly, paused("04 10:30:00")}, []func(*job.Job){resume, daily}, "05 06:30:00", "", "04 12:00:30", []skip{{"PAUSED", "04 11:00:00", "04 12:00:00", 2}}},
		"change a paused one":       {[]func(*job.Job){hourly, paused("04 10:30:00")}, []func(*job.Job){daily}, "", now, "", []skip{{"PAUSED", "04 11:00:00", "04 12:00:00", 2}}},
		"damaged and overdue":       {[]func(*job.Job){func(j *job.Job) { j.Schedule = job.Schedule{Type: job.CronBased, Cron: "?!"} }, next("04 09:00:00")}, []func(*job.Job){hourly}, "04 13:00:00", "", "", []skip{{"SUPERSEDED", "04 09:00:00", "04 09:00:00", 1}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := job.Job{ID: 19, InstanceID: 42, Active: true}
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
			var want []job.Skip
			for _, s := range test.skips {
				want = append(want, job.Skip{JobID: 19, InstanceID: 42, Reason: s.reason, First: at(t, s.first), Last: at(t, s.last), Count: s.count})
			}
			if diff := cmp.Diff(want, skips); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
			got := []time.Time{j.NextRun, j.PausedAt, j.Schedule.Anchor}
			if diff := cmp.Diff([]time.Time{at(t, test.next), at(t, test.pausedAt), at(t, test.anchor)}, got); diff != "" {
				t.Errorf("next run, pause and anchor (-want +got):\n%s", diff)
			}
		})
	}
}

// What an edit tells is parted by what is told elsewhere, before the edit, by it or
// after it.
func TestSettlePartsRows(t *testing.T) {
	t.Parallel()
	moved := func(slot, to string) job.OccurrenceChange {
		return job.OccurrenceChange{JobID: 19, Slot: at(t, slot), MoveTo: at(t, to)}
	}
	old := job.Job{
		ID: 19, InstanceID: 42, Active: true, NextRun: at(t, "04 08:00:00"),
		Schedule: job.Schedule{Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC"},
		Changes:  []job.OccurrenceChange{moved("02 22:00:00", "04 08:10:00"), moved("04 10:00:00", "04 18:00:00")},
	}
	row := func(reason, first, last string, count int64, apart, alone bool) job.Skip {
		return job.Skip{JobID: 19, InstanceID: 42, Reason: reason, First: at(t, first), Last: at(t, last), Count: count, Apart: apart, Alone: alone}
	}
	for name, test := range map[string]struct {
		change func(*job.Job)
		want   []job.Skip
	}{
		"paused": {func(j *job.Job) { j.Active = false }, []job.Skip{
			row(job.SkipMissed, "02 22:00:00", "02 22:00:00", 1, true, true),
			row(job.SkipMissed, "04 08:00:00", "04 09:00:00", 2, false, false),
			row(job.SkipMissed, "04 11:00:00", "04 12:00:00", 2, true, false),
		}},
		"on another schedule": {func(j *job.Job) { j.Schedule.Cron = "30 * * * *" }, []job.Skip{
			row(job.SkipSuperseded, "02 22:00:00", "02 22:00:00", 1, true, true),
			row(job.SkipSuperseded, "04 08:00:00", "04 09:00:00", 2, false, false),
			row(job.SkipSuperseded, "04 11:00:00", "04 12:00:00", 2, true, false),
			row(job.SkipSuperseded, "04 10:00:00", "04 10:00:00", 1, true, true),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := old
			j.Changes = slices.Clone(old.Changes)
			test.change(&j)
			skips, err := settle(old, &j, at(t, "04 12:00:30"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, skips); diff != "" {
				t.Errorf("skips (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSameDefinition(t *testing.T) {
	t.Parallel()
	base := func() job.Job {
		return job.Job{
			Name: "n", Description: "d", Active: true, Workflow: []byte(`{"tasks":[]}`), Labels: map[string]string{"a": "b"},
			Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC"},
			Policies: job.Policies{Retry: &job.RetryPolicy{Count: 1}}.WithDefaults(),
		}
	}
	changes := map[string]func(*job.Job){
		"name":        func(j *job.Job) { j.Name = "" },
		"description": func(j *job.Job) { j.Description = "x" },
		"active":      func(j *job.Job) { j.Active = false },
		"workflow":    func(j *job.Job) { j.Workflow = []byte(`{}`) },
		"labels":      func(j *job.Job) { j.Labels = map[string]string{"a": "c"} },
		"type":        func(j *job.Job) { j.Schedule.Type = job.CronBased },
		"cron":        func(j *job.Job) { j.Schedule.Cron = "* * * * *" },
		"interval":    func(j *job.Job) { j.Schedule.IntervalMinutes = 6 },
		"zone":        func(j *job.Job) { j.Schedule.TimeZone = "Asia/Tokyo" },
		"overlap":     func(j *job.Job) { j.Policies.Overlap = job.OverlapAllow },
		"catch-up":    func(j *job.Job) { j.Policies.CatchUp = job.CatchUpAll },
		"window":      func(j *job.Job) { j.Policies.CatchUpWindow = time.Minute },
		"retry":       func(j *job.Job) { j.Policies.Retry = &job.RetryPolicy{Count: 2} },
		"no retry":    func(j *job.Job) { j.Policies.Retry = nil },
	}
	a, b := base(), base()
	b.NextRun, b.Version, b.UpdatedAt = time.Unix(1, 0), 9, time.Unix(2, 0)
	if !sameDefinition(&a, &b) {
		t.Error("state counts as definition")
	}
	none, empty := base(), base()
	none.Labels, empty.Labels = nil, map[string]string{}
	if !sameDefinition(&none, &empty) {
		t.Error("no labels and empty labels differ")
	}
	for name, change := range changes {
		b := base()
		change(&b)
		if sameDefinition(&a, &b) {
			t.Errorf("a changed %s is no change", name)
		}
	}
}
