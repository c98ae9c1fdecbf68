package entstore

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/policy"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/tests/pgtest"
)

// Claims of many instances, runs by hand, creations, updates, ends and changes of
// quotas lock jobs, hours and instances in one order: PostgreSQL never has to
// break a deadlock, and none of them waits for long.
func TestQuotasLockInOneOrder(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	const instances, jobsEach, rounds = 6, 4, 25
	start := time.Date(2031, 1, 2, 3, 0, 0, 0, time.UTC)
	draft := func(instance int64) job.Job {
		return job.Job{
			InstanceID: instance, Name: "a", Active: true, Workflow: json.RawMessage(`{"tasks":[]}`), NextRun: start, CreatedAt: start.Add(-time.Hour),
			Schedule: job.Schedule{Type: job.IntervalBased, IntervalMinutes: 1, TimeZone: "UTC", Anchor: start},
		}
	}
	var tenants, jobs []int64
	for range instances {
		in, err := s.CreateInstance(t.Context(), job.Instance{CreatedAt: start}, 0, store.Request{})
		if err == nil {
			err = s.SetQuota(t.Context(), in.ID, job.Quota{ExecutionsPerHour: new(int32(100_000)), Jobs: new(int32(10_000))})
		}
		if err != nil {
			t.Fatal(err)
		}
		tenants = append(tenants, in.ID)
	}
	for n := range instances * jobsEach { // neighbours in the order of ids belong to different instances
		j, err := s.CreateJob(t.Context(), draft(tenants[n%instances]), store.Request{})
		if err != nil {
			t.Fatal(err)
		}
		jobs = append(jobs, j.ID)
	}
	var slowest, claimedAll, steps atomic.Int64
	var all sync.WaitGroup
	worker := func(name string, work func(n int, now time.Time) error) {
		all.Go(func() {
			for n := range rounds {
				began := time.Now()
				if err := work(n, start.Add(time.Duration(steps.Add(1))*20*time.Second)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if took := int64(time.Since(began)); took > slowest.Load() {
					slowest.Store(took)
				}
			}
		})
	}
	for w := range 4 {
		owner := register(t, s, time.Hour)
		worker("claim", func(_ int, now time.Time) error {
			claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now, Limit: 12},
				func(d store.Due) store.Decision { return policy.Due(d, now) })
			if err != nil {
				return err
			}
			var ends []store.Finish
			for _, c := range claimed {
				ends = append(ends, store.Finish{ExecutionID: c.ExecutionID, Mark: c.Mark, Fence: c.Fence, State: job.StateSucceeded, StartedAt: now, FinishedAt: now})
			}
			claimedAll.Add(int64(len(claimed)))
			_, err = s.Finish(t.Context(), ends)
			return err
		})
		// Half of the jobs are never run by hand, so that their slots find nothing to overlap with.
		worker("run by hand", func(n int, now time.Time) error {
			_, err := s.EnqueueManual(t.Context(), store.Manual{
				JobID: jobs[(n*7+w)%(len(jobs)/2)], TriggerID: fmt.Sprint(w, "-", n), Now: store.At(now), Overlap: job.OverlapAllow,
			})
			return err
		})
		worker("create", func(n int, _ time.Time) error {
			j := draft(tenants[(n+w)%instances])
			j.NextRun = start.Add(1000 * time.Hour)
			_, err := s.CreateJob(t.Context(), j, store.Request{})
			return err
		})
		worker("quota", func(n int, _ time.Time) error {
			return s.SetQuota(t.Context(), tenants[(n*5+w)%instances], job.Quota{ExecutionsPerHour: new(int32(100_000 + n)), Jobs: new(int32(10_000))})
		})
	}
	all.Wait()
	var deadlocks int64
	if err := s.pool.QueryRow(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d claimed, the slowest step took %s, %d deadlocks", claimedAll.Load(), time.Duration(slowest.Load()), deadlocks)
	if deadlocks > 0 {
		t.Errorf("%d deadlocks", deadlocks)
	}
	if claimedAll.Load() == 0 {
		t.Error("nothing was claimed: the story tells nothing")
	}
}
