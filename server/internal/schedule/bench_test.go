package schedule

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

var benchSpecs = map[string]job.Schedule{
	"minutes":    {Type: job.CronBased, Cron: "*/5 * * * *", TimeZone: "America/New_York"},
	"daily":      {Type: job.CronBased, Cron: "30 2 * * *", TimeZone: "America/New_York"},
	"day31":      {Type: job.CronBased, Cron: "0 0 31 * *", TimeZone: "America/New_York"},
	"leapday":    {Type: job.CronBased, Cron: "0 0 29 2 *", TimeZone: "America/New_York"},
	"exclusions": {Type: job.CronBased, Cron: "30 2 * * *", TimeZone: "America/New_York", ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2026-03-01/2026-03-31", "2026-12-24"}}},
	"interval":   {Type: job.IntervalBased, IntervalMinutes: 5, TimeZone: "UTC", Anchor: time.Unix(1_700_000_000, 0)},
}

func BenchmarkCompile(b *testing.B) {
	for name, spec := range benchSpecs {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Compile(spec, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkNext(b *testing.B) {
	for name, spec := range benchSpecs {
		b.Run(name, func(b *testing.B) {
			s := mustCompile(b, spec)
			after := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			b.ReportAllocs()
			for b.Loop() {
				s.Next(after)
			}
		})
	}
}

// BenchmarkBetween counts a minute job's slots after a downtime.
func BenchmarkBetween(b *testing.B) {
	for name, days := range map[string]int{"14days": 14, "30years": 10957} {
		b.Run(name, func(b *testing.B) {
			s := mustCompile(b, cron("* * * * *", "America/New_York"))
			after := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			upTo := after.AddDate(0, 0, days)
			b.ReportAllocs()
			for b.Loop() {
				s.Between(after, upTo)
			}
		})
	}
}

// BenchmarkNever is the longest search: a date that exclusions take away
// every time.
func BenchmarkNever(b *testing.B) {
	s := mustCompile(b, job.Schedule{Type: job.CronBased, Cron: "0 0 29 2 *", TimeZone: "Antarctica/Troll", ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2026-01-01/9999-12-31"}}})
	after := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		s.Next(after)
	}
}

func BenchmarkZone(b *testing.B) {
	loc, err := time.LoadLocation("America/New_York")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		spansOf(loc)
	}
}
