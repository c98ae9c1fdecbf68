package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Limits of a Spec.
const (
	MaxIntervalMinutes = 525_600 // 365 days
	MaxJitter          = 24 * time.Hour
	MaxExclusions      = 1000
)

// Kind says what makes a job due.
type Kind uint8

// The kinds of schedules.
const (
	Cron     Kind = iota // by Spec.Cron
	Interval             // every Spec.IntervalMinutes
	Manual               // never by itself
)

// GapPolicy says what happens to a fixed-time cron job at a local time that
// the clock skips.
type GapPolicy uint8

// The gap policies.
const (
	ShiftForward GapPolicy = iota // runs at the first instant after the jump
	Skip                          // does not run
)

// OverlapPolicy says what happens to a fixed-time cron job at a local time
// that comes twice.
type OverlapPolicy uint8

// The overlap policies.
const (
	First OverlapPolicy = iota // runs the first time only
	Both                       // runs both times
)

// Exclusion is a date, or an inclusive range of dates, without slots. Dates
// are those of the job's zone, as 2026-12-24. To is empty for a single date.
type Exclusion struct{ From, To string }

// Spec is when a job is due, as a caller wrote it. Fields that the kind does
// not use are ignored.
type Spec struct {
	Kind Kind
	Cron string
	// IntervalMinutes is 1 to MaxIntervalMinutes.
	IntervalMinutes int
	// TimeZone is an IANA name. The empty name is refused: a caller whose user
	// gave none passes UTC.
	TimeZone   string
	DSTGap     GapPolicy
	DSTOverlap OverlapPolicy
	// Start (inclusive) and End (exclusive) bound the slots; zero is no bound.
	Start, End time.Time
	// Jitter is the longest time to add to a slot, 0 to MaxJitter.
	Jitter     time.Duration
	Exclusions []Exclusion
	// Anchor is what intervals are counted from, cut to the second. Intervals
	// need one.
	Anchor time.Time
	// Seed makes the jitter of one job differ from that of another: its id.
	Seed int64
}

// Compile checks the spec. What a user can have got wrong is a
// *job.InvalidError that names every wrong field once: cronExpression,
// intervalMinutes, timeZone, startTime, endTime, jitter, excludedDates[i].
// Any other error is a mistake of the caller: an unknown kind or policy, or an
// interval without an anchor.
func Compile(spec Spec) (*Schedule, error) {
	s := &Schedule{
		kind: spec.Kind, expr: spec.Cron, gap: spec.DSTGap, overlap: spec.DSTOverlap,
		jitter: spec.Jitter, seed: spec.Seed,
	}
	if spec.Kind > Manual || spec.DSTGap > Skip || spec.DSTOverlap > Both {
		return nil, fmt.Errorf("compile schedule: unknown kind %d, gap policy %d or overlap policy %d", spec.Kind, spec.DSTGap, spec.DSTOverlap)
	}
	var bad job.InvalidError
	switch spec.Kind {
	case Cron:
		times, refusal := parseCron(spec.Cron)
		if refusal != nil {
			bad.Add("cronExpression", refusal.reason, "%s", refusal.text)
		}
		s.times = times
	case Interval:
		s.setInterval(spec, &bad)
	case Manual:
	}
	s.setZone(spec.TimeZone, &bad)
	s.setWindow(spec.Start, spec.End, &bad)
	if spec.Jitter < 0 || spec.Jitter > MaxJitter {
		bad.Add("jitter", "JITTER_RANGE", "%v is out of range; write 0 to %v", spec.Jitter, MaxJitter)
	}
	s.setExclusions(spec.Exclusions, &bad)
	if err := bad.Err(); err != nil {
		return nil, err
	}
	if spec.Kind == Interval && (spec.Anchor.Unix() < minTime || spec.Anchor.Unix() >= maxTime) {
		return nil, fmt.Errorf("compile schedule: interval with anchor %v", spec.Anchor)
	}
	return s, nil
}

func (s *Schedule) setInterval(spec Spec, bad *job.InvalidError) {
	if spec.IntervalMinutes < 1 || spec.IntervalMinutes > MaxIntervalMinutes {
		bad.Add("intervalMinutes", "INTERVAL_RANGE", "%d is out of range; write 1 to %d", spec.IntervalMinutes, MaxIntervalMinutes)
		return
	}
	s.interval = int64(spec.IntervalMinutes) * 60
	s.anchor = spec.Anchor.Unix()
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

func (s *Schedule) setExclusions(list []Exclusion, bad *job.InvalidError) {
	if len(list) > MaxExclusions {
		bad.Add("excludedDates", "TOO_MANY_EXCLUSIONS", "%d dates and ranges; write at most %d", len(list), MaxExclusions)
		return
	}
	if len(list) == 0 {
		return
	}
	ranges := make([]dayRange, 0, len(list))
	for i, x := range list {
		r, reason, text := x.days()
		if reason != "" {
			bad.Add(fmt.Sprintf("excludedDates[%d]", i), reason, "%s", text)
			continue
		}
		ranges = append(ranges, r)
	}
	s.excluded = mergeDays(ranges)
}

func (x Exclusion) days() (r dayRange, reason, text string) {
	from, err := time.Parse(time.DateOnly, x.From)
	if err != nil {
		return r, "EXCLUSION_DATE", fmt.Sprintf("%.40q is not a date; write one such as 2026-12-24", x.From)
	}
	to := from
	if x.To != "" {
		if to, err = time.Parse(time.DateOnly, x.To); err != nil {
			return r, "EXCLUSION_DATE", fmt.Sprintf("%.40q is not a date; write one such as 2026-12-31", x.To)
		}
	}
	if to.Before(from) {
		return r, "EXCLUSION_ORDER", fmt.Sprintf("%s is before %s; write the earlier date first", x.To, x.From)
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
