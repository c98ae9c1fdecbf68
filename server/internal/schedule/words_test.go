package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
		if got := mustCompile(t, Spec{Cron: expr, TimeZone: "Europe/Berlin"}).Describe(); got != want {
			t.Errorf("%q: got %q, want %q", expr, got, want)
		}
	}
	anchor := time.Unix(0, 0)
	for minutes, want := range map[int]string{1: "every minute", 60: "every hour", 90: "every 90 minutes", 1440: "every 24 hours"} {
		if got := mustCompile(t, Spec{Kind: Interval, IntervalMinutes: minutes, TimeZone: "UTC", Anchor: anchor}).Describe(); got != want {
			t.Errorf("%d minutes: got %q, want %q", minutes, got, want)
		}
	}
	if got := mustCompile(t, Spec{Kind: Manual, TimeZone: "UTC"}).Describe(); got != "only when asked for" {
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
		spec Spec
		want []Warning
	}{
		"plain":       {Spec{Cron: "0 12 * * *", TimeZone: newYork}, nil},
		"no DST":      {Spec{Cron: "30 2 * * *", TimeZone: "Asia/Kathmandu"}, nil},
		"gap shifted": {Spec{Cron: "30 2 * * *", TimeZone: newYork}, []Warning{shifted}},
		"gap skipped": {Spec{Cron: "30 2 * * *", TimeZone: newYork, DSTGap: Skip}, []Warning{{WarnGap, gap + "does not run then"}}},
		"gap several": {Spec{Cron: "0,20,40 2 * * *", TimeZone: newYork}, []Warning{{WarnGap,
			"each of 3 times from 2026-03-08 02:00 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it runs once at 03:00 instead (2026-03-08T07:00:00Z)"}}},
		"gap wildcard": {Spec{Cron: "*/30 2 * * *", TimeZone: newYork}, []Warning{{WarnGap,
			"each of 2 times from 2026-03-08 02:00 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it follows the clock and does not run then"}}},
		"gap on another weekday": {Spec{Cron: "30 2 * * MON", TimeZone: newYork}, nil},
		"gap excluded":           {Spec{Cron: "30 2 * * *", TimeZone: newYork, Exclusions: []Exclusion{{From: "2026-03-08"}}}, nil},
		"gap after the end":      {Spec{Cron: "30 2 * * *", TimeZone: newYork, End: time.Date(2026, 3, 8, 7, 0, 0, 0, time.UTC)}, nil},
		"gap two years ahead": {Spec{Cron: "30 2 * * *", TimeZone: newYork, Start: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, []Warning{{WarnGap,
			"2027-03-14 02:30 does not exist in America/New_York, where the clock goes forward from 02:00 to 03:00: it runs once at 03:00 instead (2027-03-14T07:00:00Z)"}}},
		"overlap first":    {Spec{Cron: "30 1 * * *", TimeZone: newYork}, []Warning{{WarnOverlap, overlap + "runs the first time only (2025-11-02T05:30:00Z)"}}},
		"overlap both":     {Spec{Cron: "30 1 * * *", TimeZone: newYork, DSTOverlap: Both}, []Warning{{WarnOverlap, overlap + "runs both times (2025-11-02T05:30:00Z and 2025-11-02T06:30:00Z)"}}},
		"overlap wildcard": {Spec{Cron: "30 */1 1-7 11 *", TimeZone: newYork}, nil},
		"overlap wildcard, some hours": {Spec{Cron: "*/30 1 * * *", TimeZone: newYork}, []Warning{{WarnOverlap,
			"each of 2 times from 2025-11-02 01:00 comes twice in America/New_York, where the clock goes back from 02:00 to 01:00: it follows the clock and runs both times (from 2025-11-02T05:00:00Z and from 2025-11-02T06:00:00Z)"}}},
		"every hour":                  {Spec{Cron: "0 * * * *", TimeZone: newYork}, nil},
		"every minute":                {Spec{Cron: "* * * * *", TimeZone: newYork}, nil},
		"half-hour change, unnoticed": {Spec{Cron: "*/15 * * * *", TimeZone: "Australia/Lord_Howe"}, nil},
		"half-hour change, gap": {Spec{Cron: "0 * * * *", TimeZone: "Australia/Lord_Howe"}, []Warning{{WarnGap,
			"2025-10-05 02:00 does not exist in Australia/Lord_Howe, where the clock goes forward from 02:00 to 02:30: it follows the clock and does not run then"}}},

		"both day fields": {Spec{Cron: "0 12 */2 * 1", TimeZone: "UTC"}, []Warning{{WarnBothDays,
			`day of month "*/2" and day of week "1" must both match, since one of them starts with *; for either of them write the values as a list or as a range with a step`}}},
		"both day fields, all weekdays": {Spec{Cron: "0 12 */2 * 0-6", TimeZone: "UTC"}, nil},
		"either day field":              {Spec{Cron: "0 12 1 * 1", TimeZone: "UTC"}, nil},
		"step of minutes":               {Spec{Cron: "*/90 * * * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `minute field: "*/90" is minute 0 only; for every 90 minutes use INTERVAL_BASED with intervalMinutes 90`}}},
		"step of an hour":               {Spec{Cron: "*/60 * * * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `minute field: "*/60" is minute 0 only; for every 60 minutes use INTERVAL_BASED with intervalMinutes 60`}}},
		"step of hours":                 {Spec{Cron: "0 */36 * * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `hour field: "*/36" is hour 0 only; for every 36 hours use INTERVAL_BASED with intervalMinutes 2160`}}},
		"step of decades":               {Spec{Cron: "0 */999999999 * * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `hour field: "*/999999999" is hour 0 only`}}},
		"step of a range":               {Spec{Cron: "30,1-10/20 * * * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `minute field: "1-10/20" is minute 1 only; for every 20 minutes use INTERVAL_BASED with intervalMinutes 20`}}},
		"step of days":                  {Spec{Cron: "0 12 */31 * *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `day of month field: "*/31" is day 1 only`}}},
		"step of months":                {Spec{Cron: "0 12 1 */12 *", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `month field: "*/12" is JAN only`}}},
		"step of weekdays":              {Spec{Cron: "0 12 * * */7", TimeZone: "UTC"}, []Warning{{WarnStepOnce, `day of week field: "*/7" is SUN only`}}},
		"step that just fits":           {Spec{Cron: "*/59 */23 * * *", TimeZone: "UTC"}, nil},
		"range of one value":            {Spec{Cron: "5-5/10 * * * *", TimeZone: "UTC"}, nil},

		"manual":   {Spec{Kind: Manual, TimeZone: newYork}, nil},
		"interval": {Spec{Kind: Interval, IntervalMinutes: 60, TimeZone: newYork, Anchor: after}, nil},
		"interval ended": {Spec{Kind: Interval, IntervalMinutes: 60, TimeZone: newYork, Anchor: after, End: after}, []Warning{{WarnEnded,
			"there is no time after 2025-06-01T00:00:00Z at which it is due: see startTime, endTime and excludedDates"}}},
		"cron ended": {Spec{Cron: "30 2 * * *", TimeZone: newYork, End: after}, []Warning{{WarnEnded,
			"there is no time after 2025-06-01T00:00:00Z at which it is due: see startTime, endTime and excludedDates"}}},
		"several": {Spec{Cron: "30 2 */2 * 0", TimeZone: newYork}, []Warning{{WarnBothDays,
			`day of month "*/2" and day of week "0" must both match, since one of them starts with *; for either of them write the values as a list or as a range with a step`}}},
	} {
		if diff := cmp.Diff(tt.want, mustCompile(t, tt.spec).Warnings(after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	long := mustCompile(t, Spec{Cron: "0 12 * * *", TimeZone: "Pacific/Apia"}).Warnings(time.Date(2011, 6, 1, 0, 0, 0, 0, time.UTC))
	want := []Warning{{WarnGap, "2011-12-30 12:00 does not exist in Pacific/Apia, where the clock goes forward from 00:00 to 00:00: it does not run then, since the jump is longer than three hours"}}
	if diff := cmp.Diff(want, long); diff != "" {
		t.Errorf("a skipped day (-want +got):\n%s", diff)
	}
}
