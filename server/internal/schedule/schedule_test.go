package schedule

import (
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestInterval(t *testing.T) {
	t.Parallel()
	anchor := at(t, "2026-03-29T00:10:20.987Z") // counts from :20
	base := job.Schedule{Type: job.IntervalBased, IntervalMinutes: 90, TimeZone: "Europe/Berlin", Anchor: anchor}
	with := func(change func(*job.Schedule)) job.Schedule { s := base; change(&s); return s }
	for name, tt := range map[string]struct {
		spec  job.Schedule
		after string
		want  []string
	}{
		"first is one interval after the anchor": {base, "2026-03-29T00:10:20Z", []string{"2026-03-29T01:40:20Z", "2026-03-29T03:10:20Z"}},
		"nothing before the anchor":              {base, "1970-01-01T00:00:00Z", []string{"2026-03-29T01:40:20Z"}},
		"strictly after":                         {base, "2026-03-29T01:40:20Z", []string{"2026-03-29T03:10:20Z"}},
		"a nanosecond before":                    {base, "2026-03-29T01:40:19.999999999Z", []string{"2026-03-29T01:40:20Z"}},
		"never drifts":                           {base, "2126-03-29T00:00:00Z", []string{"2126-03-29T00:10:20Z"}},
		"start inclusive":                        {with(func(s *job.Schedule) { s.Start = at(t, "2026-03-29T03:10:20Z") }), "2026-01-01T00:00:00Z", []string{"2026-03-29T03:10:20Z"}},
		"start a nanosecond later":               {with(func(s *job.Schedule) { s.Start = at(t, "2026-03-29T03:10:20.000000001Z") }), "2026-01-01T00:00:00Z", []string{"2026-03-29T04:40:20Z"}},
		"end exclusive":                          {with(func(s *job.Schedule) { s.End = at(t, "2026-03-29T03:10:20Z") }), "2026-01-01T00:00:00Z", []string{"2026-03-29T01:40:20Z", "none"}},
		"end a nanosecond later":                 {with(func(s *job.Schedule) { s.End = at(t, "2026-03-29T03:10:20.000000001Z") }), "2026-01-01T00:00:00Z", []string{"2026-03-29T01:40:20Z", "2026-03-29T03:10:20Z", "none"}},
		"end before the first":                   {with(func(s *job.Schedule) { s.End = anchor }), "2026-01-01T00:00:00Z", []string{"none"}},
		"an excluded date is local": { // the 29th ends at 22:00Z
			with(func(s *job.Schedule) { s.ExcludedDates = []string{"2026-03-29"} }), "2026-03-29T00:00:00Z",
			[]string{"2026-03-29T22:40:20Z", "2026-03-30T00:10:20Z"},
		},
		"the longest": {with(func(s *job.Schedule) { s.IntervalMinutes = maxIntervalMinutes }), "2026-03-29T00:10:20Z", []string{"2027-03-29T00:10:20Z", "2028-03-28T00:10:20Z"}},
	} {
		if diff := cmp.Diff(tt.want, chain(mustCompile(t, tt.spec), at(t, tt.after), len(tt.want))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Intervals with excluded dates against a walk over every n.
func TestIntervalEqualsWalk(t *testing.T) {
	t.Parallel()
	arithmetic(t)
	for _, zone := range []string{"UTC", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe"} {
		loc, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		for _, minutes := range []int{1, 7, 60, 1440, 2017} {
			anchor := time.Date(2011, 10, 1, 12, 34, 56, 0, time.UTC)
			spec := job.Schedule{Type: job.IntervalBased, IntervalMinutes: minutes, TimeZone: zone, Anchor: anchor, ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2011-12-29/2012-01-01", "2011-11-06", "2011-11-13/2011-11-14"}}}
			s := mustCompile(t, spec)
			until := anchor.AddDate(0, 4, 0)
			var want, all []int64
			for slot := anchor.Add(time.Duration(minutes) * time.Minute); !slot.After(until); slot = slot.Add(time.Duration(minutes) * time.Minute) {
				all = append(all, slot.Unix())
				switch date := slot.In(loc).Format(time.DateOnly); {
				case "2011-12-29" <= date && date <= "2012-01-01", date == "2011-11-06", date == "2011-11-13", date == "2011-11-14":
				default:
					want = append(want, slot.Unix())
				}
			}
			after := anchor.Add(-time.Hour)
			sameSlots(t, zone, want, chainUnix(t, s, after, until))
			checkBetween(t, s, want, after, until)
			if minutes >= 60 {
				checkExcluded(t, s, want, all, after, until)
			}
		}
	}
}

func TestManualIsNeverDue(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, job.Schedule{Type: job.Manual, TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: time.Hour}})
	if slot, ok := s.Next(time.Time{}); ok {
		t.Errorf("Next = %v", slot)
	}
	if r, ok := s.Between(time.Time{}, time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)); ok {
		t.Errorf("Between = %v", r)
	}
}

// farInstants are where arithmetic on seconds goes wrong first. Package time
// itself can't compare all of them, so the test compares seconds.
var farInstants = []time.Time{
	{}, time.Unix(0, 0), time.Unix(-1, 999), time.Unix(maxTime-1, 999_999_999), time.Unix(maxTime, 0), time.Unix(math.MaxInt64, 999_999_999),
	time.Unix(math.MinInt64, 0), time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
}

func TestFarInstants(t *testing.T) {
	t.Parallel()
	for _, spec := range []job.Schedule{
		{Type: job.CronBased, Cron: "* * * * *", TimeZone: "America/New_York"},
		{Type: job.CronBased, Cron: "0 0 29 2 */7", TimeZone: "Antarctica/Troll", ScheduleOptions: job.ScheduleOptions{DSTOverlap: job.OverlapBoth}},
		{Type: job.CronBased, Cron: "0 0 1 1 *", TimeZone: "Pacific/Kiritimati", ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"0001-01-01/9999-12-31"}}},
		{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "Europe/Berlin", Anchor: time.Unix(0, 0), ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"1970-01-01/2198-12-31"}}},
		{Type: job.IntervalBased, IntervalMinutes: 525_600, TimeZone: "UTC", Anchor: time.Unix(maxTime-1, 0)},
	} {
		s := mustCompile(t, spec)
		for _, a := range farInstants {
			if slot, ok := s.Next(a); ok && (slot.Unix() <= a.Unix() || slot.Unix() < minTime || slot.Unix() >= maxTime) {
				t.Errorf("%+v: Next(%v) = %v", spec, a, slot)
			}
			for _, b := range farInstants {
				if r, ok := s.Between(a, b); ok && (r.Count < 1 || r.First.Unix() <= a.Unix() || r.Last.Unix() > b.Unix() || r.Last.Before(r.First)) {
					t.Errorf("%+v: Between(%v, %v) = %v", spec, a, b, r)
				}
				s.excludedRun(a, b)
			}
			s.Warnings(a)
			s.FireAt(a)
		}
	}
}

func TestBetweenCountsDecades(t *testing.T) {
	t.Parallel()
	after, upTo := at(t, "2000-01-01T00:00:00Z"), at(t, "2030-01-01T00:00:00Z")
	minutes := int64(upTo.Sub(after) / time.Minute)
	for _, tt := range []struct {
		spec job.Schedule
		want int64
	}{
		{cron("* * * * *", "America/New_York"), minutes},
		{job.Schedule{Type: job.CronBased, Cron: "*/5 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2004-02-01/2004-02-29", "2005-07-01"}}}, (minutes - 30*1440) / 5},
		{cron("30 2 * * *", "America/New_York"), minutes / 1440},
		{job.Schedule{Type: job.CronBased, Cron: "30 2 * * *", TimeZone: "America/New_York", ScheduleOptions: job.ScheduleOptions{DSTGap: job.GapSkip}}, minutes/1440 - 30},
		{job.Schedule{Type: job.CronBased, Cron: "30 1 * * *", TimeZone: "America/New_York", ScheduleOptions: job.ScheduleOptions{DSTOverlap: job.OverlapBoth}}, minutes/1440 + 30},
		{job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: after}, minutes},
	} {
		if r, ok := mustCompile(t, tt.spec).Between(after, upTo); !ok || r.Count != tt.want {
			t.Errorf("%+v: got %+v, want a count of %d", tt.spec, r, tt.want)
		}
	}
}

// The doc comment of Between: the newest missed slot runs, the rest is recorded.
func TestBetweenAfterDowntime(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, cron("* * * * *", "UTC"))
	seen, now := at(t, "2026-03-01T00:00:00Z"), at(t, "2026-03-15T00:00:30Z")
	missed, ok := s.Between(seen, now)
	if want := (Range{at(t, "2026-03-01T00:01:00Z"), at(t, "2026-03-15T00:00:00Z"), 14 * 1440}); !ok || missed != want {
		t.Errorf("missed %+v, want %+v", missed, want)
	}
	rest, ok := s.Between(seen, missed.Last.Add(-1))
	if want := (Range{at(t, "2026-03-01T00:01:00Z"), at(t, "2026-03-14T23:59:00Z"), 14*1440 - 1}); !ok || rest != want {
		t.Errorf("rest %+v, want %+v", rest, want)
	}
	if r, ok := s.Between(now, now); ok {
		t.Errorf("an empty range has %+v", r)
	}
	if r, ok := s.Between(now, seen); ok {
		t.Errorf("a range that ends before it starts has %+v", r)
	}
}

func TestFireAt(t *testing.T) {
	t.Parallel()
	const jitter = 5 * time.Minute
	s := mustCompileFor(t, job.Schedule{Type: job.CronBased, Cron: "*/10 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: jitter}}, 19)
	same := mustCompileFor(t, job.Schedule{Type: job.CronBased, Cron: "*/10 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: jitter}}, 19)
	other := mustCompileFor(t, job.Schedule{Type: job.CronBased, Cron: "*/10 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: jitter}}, 20)
	slot := at(t, "2026-03-01T00:00:00Z")
	var fifths [5]int
	alike := 0
	for range 5000 {
		slot, _ = s.Next(slot)
		fire := s.FireAt(slot)
		delay := fire.Sub(slot)
		if delay < 0 || delay >= jitter || fire.Nanosecond()%1000 != 0 {
			t.Fatalf("FireAt(%v) = %v", slot, fire)
		}
		fifths[delay*5/jitter]++
		if got := same.FireAt(slot); got != fire {
			t.Fatalf("the same job fires %v and %v", fire, got)
		}
		if other.FireAt(slot) == fire {
			alike++
		}
	}
	for i, n := range fifths {
		if n < 800 || n > 1200 {
			t.Errorf("fifth %d of the jitter holds %d of 5000 starts", i, n)
		}
	}
	if alike > 2 {
		t.Errorf("two jobs start alike at %d of 5000 slots", alike)
	}
}

// Stored starts depend on these values, so they must not change.
func TestFireAtIsStable(t *testing.T) {
	t.Parallel()
	for jobID, want := range map[int64]string{
		1:         "2026-03-01T03:49:49.763104Z",
		2:         "2026-03-01T03:42:44.240047Z",
		1<<53 - 1: "2026-03-01T03:13:49.851266Z",
	} {
		s := mustCompileFor(t, job.Schedule{Type: job.CronBased, Cron: "0 3 * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: time.Hour}}, jobID)
		if got := s.FireAt(at(t, "2026-03-01T03:00:00Z")).Format(time.RFC3339Nano); got != want {
			t.Errorf("job %d fires at %s, want %s", jobID, got, want)
		}
	}
}

func TestJitterStaysBeforeTheNextSlot(t *testing.T) {
	t.Parallel()
	spec := job.Schedule{Type: job.CronBased, Cron: "0,1 * * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{Jitter: maxJitter}}
	slot := at(t, "2026-03-01T00:00:00Z")
	for jobID := range int64(2000) {
		s := mustCompileFor(t, spec, jobID)
		if fire := s.FireAt(slot); fire.Before(slot) || !fire.Before(slot.Add(time.Minute)) {
			t.Fatalf("job %d: its slot of :00 fires at %v", jobID, fire)
		}
	}
	spec.End = slot.Add(time.Second) // no next slot
	if s := mustCompile(t, spec); !s.FireAt(slot).After(slot.Add(time.Minute)) {
		t.Error("the last slot is not spread over the whole jitter")
	}
	spec.Jitter = 0
	if fire := mustCompile(t, spec).FireAt(slot); fire != slot {
		t.Errorf("without jitter the slot %v fires at %v", slot, fire)
	}
}

// Whatever the schedule: Next is after its argument, and looking from earlier
// never finds a later slot.
func TestNextIsMonotonic(t *testing.T) {
	t.Parallel()
	arithmetic(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for _, zone := range oddZones {
		for _, expr := range bruteExprs {
			policy := rng.IntN(4)
			s := mustCompile(t, job.Schedule{Type: job.CronBased, Cron: expr, TimeZone: zone, ScheduleOptions: job.ScheduleOptions{DSTGap: gapPolicies[policy&1], DSTOverlap: overlapPolicies[policy>>1]}})
			for range 200 {
				after := time.Unix(rng.Int64N(maxTime), rng.Int64N(1e9))
				if span := s.zone.spans[rng.IntN(len(s.zone.spans))]; rng.IntN(2) == 0 { // near a change of the clock
					after = time.Unix(span.start+rng.Int64N(4*3600)-2*3600, 0)
				}
				slot, ok := s.Next(after)
				earlier, earlierOK := s.Next(after.Add(-time.Second))
				if ok && (!slot.After(after) || !earlierOK || earlier.After(slot)) {
					t.Fatalf("%s %q: Next(%v) = %v, a second before %v", zone, expr, after, slot, earlier)
				}
				if again, _ := s.Next(slot.Add(-time.Second)); ok && again != slot {
					t.Fatalf("%s %q: %v is a slot, but not from a second before: %v", zone, expr, slot, again)
				}
			}
		}
	}
}

func TestNextDoesNotAllocate(t *testing.T) {
	s := mustCompile(t, job.Schedule{Type: job.CronBased, Cron: "30 2 * * 1", TimeZone: "America/New_York", ScheduleOptions: job.ScheduleOptions{Jitter: time.Minute, ExcludedDates: []string{"2026-01-01/2026-06-30"}}})
	after := at(t, "2025-12-31T00:00:00Z")
	if n := testing.AllocsPerRun(100, func() {
		s.Next(after)
		s.FireAt(after)
		s.Between(after, after.AddDate(2, 0, 0))
		s.excludedRun(after, after.AddDate(2, 0, 0))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	s := mustCompile(t, cron("30 2 * * *", "Europe/Paris"))
	after := at(t, "2025-01-01T00:00:00Z")
	want := strings.Join(chain(s, after, 500), " ")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			own := mustCompile(t, cron("30 2 * * *", "Europe/Paris"))
			if strings.Join(chain(s, after, 500), " ") != want || strings.Join(chain(own, after, 500), " ") != want {
				t.Error("goroutines see different slots")
			}
		})
	}
	wg.Wait()
}
