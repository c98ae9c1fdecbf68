package schedule

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

// Describe says in words when the job is due: "every day at 02:30
// Europe/Berlin". Expressions without a short wording are quoted instead.
func (s *Schedule) Describe() string {
	switch s.kind {
	case job.CronBased:
		return s.describeCron()
	case job.IntervalBased:
		return everyMinutes(s.interval / 60)
	default:
		return "only when asked for"
	}
}

func everyMinutes(n int64) string {
	switch {
	case n == 1:
		return "every minute"
	case n == 60:
		return "every hour"
	case n%60 == 0:
		return fmt.Sprintf("every %d hours", n/60)
	default:
		return fmt.Sprintf("every %d minutes", n)
	}
}

func (s *Schedule) describeCron() string {
	c := &s.times
	days, ok := c.describeDays()
	if ok && bits.OnesCount32(c.hours) == 1 && bits.OnesCount64(c.minutes) == 1 {
		return fmt.Sprintf("%s at %02d:%02d %s", days, bits.TrailingZeros32(c.hours), bits.TrailingZeros64(c.minutes), s.zone.name)
	}
	words := fmt.Sprintf("cron %q", strings.TrimSpace(s.expr))
	if days == "every day" && c.hours == 1<<24-1 {
		words = c.describeMinutes(words)
	}
	return words + " in " + s.zone.name
}

// describeMinutes words one minute of the hour, or minutes at equal distances
// all the way round it.
func (c *cronTimes) describeMinutes(otherwise string) string {
	n := bits.OnesCount64(c.minutes)
	if n == 1 {
		return fmt.Sprintf("every hour at minute %d", bits.TrailingZeros64(c.minutes))
	}
	var even uint64
	for m := 0; 60%n == 0 && m < 60; m += 60 / n {
		even |= 1 << m
	}
	if c.minutes != even {
		return otherwise
	}
	return everyMinutes(int64(60 / n))
}

// describeDays words the plain cases: all days, some weekdays, one date.
func (c *cronTimes) describeDays() (string, bool) {
	const allDays, allWeekdays, allMonths = 1<<32 - 2, 1<<7 - 1, 1<<13 - 2
	oneDay, oneMonth := bits.OnesCount32(c.days) == 1, bits.OnesCount16(c.months) == 1
	day, month := bits.TrailingZeros32(c.days), time.Month(bits.TrailingZeros16(c.months))
	switch {
	case c.weekdays != allWeekdays && c.days == allDays && c.months == allMonths && !c.eitherDay:
		return "every " + weekdayList(c.weekdays), true
	case c.weekdays != allWeekdays || c.eitherDay:
		return "", false
	case c.days == allDays && c.months == allMonths:
		return "every day", true
	case oneDay && c.months == allMonths:
		return fmt.Sprintf("on day %d of every month", day), true
	case oneDay && oneMonth:
		return fmt.Sprintf("every %d %s", day, month), true
	default:
		return "", false
	}
}

func weekdayList(set uint8) string {
	const workdays = 1<<time.Monday | 1<<time.Tuesday | 1<<time.Wednesday | 1<<time.Thursday | 1<<time.Friday
	if set == workdays {
		return "Monday to Friday"
	}
	var names []string
	for i := range 7 {
		if day := time.Weekday((i + 1) % 7); set>>day&1 == 1 {
			names = append(names, day.String())
		}
	}
	if n := len(names); n > 1 {
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
	return names[0]
}
