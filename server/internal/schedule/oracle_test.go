package schedule

import (
	"maps"
	"math/rand/v2"
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
	"Asia/Kathmandu", "Pacific/Chatham", "America/Nuuk", "America/St_Johns", "Asia/Gaza", "Europe/Istanbul", "Pacific/Kiritimati",
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

var bruteExprs = []string{
	"* * * * *", "*/7 * * * *", "0 * * * *", "30 */2 * * *", "*/15 2 * * *", "*/20 0-3 * * 0,6",
	"0 0 * * *", "30 2 * * *", "30 1 * * *", "15 0 * * *", "45 23 * * *", "0,30 0-4 * * *", "5-59/10 1,2,3 * * SUN",
	"30 23 * * SAT", "0 3 1 * 1", "0 12 13 * FRI", "0 0 */2 * MON", "10 1 ? * MON-FRI", "0 0 29-31 * *", "0-59 0-23 * * *",
}

// eventfulYears are years in which a zone's clock did something unusual.
var eventfulYears = map[string]int{
	"Pacific/Apia": 2011, "America/Sao_Paulo": 2018, "Asia/Tehran": 2022, "America/Nuuk": 2024,
	"Europe/Istanbul": 2016, "Pacific/Kiritimati": 1994, "Europe/Dublin": 2041,
}

func TestYearEqualsMinuteWalk(t *testing.T) {
	t.Parallel()
	for _, name := range oddZones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(name)
			if err != nil {
				t.Fatal(err)
			}
			year := eventfulYears[name]
			if year == 0 {
				year = 2025
			}
			after := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Minute)
			until := after.AddDate(1, 0, 5)
			list := moments(loc, after, until)
			for _, expr := range bruteExprs {
				job := bruteParse(expr)
				for policy := range 4 {
					if policy > 0 && !job.fixed {
						break // the policies are for fixed-time jobs
					}
					job.skip, job.both = policy&1 == 1, policy&2 == 2
					spec := Spec{Cron: expr, TimeZone: name, DSTGap: GapPolicy(policy & 1), DSTOverlap: OverlapPolicy(policy >> 1)}
					s := mustCompile(t, spec)
					want := job.slots(list)
					sameSlots(t, expr+" policy "+strconv.Itoa(policy), want, chainUnix(t, s, after, until))
					checkBetween(t, s, want, after, until)
				}
			}
		})
	}
}

// checkBetween compares Between with the slots of (after, until], on the whole
// and on parts whose ends lie at, before and after slots.
func checkBetween(t testing.TB, s *Schedule, slots []int64, after, until time.Time) {
	t.Helper()
	ends := []int64{after.Unix(), until.Unix()}
	for _, part := range []int{7, 3, 2} {
		if i := len(slots) / part; i < len(slots) {
			ends = append(ends, slots[i]-1, slots[i], slots[i]+1)
		}
	}
	for _, from := range ends {
		for _, to := range ends {
			var want Range
			i, j := lowerBound(slots, from+1), lowerBound(slots, to+1)
			if i < j {
				want = Range{First: instant(slots[i]), Last: instant(slots[j-1]), Count: int64(j - i)}
			}
			got, ok := s.Between(instant(from), instant(to))
			if got != want || ok != (i < j) {
				t.Errorf("Between(%v, %v) = %v, %t; want %v", instant(from), instant(to), got, ok, want)
			}
		}
	}
}

func lowerBound(slots []int64, u int64) int {
	i, _ := slices.BinarySearch(slots, u)
	return i
}

// Random expressions around random changes of the clock, past and far ahead.
func TestRandomEqualsMinuteWalk(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 6))
	for range 400 {
		name := oddZones[1+rng.IntN(len(oddZones)-1)]
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := loadZone(name)
		if err != nil {
			t.Fatal(err)
		}
		change := instant(z.spans[rng.IntN(len(z.spans))].start)
		if change.Year() < 1971 {
			continue
		}
		fields := strings.Fields(randomExpr(rng))
		if rng.IntN(2) == 0 { // near the hours at which clocks change
			fields[1] = []string{"0", "1", "2", "3", "23", "0,2", "1-3", "*/2", "23,0-3"}[rng.IntN(9)]
			fields[2], fields[3], fields[4] = "*", "*", "*"
		}
		expr := strings.Join(fields, " ")
		job, policy := bruteParse(expr), rng.IntN(4)
		job.skip, job.both = policy&1 == 1, policy&2 == 2
		s := mustCompile(t, Spec{Cron: expr, TimeZone: name, DSTGap: GapPolicy(policy & 1), DSTOverlap: OverlapPolicy(policy >> 1)})
		after, until := change.AddDate(0, 0, -2), change.AddDate(0, 0, 2)
		want := job.slots(moments(loc, after, until))
		sameSlots(t, name+" "+expr+" policy "+strconv.Itoa(policy), want, chainUnix(t, s, after, until))
		checkBetween(t, s, want, after, until)
	}
}

// Windows and exclusions, with the clock changes inside the excluded dates.
func TestSelectionsEqualMinuteWalk(t *testing.T) {
	t.Parallel()
	zones := map[string]time.Time{ // a change of the clock
		"America/New_York":    time.Date(2025, 3, 9, 7, 0, 0, 0, time.UTC),
		"America/Havana":      time.Date(2024, 11, 3, 5, 0, 0, 0, time.UTC),
		"America/Sao_Paulo":   time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC),
		"Pacific/Apia":        time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC),
		"America/Nuuk":        time.Date(2025, 3, 30, 1, 0, 0, 0, time.UTC),
		"Australia/Lord_Howe": time.Date(2025, 4, 5, 15, 0, 0, 0, time.UTC),
	}
	for _, name := range slices.Sorted(maps.Keys(zones)) {
		change := zones[name]
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		after, until := change.AddDate(0, 0, -8), change.AddDate(0, 0, 8)
		list := moments(loc, after, until)
		for shift := -1; shift <= 1; shift++ {
			from := change.In(loc).AddDate(0, 0, shift).Format(time.DateOnly)
			to := change.In(loc).AddDate(0, 0, shift+1).Format(time.DateOnly)
			for _, x := range []Exclusion{{From: from}, {From: from, To: to}} {
				for _, expr := range bruteExprs {
					job := bruteParse(expr)
					job.excluded = func(m *moment) bool {
						date := time.Date(int(m.year), time.Month(m.month), int(m.day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
						return date == x.From || x.To != "" && x.From <= date && date <= x.To
					}
					spec := Spec{
						Cron: expr, TimeZone: name, Exclusions: []Exclusion{x},
						Start: change.Add(-100*time.Hour + time.Nanosecond), End: change.Add(100 * time.Hour),
					}
					job.lowest, job.beyond = spec.Start.Unix()+1, spec.End.Unix()
					s := mustCompile(t, spec)
					want := job.slots(list)
					sameSlots(t, name+" "+expr+" without "+x.From+" "+x.To, want, chainUnix(t, s, after, until))
					checkBetween(t, s, want, after, until)

					job.excluded = func(*moment) bool { return false }
					checkExcluded(t, s, want, job.slots(list), after, until)
				}
			}
		}
	}
}

// checkExcluded walks from slot to slot: what Excluded names in between,
// together with the slots, must be all slots there would be.
func checkExcluded(t testing.TB, s *Schedule, slots, all []int64, after, until time.Time) {
	t.Helper()
	prev := after
	for _, next := range append(slices.Clone(slots), until.Unix()+1) {
		i, j := lowerBound(all, prev.Unix()+1), lowerBound(all, next)
		got, ok := s.Excluded(prev, until)
		var want Range
		if i < j {
			want = Range{First: instant(all[i]), Last: instant(all[j-1]), Count: int64(j - i)}
		}
		if got != want || ok != (i < j) {
			t.Errorf("Excluded(%v, %v) = %v, %t; want %v", prev, until, got, ok, want)
		}
		prev = instant(next)
	}
}
