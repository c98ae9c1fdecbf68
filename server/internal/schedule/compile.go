package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

const (
	maxIntervalMinutes = 525_600 // 365 days
	maxJitter          = 24 * time.Hour
	maxExclusions      = 1000
)

// Compile checks when a job is due. What a user can have got wrong is a
// *job.InvalidError that names every wrong field once: cronExpression,
// intervalMinutes, timeZone, startTime, endTime, jitter, excludedDates[i].
// An interval without an anchor is a mistake of the caller, and another error.
// Fields that the type does not use are ignored. The id makes the jitter of one
// job differ from that of another.
func Compile(of job.Schedule, jobID int64) (*Schedule, error) {
	// This is inlined, so that a schedule that the caller does not keep costs no memory.
	return new(Schedule).compile(&of, jobID)
}

func (s *Schedule) compile(of *job.Schedule, jobID int64) (*Schedule, error) {
	*s = Schedule{
		kind: of.Type, expr: of.Cron, skipsGap: of.DSTGap == job.GapSkip, runsTwice: of.DSTOverlap == job.OverlapBoth,
		jitter: of.Jitter, seed: jobID,
	}
	var bad job.InvalidError
	switch of.Type {
	case job.CronBased:
		times, refusal := parseCron(of.Cron)
		if refusal != nil {
			bad.Add("cronExpression", refusal.reason, "%s", refusal.text)
		}
		s.times = times
	case job.IntervalBased:
		s.setInterval(of, &bad)
	}
	s.setZone(of.TimeZone, &bad)
	s.setWindow(of.Start, of.End, &bad)
	if of.Jitter < 0 || of.Jitter > maxJitter {
		bad.Add("jitter", "JITTER_RANGE", "%v is out of range; write 0 to %v", of.Jitter, maxJitter)
	}
	s.setExcluded(of.ExcludedDates, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if of.Type == job.IntervalBased && (of.Anchor.Unix() < minTime || of.Anchor.Unix() >= maxTime) {
		return nil, fmt.Errorf("compile schedule: interval with anchor %v", of.Anchor)
	}
	return s, nil
}

func (s *Schedule) setInterval(of *job.Schedule, bad *job.InvalidError) {
	if of.IntervalMinutes < 1 || of.IntervalMinutes > maxIntervalMinutes {
		bad.Add("intervalMinutes", "INTERVAL_RANGE", "%d is out of range; write 1 to %d", of.IntervalMinutes, maxIntervalMinutes)
		return
	}
	s.interval = int64(of.IntervalMinutes) * 60
	s.anchor = of.Anchor.Unix()
}

func (s *Schedule) setZone(name string, bad *job.InvalidError) {
	z, err := loadZone(name)
	if err != nil {
		bad.Add("timeZone", "UNKNOWN_TIME_ZONE", "%v", err)
	}
	s.zone = z
}

func (s *Schedule) setWindow(start, end time.Time, bad *job.InvalidError) {
	s.lo, s.hi = minTime, maxTime
	if !start.IsZero() {
		if start.Unix() >= maxTime {
			bad.Add("startTime", "TIME_RANGE", "%s is too late; write a time before 2200", start.UTC().Format(time.RFC3339))
		}
		s.lo = max(s.lo, ceilSecond(start))
	}
	if end.IsZero() {
		return
	}
	if !start.IsZero() && !end.After(start) {
		bad.Add("endTime", "END_BEFORE_START", "must be later than startTime %s", start.UTC().Format(time.RFC3339))
	}
	s.hi = min(s.hi, ceilSecond(end))
}

// ceilSecond is the first whole second at or after t, for times near enough
// to matter; others only need to stay beyond the bounds.
func ceilSecond(t time.Time) int64 {
	sec := min(max(t.Unix(), minTime-1), maxTime)
	if t.Nanosecond() > 0 {
		sec++
	}
	return sec
}

func (s *Schedule) setExcluded(dates []string, bad *job.InvalidError) {
	if len(dates) > maxExclusions {
		bad.Add("excludedDates", "TOO_MANY_EXCLUSIONS", "%d dates and ranges; write at most %d", len(dates), maxExclusions)
		return
	}
	if len(dates) == 0 {
		return
	}
	ranges := make([]dayRange, 0, len(dates))
	for i, text := range dates {
		r, reason, why := parseDays(text)
		if reason != "" {
			bad.Add(fmt.Sprintf("excludedDates[%d]", i), reason, "%s", why)
			continue
		}
		ranges = append(ranges, r)
	}
	s.excluded = mergeDays(ranges)
}

// parseDays reads a date or a range with both ends: 2026-12-24,
// 2026-12-24/2027-01-06.
func parseDays(text string) (r dayRange, reason, why string) {
	first, last, isRange := strings.Cut(text, "/")
	if !isRange {
		last = first
	}
	from, err := time.Parse(time.DateOnly, first)
	if err != nil {
		return r, "EXCLUSION_DATE", fmt.Sprintf("%.40q is not a date; write one such as 2026-12-24", first)
	}
	to, err := time.Parse(time.DateOnly, last)
	if err != nil {
		return r, "EXCLUSION_DATE", fmt.Sprintf("%.40q is not a date; write one such as 2026-12-31", last)
	}
	if to.Before(from) {
		return r, "EXCLUSION_ORDER", fmt.Sprintf("%s is before %s; write the earlier date first", last, first)
	}
	return dayRange{floorDiv(from.Unix(), daySeconds), floorDiv(to.Unix(), daySeconds)}, "", ""
}

// mergeDays sorts ranges and joins those that touch, in place.
func mergeDays(ranges []dayRange) []dayRange {
	slices.SortFunc(ranges, func(a, b dayRange) int { return cmp.Compare(a.from, b.from) })
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && r.from <= merged[n-1].to+1 {
			merged[n-1].to = max(merged[n-1].to, r.to)
			continue
		}
		merged = append(merged, r)
	}
	return merged
}
