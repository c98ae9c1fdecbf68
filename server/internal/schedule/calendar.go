package schedule

import (
	"math/bits"
	"time"
)

// cronTimes are the local times of a cron expression, as sets of bits.
type cronTimes struct {
	minutes  uint64 // bits 0-59
	hours    uint32 // bits 0-23
	days     uint32 // bits 1-31
	months   uint16 // bits 1-12
	weekdays uint8  // bits 0-6, Sunday is 0
	// eitherDay says that one of the two day fields is enough.
	eitherDay bool
	// daily says that all days match.
	daily bool
	// fixedTime says that neither minutes nor hours start with *.
	fixedTime bool
}

// dayRange is an inclusive range of days, counted from 1970-01-01.
type dayRange struct{ from, to int64 }

// The values of days, months and weekdays that leave nothing out.
const (
	everyDay     = 1<<32 - 1<<1
	everyMonth   = 1<<13 - 1<<1
	everyWeekday = 1<<7 - 1
)

// weeks has every seventh bit set, enough for a month of 31 days.
const weeks = 1 | 1<<7 | 1<<14 | 1<<21 | 1<<28

// inMonth returns the matching days of a month as bits 1-31. first is the
// month's first day, counted from 1970-01-01 (a Thursday).
func (c *cronTimes) inMonth(first int64, month time.Month, length int) uint32 {
	if c.months>>month&1 == 0 {
		return 0
	}
	weekday := (first%7 + 11) % 7
	week := uint64(c.weekdays) | uint64(c.weekdays)<<7
	byWeek := uint32((week >> weekday & 0x7f) * weeks << 1)
	match := c.days & byWeek
	if c.eitherDay {
		match = c.days | byWeek
	}
	return match & (1<<(length+1) - 2)
}

// nextDay returns the first matching day in [day, limit).
func (c *cronTimes) nextDay(day, limit int64) (int64, bool) {
	if c.daily {
		return day, day < limit
	}
	year, month, dom := date(day)
	first := day - int64(dom-1)
	for from := dom; first < limit; from = 1 {
		length := monthLength(year, month)
		if match := c.inMonth(first, month, length) >> from << from; match != 0 {
			found := first + int64(bits.TrailingZeros32(match)) - 1
			return found, found < limit
		}
		first += int64(length)
		year, month = monthAfter(year, month)
	}
	return 0, false
}

// countDays returns how many days in [day, limit) match.
func (c *cronTimes) countDays(day, limit int64) (n int64) {
	if day >= limit {
		return 0
	}
	if c.daily {
		return limit - day
	}
	year, month, dom := date(day)
	first := day - int64(dom-1)
	for from := dom; first < limit; from = 1 {
		length := monthLength(year, month)
		match := c.inMonth(first, month, length) >> from << from
		if left := limit - first; left < int64(length) {
			match &= 1<<(left+1) - 1
		}
		n += int64(bits.OnesCount32(match))
		first += int64(length)
		year, month = monthAfter(year, month)
	}
	return n
}

// nextMinute returns the first matching minute of the day at or after minute.
func (c *cronTimes) nextMinute(minute int) (int, bool) {
	hour := minute / 60
	if c.hours>>hour&1 == 1 {
		if rest := c.minutes >> (minute % 60) << (minute % 60); rest != 0 {
			return hour*60 + bits.TrailingZeros64(rest), true
		}
	}
	later := c.hours >> (hour + 1) << (hour + 1)
	if later == 0 {
		return 0, false
	}
	return bits.TrailingZeros32(later)*60 + bits.TrailingZeros64(c.minutes), true
}

// countMinutes returns how many minutes of a day before minute match.
func (c *cronTimes) countMinutes(minute int) int64 {
	hour := minute / 60
	n := bits.OnesCount32(c.hours&(1<<hour-1)) * bits.OnesCount64(c.minutes)
	if c.hours>>hour&1 == 1 {
		n += bits.OnesCount64(c.minutes & (1<<(minute%60) - 1))
	}
	return int64(n)
}

// fires tells whether any month has a matching day. Every date falls on every
// weekday within a few decades, so the weekdays don't matter.
func (c *cronTimes) fires() bool {
	if c.eitherDay {
		return true
	}
	for month := time.January; month <= time.December; month++ {
		const leapYear = 2000
		if c.months>>month&1 == 1 && c.days&(1<<(monthLength(leapYear, month)+1)-2) != 0 {
			return true
		}
	}
	return false
}

// date splits a day counted from 1970-01-01.
func date(day int64) (int, time.Month, int) { return time.Unix(day*daySeconds, 0).UTC().Date() }

func monthAfter(year int, month time.Month) (int, time.Month) {
	if month == time.December {
		return year + 1, time.January
	}
	return year, month + 1
}

func monthLength(year int, month time.Month) int {
	switch month {
	case time.February:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case time.April, time.June, time.September, time.November:
		return 30
	default:
		return 31
	}
}

// floorDiv divides rounding down; b is positive.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
