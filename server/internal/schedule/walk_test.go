package schedule

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

var bruteExprs = []string{
	"* * * * *", "*/7 * * * *", "0 * * * *", "30 */2 * * *", "*/15 2 * * *", "*/20 0-3 * * 0,6",
	"0 0 * * *", "30 2 * * *", "30 1 * * *", "15 0 * * *", "45 23 * * *", "0,30 0-4 * * *", "5-59/10 1,2,3 * * SUN",
	"30 23 * * SAT", "0 3 1 * 1", "0 12 13 * FRI", "0 0 */2 * MON", "10 1 ? * MON-FRI", "0 0 29-31 * *", "0-59 0-23 * * *",
}

// eventfulYears are years in which a zone's clock did something unusual.
var eventfulYears = map[string]int{
	"Pacific/Apia": 2011, "America/Sao_Paulo": 2018, "Asia/Tehran": 2022, "America/Nuuk": 2024,
	"Europe/Istanbul": 2016, "Pacific/Kiritimati": 1994, "Europe/Dublin": 2041, "Antarctica/Casey": 2010,
}

// arithmetic leaves a test out under the race detector, where it takes ten times
// as long and, without goroutines, shows nothing.
func arithmetic(t *testing.T) {
	t.Helper()
	if raceDetector {
		t.Skip("arithmetic without goroutines")
	}
}

func TestYearEqualsMinuteWalk(t *testing.T) {
	t.Parallel()
	arithmetic(t)
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
				brute := bruteParse(expr)
				for policy := range 4 {
					if policy > 0 && !brute.fixed {
						break // the policies are for fixed-time jobs
					}
					brute.skip, brute.both = policy&1 == 1, policy&2 == 2
					spec := job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: name, ScheduleOptions: job.ScheduleOptions{DSTGap: gapPolicies[policy&1], DSTOverlap: overlapPolicies[policy>>1]}}
					s := mustCompile(t, spec)
					want := brute.slots(list)
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
	arithmetic(t)
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
		brute, policy := bruteParse(expr), rng.IntN(4)
		brute.skip, brute.both = policy&1 == 1, policy&2 == 2
		s := mustCompile(t, job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: name, ScheduleOptions: job.ScheduleOptions{DSTGap: gapPolicies[policy&1], DSTOverlap: overlapPolicies[policy>>1]}})
		after, until := change.AddDate(0, 0, -2), change.AddDate(0, 0, 2)
		want := brute.slots(moments(loc, after, until))
		sameSlots(t, name+" "+expr+" policy "+strconv.Itoa(policy), want, chainUnix(t, s, after, until))
		checkBetween(t, s, want, after, until)
	}
}

// Windows and exclusions, with the clock changes inside the excluded dates.
func TestSelectionsEqualMinuteWalk(t *testing.T) {
	t.Parallel()
	arithmetic(t)
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
			for _, to := range []string{from, to} {
				for _, expr := range bruteExprs {
					brute := bruteParse(expr)
					brute.excluded = func(m *moment) bool {
						date := time.Date(int(m.year), time.Month(m.month), int(m.day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
						return from <= date && date <= to
					}
					spec := job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: name, ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{from + "/" + to}, Start: change.Add(-100*time.Hour + time.Nanosecond), End: change.Add(100 * time.Hour)}}
					brute.lowest, brute.beyond = spec.Start.Unix()+1, spec.End.Unix()
					s := mustCompile(t, spec)
					want := brute.slots(list)
					sameSlots(t, name+" "+expr+" without "+from+" "+to, want, chainUnix(t, s, after, until))
					checkBetween(t, s, want, after, until)

					brute.excluded = func(*moment) bool { return false }
					checkExcluded(t, s, want, brute.slots(list), after, until)
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
	var runs []Range
	for _, next := range append(slices.Clone(slots), until.Unix()+1) {
		i, j := lowerBound(all, prev.Unix()+1), lowerBound(all, next)
		got, ok := s.excludedRun(prev, until)
		var want Range
		if i < j {
			want = Range{First: instant(all[i]), Last: instant(all[j-1]), Count: int64(j - i)}
			runs = append(runs, want)
		}
		if got != want || ok != (i < j) {
			t.Errorf("excludedRun(%v, %v) = %v, %t; want %v", prev, until, got, ok, want)
		}
		prev = instant(next)
	}
	if got := s.ExcludedRuns(after, until); !slices.Equal(got, runs) {
		t.Errorf("ExcludedRuns(%v, %v) = %v; want %v", after, until, got, runs)
	}
}
