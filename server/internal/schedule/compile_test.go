package schedule

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	interval := job.Schedule{Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC", Anchor: start}
	with := func(change func(*job.Schedule)) job.Schedule { s := interval; change(&s); return s }
	zone := func(name string) job.Schedule { return with(func(s *job.Schedule) { s.TimeZone = name }) }
	dates := func(list ...string) job.Schedule { return with(func(s *job.Schedule) { s.ExcludedDates = list }) }
	for name, tt := range map[string]struct {
		spec job.Schedule
		want []string // field and reason of each violation
	}{
		"valid interval":   {interval, nil},
		"valid manual":     {job.Schedule{Type: job.Manual, TimeZone: "Europe/Berlin"}, nil},
		"zero cron":        {job.Schedule{Type: job.CronBased}, []string{"cronExpression CRON_FIELD_COUNT", "timeZone UNKNOWN_TIME_ZONE"}},
		"interval 0":       {with(func(s *job.Schedule) { s.IntervalMinutes = 0 }), []string{"intervalMinutes INTERVAL_RANGE"}},
		"interval < 0":     {with(func(s *job.Schedule) { s.IntervalMinutes = -5 }), []string{"intervalMinutes INTERVAL_RANGE"}},
		"interval largest": {with(func(s *job.Schedule) { s.IntervalMinutes = 525_600 }), nil},
		"interval larger":  {with(func(s *job.Schedule) { s.IntervalMinutes = 525_601 }), []string{"intervalMinutes INTERVAL_RANGE"}},
		"interval max":     {with(func(s *job.Schedule) { s.IntervalMinutes = int(^uint(0) >> 1) }), []string{"intervalMinutes INTERVAL_RANGE"}},

		"zone empty":      {zone(""), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone Local":      {zone("Local"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone localtime":  {zone("localtime"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone posixrules": {zone("posixrules"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone right":      {zone("right/Europe/Berlin"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone offset":     {zone("+02:00"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone UTC+2":      {zone("UTC+2"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone UTC offset": {zone("UTC+02:00"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone Z":          {zone("Z"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone folder":     {zone("Europe"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone case":       {zone("europe/berlin"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone blank":      {zone("Europe/Berlin "), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone path":       {zone("Europe/../Europe/Berlin"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone absolute":   {zone("/usr/share/zoneinfo/UTC"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone NUL":        {zone("UTC\x00"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone unknown":    {zone("Europe/Atlantis"), []string{"timeZone UNKNOWN_TIME_ZONE"}},
		"zone UTC":        {zone("UTC"), nil},
		"zone Etc":        {zone("Etc/GMT+5"), nil},
		"zone three":      {zone("America/Argentina/Buenos_Aires"), nil},

		"window":           {with(func(s *job.Schedule) { s.Start, s.End = start, start.Add(time.Hour) }), nil},
		"window far":       {with(func(s *job.Schedule) { s.End = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC) }), nil},
		"window past":      {with(func(s *job.Schedule) { s.End = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC) }), nil},
		"window empty":     {with(func(s *job.Schedule) { s.Start, s.End = start, start }), []string{"endTime END_BEFORE_START"}},
		"window backwards": {with(func(s *job.Schedule) { s.Start, s.End = start, start.Add(-time.Hour) }), []string{"endTime END_BEFORE_START"}},
		"start too late":   {with(func(s *job.Schedule) { s.Start = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }), []string{"startTime TIME_RANGE"}},

		"jitter":          {with(func(s *job.Schedule) { s.Jitter = 24 * time.Hour }), nil},
		"jitter negative": {with(func(s *job.Schedule) { s.Jitter = -1 }), []string{"jitter JITTER_RANGE"}},
		"jitter long":     {with(func(s *job.Schedule) { s.Jitter = 24*time.Hour + 1 }), []string{"jitter JITTER_RANGE"}},

		"date":           {dates("2028-02-29"), nil},
		"date range":     {dates("2026-12-24/2027-01-02"), nil},
		"date same":      {dates("2026-12-24/2026-12-24"), nil},
		"date twice":     {dates("2026-12-24", "2026-12-24"), nil},
		"date empty":     {dates(""), []string{"excludedDates[0] EXCLUSION_DATE"}},
		"date no leap":   {dates("2026-12-24", "2027-02-29"), []string{"excludedDates[1] EXCLUSION_DATE"}},
		"date form":      {dates("2026-1-2"), []string{"excludedDates[0] EXCLUSION_DATE"}},
		"date time":      {dates("2026-01-02T00:00:00Z"), []string{"excludedDates[0] EXCLUSION_DATE"}},
		"date to":        {dates("2026-01-02/x"), []string{"excludedDates[0] EXCLUSION_DATE"}},
		"date backwards": {dates("2026-01-02/2026-01-01"), []string{"excludedDates[0] EXCLUSION_ORDER"}},
		"dates many":     {dates(make([]string, 1001)...), []string{"excludedDates TOO_MANY_EXCLUSIONS"}},

		"everything wrong": {
			job.Schedule{Type: job.CronBased, Cron: "x", TimeZone: "x", ScheduleOptions: job.ScheduleOptions{Start: start, End: start, Jitter: -1, ExcludedDates: []string{"x", "y"}}},
			[]string{
				"cronExpression CRON_FIELD_COUNT", "timeZone UNKNOWN_TIME_ZONE", "endTime END_BEFORE_START",
				"jitter JITTER_RANGE", "excludedDates[0] EXCLUSION_DATE", "excludedDates[1] EXCLUSION_DATE",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Compile(tt.spec, 0)
			var got []string
			if invalid, ok := errors.AsType[*job.InvalidError](err); ok {
				for _, v := range invalid.Violations {
					got = append(got, v.Field+" "+v.Reason)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("violations (-want +got):\n%s", diff)
			}
		})
	}
}

// Mistakes of the program are no user's input error.
func TestCompileCallerMistakes(t *testing.T) {
	t.Parallel()
	anchor := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, spec := range map[string]job.Schedule{
		"no anchor":     {Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC"},
		"absurd anchor": {Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC", Anchor: anchor.AddDate(300, 0, 0)},
	} {
		_, err := Compile(spec, 0)
		if _, invalid := errors.AsType[*job.InvalidError](err); err == nil || invalid {
			t.Errorf("%s: got %v, want an error that is no InvalidError", name, err)
		}
	}
}

func TestMergeDays(t *testing.T) {
	t.Parallel()
	got := mergeDays([]dayRange{{20, 20}, {5, 9}, {1, 3}, {7, 8}, {10, 11}, {4, 4}})
	if diff := cmp.Diff([]dayRange{{1, 11}, {20, 20}}, got, cmp.AllowUnexported(dayRange{})); diff != "" {
		t.Error(diff)
	}
}

// What is no date and no range is refused by its place in the list.
func TestRefusesDates(t *testing.T) {
	t.Parallel()
	dates := []string{
		"2026-12-24", "", "/", "2026-12-24/", "/2026-12-24", "2026-12-24/2026-12-25/2026-12-26", "2026-02-29", "24.12.2026",
		"2027-01-06/2026-12-24", "2026-12-24/2026-12-24",
	}
	_, err := Compile(job.Schedule{Type: job.Manual, TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{ExcludedDates: dates}}, 0)
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
