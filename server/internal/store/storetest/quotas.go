package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
)

// exhausted says that err must be an ExhaustedError with the reason QUOTA.
func exhausted(t *testing.T, err error) *job.ExhaustedError {
	t.Helper()
	var e *job.ExhaustedError
	if !errors.As(err, &e) || e.Reason != job.ReasonQuota {
		t.Fatalf("got error %v, want an ExhaustedError QUOTA", err)
	}
	return e
}

func limited(t *testing.T, s store.Store, instance int64, q job.Quota) {
	t.Helper()
	ok(t, s.SetQuota(t.Context(), instance, q))
}

// everyMinute is an instance's job that runs every minute from a time on.
func everyMinute(t *testing.T, s store.Store, instance int64, from time.Time) job.Job {
	t.Helper()
	j := hourly(instance)
	j.Schedule.IntervalMinutes, j.Schedule.Anchor, j.NextRun, j.CreatedAt = 1, from.Add(-time.Minute), from, from.Add(-time.Minute)
	return must(s.CreateJob(t.Context(), j, noRequest))(t)
}

// decideAt claims what is due as the ticker does.
func decideAt(t *testing.T, s store.Store, now time.Time, ahead time.Duration) []store.Claimed {
	t.Helper()
	claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now.Add(ahead), Limit: 100},
		func(d store.Due) store.Decision { return policy.Due(d, now) })
	ok(t, err)
	for _, c := range claimed {
		finish(t, s, c, job.StateSucceeded, now, now)
	}
	return claimed
}

var top = noon.Truncate(time.Hour)

var quotaTests = tests{
	"limits are the instance's own, or none": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		same(t, "before", must(s.Limits(t.Context(), in.ID))(t), job.Limits{})
		own := job.Quota{Jobs: new(int32(3)), LogMebibytes: new(int32(0))}
		limited(t, s, in.ID, own)
		same(t, "limits", must(s.Limits(t.Context(), in.ID))(t), job.Limits{Jobs: 3})
		same(t, "own", must(s.Instance(t.Context(), in.ID))(t).Quota, own)
		limited(t, s, in.ID, job.Quota{})
		same(t, "after", must(s.Limits(t.Context(), in.ID))(t), job.Limits{})
		missing(t, "set", s.SetQuota(t.Context(), in.ID+1, own))
		_, err := s.Limits(t.Context(), in.ID+1)
		missing(t, "limits", err)
	},
	"jobs beyond the limit are refused, also when many come at once": func(t *testing.T, s store.Store) {
		in, other := newInstance(t, s), newInstance(t, s)
		limited(t, s, in.ID, job.Quota{Jobs: new(int32(5))})
		var made, refused atomic.Int32
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				_, err := s.CreateJob(t.Context(), hourly(in.ID), noRequest)
				var e *job.ExhaustedError
				switch {
				case err == nil:
					made.Add(1)
				case errors.As(err, &e) && e.Reason == job.ReasonQuota && e.Subject == "instance:"+job.KindInstance.Format(in.ID) && e.RetryAfter == 0:
					refused.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made.Load() != 5 || refused.Load() != 7 {
			t.Errorf("%d were made and %d refused, want 5 and 7", made.Load(), refused.Load())
		}
		same(t, "usage", must(s.Usage(t.Context(), in.ID))(t), job.Usage{Jobs: 5})
		_ = must(s.CreateJob(t.Context(), hourly(other.ID), noRequest))(t)
	},
	"executions by schedule beyond those of the hour are skips": func(t *testing.T, s store.Store) {
		in, other := newInstance(t, s), newInstance(t, s)
		limited(t, s, in.ID, job.Quota{ExecutionsPerHour: new(int32(2))})
		first, second, free := everyMinute(t, s, in.ID, top), everyMinute(t, s, in.ID, top), everyMinute(t, s, other.ID, top)
		ran := map[int64]int{}
		for m := range 3 {
			for _, c := range decideAt(t, s, top.Add(time.Duration(m)*time.Minute), 0) {
				ran[c.JobID]++
			}
		}
		if ran[first.ID]+ran[second.ID] != 2 || ran[free.ID] != 3 {
			t.Errorf("ran %v, want 2 of the first two and 3 of the third", ran)
		}
		told := int64(0)
		for _, id := range []int64{first.ID, second.ID} {
			for _, k := range skips(t, s, id) {
				if k.Reason != job.SkipQuota || k.BlockedBy != 0 {
					t.Errorf("a skip %+v", k)
				}
				told += k.Count
			}
		}
		if told != 4 {
			t.Errorf("%d skips are told, want 4", told)
		}
		if got := decideAt(t, s, top.Add(time.Hour), 0); len(got) != 3 {
			t.Errorf("%d ran in the next hour, want one of each job", len(got))
		}
	},
	"what is claimed ahead counts for its own hour": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		limited(t, s, in.ID, job.Quota{ExecutionsPerHour: new(int32(1))})
		j := everyMinute(t, s, in.ID, top.Add(-time.Minute))
		if len(decideAt(t, s, top.Add(-time.Minute), 0)) != 1 || len(decideAt(t, s, top.Add(-time.Second), 2*time.Second)) != 1 {
			t.Error("one of either hour should have run")
		}
		same(t, "skips", skips(t, s, j.ID), []job.Skip(nil))
	},
	"a run by hand is refused until the next hour": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		limited(t, s, j.InstanceID, job.Quota{ExecutionsPerHour: new(int32(1))})
		enqueue(t, s, j.ID, top.Add(20*time.Minute))
		_, err := s.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: "b", Now: store.At(top.Add(21 * time.Minute)), Overlap: job.OverlapAllow})
		if e := exhausted(t, err); e.RetryAfter != 39*time.Minute {
			t.Errorf("retry after %s, want 39m", e.RetryAfter)
		}
		enqueue(t, s, j.ID, top.Add(time.Hour))
	},
	"a backfill waits for the next hour": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		j := everyMinute(t, s, in.ID, top.Add(-2*time.Hour))
		limited(t, s, in.ID, job.Quota{ExecutionsPerHour: new(int32(2))})
		b := must(s.CreateBackfill(t.Context(), job.Backfill{JobID: j.ID, From: top.Add(-time.Hour), To: top.Add(-57 * time.Minute), Concurrency: 3, Overlap: job.OverlapAllow, Total: 3}, noRequest))(t)
		for _, want := range []struct {
			at      time.Time
			started int
		}{{top, 2}, {top.Add(time.Minute), 2}, {top.Add(time.Hour), 3}} {
			ok(t, s.AdvanceBackfills(t.Context(), want.at, policy.BackfillSlots))
			same(t, "started at "+want.at.String(), must(s.Backfill(t.Context(), b.ID))(t).Started, want.started)
		}
	},
	"two replicas share the hour": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		limited(t, s, in.ID, job.Quota{ExecutionsPerHour: new(int32(10))})
		for range 30 {
			everyMinute(t, s, in.ID, top)
		}
		var ran atomic.Int32
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for range 4 {
					claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: top, Ahead: top, Limit: 4},
						func(d store.Due) store.Decision { return policy.Due(d, top) })
					if err != nil {
						t.Error(err)
					}
					ran.Add(int32(len(claimed)))
				}
			})
		}
		all.Wait()
		if ran.Load() != 10 {
			t.Errorf("%d ran, want 10", ran.Load())
		}
	},
	"stored logs are summed for those with a limit": func(t *testing.T, s store.Store) {
		j, other := newJob(t, s), newJob(t, s)
		for _, one := range []job.Job{j, other} {
			for i := range 2 {
				at := minute(i)
				enqueue(t, s, one.ID, at)
				c := claimQueued(t, s, at)[0]
				_ = must(s.Finish(t.Context(), []store.Finish{{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateSucceeded, StartedAt: at, FinishedAt: at, LogBytes: 1000}}))(t)
			}
		}
		same(t, "without limits", must(s.LogUsage(t.Context()))(t), []store.LogUsage(nil))
		limited(t, s, j.InstanceID, job.Quota{LogMebibytes: new(int32(2))})
		same(t, "with one", must(s.LogUsage(t.Context()))(t), []store.LogUsage{{InstanceID: j.InstanceID, Bytes: 2000, Limit: 2 << 20}})
		if u := must(s.Usage(t.Context(), other.InstanceID))(t); u.LogBytes != 2000 {
			t.Errorf("usage %+v", u)
		}
	},
}
