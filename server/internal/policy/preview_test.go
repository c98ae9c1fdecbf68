package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/schedule"
)

// minutes is a job that is due at each minute from noon on.
var minutes = job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: noon.Add(-time.Minute)}

func slotsOf(t *testing.T, s job.Schedule, n int) (slots []time.Time) {
	t.Helper()
	times, err := schedule.Compile(s, 0)
	if err != nil {
		t.Fatal(err)
	}
	after := noon.Add(-1)
	for range n {
		slot, ok := times.Next(after)
		if !ok {
			t.Fatalf("no slot after %v", after)
		}
		slots, after = append(slots, slot), slot
	}
	return slots
}

// Six slots, a minute apart from noon on, whose executions last so long: when
// each starts after noon, or why it doesn't.
func TestPreview(t *testing.T) {
	t.Parallel()
	const m = time.Minute
	none := []time.Duration{-1, -1}
	for name, test := range map[string]struct {
		overlap job.OverlapPolicy
		lasts   time.Duration
		want    []time.Duration // negative for OVERLAP
	}{
		"skip, short":                {"", m - 1, []time.Duration{0, m, 2 * m, 3 * m, 4 * m, 5 * m}},
		"skip, ends as the next one": {job.OverlapSkip, m, []time.Duration{0, m, 2 * m, 3 * m, 4 * m, 5 * m}},
		"skip, a little too long":    {job.OverlapSkip, m + 1, []time.Duration{0, -1, 2 * m, -1, 4 * m, -1}},
		"skip, longer":               {job.OverlapSkip, 150 * time.Second, append([]time.Duration{0}, append(none, 3*m, -1, -1)...)},
		"skip, for days":             {job.OverlapSkip, 48 * time.Hour, []time.Duration{0, -1, -1, -1, -1, -1}},
		"buffer one": {
			// At 2 m the second has waited since 1 m; at 3 m it runs, and the fourth waits.
			job.OverlapBufferOne, 150 * time.Second, []time.Duration{0, 150 * time.Second, -1, 300 * time.Second, -1, 450 * time.Second},
		},
		"buffer one, short": {job.OverlapBufferOne, m, []time.Duration{0, m, 2 * m, 3 * m, 4 * m, 5 * m}},
		"buffer all":        {job.OverlapBufferAll, 150 * time.Second, []time.Duration{0, 150 * time.Second, 5 * m, 450 * time.Second, 10 * m, 750 * time.Second}},
		"buffer all, 90 s":  {job.OverlapBufferAll, 90 * time.Second, []time.Duration{0, 90 * time.Second, 3 * m, 270 * time.Second, 6 * m, 450 * time.Second}},
		"cancel other":      {job.OverlapCancelOther, 150 * time.Second, []time.Duration{0, m, 2 * m, 3 * m, 4 * m, 5 * m}},
		"allow":             {job.OverlapAllow, 150 * time.Second, []time.Duration{0, m, 2 * m, 3 * m, 4 * m, 5 * m}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots := slotsOf(t, minutes, 6)
			var want []policy.Previewed
			for i, starts := range test.want {
				p := policy.Previewed{Slot: slots[i], StartsAt: at(starts)}
				if starts < 0 {
					p.StartsAt, p.Reason = time.Time{}, job.SkipOverlap
				}
				want = append(want, p)
			}
			if diff := cmp.Diff(want, policy.Preview(minutes, test.overlap, slots, test.lasts)); diff != "" {
				t.Errorf("preview (-want +got):\n%s", diff)
			}
		})
	}
}

// No more than job.MaxBuffered wait at any time.
func TestPreviewOfAFullBuffer(t *testing.T) {
	t.Parallel()
	slots := slotsOf(t, minutes, job.MaxBuffered+150)
	var started, refused int
	for i, p := range policy.Preview(minutes, job.OverlapBufferAll, slots, 50*time.Minute) {
		// The first runs, so that 100 wait after the slot with this index; one
		// place becomes free every 50 minutes.
		if want := i > job.MaxBuffered+2 && i%50 != 0; (p.Reason != "") != want || p.StartsAt.IsZero() != want {
			t.Errorf("slot %d: %+v", i, p)
		}
		switch p.Reason {
		case "":
			started++
			if want := slots[0].Add(time.Duration(started-1) * 50 * time.Minute); !p.StartsAt.Equal(want) {
				t.Errorf("slot %d starts at %v, want %v", i, p.StartsAt, want)
			}
		case job.SkipQuota:
			refused++
		default:
			t.Errorf("slot %d is refused because of %s", i, p.Reason)
		}
	}
	if refused == 0 {
		t.Error("none was refused")
	}
}

// Jitter delays the start, and so the end.
func TestPreviewWithJitter(t *testing.T) {
	t.Parallel()
	late := minutes
	late.Jitter = time.Minute
	times, err := schedule.Compile(late, 0)
	if err != nil {
		t.Fatal(err)
	}
	slots := slotsOf(t, late, 50)
	ends := time.Time{}
	skips := 0
	for _, p := range policy.Preview(late, job.OverlapSkip, slots, 30*time.Second) {
		if blocked := ends.After(p.Slot); blocked {
			skips++
			if p.Reason != job.SkipOverlap || !p.StartsAt.IsZero() {
				t.Errorf("%v is blocked until %v: %+v", p.Slot, ends, p)
			}
			continue
		}
		if !p.StartsAt.Equal(times.FireAt(p.Slot)) || p.Reason != "" {
			t.Errorf("%+v, want a start at %v", p, times.FireAt(p.Slot))
		}
		ends = p.StartsAt.Add(30 * time.Second)
	}
	if skips == 0 || skips > len(slots)/2 {
		t.Errorf("%d of %d are skipped", skips, len(slots))
	}
}
