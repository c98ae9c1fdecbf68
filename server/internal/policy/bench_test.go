package policy_test

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// BenchmarkDue decides for a job whose slot has just come, as nearly every claim
// does.
func BenchmarkDue(b *testing.B) {
	slot := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	schedules := map[string]job.Schedule{
		"cron":     {Type: job.CronBased, Cron: "0 12 * * *", TimeZone: "UTC"},
		"zone":     {Type: job.CronBased, Cron: "0 8 * * *", TimeZone: "America/New_York"},
		"interval": {Type: job.IntervalBased, IntervalMinutes: 24 * 60, TimeZone: "UTC", Anchor: slot.Add(-24 * time.Hour)},
	}
	for name, s := range schedules {
		b.Run(name, func(b *testing.B) {
			due := store.Due{JobID: 7, InstanceID: 1, Version: 1, Active: true, Schedule: s, NextRun: slot}
			now := slot.Add(10 * time.Millisecond)
			b.ReportAllocs()
			for b.Loop() {
				if d := policy.Due(due, now); len(d.Starts) != 1 || d.Next.IsZero() {
					b.Fatalf("%+v", d)
				}
			}
		})
	}
}
