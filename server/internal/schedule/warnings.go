package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Warning is what a user may not expect of a schedule that is valid.
type Warning struct {
	// Code is UPPER_SNAKE_CASE and stable.
	Code string
	// Message is for people.
	Message string
}

// The codes of warnings.
const (
	// WarnBothDays: day of month and day of week must both match.
	WarnBothDays = "BOTH_DAYS_MUST_MATCH"
	// WarnStepOnce: a step is so long that only its first value remains.
	WarnStepOnce = "STEP_FIRES_ONCE"
	// WarnGap: the clock skips a time of the schedule.
	WarnGap = "DST_GAP"
	// WarnOverlap: a time of the schedule comes twice.
	WarnOverlap = "DST_OVERLAP"
	// WarnEnded: there is no slot any more.
	WarnEnded = "NO_MORE_SLOTS"
)

// warnAhead is how far Warnings looks for changes of the clock: every yearly
// one is in it, with the weeks by which its date moves.
const warnAhead = int64(400 * daySeconds)

// Warnings returns what may surprise in the slots after the instant: first
// what the expression says, then the changes of the clock within 400 days
// that affect the schedule, by date.
func (s *Schedule) Warnings(after time.Time) []Warning {
	var list []Warning
	if _, ok := s.Next(after); !ok && (s.kind == job.CronBased || s.kind == job.IntervalBased) {
		list = append(list, Warning{WarnEnded, "there is no time after " + after.UTC().Format(time.RFC3339) + " at which it is due: see startTime, endTime and excludedDates"})
	}
	if s.kind != job.CronBased {
		return list
	}
	fields, bad := splitCron(s.expr)
	if bad != nil { // Compile has parsed it
		return list
	}
	if w, ok := s.warnBothDays(fields[2], fields[4]); ok {
		list = append(list, w)
	}
	for i := range fieldRules {
		list = append(list, fieldRules[i].warnSteps(fields[i])...)
	}
	return append(list, s.warnClock(max(secondAfter(after), s.lo))...)
}

func (s *Schedule) warnBothDays(dom, dow string) (Warning, bool) {
	if s.times.eitherDay || s.times.days == everyDay || s.times.weekdays == everyWeekday {
		return Warning{}, false
	}
	return Warning{WarnBothDays, fmt.Sprintf(
		"day of month %q and day of week %q must both match, since one of them starts with *; for either of them write the values as a list or as a range with a step", dom, dow)}, true
}

func (f *fieldRule) warnSteps(text string) (list []Warning) {
	for entry := range strings.SplitSeq(text, ",") {
		it, bad := f.parseItem(entry)
		if bad != nil || it.to == it.from || it.from+it.step <= it.to {
			continue
		}
		message := fmt.Sprintf("%s field: %q is %s only", f.name, entry, f.valueName(it.from))
		if minutes := it.step * f.unitMinutes(); minutes > 0 && minutes <= maxIntervalMinutes {
			message += fmt.Sprintf("; for every %d %ss use INTERVAL_BASED with intervalMinutes %d", it.step, f.name, minutes)
		}
		list = append(list, Warning{WarnStepOnce, message})
	}
	return list
}

// valueName names a value: minute 0, day 1, JAN.
func (f *fieldRule) valueName(value int) string {
	switch {
	case f.names != "":
		at := (value - f.min) * 3 % len(f.names)
		return f.names[at : at+3]
	case f.day:
		return fmt.Sprint("day ", value)
	default:
		return fmt.Sprint(f.name, " ", value)
	}
}

// unitMinutes is how long a step of one is, or 0 where that is not constant.
func (f *fieldRule) unitMinutes() int {
	switch f {
	case &fieldRules[0]:
		return 1
	case &fieldRules[1]:
		return 60
	default:
		return 0
	}
}

func (s *Schedule) warnClock(from int64) (list []Warning) {
	limit := min(from+warnAhead, s.hi)
	if from >= limit {
		return nil
	}
	for i := s.zone.find(from) + 1; i < len(s.zone.spans) && s.zone.spans[i].start < limit; i++ {
		if w, ok := s.warnChange(&s.zone.spans[i-1], &s.zone.spans[i]); ok {
			list = append(list, w)
		}
	}
	return list
}

// warnChange tells what happens where a span follows another.
func (s *Schedule) warnChange(before, sp *span) (Warning, bool) {
	begin, left := sp.start+sp.offset, sp.start+before.offset
	jump := begin - left
	if !s.times.fixedTime && s.times.steadyAcross(jump) {
		return Warning{}, false
	}
	code, verb, what, outcome := WarnGap, "forward", "does not exist", s.gapOutcome(sp, jump)
	from, to := left, begin
	if jump < 0 {
		code, verb, what, outcome = WarnOverlap, "back", "comes twice", ""
		from, to = begin, left
	}
	first, ok := s.nextLocal(from, to)
	if !ok {
		return Warning{}, false
	}
	times := wall(first).Format("2006-01-02 15:04")
	if n := s.countLocal(from, to); n > 1 {
		times = fmt.Sprintf("each of %d times from %s", n, times)
	}
	if jump < 0 {
		outcome = s.overlapOutcome(first-before.offset, first-sp.offset)
	}
	return Warning{code, fmt.Sprintf("%s %s in %s, where the clock goes %s from %s to %s: it %s",
		times, what, s.zone.name, verb, wall(left).Format("15:04"), wall(begin).Format("15:04"), outcome)}, true
}

// steadyAcross tells whether a job that follows the clock goes on in its
// rhythm when the clock jumps by so many seconds: it runs every hour, and at
// the same minutes before and after.
func (c *cronTimes) steadyAcross(jump int64) bool {
	shift := (jump/60%60 + 60) % 60
	turned := (c.minutes<<shift | c.minutes>>(60-shift)) & (1<<60 - 1)
	return c.hours == 1<<24-1 && turned == c.minutes
}

func (s *Schedule) gapOutcome(sp *span, jump int64) string {
	switch at := wall(sp.start + sp.offset).Format("15:04"); {
	case s.madeUp(sp):
		return fmt.Sprintf("runs once at %s instead (%s)", at, instant(sp.start).Format(time.RFC3339))
	case !s.times.fixedTime:
		return "follows the clock and does not run then"
	case !s.skipsGap && jump > maxMadeUp:
		return "does not run then, since the jump is longer than three hours"
	default:
		return "does not run then"
	}
}

func (s *Schedule) overlapOutcome(first, second int64) string {
	one, two := instant(first).Format(time.RFC3339), instant(second).Format(time.RFC3339)
	switch {
	case !s.times.fixedTime:
		return fmt.Sprintf("follows the clock and runs both times (from %s and from %s)", one, two)
	case s.runsTwice:
		return fmt.Sprintf("runs both times (%s and %s)", one, two)
	default:
		return fmt.Sprintf("runs the first time only (%s)", one)
	}
}

// wall makes a local time printable.
func wall(local int64) time.Time { return time.Unix(local, 0).UTC() }
