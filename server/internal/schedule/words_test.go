package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestDescribe(t *testing.T) {
	t.Parallel()
	for expr, want := range map[string]string{
		"30 2 * * *":          "every day at 02:30 Europe/Berlin",
		"@daily":              "every day at 00:00 Europe/Berlin",
		"30 2 * * 1-5":        "every Monday to Friday at 02:30 Europe/Berlin",
		"30 2 * * SUN,MON":    "every Monday and Sunday at 02:30 Europe/Berlin",
		"0 9 ? * TUE,THU,SAT": "every Tuesday, Thursday and Saturday at 09:00 Europe/Berlin",
		"0 9 1 * *":           "on day 1 of every month at 09:00 Europe/Berlin",
		"0 9 29 FEB *":        "every 29 February at 09:00 Europe/Berlin",
		"* * * * *":           "every minute in Europe/Berlin",
		"*/15 * * * *":        "every 15 minutes in Europe/Berlin",
		"0,30 * * * *":        "every 30 minutes in Europe/Berlin",
		"5 * * * *":           "every hour at minute 5 in Europe/Berlin",
		"*/7 * * * *":         `cron "*/7 * * * *" in Europe/Berlin`,
		"5,35 * * * *":        `cron "5,35 * * * *" in Europe/Berlin`,
		" 0 9 13 * 5 ":        `cron "0 9 13 * 5" in Europe/Berlin`,
		"0 9 1-31 * 5":        `cron "0 9 1-31 * 5" in Europe/Berlin`,
		"0 9 13 * 0-6":        `cron "0 9 13 * 0-6" in Europe/Berlin`,
		"0 9 * 3 1":           `cron "0 9 * 3 1" in Europe/Berlin`,
		"0 9 */2 * 1":         `cron "0 9 */2 * 1" in Europe/Berlin`,
		"0 9,17 * * *":        `cron "0 9,17 * * *" in Europe/Berlin`,
		"*/15 9 * * *":        `cron "*/15 9 * * *" in Europe/Berlin`,
		"*/15 * * * 1":        `cron "*/15 * * * 1" in Europe/Berlin`,
	} {
		if got := mustCompile(t, cron(expr, "Europe/Berlin")).Describe(); got != want {
			t.Errorf("%q: got %q, want %q", expr, got, want)
		}
	}
	anchor := time.Unix(0, 0)
	for minutes, want := range map[int]string{1: "every minute", 60: "every hour", 90: "every 90 minutes", 1440: "every 24 hours"} {
		if got := mustCompile(t, job.Schedule{Type: job.IntervalBased, IntervalMinutes: minutes, TimeZone: "UTC", Anchor: anchor}).Describe(); got != want {
			t.Errorf("%d minutes: got %q, want %q", minutes, got, want)
		}
	}
	if got := mustCompile(t, job.Schedule{Type: job.Manual, TimeZone: "UTC"}).Describe(); got != "only when asked for" {
		t.Errorf("manual: %q", got)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	const newYork = "America/New_York"
	const gap = "2026-03-08 02:30 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it "
	const overlap = "2025-11-02 01:30 comes twice in America/New_York, where the clock goes back from 02:00 to 01:00: it "
	shifted := Warning{WarnGap, gap + "runs once at 03:00 instead (2026-03-08T07:00:00Z)"}
	after := time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		spec job.Schedule
		want []Warning
	}{
		"plain":       {cron("0 12 * * *", newYork), nil},
		"no DST":      {cron("30 2 * * *", "Asia/Kathmandu"), nil},
		"gap shifted": {cron("30 2 * * *", newYork), []Warning{shifted}},
		"gap skipped": {job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{DSTGap: job.GapSkip}}, []Warning{{WarnGap, gap + "does not run then"}}},
		"gap several": {cron("0,20,40 2 * * *", newYork), []Warning{{WarnGap,
			"each of 3 times from 2026-03-08 02:00 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it runs once at 03:00 instead (2026-03-08T07:00:00Z)"}}},
		"gap wildcard": {cron("*/30 2 * * *", newYork), []Warning{{WarnGap,
			"each of 2 times from 2026-03-08 02:00 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it follows the clock and does not run then"}}},
		"gap on another weekday": {cron("30 2 * * MON", newYork), nil},
		"gap excluded":           {job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2026-03-08"}}}, nil},
		"gap after the end":      {job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{End: time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)}}, nil},
		"gap two years ahead": {job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{Start: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}}, []Warning{{WarnGap,
			"2027-03-14 02:30 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it runs once at 03:00 instead (2027-03-14T07:00:00Z)"}}},
		"overlap first":    {cron("30 1 * * *", newYork), []Warning{{WarnOverlap, overlap + "runs the first time only (2025-11-02T05:30:00Z)"}}},
		"overlap both":     {job.Schedule{Type: job.CronBased, Cron: "30 1 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{DSTOverlap: job.OverlapBoth}}, []Warning{{WarnOverlap, overlap + "runs both times (2025-11-02T05:30:00Z and 2025-11-02T06:30:00Z)"}}},
		"overlap wildcard": {cron("30 */1 1-7 11 *", newYork), nil},
		"overlap wildcard, some hours": {cron("*/30 1 * * *", newYork), []Warning{{WarnOverlap,
			"each of 2 times from 2025-11-02 01:00 comes twice in America/New_York, where the clock goes back from 02:00 to 01:00: it follows the clock and runs both times (from 2025-11-02T05:00:00Z and from 2025-11-02T06:00:00Z)"}}},
		"every hour":                  {cron("0 * * * *", newYork), nil},
		"every minute":                {cron("* * * * *", newYork), nil},
		"half-hour change, unnoticed": {cron("*/15 * * * *", "Australia/Lord_Howe"), nil},
		"half-hour change, gap": {cron("0 * * * *", "Australia/Lord_Howe"), []Warning{{WarnGap,
			"2025-10-05 02:00 does not exist in Australia/Lord_Howe, where the clock goes forward from 02:00 to 02:30: it follows the clock and does not run then"}}},

		"both day fields": {cron("0 12 */2 * 1", "UTC"), []Warning{{WarnBothDays,
			`day of month "*/2" and day of week "1" must both match, since one of them starts with *; for either of them write the values as a list or as a range with a step`}}},
		"both day fields, all weekdays": {cron("0 12 */2 * 0-6", "UTC"), nil},
		"either day field":              {cron("0 12 1 * 1", "UTC"), nil},
		"step of minutes":               {cron("*/90 * * * *", "UTC"), []Warning{{WarnStepOnce, `minute field: "*/90" is minute 0 only; for every 90 minutes use INTERVAL_BASED with intervalMinutes 90`}}},
		"step of an hour":               {cron("*/60 * * * *", "UTC"), []Warning{{WarnStepOnce, `minute field: "*/60" is minute 0 only; for every 60 minutes use INTERVAL_BASED with intervalMinutes 60`}}},
		"step of hours":                 {cron("0 */36 * * *", "UTC"), []Warning{{WarnStepOnce, `hour field: "*/36" is hour 0 only; for every 36 hours use INTERVAL_BASED with intervalMinutes 2160`}}},
		"step of decades":               {cron("0 */999999999 * * *", "UTC"), []Warning{{WarnStepOnce, `hour field: "*/999999999" is hour 0 only`}}},
		"step of a range":               {cron("30,1-10/20 * * * *", "UTC"), []Warning{{WarnStepOnce, `minute field: "1-10/20" is minute 1 only; for every 20 minutes use INTERVAL_BASED with intervalMinutes 20`}}},
		"step of days":                  {cron("0 12 */31 * *", "UTC"), []Warning{{WarnStepOnce, `day of month field: "*/31" is day 1 only`}}},
		"step of months":                {cron("0 12 1 */12 *", "UTC"), []Warning{{WarnStepOnce, `month field: "*/12" is JAN only`}}},
		"step of weekdays":              {cron("0 12 * * */7", "UTC"), []Warning{{WarnStepOnce, `day of week field: "*/7" is SUN only`}}},
		"step that just fits":           {cron("*/59 */23 * * *", "UTC"), nil},
		"range of one value":            {cron("5-5/10 * * * *", "UTC"), nil},

		"manual":   {job.Schedule{Type: job.Manual, TimeZone: newYork}, nil},
		"interval": {job.Schedule{Type: job.IntervalBased, IntervalMinutes: 60, TimeZone: newYork, Anchor: after}, nil},
		"interval ended": {job.Schedule{Type: job.IntervalBased, IntervalMinutes: 60, TimeZone: newYork, Anchor: after, ScheduleOptions: job.ScheduleOptions{End: after}}, []Warning{{WarnEnded,
			"there is no time after 2025-06-01T00:00:00Z at which it is due: see startTime, endTime and excludedDates"}}},
		"cron ended": {job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: newYork, ScheduleOptions: job.ScheduleOptions{End: after}}, []Warning{{WarnEnded,
			"there is no time after 2025-06-01T00:00:00Z at which it is due: see startTime, endTime and excludedDates"}}},
		"several": {cron("30 2 */2 * 0", newYork), []Warning{{WarnBothDays,
			`day of month "*/2" and day of week "0" must both match, since one of them starts with *; for either of them write the values as a list or as a range with a step`}}},
	} {
		if diff := cmp.Diff(tt.want, mustCompile(t, tt.spec).Warnings(after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	long := mustCompile(t, cron("0 12 * * *", "Pacific/Apia")).Warnings(time.Date(2011, 6, 1, 0, 0, 0, 0, time.UTC))
	want := []Warning{{WarnGap, "2011-12-30 12:00 does not exist in Pacific/Apia, where the clock goes forward from 00:00 to 00:00: it does not run then, since the jump is longer than three hours"}}
	if diff := cmp.Diff(want, long); diff != "" {
		t.Errorf("a skipped day (-want +got):\n%s", diff)
	}
}
