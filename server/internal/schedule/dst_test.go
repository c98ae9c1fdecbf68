package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

// Changes of the clock that other schedulers get wrong. Zones whose rules
// were not final when the test was written are asked about the past only.
func TestNextAcrossClockChanges(t *testing.T) {
	t.Parallel()
	skip := func(s *job.Schedule) { s.DSTGap = job.GapSkip }
	both := func(s *job.Schedule) { s.DSTOverlap = job.OverlapBoth }
	none := func(*job.Schedule) {}
	for _, tt := range []struct {
		zone, expr string
		policy     func(*job.Schedule)
		after      string
		want       []string
	}{
		// 2025-03-09 02:00 EST -> 03:00 EDT, at 07:00Z.
		{"America/New_York", "30 2 * * *", none, "2025-03-08T08:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-10T06:30:00Z"}},
		{"America/New_York", "30 2 * * *", skip, "2025-03-08T08:00:00Z", []string{"2025-03-10T06:30:00Z"}},
		{"America/New_York", "30 2 * * *", both, "2025-03-08T08:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-10T06:30:00Z"}},
		{"America/New_York", "0,10,20 2 * * *", none, "2025-03-09T06:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z"}},
		{"America/New_York", "0,30 2,3 * * *", none, "2025-03-09T06:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-09T07:30:00Z", "2025-03-10T06:00:00Z"}},
		{"America/New_York", "0,30 2,3 * * *", skip, "2025-03-09T06:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-09T07:30:00Z", "2025-03-10T06:00:00Z"}},
		{"America/New_York", "30 2,3 * * *", skip, "2025-03-09T06:00:00Z", []string{"2025-03-09T07:30:00Z"}},
		{"America/New_York", "0 2 * * *", none, "2025-03-09T06:59:59.999999999Z", []string{"2025-03-09T07:00:00Z", "2025-03-10T06:00:00Z"}},
		{"America/New_York", "0 3 * * *", none, "2025-03-08T12:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-10T07:00:00Z"}},
		{"America/New_York", "*/15 * * * *", none, "2025-03-09T06:45:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-09T07:15:00Z"}},
		{"America/New_York", "0 * * * *", none, "2025-03-09T06:00:00Z", []string{"2025-03-09T07:00:00Z", "2025-03-09T08:00:00Z"}},
		{"America/New_York", "30 */2 * * *", none, "2025-03-09T05:30:00Z", []string{"2025-03-09T08:30:00Z"}},
		{"America/New_York", "*/30 2 * * *", none, "2025-03-09T05:00:00Z", []string{"2025-03-10T06:00:00Z"}},
		{"America/New_York", "30 2 9 3 *", none, "2025-01-01T00:00:00Z", []string{"2025-03-09T07:00:00Z", "2026-03-09T06:30:00Z"}},
		{"America/New_York", "30 2 9 3 *", skip, "2025-01-01T00:00:00Z", []string{"2026-03-09T06:30:00Z"}},
		// 2025-11-02 02:00 EDT -> 01:00 EST, at 06:00Z.
		{"America/New_York", "30 1 * * *", none, "2025-11-01T06:00:00Z", []string{"2025-11-02T05:30:00Z", "2025-11-03T06:30:00Z"}},
		{"America/New_York", "30 1 * * *", both, "2025-11-01T06:00:00Z", []string{"2025-11-02T05:30:00Z", "2025-11-02T06:30:00Z", "2025-11-03T06:30:00Z"}},
		{"America/New_York", "30 1 * * *", none, "2025-11-02T06:10:00Z", []string{"2025-11-03T06:30:00Z"}},
		{"America/New_York", "*/30 1 * * *", none, "2025-11-02T05:10:00Z", []string{"2025-11-02T05:30:00Z", "2025-11-02T06:00:00Z", "2025-11-02T06:30:00Z", "2025-11-03T06:00:00Z"}},
		{"America/New_York", "*/10 * * * *", none, "2025-11-02T05:20:00Z", []string{"2025-11-02T05:30:00Z", "2025-11-02T05:40:00Z", "2025-11-02T05:50:00Z", "2025-11-02T06:00:00Z", "2025-11-02T06:10:00Z"}},
		{"America/New_York", "@hourly", none, "2025-11-02T04:00:00Z", []string{"2025-11-02T05:00:00Z", "2025-11-02T06:00:00Z", "2025-11-02T07:00:00Z"}},
		{"America/New_York", "0 0 * * *", none, "2025-11-02T03:00:00Z", []string{"2025-11-02T04:00:00Z", "2025-11-03T05:00:00Z"}},
		{"America/New_York", "30 2 * * *", none, "2026-03-08T00:00:00Z", []string{"2026-03-08T07:00:00Z"}},
		{"America/New_York", "30 1 * * *", none, "2026-11-01T00:00:00Z", []string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		// Years past the zone's table, where package time ends a leap year early.
		{"America/New_York", "0 0 29 2 *", none, "2039-01-01T00:00:00Z", []string{"2040-02-29T05:00:00Z", "2044-02-29T05:00:00Z"}},
		{"America/New_York", "0 12 31 12 *", none, "2040-01-01T00:00:00Z", []string{"2040-12-31T17:00:00Z", "2041-12-31T17:00:00Z"}},
		{"America/New_York", "30 2 14 3 *", none, "2199-01-01T00:00:00Z", []string{"2199-03-14T06:30:00Z", "none"}},

		// Half an hour: 2025-04-06 02:00 +11 -> 01:30 +10:30 at 04-05 15:00Z, back on 10-05 at 15:30Z of the 4th.
		{"Australia/Lord_Howe", "0 0 * * *", none, "2025-04-05T13:00:00Z", []string{"2025-04-06T13:30:00Z", "2025-04-07T13:30:00Z"}},
		{"Australia/Lord_Howe", "45 1 * * *", none, "2025-04-05T14:00:00Z", []string{"2025-04-05T14:45:00Z", "2025-04-06T15:15:00Z"}},
		{"Australia/Lord_Howe", "45 1 * * *", both, "2025-04-05T14:00:00Z", []string{"2025-04-05T14:45:00Z", "2025-04-05T15:15:00Z", "2025-04-06T15:15:00Z"}},
		{"Australia/Lord_Howe", "15 1 * * *", none, "2025-04-05T14:00:00Z", []string{"2025-04-05T14:15:00Z", "2025-04-06T14:45:00Z"}},
		{"Australia/Lord_Howe", "15 2 * * *", none, "2025-10-04T14:00:00Z", []string{"2025-10-04T15:30:00Z", "2025-10-05T15:15:00Z"}},
		{"Australia/Lord_Howe", "*/20 * * * *", none, "2025-10-04T15:00:00Z", []string{"2025-10-04T15:10:00Z", "2025-10-04T15:40:00Z"}},

		// A whole day is skipped: 2011-12-30, at 10:00Z.
		{"Pacific/Apia", "0 0 1 * *", none, "2011-12-01T10:00:00Z", []string{"2011-12-31T10:00:00Z", "2012-01-31T10:00:00Z"}},
		{"Pacific/Apia", "0 12 30 * *", none, "2011-12-01T10:00:00Z", []string{"2012-01-29T22:00:00Z"}},
		{"Pacific/Apia", "0 12 * * *", none, "2011-12-29T00:00:00Z", []string{"2011-12-29T22:00:00Z", "2011-12-30T22:00:00Z"}},
		{"Pacific/Apia", "0 * 30 12 *", none, "2011-12-01T00:00:00Z", []string{"2012-12-29T10:00:00Z"}},

		// Exactly three hours, the longest jump that is made up: 2009-10-18 02:00 +08 -> 05:00 +11.
		{"Antarctica/Casey", "30 3 * * *", none, "2009-10-17T00:00:00Z", []string{"2009-10-17T18:00:00Z", "2009-10-18T16:30:00Z"}},

		// Midnight does not exist.
		{"Africa/Cairo", "0 17 * * FRI", none, "2025-04-24T00:00:00Z", []string{"2025-04-25T14:00:00Z", "2025-05-02T14:00:00Z"}},
		{"Africa/Cairo", "0 0 * * FRI", none, "2025-04-24T00:00:00Z", []string{"2025-04-24T22:00:00Z", "2025-05-01T21:00:00Z"}},
		{"Africa/Cairo", "0 0 * * FRI", skip, "2025-04-24T00:00:00Z", []string{"2025-05-01T21:00:00Z"}},
		{"America/Sao_Paulo", "0 */4 * * SAT", none, "2018-11-03T20:00:00Z", []string{"2018-11-03T23:00:00Z", "2018-11-10T02:00:00Z"}},
		{"America/Sao_Paulo", "0 9 * * MON", none, "2018-11-03T20:00:00Z", []string{"2018-11-05T11:00:00Z"}},
		{"America/Sao_Paulo", "0 0 * * *", none, "2018-11-03T20:00:00Z", []string{"2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"}},
		{"America/Sao_Paulo", "0 0 * * *", skip, "2018-11-03T20:00:00Z", []string{"2018-11-05T02:00:00Z"}},
		{"America/Santiago", "30 0 * * SUN", none, "2024-09-07T12:00:00Z", []string{"2024-09-08T04:00:00Z", "2024-09-15T03:30:00Z"}},
		{"America/Havana", "0 0 * * 0", none, "2025-03-08T12:00:00Z", []string{"2025-03-09T05:00:00Z", "2025-03-16T04:00:00Z"}},
		{"America/Havana", "30 0 * * *", none, "2024-11-02T12:00:00Z", []string{"2024-11-03T04:30:00Z", "2024-11-04T05:30:00Z"}},
		{"America/Havana", "30 0 * * *", both, "2024-11-02T12:00:00Z", []string{"2024-11-03T04:30:00Z", "2024-11-03T05:30:00Z", "2024-11-04T05:30:00Z"}},
		// The gap lies before midnight: the made-up run is on the next date.
		{"America/Nuuk", "30 23 * * SAT", none, "2025-03-29T12:00:00Z", []string{"2025-03-30T01:00:00Z", "2025-04-06T00:30:00Z"}},

		// Two hours: 2025-03-30 01:00 +00 -> 03:00 +02, back on 10-26.
		{"Antarctica/Troll", "30 1,2 * * *", none, "2025-03-30T00:00:00Z", []string{"2025-03-30T01:00:00Z", "2025-03-30T23:30:00Z"}},
		{"Antarctica/Troll", "30 2 * * *", none, "2025-10-26T00:00:00Z", []string{"2025-10-26T00:30:00Z", "2025-10-27T02:30:00Z"}},
		{"Antarctica/Troll", "30 2 * * *", both, "2025-10-26T00:00:00Z", []string{"2025-10-26T00:30:00Z", "2025-10-26T02:30:00Z", "2025-10-27T02:30:00Z"}},

		// Ramadan: an hour back on 2025-02-23 at 02:00Z, forward on 04-06 at 02:00Z.
		{"Africa/Casablanca", "30 2 * * *", none, "2025-02-23T00:00:00Z", []string{"2025-02-23T01:30:00Z", "2025-02-24T02:30:00Z"}},
		{"Africa/Casablanca", "30 2 * * *", both, "2025-02-23T00:00:00Z", []string{"2025-02-23T01:30:00Z", "2025-02-23T02:30:00Z", "2025-02-24T02:30:00Z"}},
		{"Africa/Casablanca", "30 2 * * *", none, "2025-04-06T00:00:00Z", []string{"2025-04-06T02:00:00Z", "2025-04-07T01:30:00Z"}},

		// Quarter hours, no DST.
		{"Asia/Kathmandu", "0 0 * * *", none, "2025-01-01T00:00:00Z", []string{"2025-01-01T18:15:00Z"}},
		{"Pacific/Chatham", "0 3 * * *", none, "2025-09-27T00:00:00Z", []string{"2025-09-27T14:00:00Z", "2025-09-28T13:15:00Z"}},
	} {
		spec := cron(tt.expr, tt.zone)
		tt.policy(&spec)
		got := chain(mustCompile(t, spec), at(t, tt.after), len(tt.want))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s %q gap %s overlap %s after %s (-want +got):\n%s", tt.zone, tt.expr, spec.DSTGap, spec.DSTOverlap, tt.after, diff)
		}
	}
}

// A made-up run obeys the window like any other slot.
func TestMadeUpRunInWindow(t *testing.T) {
	t.Parallel()
	jump := at(t, "2025-03-09T07:00:00Z")
	spec := job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: "America/New_York", ScheduleOptions: job.ScheduleOptions{End: jump}}
	if slot, ok := mustCompile(t, spec).Next(jump.Add(-time.Hour)); ok {
		t.Errorf("a run at the end, which is exclusive: %v", slot)
	}
	spec.End, spec.Start = time.Time{}, jump
	if slot, ok := mustCompile(t, spec).Next(jump.AddDate(-1, 0, 0)); !ok || slot != jump {
		t.Errorf("no run at the start, which is inclusive, but %v", slot)
	}
	spec.Start = jump.Add(time.Nanosecond)
	if slot, ok := mustCompile(t, spec).Next(jump.AddDate(-1, 0, 0)); !ok || slot == jump {
		t.Errorf("a run before the start: %v", slot)
	}
}

// The table of spans must say what package time says, at any instant.
func TestZoneTable(t *testing.T) {
	t.Parallel()
	arithmetic(t)
	for _, name := range oddZones {
		z, err := loadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		check := func(u int64) {
			if _, want := time.Unix(u, 0).In(loc).Zone(); z.spans[z.find(u)].offset != int64(want) {
				t.Errorf("%s at %v: offset %d, want %d", name, instant(u), z.spans[z.find(u)].offset, want)
			}
		}
		const step = 6*60*60 + 7 // so that every time of day comes up
		for u := minTime; u < maxTime; u += step {
			check(u)
		}
		for i, sp := range z.spans {
			check(sp.start)
			check(z.end(i) - 1)
			if i > 0 && (sp.start <= z.spans[i-1].start || sp.offset == z.spans[i-1].offset) {
				t.Errorf("%s: span %d does not follow the one before", name, i)
			}
		}
	}
}

func TestZoneIsReadOnce(t *testing.T) {
	t.Parallel()
	a, err := loadZone("Europe/Vienna")
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := loadZone("Europe/Vienna"); a != b {
		t.Error("the zone was read twice")
	}
}
