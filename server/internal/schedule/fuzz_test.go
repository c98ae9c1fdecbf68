package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/pointscene/carillon/server/internal/job"
)

var knownReasons = []string{
	"CRON_FIELD_COUNT", "CRON_TOO_LONG", "CRON_CHARACTER", "CRON_UNSUPPORTED", "CRON_SYNTAX", "CRON_VALUE_RANGE", "CRON_NEVER_FIRES",
	"INTERVAL_RANGE", "UNKNOWN_TIME_ZONE", "TIME_RANGE", "END_BEFORE_START", "JITTER_RANGE", "EXCLUSION_DATE", "EXCLUSION_ORDER",
}

// FuzzCompile feeds everything a user writes. Whatever it is, Compile refuses
// it with a known reason or gives a schedule that every method can take.
func FuzzCompile(f *testing.F) {
	f.Add(uint8(0), "30 2 * * *", "America/New_York", 0, "", "", int64(0), int64(0), int64(0))
	f.Add(uint8(0), "*/90 */2 1-31/3 JAN-jun,12 SUN-5", "Antarctica/Troll", 0, "2026-01-01", "2026-02-01", int64(time.Hour), int64(1), int64(2e9))
	f.Add(uint8(1), "", "UTC", 90, "1970-01-01", "2199-12-31", int64(1), int64(-5), int64(9e9))
	f.Add(uint8(2), "@every 1m", "Local", -1, "x", "", int64(-1), int64(8e9), int64(7))
	f.Fuzz(func(t *testing.T, kind uint8, expr, zone string, minutes int, from, to string, jitter, start, end int64) {
		spec := job.Schedule{Type: frequencyTypes[kind%3], Cron: expr, TimeZone: zone, IntervalMinutes: minutes, Anchor: time.Unix(1_700_000_000, 0), ScheduleOptions: job.ScheduleOptions{DSTGap: gapPolicies[kind>>3&1], DSTOverlap: overlapPolicies[kind>>4&1], Jitter: time.Duration(jitter)}}
		if from != "" {
			spec.ExcludedDates = []string{strings.TrimSuffix(from+"/"+to, "/")}
		}
		if start != 0 {
			spec.Start = time.Unix(start, 0)
		}
		if end != 0 {
			spec.End = time.Unix(end, 999_999_999)
		}
		s, err := Compile(spec, start)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		if s.Describe() == "" {
			t.Error("no description")
		}
		for _, after := range []time.Time{{}, time.Unix(start, 0), time.Unix(end, 1), time.Unix(1_750_000_000, 0)} {
			s.Warnings(after)
			s.Between(after, time.Unix(end, 0))
			for range 3 {
				slot, ok := s.Next(after)
				if !ok {
					break
				}
				next, hasNext := s.Next(slot)
				fire := s.FireAt(slot)
				if slot.Unix() <= after.Unix() || fire.Before(slot) || hasNext && !fire.Before(next) {
					t.Fatalf("after %v: slot %v fires at %v, next %v", after, slot, fire, next)
				}
				if !spec.Start.IsZero() && slot.Before(spec.Start) || !spec.End.IsZero() && spec.End.Unix() < maxTime && !slot.Before(spec.End) {
					t.Fatalf("slot %v lies outside %v to %v", slot, spec.Start, spec.End)
				}
				after = slot
			}
		}
	})
}

func checkRefusal(t *testing.T, err error) {
	t.Helper()
	invalid, ok := errors.AsType[*job.InvalidError](err)
	if !ok {
		t.Fatalf("got %v, want InvalidError", err)
	}
	for _, v := range invalid.Violations {
		if v.Field == "" || !slices.Contains(knownReasons, v.Reason) || !utf8.ValidString(v.Description) || v.Description == "" || len(v.Description) > 2000 {
			t.Errorf("violation %+v", v)
		}
	}
}

// FuzzNext compares the schedule of a valid expression with the walk over
// every minute of three days, from any instant in any odd zone.
func FuzzNext(f *testing.F) {
	f.Add("30 2 * * *", uint8(1), int64(1741478400), uint8(0), uint8(0), uint16(0))
	f.Add("*/15 1-3 * * SUN", uint8(9), int64(1743206400), uint8(3), uint8(1), uint16(300))
	f.Add("0,30 0 ? * FRI-SUN", uint8(5), int64(1325116800), uint8(2), uint8(2), uint16(0))
	f.Fuzz(func(t *testing.T, expr string, zone uint8, at int64, policy, excluded uint8, window uint16) {
		spec := job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: oddZones[int(zone)%len(oddZones)], ScheduleOptions: job.ScheduleOptions{DSTGap: gapPolicies[policy&1], DSTOverlap: overlapPolicies[policy>>1&1]}}
		const days = 3
		at = max(at%(maxTime-days*daySeconds), 10*daySeconds)
		after := time.Unix(at, 0).UTC()
		until := after.AddDate(0, 0, days)
		loc, err := time.LoadLocation(spec.TimeZone)
		if err != nil {
			t.Fatal(err)
		}
		skipDate := ""
		if excluded > 0 {
			skipDate = after.In(loc).AddDate(0, 0, int(excluded)%days).Format(time.DateOnly)
			spec.ExcludedDates = []string{skipDate}
		}
		if window > 0 {
			spec.Start, spec.End = after.Add(time.Duration(window)*time.Second), until.Add(-time.Duration(window)*time.Second)
		}
		s, err := Compile(spec, 0)
		if err != nil {
			checkRefusal(t, err)
			return
		}
		brute := bruteParse(expr)
		brute.skip, brute.both = spec.DSTGap == job.GapSkip, spec.DSTOverlap == job.OverlapBoth
		brute.excluded = func(m *moment) bool {
			return skipDate != "" && fmt.Sprintf("%04d-%02d-%02d", m.year, m.month, m.day) == skipDate
		}
		if window > 0 {
			brute.lowest, brute.beyond = spec.Start.Unix(), spec.End.Unix()
		}
		want := brute.slots(moments(loc, after, until))
		sameSlots(t, fmt.Sprintf("%+v", spec), want, chainUnix(t, s, after, until))
		checkBetween(t, s, want, after, until)
	})
}
