package storetest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var concurrencyTests = tests{
	"updates of one job come one after the other": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		const writers = 12
		var all sync.WaitGroup
		for range writers {
			all.Go(func() {
				_, err := s.UpdateJob(t.Context(), j.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
					j.Description += "x"
					return true, []job.Skip{{Reason: job.SkipPaused, First: noon, Last: noon, Count: 1}}, nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		j = must(s.Job(t.Context(), j.ID))(t)
		if j.Version != writers+1 || len(j.Description) != writers {
			t.Errorf("version %d, description %q", j.Version, j.Description)
		}
		if rows := skips(t, s, j.ID); len(rows) != 1 || rows[0].Count != writers {
			t.Errorf("ledger %+v", rows)
		}
	},
	"of runs by hand under SKIP one gets through": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		var made, overlapped int
		var mu sync.Mutex
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				_, err := byHand(s, t, j.ID, job.OverlapSkip, noon.Add(time.Duration(i)*time.Microsecond))
				mu.Lock()
				defer mu.Unlock()
				var e *job.PreconditionError
				switch {
				case err == nil:
					made++
				case errors.As(err, &e) && e.Reason == "OVERLAP":
					overlapped++
				default:
					t.Error(err)
				}
			})
		}
		all.Wait()
		if made != 1 || overlapped != 7 {
			t.Errorf("%d made, %d overlapped", made, overlapped)
		}
	},
	"a resource is either deleted or used": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		for range 10 {
			r := newResource(t, s, in.ID)
			draft := hourly(in.ID)
			draft.ResourceIDs = []int64{r.ID}
			var deleted, created error
			var all sync.WaitGroup
			all.Go(func() { deleted = s.DeleteResource(t.Context(), r.ID) })
			all.Go(func() { _, created = s.CreateJob(t.Context(), draft, noRequest) })
			all.Wait()
			if (deleted == nil) == (created == nil) {
				t.Fatalf("deleted: %v, created: %v", deleted, created)
			}
			if created != nil {
				refused(t, created, "RESOURCE_GONE")
			} else {
				refused(t, deleted, "RESOURCE_IN_USE")
			}
		}
	},
	"an instance is either deleted or filled": func(t *testing.T, s store.Store) {
		for range 10 {
			in := newInstance(t, s)
			var deleted, created error
			var all sync.WaitGroup
			all.Go(func() { deleted = s.DeleteInstance(t.Context(), in.ID) })
			all.Go(func() { _, created = s.CreateJob(t.Context(), hourly(in.ID), noRequest) })
			all.Wait()
			if (deleted == nil) == (created == nil) {
				t.Fatalf("deleted: %v, created: %v", deleted, created)
			}
			if created != nil {
				missing(t, "CreateJob", created)
			} else {
				refused(t, deleted, "INSTANCE_NOT_EMPTY")
			}
		}
	},
	"an execution is seen once while it ends": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		for i := range 20 {
			at := minute(i)
			e := enqueue(t, s, j.ID, at)
			c := claimQueued(t, s, at)[0]
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				_, err := s.Finish(t.Context(), []store.Finish{{
					ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateSucceeded, StartedAt: at, FinishedAt: at,
				}})
				if err != nil {
					t.Error(err)
				}
			}()
			for done := false; !done; {
				select {
				case <-ended:
					done = true
				default:
				}
				list := must(s.ExecutionsOfJob(t.Context(), j.ID, store.Page{Limit: 5}))(t)
				if len(list) != min(i+1, 5) || list[0].ID != e.ID {
					t.Fatalf("run %d: saw %v", i, idsOf(list))
				}
				_ = must(s.Execution(t.Context(), e.ID))(t)
			}
		}
	},
	"updates, claims, ends and deletions mix": func(t *testing.T, s store.Store) {
		var jobs []job.Job
		for range 6 {
			jobs = append(jobs, newJob(t, s))
		}
		// One clock for all: two minutes a step, so that they are never as far
		// apart as two slots are.
		var steps atomic.Int64
		var ended sync.Map // ids of executions whose end or retry was stored
		var all sync.WaitGroup
		worker := func(work func(now time.Time, j job.Job) error) {
			all.Go(func() {
				for round := range 30 {
					now := noon.Add(time.Duration(steps.Add(1)) * 2 * time.Minute)
					if err := work(now, jobs[round%5]); err != nil {
						t.Error(err)
					}
				}
			})
		}
		for range 2 {
			worker(func(now time.Time, _ job.Job) error {
				req := store.ClaimRequest{Owner: owner, Now: now, Ahead: now.Add(15 * time.Minute), Limit: 100}
				due, _, err := s.ClaimDue(t.Context(), req, startHourly)
				if err != nil {
					return err
				}
				queued, _, err := s.ClaimQueued(t.Context(), req)
				if err != nil {
					return err
				}
				for _, c := range append(due, queued...) {
					end := store.Finish{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateSucceeded, StartedAt: now, FinishedAt: now}
					if c.ExecutionID%3 == 0 && c.Attempt < 3 {
						end.State, end.RetryAt = job.StateQueued, now.Add(time.Minute)
					}
					stale, err := s.Finish(t.Context(), []store.Finish{end})
					if err != nil {
						return err
					}
					if len(stale) == 0 {
						ended.Store(c.ExecutionID, nil)
					}
				}
				return nil
			})
		}
		worker(func(now time.Time, j job.Job) error {
			_, err := s.UpdateJob(t.Context(), j.ID, store.At(now), rename("x"))
			return err
		})
		worker(func(now time.Time, j job.Job) error {
			_, err := byHand(s, t, j.ID, job.OverlapCancelOther, now)
			return err
		})
		worker(func(now time.Time, _ job.Job) error {
			if err := s.DeleteJob(t.Context(), jobs[5].ID, store.At(now), allow); !errors.Is(err, store.ErrNotFound) {
				return err
			}
			return nil
		})
		all.Wait()
		runs := 0
		for _, j := range jobs {
			seen := map[time.Time]bool{}
			for _, e := range must(s.ScheduledBetween(t.Context(), j.ID, noon, noon.Add(1000*time.Hour), 1000))(t) {
				if seen[e.ScheduledFor] {
					t.Errorf("job %d has two executions for %v", j.ID, e.ScheduledFor)
				}
				seen[e.ScheduledFor] = true
				runs++
			}
		}
		if runs == 0 {
			t.Error("nothing was run")
		}
		ended.Range(func(id, _ any) bool {
			if _, err := s.Execution(t.Context(), id.(int64)); err != nil {
				t.Errorf("execution %d: %v", id, err)
			}
			return true
		})
	},
	"a caller that gave up is told so": func(t *testing.T, s store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Job(ctx, 1)
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read: got error %v, want context.Canceled", err)
		}
		_, err = s.CreateInstance(ctx, job.Instance{}, 0, noRequest)
		var unavailable *job.UnavailableError
		if !errors.Is(err, context.Canceled) || errors.As(err, &unavailable) {
			t.Errorf("write: got error %v, want context.Canceled", err)
		}
	},
}
