package schedule

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// This file is a second evaluator, which shares nothing with the first: it
// walks every minute, asks package time for the local one, and applies the
// rules of doc.go word by word. It is slow and easy to check.

var oddZones = []string{
	"UTC", "America/New_York", "Europe/Berlin", "Europe/Dublin", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Cairo",
	"America/Sao_Paulo", "America/Havana", "Antarctica/Troll", "Africa/Casablanca", "America/Santiago", "Asia/Tehran",
	"Asia/Kathmandu", "Pacific/Chatham", "America/Nuuk", "America/St_Johns", "Asia/Gaza", "Europe/Istanbul", "Pacific/Kiritimati", "Antarctica/Casey",
}

// moment is a minute as the clock shows it.
type moment struct {
	unix                       int64
	minute                     int64 // since 1970 on the clock
	year                       int16
	month, day, hour, min, dow int8
	repeated                   bool
	skipped                    []moment // between the one before and this one
}

func momentOf(t time.Time) moment {
	year, month, day := t.Date()
	return moment{
		unix: t.Unix(), year: int16(year), month: int8(month), day: int8(day), hour: int8(t.Hour()), min: int8(t.Minute()), dow: int8(t.Weekday()),
		minute: time.Date(year, month, day, t.Hour(), t.Minute(), 0, 0, time.UTC).Unix() / 60,
	}
}

// moments lists the minutes in (after, until]. A few days before are looked at
// too, to know which minutes come for the second time.
func moments(loc *time.Location, after, until time.Time) (list []moment) {
	const margin = 3 * 24 * 60
	start := after.Truncate(time.Minute).Unix()/60 - margin
	base := start - margin
	seen := make([]bool, until.Unix()/60-base+margin) // by minute on the clock
	list = make([]moment, 0, until.Unix()/60-start)
	var last int64
	for u := start; u <= until.Unix()/60; u++ {
		m := momentOf(time.Unix(u*60, 0).In(loc))
		m.repeated = seen[m.minute-base]
		seen[m.minute-base] = true
		for gone := last + 1; last > 0 && gone < m.minute; gone++ {
			if !seen[gone-base] {
				m.skipped = append(m.skipped, momentOf(time.Unix(gone*60, 0).UTC()))
			}
		}
		last = m.minute
		if m.unix > after.Unix() {
			list = append(list, m)
		}
	}
	return list
}

type bruteJob struct {
	fields         [5][60]bool
	either, fixed  bool
	skip, both     bool
	excluded       func(m *moment) bool
	lowest, beyond int64
}

func bruteParse(expr string) (j bruteJob) {
	names := map[string]int{}
	for i, n := range strings.Fields("JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC") {
		names[n] = i + 1
	}
	for i, n := range strings.Fields("SUN MON TUE WED THU FRI SAT") {
		names[n] = i
	}
	read := func(text string) int {
		if n, ok := names[strings.ToUpper(text)]; ok {
			return n
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		return n
	}
	if full, ok := map[string]string{
		"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0",
		"@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *",
	}[strings.TrimSpace(expr)]; ok {
		expr = full
	}
	ranges := [5][2]int{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}
	texts := strings.Fields(expr)
	for i, text := range texts {
		for entry := range strings.SplitSeq(strings.ReplaceAll(text, "?", "*"), ",") {
			body, step := entry, 1
			if before, after, ok := strings.Cut(entry, "/"); ok {
				body, step = before, read(after)
			}
			from, to := ranges[i][0], ranges[i][1]
			if body != "*" {
				bounds := strings.Split(body, "-")
				from = read(bounds[0])
				to = read(bounds[len(bounds)-1])
				if strings.EqualFold(bounds[len(bounds)-1], "SUN") && from != 0 {
					to = 7
				}
			}
			for v := from; v <= to; v++ {
				if (v-from)%step == 0 {
					j.fields[i][v] = true
				}
			}
		}
	}
	if j.fields[4][7] {
		j.fields[4][0] = true
	}
	star := func(i int) bool { return texts[i][0] == '*' || texts[i][0] == '?' }
	j.either = !star(2) && !star(4)
	j.fixed = !star(0) && !star(1)
	j.excluded = func(*moment) bool { return false }
	j.beyond = 1 << 62
	return j
}

func (j *bruteJob) matches(m *moment) bool {
	if !j.fields[0][m.min] || !j.fields[1][m.hour] || !j.fields[3][m.month] || j.excluded(m) {
		return false
	}
	dom, dow := j.fields[2][m.day], j.fields[4][m.dow]
	return dom && dow || j.either && (dom || dow)
}

func (j *bruteJob) slots(list []moment) (slots []int64) {
	for i := range list {
		m := &list[i]
		if m.unix < j.lowest || m.unix >= j.beyond {
			continue
		}
		due := j.matches(m) && !(j.fixed && !j.both && m.repeated)
		if j.fixed && !j.skip && len(m.skipped) <= 180 {
			for k := range m.skipped {
				due = due || j.matches(&m.skipped[k])
			}
		}
		if due {
			slots = append(slots, m.unix)
		}
	}
	return slots
}

// chainUnix is what the Schedule says for (after, until].
func chainUnix(t testing.TB, s *Schedule, after, until time.Time) (slots []int64) {
	t.Helper()
	for {
		slot, ok := s.Next(after)
		if !ok || slot.After(until) {
			return slots
		}
		if !slot.After(after) {
			t.Fatalf("Next(%v) = %v is not after it", after, slot)
		}
		slots = append(slots, slot.Unix())
		after = slot
	}
}

func sameSlots(t testing.TB, what string, want, got []int64) {
	t.Helper()
	if slices.Equal(want, got) {
		return
	}
	i := 0
	for i < len(want) && i < len(got) && want[i] == got[i] {
		i++
	}
	show := func(list []int64) (text []string) {
		for _, u := range list[min(i, len(list)):min(i+3, len(list))] {
			text = append(text, instant(u).Format(time.RFC3339))
		}
		return text
	}
	t.Errorf("%s: slot %d of %d: want %v, got %v", what, i, len(want), show(want), show(got))
}
