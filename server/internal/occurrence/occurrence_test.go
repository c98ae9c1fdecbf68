package occurrence_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/occurrence"
	"github.com/pointscene/carillon/server/internal/schedule"
)

func at(t *testing.T, clock string) time.Time {
	t.Helper()
	if clock == "" {
		return time.Time{}
	}
	parsed, err := time.Parse("2006-01-02 15:04", "2026-05-04 "+clock)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// hourly has the slots 01:00 to 20:00, with changes given as slot and new time;
// the new time "" leaves it out, "done" has started.
func hourly(t *testing.T, changes ...string) occurrence.Plan {
	t.Helper()
	times, err := schedule.Compile(job.Schedule{
		Type: job.CronBased, Cron: "0 * * * *", TimeZone: "UTC",
		ScheduleOptions: job.ScheduleOptions{Start: at(t, "01:00"), End: at(t, "20:01")},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	p := occurrence.Plan{Times: times}
	for i := 0; i < len(changes); i += 2 {
		c := job.OccurrenceChange{Slot: at(t, changes[i]), Done: changes[i+1] == "done"}
		if !c.Done {
			c.MoveTo = at(t, changes[i+1])
		}
		p.Changes = append(p.Changes, c)
	}
	return p
}

func TestNext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changes    []string
		from, want string
	}{
		"at a slot":                        {nil, "09:00", "09:00"},
		"between slots":                    {nil, "09:01", "10:00"},
		"after the last":                   {nil, "20:01", ""},
		"one left out is told":             {[]string{"10:00", ""}, "09:01", "10:00"},
		"one moved later":                  {[]string{"10:00", "13:30"}, "09:01", "11:00"},
		"several moved":                    {[]string{"10:00", "13:30", "11:00", "11:20"}, "09:01", "11:20"},
		"one moved earlier":                {[]string{"15:00", "09:30"}, "09:01", "09:30"},
		"at the new time":                  {[]string{"15:00", "09:30"}, "09:30", "09:30"},
		"one that has started":             {[]string{"10:00", "done"}, "09:01", "11:00"},
		"moved onto another slot":          {[]string{"10:00", "12:00"}, "11:01", "12:00"},
		"the last, moved behind":           {[]string{"20:00", "23:00"}, "19:01", "23:00"},
		"the last, moved, slot has passed": {[]string{"20:00", "23:00"}, "21:00", "23:00"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := hourly(t, test.changes...).Next(at(t, test.from)); !got.Equal(at(t, test.want)) {
				t.Errorf("next is %v, want %s", got, test.want)
			}
		})
	}
}

func TestIsSlot(t *testing.T) {
	t.Parallel()
	p := hourly(t, "10:00", "11:30")
	for clock, want := range map[string]bool{"10:00": true, "11:30": false, "20:00": true, "21:00": false} {
		if got := p.IsSlot(at(t, clock)); got != want {
			t.Errorf("%s is a slot: %t", clock, got)
		}
	}
	if p.IsSlot(at(t, "10:00").Add(time.Microsecond)) {
		t.Error("so is what comes just after it")
	}
}

// What is told of the time from 09:30 to 14:30.
func TestPassed(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		changes []string
		// rows are reason, first, last, count, and whether they are not folded.
		rows []string
		rest []string
	}{
		"nothing changed":             {nil, []string{"R 10:00 14:00 5"}, nil},
		"one left out":                {[]string{"12:00", ""}, []string{"R 10:00 11:00 2", "SKIPPED_BY_CALLER 12:00 12:00 1", "R 13:00 14:00 2"}, nil},
		"the first and last left out": {[]string{"10:00", "", "14:00", ""}, []string{"SKIPPED_BY_CALLER 10:00 10:00 1", "R 11:00 13:00 3", "SKIPPED_BY_CALLER 14:00 14:00 1"}, nil},
		"moved within":                {[]string{"12:00", "13:30"}, []string{"R 10:00 14:00 5"}, nil},
		"moved out, later":            {[]string{"12:00", "18:30"}, []string{"R 10:00 11:00 2", "R 13:00 14:00 2 apart"}, []string{"12:00", "18:30"}},
		"moved in, later":             {[]string{"09:00", "11:30"}, []string{"R 09:00 09:00 1 alone", "R 10:00 14:00 5 apart"}, nil},
		"moved in, earlier":           {[]string{"18:00", "11:30"}, []string{"R 10:00 14:00 5", "R 18:00 18:00 1 alone"}, []string{"18:00", "done"}},
		"moved over":                  {[]string{"09:00", "18:30"}, []string{"R 10:00 14:00 5 apart"}, []string{"09:00", "18:30"}},
		"moved over, long before":     {[]string{"08:00", "18:30"}, []string{"R 10:00 14:00 5"}, []string{"08:00", "18:30"}},
		"to come":                     {[]string{"15:00", "", "16:00", "17:30"}, []string{"R 10:00 14:00 5"}, []string{"15:00", "", "16:00", "17:30"}},
		"started before, slot inside": {[]string{"12:00", "done"}, []string{"R 10:00 11:00 2", "R 13:00 14:00 2 apart"}, nil},
		"started before, slot after":  {[]string{"18:00", "done"}, []string{"R 10:00 14:00 5"}, []string{"18:00", "done"}},
		"to the end of the range":     {[]string{"16:00", "14:30"}, []string{"R 10:00 14:00 5", "R 16:00 16:00 1 alone"}, []string{"16:00", "done"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, rest := hourly(t, test.changes...).Passed("R", at(t, "09:30"), at(t, "14:30"))
			var got []string
			for _, r := range rows {
				got = append(got, fmt.Sprintf("%s %s %s %d%s", r.Reason, r.First.Format("15:04"), r.Last.Format("15:04"), r.Count, apartness(r)))
			}
			if diff := cmp.Diff(test.rows, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(hourly(t, test.rest...).Changes, rest); diff != "" {
				t.Errorf("rest (-want +got):\n%s", diff)
			}
		})
	}
}

func apartness(r job.Skip) string {
	switch {
	case r.Alone:
		return " alone"
	case r.Apart:
		return " apart"
	default:
		return ""
	}
}

// No row of a stretch reaches over what excluded dates took away.
func TestPassedIsPartedByExcludedDates(t *testing.T) {
	t.Parallel()
	times, err := schedule.Compile(job.Schedule{
		Type: job.CronBased, Cron: "0 */8 * * *", TimeZone: "UTC",
		ScheduleOptions: job.ScheduleOptions{ExcludedDates: []string{"2026-05-04", "2026-05-06"}},
	}, 0)
	if err != nil {
		t.Fatal(err)
	}
	day := func(d, h int) time.Time { return time.Date(2026, 5, d, h, 0, 0, 0, time.UTC) }
	rows, _ := occurrence.Plan{Times: times}.Passed("R", day(3, 0), day(7, 1))
	want := []job.Skip{
		{Reason: "R", First: day(3, 8), Last: day(3, 16), Count: 2},
		{Reason: "R", First: day(5, 0), Last: day(5, 16), Count: 3},
		{Reason: "R", First: day(7, 0), Last: day(7, 0), Count: 1},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func TestPassedInAPause(t *testing.T) {
	t.Parallel()
	p := hourly(t, "12:00", "", "13:00", "18:30", "15:00", "")
	rows, rest := p.Passed(job.SkipPaused, at(t, "09:30"), at(t, "14:30"))
	want := []job.Skip{
		{Reason: job.SkipPaused, First: at(t, "10:00"), Last: at(t, "12:00"), Count: 3},
		{Reason: job.SkipPaused, First: at(t, "14:00"), Last: at(t, "14:00"), Count: 1, Apart: true},
	}
	if diff := cmp.Diff(want, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(p.Changes[1:], rest); diff != "" {
		t.Errorf("rest (-want +got):\n%s", diff)
	}
}

// However the day is cut, every slot is told once, or came due elsewhere.
func TestPassedTellsEverySlotOnce(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	minute := func(n int) time.Time { return at(t, "00:00").Add(time.Duration(n) * time.Minute) }
	for range 300 {
		p := hourly(t)
		for slot := 1; slot <= 20; slot++ {
			switch random.IntN(4) {
			case 0:
				p.Changes = append(p.Changes, job.OccurrenceChange{Slot: minute(60 * slot)})
			case 1:
				p.Changes = append(p.Changes, job.OccurrenceChange{Slot: minute(60 * slot), MoveTo: minute(1 + random.IntN(24*60))})
			}
		}
		changes, told := slices.Clone(p.Changes), int64(0)
		for from := 0; from < 24*60; {
			to := from + 1 + random.IntN(240)
			var rows []job.Skip
			rows, p.Changes = p.Passed("R", minute(from), minute(to))
			for _, r := range rows {
				told += r.Count
			}
			from = to
		}
		if told != 20 || len(p.Changes) != 0 {
			t.Fatalf("%d of 20 slots are told, and %v are left of %v", told, p.Changes, changes)
		}
	}
}
