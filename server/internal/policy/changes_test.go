package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

const m = time.Minute

// with is a minute job that was due at noon, changed.
func with(p job.Policies, change func(*store.Due)) store.Due {
	d := everyMinute(p)
	change(&d)
	return d
}

func leftOut(slot time.Duration) job.OccurrenceChange {
	return job.OccurrenceChange{JobID: 7, Slot: at(slot)}
}

func movedTo(slot, to time.Duration) job.OccurrenceChange {
	return job.OccurrenceChange{JobID: 7, Slot: at(slot), MoveTo: at(to)}
}

func done(slot time.Duration) job.OccurrenceChange {
	return job.OccurrenceChange{JobID: 7, Slot: at(slot), Done: true}
}

func changed(p job.Policies, next time.Duration, changes ...job.OccurrenceChange) store.Due {
	return with(p, func(d *store.Due) { d.NextRun, d.Changes = at(next), changes })
}

func slots(offsets ...time.Duration) (list []time.Time) {
	for _, o := range offsets {
		list = append(list, at(o))
	}
	return list
}

// startOf is a start of a slot at another time.
func startOf(slot, notBefore time.Duration) store.Start {
	return store.Start{ScheduledFor: at(slot), NotBefore: at(notBefore)}
}

func TestDueWithChanges(t *testing.T) {
	t.Parallel()
	all := job.Policies{CatchUp: job.CatchUpAll}
	for name, test := range map[string]struct {
		due  store.Due
		now  time.Time
		want store.Decision
	}{
		"left out": {
			changed(job.Policies{}, 0, leftOut(0)), noon,
			store.Decision{Skips: []job.Skip{skip(job.SkipByCaller, 0, 0, 1, 0)}, Consumed: slots(0), Next: at(m)},
		},
		"the next one is left out: the ticker comes by to tell it": {
			changed(job.Policies{}, 0, leftOut(m)), noon, store.Decision{Starts: starts(0), Next: at(m)},
		},
		"the next one is moved later: the ticker passes over it": {
			changed(job.Policies{}, 0, movedTo(m, 90*time.Second)), noon, store.Decision{Starts: starts(0), Next: at(90 * time.Second)},
		},
		"moved far away: the following slot comes first": {
			changed(job.Policies{}, 0, movedTo(m, time.Hour+time.Second)), noon, store.Decision{Starts: starts(0), Next: at(2 * m)},
		},
		"moved earlier: its time has come before its slot": {
			changed(job.Policies{}, 30*time.Second, movedTo(2*m, 30*time.Second)), at(30 * time.Second),
			store.Decision{Starts: []store.Start{startOf(2*m, 30*time.Second)}, Done: slots(2 * m), Next: at(m)},
		},
		"moved earlier and started: the ticker passes over its slot": {
			changed(job.Policies{}, m, done(2*m)), at(m), store.Decision{Starts: starts(m), Next: at(3 * m)},
		},
		"moved earlier and started: its slot has passed": {
			changed(job.Policies{}, 3*m, done(2*m)), at(3 * m),
			store.Decision{Starts: starts(3 * m), Consumed: slots(2 * m), Next: at(4 * m)},
		},
		"moved earlier and started: down over its slot": {
			changed(job.Policies{}, m, done(2*m)), at(3*m + 1),
			store.Decision{
				Starts: starts(3 * m), Skips: []job.Skip{skip(job.SkipMissed, m, m, 1, 0)}, Consumed: slots(2 * m), Next: at(4 * m),
			},
		},
		"a move is not decided ahead of its time": {
			changed(job.Policies{}, 90*time.Second, movedTo(m, 90*time.Second)), at(89 * time.Second), store.Decision{Next: at(90 * time.Second)},
		},
		"moved later: its time has come": {
			changed(job.Policies{}, 90*time.Second, movedTo(m, 90*time.Second)), at(90 * time.Second),
			store.Decision{Starts: []store.Start{startOf(m, 90*time.Second)}, Consumed: slots(m), Next: at(2 * m)},
		},
		"down over one that was left out: the newest other one runs": {
			changed(job.Policies{}, 0, leftOut(3*m)), at(3*m + 1),
			store.Decision{
				Starts:   starts(2 * m),
				Skips:    []job.Skip{skip(job.SkipMissed, 0, m, 2, 0), skip(job.SkipByCaller, 3*m, 3*m, 1, 0)},
				Consumed: slots(3 * m), Next: at(4 * m),
			},
		},
		"down over one in the middle": {
			changed(job.Policies{}, 0, leftOut(m)), at(3*m + 1),
			store.Decision{
				Starts:   starts(3 * m),
				Skips:    []job.Skip{skip(job.SkipMissed, 0, 0, 1, 0), skip(job.SkipByCaller, m, m, 1, 0), skip(job.SkipMissed, 2*m, 2*m, 1, 0)},
				Consumed: slots(m), Next: at(4 * m),
			},
		},
		"catching up all passes over one that was left out": {
			changed(all, 0, leftOut(m)), at(2*m + 1),
			store.Decision{
				Starts: waiting(starts(0, 2*m), 1), Skips: []job.Skip{skip(job.SkipByCaller, m, m, 1, 0)},
				Consumed: slots(m), Next: at(3 * m),
			},
		},
		"a move that was missed": {
			changed(job.Policies{CatchUpWindow: time.Hour}, 0, movedTo(0, m)), at(2*time.Hour + 10*time.Second),
			store.Decision{
				Starts:   starts(2 * time.Hour),
				Skips:    []job.Skip{skip(job.SkipMissed, 0, 0, 1, 0), skip(job.SkipMissed, m, 2*time.Hour-m, 119, 0)},
				Consumed: slots(0), Next: at(2*time.Hour + m),
			},
		},
		"a move that was missed, told after later slots": {
			changed(job.Policies{CatchUpWindow: time.Hour}, 2*m, movedTo(0, m)), at(2*time.Hour + 10*time.Second),
			store.Decision{
				Starts:   starts(2 * time.Hour),
				Skips:    []job.Skip{alone(skip(job.SkipMissed, 0, 0, 1, 0)), skip(job.SkipMissed, 2*m, 2*time.Hour-m, 118, 0)},
				Consumed: slots(0), Next: at(2*time.Hour + m),
			},
		},
		"an overlap after a slot that is still to come": {
			with(job.Policies{}, func(d *store.Due) {
				d.NextRun, d.Changes, d.Blocking = at(2*m), []job.OccurrenceChange{movedTo(m, time.Hour)}, 9
			}), at(2*m + 1),
			store.Decision{Skips: []job.Skip{apart(skip(job.SkipOverlap, 2*m, 2*m, 1, 9))}, Next: at(3 * m)},
		},
		"and after the next one": {
			with(job.Policies{}, func(d *store.Due) {
				d.NextRun, d.Changes, d.Blocking = at(3*m), []job.OccurrenceChange{movedTo(m, time.Hour)}, 9
			}), at(3*m + 1),
			store.Decision{Skips: []job.Skip{skip(job.SkipOverlap, 3*m, 3*m, 1, 9)}, Next: at(4 * m)},
		},
		"all of the last slots were left out": {
			changed(job.Policies{}, 0, leftOut(0), leftOut(m)), at(m + 1),
			store.Decision{
				Skips:    []job.Skip{skip(job.SkipByCaller, 0, 0, 1, 0), skip(job.SkipByCaller, m, m, 1, 0)},
				Consumed: slots(0, m), Next: at(2 * m),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, policy.Due(test.due, test.now)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPauses(t *testing.T) {
	t.Parallel()
	paused := func(change func(*store.Due)) store.Due {
		return with(job.Policies{}, func(d *store.Due) {
			d.Active, d.PausedAt, d.PausedUntil = false, at(-10*m), noon
			change(d)
		})
	}
	held := func(change func(*store.Due)) store.Due {
		return with(job.Policies{}, func(d *store.Due) { d.NextRun, d.Hold = at(-9*m), &job.Pause{Since: at(-10 * m)}; change(d) })
	}
	asIs := func(*store.Due) {}
	for name, test := range map[string]struct {
		due  store.Due
		now  time.Time
		want store.Decision
	}{
		"a pause ends: nothing is made up and the interval counts anew": {
			paused(asIs), at(500 * time.Millisecond),
			store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -9*m, 0, 10, 0)}, Resume: true, Anchor: noon, Next: at(m)},
		},
		"a pause ends: slots that there are no more are forgotten, moved or not": {
			paused(func(d *store.Due) {
				d.PausedUntil = at(-20 * time.Second)
				d.Changes = []job.OccurrenceChange{movedTo(m, 30*time.Second), leftOut(2 * m), leftOut(2*m - 20*time.Second)}
			}), at(0),
			store.Decision{
				Skips: []job.Skip{skip(job.SkipPaused, -9*m, -m, 9, 0)}, Resume: true, Anchor: at(-20 * time.Second),
				Consumed: slots(m, 2*m), Next: at(40 * time.Second),
			},
		},
		"a pause of a cron job ends": {
			paused(func(d *store.Due) {
				d.Schedule = job.Schedule{Type: job.CronBased, Cron: "*/5 * * * *", TimeZone: "UTC"}
			}), at(m),
			store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -5*m, 0, 2, 0)}, Resume: true, Next: at(5 * m)},
		},
		"a pause ended long ago: what came after it is the next visit's": {
			paused(asIs), at(3*m + time.Second),
			store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -9*m, 0, 10, 0)}, Resume: true, Anchor: noon, Next: at(m)},
		},
		"a pause of an exhausted job ends": {
			paused(func(d *store.Due) { d.Policies.MaxExecutions, d.Started = 3, 3 }), at(time.Second), store.Decision{Resume: true},
		},
		"in a paused instance": {
			held(asIs), at(time.Second), store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -9*m, 0, 10, 0)}, Next: at(m)},
		},
		"an instance's pause ended: what came after it is the next visit's": {
			held(func(d *store.Due) { d.Hold.Until = at(-5*m + time.Second) }), at(time.Second),
			store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -9*m, -5*m, 5, 0)}, Next: at(-4 * m)},
		},
		"an instance's pause is long over": {
			held(func(d *store.Due) { d.NextRun, d.Hold.Until = noon, at(-m) }), noon, store.Decision{Starts: starts(0), Next: at(m)},
		},
		"in a paused instance a job's own pause ends": {
			paused(func(d *store.Due) { d.Hold = &job.Pause{Since: at(-20 * m)} }), at(time.Second),
			store.Decision{Skips: []job.Skip{skip(job.SkipPaused, -9*m, 0, 10, 0)}, Resume: true, Anchor: noon, Next: at(m)},
		},
		"in a paused instance, with excluded dates": {
			held(func(d *store.Due) {
				d.Schedule = job.Schedule{Type: job.CronBased, Cron: "0 0 * * *", TimeZone: "UTC"}
				d.Schedule.Since, d.Schedule.ExcludedDates = at(-72*time.Hour), []string{noon.Add(-24 * time.Hour).Format(time.DateOnly)}
				d.NextRun = at(-12 * time.Hour)
			}), at(time.Second),
			store.Decision{
				Skips: []job.Skip{skip(job.SkipExcluded, -36*time.Hour, -36*time.Hour, 1, 0), skip(job.SkipPaused, -12*time.Hour, -12*time.Hour, 1, 0)},
				Since: at(-12 * time.Hour), Next: at(12 * time.Hour),
			},
		},
		"wishes about paused slots are void": {
			held(func(d *store.Due) { d.Changes = []job.OccurrenceChange{leftOut(-m), movedTo(2*m, 90*time.Second)} }), at(time.Second),
			store.Decision{
				Skips: []job.Skip{skip(job.SkipPaused, -9*m, 0, 10, 0)}, Consumed: slots(-m), Next: at(m),
			},
		},
		"moved from before a pause into it, and past it": {
			held(func(d *store.Due) {
				d.Changes = []job.OccurrenceChange{movedTo(-16*m, 30*time.Second), movedTo(-15*m, -5*m)}
			}), at(time.Second),
			store.Decision{
				Skips:    []job.Skip{alone(skip(job.SkipPaused, -15*m, -15*m, 1, 0)), skip(job.SkipPaused, -9*m, 0, 10, 0)},
				Consumed: slots(-15 * m), Next: at(30 * time.Second),
			},
		},
		"moves around a pause": {
			held(func(d *store.Due) {
				d.Changes = []job.OccurrenceChange{done(-8 * m), movedTo(-5*m, 30*time.Second), movedTo(5*m, -m)}
			}), at(time.Second),
			store.Decision{
				Skips: []job.Skip{
					skip(job.SkipPaused, -9*m, -9*m, 1, 0), apart(skip(job.SkipPaused, -7*m, -6*m, 2, 0)),
					apart(skip(job.SkipPaused, -4*m, 0, 5, 0)), alone(skip(job.SkipPaused, 5*m, 5*m, 1, 0)),
				},
				Consumed: slots(-8 * m), Done: slots(5 * m), Next: at(30 * time.Second),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, policy.Due(test.due, test.now)); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMaxExecutions(t *testing.T) {
	t.Parallel()
	three := job.Policies{MaxExecutions: 3}
	second := with(three, func(d *store.Due) { d.Started = 1 })
	if d := policy.Due(second, noon); len(d.Starts) != 1 || d.Next.IsZero() {
		t.Errorf("the second of three: %+v", d)
	}
	last := with(three, func(d *store.Due) { d.Started = 2 })
	if d := policy.Due(last, noon); len(d.Starts) != 1 || !d.Next.IsZero() {
		t.Errorf("the last of three: %+v", d)
	}
	all := with(job.Policies{MaxExecutions: 3, CatchUp: job.CatchUpAll}, func(d *store.Due) { d.Started = 1 })
	if d := policy.Due(all, at(10*m)); len(d.Starts) != 2 || !d.Next.IsZero() {
		t.Errorf("catching up to the last: %d starts, next %v", len(d.Starts), d.Next)
	}
}

func TestExcludedDatesAreTold(t *testing.T) {
	t.Parallel()
	daily := with(job.Policies{}, func(d *store.Due) {
		d.Schedule = job.Schedule{Type: job.CronBased, Cron: "0 12 * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{
			ExcludedDates: []string{"2026-03-02/2026-03-03"}, Since: at(-72 * time.Hour),
		}}
	})
	want := store.Decision{
		Starts: starts(0), Skips: []job.Skip{skip(job.SkipExcluded, -48*time.Hour, -24*time.Hour, 2, 0)}, Since: noon, Next: at(24 * time.Hour),
	}
	if diff := cmp.Diff(want, policy.Due(daily, noon)); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
	// The ticker came by before, but not at a slot that was moved after them.
	moved := daily
	moved.NextRun, moved.Changes = at(24*time.Hour), []job.OccurrenceChange{movedTo(0, 30*time.Hour)}
	next := store.Decision{Starts: starts(24 * time.Hour), Skips: want.Skips, Since: at(24 * time.Hour), Next: at(30 * time.Hour)}
	if diff := cmp.Diff(next, policy.Due(moved, at(24*time.Hour))); diff != "" {
		t.Errorf("after a slot that was moved (-want +got):\n%s", diff)
	}
	// Once they are told, they are not told again.
	moved.Schedule.Since, next.Skips, next.Since = noon, nil, time.Time{}
	if diff := cmp.Diff(next, policy.Due(moved, at(24*time.Hour))); diff != "" {
		t.Errorf("told before (-want +got):\n%s", diff)
	}
	// Since the schedule holds only from the second of them on, one is its own.
	daily.Schedule.Since = at(-30 * time.Hour)
	want.Skips = []job.Skip{skip(job.SkipExcluded, -24*time.Hour, -24*time.Hour, 1, 0)}
	if diff := cmp.Diff(want, policy.Due(daily, noon)); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}

func TestBackfillSlots(t *testing.T) {
	t.Parallel()
	s := everyMinute(job.Policies{}).Schedule
	got := policy.BackfillSlots(s, 7, at(-1), at(3*m), 2)
	if diff := cmp.Diff(slots(0, m), got); diff != "" {
		t.Errorf("the first two of three (-want +got):\n%s", diff)
	}
	if got := policy.BackfillSlots(s, 7, at(m), at(3*m), 10); len(got) != 1 {
		t.Errorf("the rest: %v", got)
	}
	if got := policy.BackfillSlots(s, 7, at(m), at(3*m), 0); len(got) != 0 {
		t.Errorf("no room: %v", got)
	}
}

func TestExcludedDatesInAPauseAreTold(t *testing.T) {
	t.Parallel()
	daily := with(job.Policies{}, func(d *store.Due) {
		d.Active, d.PausedAt = false, at(-73*time.Hour)
		d.Schedule = job.Schedule{Type: job.CronBased, Cron: "0 12 * * *", TimeZone: "UTC", ScheduleOptions: job.ScheduleOptions{
			ExcludedDates: []string{"2026-03-03/2026-03-04"}, Since: at(-100 * time.Hour),
		}}
	})
	want := store.Decision{
		Skips: []job.Skip{
			skip(job.SkipPaused, -72*time.Hour, -48*time.Hour, 2, 0),
			skip(job.SkipExcluded, -24*time.Hour, 0, 2, 0),
		},
		Resume: true, Since: at(time.Minute), Next: at(24 * time.Hour),
	}
	if diff := cmp.Diff(want, policy.Due(daily, at(time.Minute))); diff != "" {
		t.Errorf("decision (-want +got):\n%s", diff)
	}
}
