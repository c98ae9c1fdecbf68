package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func at(offset time.Duration) time.Time { return noon.Add(offset) }

// everyMinute is a job that was due at noon.
func everyMinute(p job.Policies) store.Due {
	return store.Due{
		JobID: 7, InstanceID: 3, Active: true, Policies: p, NextRun: noon,
		Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: at(-time.Hour)},
	}
}

func starts(slots ...time.Duration) []store.Start {
	list := make([]store.Start, len(slots))
	for i, s := range slots {
		list[i] = store.Start{ScheduledFor: at(s), NotBefore: at(s)}
	}
	return list
}

func waiting(list []store.Start, from int) []store.Start {
	for i := from; i < len(list); i++ {
		list[i].Waits = true
	}
	return list
}

func skip(reason string, first, last time.Duration, count, by int64) job.Skip {
	return job.Skip{JobID: 7, InstanceID: 3, Reason: reason, First: at(first), Last: at(last), Count: count, BlockedBy: by}
}

// apart and alone keep a row from being folded.
func apart(k job.Skip) job.Skip {
	k.Apart = true
	return k
}

func alone(k job.Skip) job.Skip {
	k.Apart, k.Alone = true, true
	return k
}

func TestDue(t *testing.T) {
	t.Parallel()
	const m = time.Minute
	withRoom := func(d store.Due, n int64) store.Due { d.Room = &n; return d }
	blocked := func(d store.Due, by int64, waits int) store.Due { d.Blocking, d.Waiting = by, waits; return d }
	for name, test := range map[string]struct {
		due  store.Due
		now  time.Time
		want store.Decision
	}{
		"on time": {everyMinute(job.Policies{}), noon, store.Decision{Starts: starts(0), Next: at(m)}},
		"ahead of time": {
			everyMinute(job.Policies{}), at(-time.Second), store.Decision{Starts: starts(0), Next: at(m)},
		},
		"a little late": {everyMinute(job.Policies{}), at(20 * time.Second), store.Decision{Starts: starts(0), Next: at(m)}},
		"one newer slot: the older is missed": {
			everyMinute(job.Policies{}), at(m + 1),
			store.Decision{Starts: starts(m), Skips: []job.Skip{skip("MISSED", 0, 0, 1, 0)}, Next: at(2 * m)},
		},
		"fourteen days down": {
			everyMinute(job.Policies{}), at(14 * 24 * time.Hour),
			store.Decision{
				Starts: starts(14 * 24 * time.Hour),
				Skips:  []job.Skip{skip("MISSED", 0, 14*24*time.Hour-m, 20160, 0)}, Next: at(14*24*time.Hour + m),
			},
		},
		"outside the window": {
			store.Due{
				JobID: 7, InstanceID: 3, Active: true, NextRun: noon, Policies: job.Policies{CatchUpWindow: time.Hour},
				Schedule: job.Schedule{Type: job.CronBased, Cron: "0 12 * * *", TimeZone: "UTC"},
			}, at(2 * time.Hour),
			store.Decision{Skips: []job.Skip{skip("MISSED", 0, 0, 1, 0)}, Next: at(24 * time.Hour)},
		},
		"none, within the grace": {
			everyMinute(job.Policies{CatchUp: job.CatchUpNone}), at(10 * time.Second), store.Decision{Starts: starts(0), Next: at(m)},
		},
		"none, late": {
			everyMinute(job.Policies{CatchUp: job.CatchUpNone}), at(3*m + 40*time.Second),
			store.Decision{Skips: []job.Skip{skip("MISSED", 0, 3*m, 4, 0)}, Next: at(4 * m)},
		},
		"none, late, but the newest is on time": {
			everyMinute(job.Policies{CatchUp: job.CatchUpNone}), at(3*m + time.Second),
			store.Decision{Starts: starts(3 * m), Skips: []job.Skip{skip("MISSED", 0, 2*m, 3, 0)}, Next: at(4 * m)},
		},
		"all, one after the other": {
			everyMinute(job.Policies{CatchUp: job.CatchUpAll}), at(2*m + 1),
			store.Decision{Starts: waiting(starts(0, m, 2*m), 1), Next: at(3 * m)},
		},
		"all, side by side": {
			everyMinute(job.Policies{CatchUp: job.CatchUpAll, Overlap: job.OverlapAllow}), at(2*m + 1),
			store.Decision{Starts: starts(0, m, 2*m), Next: at(3 * m)},
		},
		"all, inside the window": {
			everyMinute(job.Policies{CatchUp: job.CatchUpAll, CatchUpWindow: 90 * time.Second}), at(5 * m),
			store.Decision{
				Starts: waiting(starts(4*m, 5*m), 1), Skips: []job.Skip{skip("MISSED", 0, 3*m, 4, 0)}, Next: at(6 * m),
			},
		},
		"skip": {
			blocked(everyMinute(job.Policies{}), 99, 0), noon,
			store.Decision{Skips: []job.Skip{skip("OVERLAP", 0, 0, 1, 99)}, Next: at(m)},
		},
		"buffer one": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapBufferOne}), 99, 0), noon,
			store.Decision{Starts: waiting(starts(0), 0), Next: at(m)},
		},
		"buffer one, full": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapBufferOne}), 99, 1), noon,
			store.Decision{Skips: []job.Skip{skip("OVERLAP", 0, 0, 1, 99)}, Next: at(m)},
		},
		"buffer all": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapBufferAll}), 99, 50), noon,
			store.Decision{Starts: waiting(starts(0), 0), Next: at(m)},
		},
		"buffer all, full": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapBufferAll}), 99, job.MaxBuffered), noon,
			store.Decision{Skips: []job.Skip{skip("QUOTA", 0, 0, 1, 99)}, Next: at(m)},
		},
		"no room in the hour": {
			withRoom(everyMinute(job.Policies{}), 0), noon,
			store.Decision{Skips: []job.Skip{skip("QUOTA", 0, 0, 1, 0)}, Next: at(m)},
		},
		"room for one of a catch-up": {
			withRoom(everyMinute(job.Policies{CatchUp: job.CatchUpAll}), 1), at(2*m + 1),
			store.Decision{Starts: starts(0), Skips: []job.Skip{skip("QUOTA", m, m, 1, 0), skip("QUOTA", 2*m, 2*m, 1, 0)}, Next: at(3 * m)},
		},
		"no room cancels nothing": {
			withRoom(blocked(everyMinute(job.Policies{Overlap: job.OverlapCancelOther}), 99, 0), 0), noon,
			store.Decision{Skips: []job.Skip{skip("QUOTA", 0, 0, 1, 0)}, Next: at(m)},
		},
		"cancel other": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapCancelOther}), 99, 0), noon,
			store.Decision{Starts: waiting(starts(0), 0), CancelRunning: true, Next: at(m)},
		},
		"allow": {
			blocked(everyMinute(job.Policies{Overlap: job.OverlapAllow}), 99, 0), noon,
			store.Decision{Starts: starts(0), Next: at(m)},
		},
		"damaged": {
			store.Due{JobID: 7, InstanceID: 3, NextRun: noon, Schedule: job.Schedule{Type: job.CronBased, Cron: "nonsense", TimeZone: "UTC"}}, noon,
			store.Decision{Skips: []job.Skip{skip("SCHEDULE_INVALID", 0, 0, 1, 0)}},
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

// Whatever the policies and the delay, every slot is told exactly once.
func TestDueTellsEverySlotOnce(t *testing.T) {
	t.Parallel()
	for _, overlap := range []job.OverlapPolicy{"", job.OverlapBufferOne, job.OverlapBufferAll, job.OverlapCancelOther, job.OverlapAllow} {
		for _, catchUp := range []job.CatchUpPolicy{"", job.CatchUpAll, job.CatchUpNone} {
			for _, late := range []time.Duration{0, time.Second, 61 * time.Second, time.Hour, 30 * time.Hour, 400 * time.Hour} {
				for _, by := range []int64{0, 99} {
					due := everyMinute(job.Policies{Overlap: overlap, CatchUp: catchUp})
					due.Blocking = by
					d := policy.Due(due, at(late))
					told := int64(len(d.Starts))
					for _, k := range d.Skips {
						told += k.Count
					}
					if want := int64(late/time.Minute) + 1; told != want || !d.Next.Equal(at(late.Truncate(time.Minute)+time.Minute)) {
						t.Errorf("%s %s %v late, blocked by %d: %d slots told, want %d; next %v", overlap, catchUp, late, by, told, want, d.Next)
					}
				}
			}
		}
	}
}

func TestCatchUpAllIsBounded(t *testing.T) {
	t.Parallel()
	d := policy.Due(everyMinute(job.Policies{CatchUp: job.CatchUpAll}), at(5*time.Hour))
	if len(d.Starts) != job.MaxCatchUp || !d.Starts[len(d.Starts)-1].ScheduledFor.Equal(at(5*time.Hour)) {
		t.Errorf("%d starts up to %v", len(d.Starts), d.Starts[len(d.Starts)-1].ScheduledFor)
	}
}

// The sequence that Cloud Scheduler documents for 10 s, 300 s and 3 doublings.
func TestBackoff(t *testing.T) {
	t.Parallel()
	p := job.RetryPolicy{MinBackoff: 10 * time.Second, MaxBackoff: 300 * time.Second, MaxDoublings: 3}
	for i, want := range []int{10, 20, 40, 80, 160, 240, 300, 300} {
		if got := policy.Backoff(p, i+1); got != time.Duration(want)*time.Second {
			t.Errorf("delay after attempt %d: %v, want %d s", i+1, got, want)
		}
	}
	extreme := job.RetryPolicy{MinBackoff: 24 * time.Hour, MaxBackoff: 24 * time.Hour, MaxDoublings: 16}
	if got := policy.Backoff(extreme, 20); got != 24*time.Hour {
		t.Errorf("the largest policy: %v", got)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	passing := &job.Failure{Code: "UNAVAILABLE", Reason: "X"}
	claim := func(attempt int, retry *job.RetryPolicy) store.Claimed {
		return store.Claimed{
			JobID: 7, Trigger: job.TriggerSchedule, Attempt: attempt,
			Policies: job.Policies{Retry: retry},
			Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: noon},
		}
	}
	twice := &job.RetryPolicy{Count: 2, MinBackoff: 5 * time.Second, MaxBackoff: time.Hour, MaxDoublings: 5}
	late := claim(1, &job.RetryPolicy{Count: 2, MinBackoff: 5 * time.Second, MaxBackoff: time.Hour, MaxDuration: 20 * time.Second})
	late.FirstStartedAt = at(-16 * time.Second)
	manual := claim(1, &job.RetryPolicy{Count: 1, MinBackoff: 5 * time.Minute, MaxBackoff: time.Hour})
	manual.Trigger = job.TriggerManual
	for name, test := range map[string]struct {
		claim   store.Claimed
		failure *job.Failure
		now     time.Time
		want    time.Duration // 0 for none
	}{
		"no policy":               {claim(1, nil), passing, noon, 0},
		"first":                   {claim(1, twice), passing, noon, 5 * time.Second},
		"second":                  {claim(2, twice), passing, noon, 10 * time.Second},
		"used up":                 {claim(3, twice), passing, noon, 0},
		"permanent":               {claim(1, twice), &job.Failure{Code: "UNAUTHENTICATED"}, noon, 0},
		"at the next slot":        {claim(1, twice), passing, at(55 * time.Second), 0},
		"just before the slot":    {claim(1, twice), passing, at(54 * time.Second), 5 * time.Second},
		"too long":                {late, passing, noon, 0},
		"by hand: slots go ahead": {manual, passing, noon, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := policy.Retry(test.claim, test.failure, test.now, test.now)
			if want := test.now.Add(test.want); ok != (test.want != 0) || ok && !got.Equal(want) {
				t.Errorf("next attempt %v, %v; want %v", got, ok, test.want)
			}
		})
	}
}

// Every claim pays for this: only what is answered may need memory.
func TestDueAllocatesTheStartOnly(t *testing.T) {
	for _, s := range []job.Schedule{
		{Type: job.CronBased, Cron: "0 12 * * *", TimeZone: "UTC"},
		{Type: job.CronBased, Cron: "*/5 8,12-14 1-31/3 MAR-OCT *", TimeZone: "Europe/Berlin"},
		everyMinute(job.Policies{}).Schedule,
	} {
		due := everyMinute(job.Policies{})
		due.Schedule = s
		if n := testing.AllocsPerRun(100, func() { policy.Due(due, noon) }); n != 1 {
			t.Errorf("%+v: %v allocations, want 1", s, n)
		}
	}
}
