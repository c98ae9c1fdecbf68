package executions

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
)

func TestWatchRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s, ctx := w.service(t)
	good := position{instance: 1, job: 10, floor: 9, active: []int64{3, 5}}.cursor()
	for name, test := range map[string]struct {
		ctx   context.Context
		watch Watch
		want  any
	}{
		"nobody":                   {t.Context(), Watch{InstanceID: 1}, new(*job.UnauthenticatedError)},
		"a job that is missing":    {ctx, Watch{InstanceID: 1, JobID: 1001}, new(*job.NotFoundError)},
		"a job of another":         {ctx, Watch{InstanceID: 1, JobID: 20}, new(*job.NotFoundError)},
		"no cursor":                {ctx, Watch{InstanceID: 1, JobID: 10, Cursor: "?"}, new(*job.InvalidError)},
		"a cursor of an instance":  {ctx, Watch{InstanceID: 2, JobID: 20, Cursor: good}, new(*job.InvalidError)},
		"a cursor of a job":        {ctx, Watch{InstanceID: 1, Cursor: good}, new(*job.InvalidError)},
		"a cursor with more in it": {ctx, Watch{InstanceID: 1, JobID: 10, Cursor: good + "A"}, new(*job.InvalidError)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := s.Watch(test.ctx, test.watch); !errors.As(err, test.want) {
				t.Errorf("error is %v, want a %T", err, test.want)
			}
		})
	}
}

func TestWatchEnds(t *testing.T) {
	t.Parallel()
	var exhausted *job.ExhaustedError
	var unavailable *job.UnavailableError
	cause := errors.New("the caller is gone")
	for name, test := range map[string]struct {
		do   func(w *world, s *Service, stop context.CancelCauseFunc)
		want func(error) bool
	}{
		"with its caller": {
			func(_ *world, _ *Service, stop context.CancelCauseFunc) { stop(cause) },
			func(err error) bool { return errors.Is(err, cause) },
		},
		"with the server": {
			func(_ *world, s *Service, _ context.CancelCauseFunc) { s.Close() },
			func(err error) bool { return errors.As(err, &unavailable) },
		},
		"when it is not read": {
			func(w *world, _ *Service, _ context.CancelCauseFunc) {
				for range maxPending + watchPage {
					w.add(1, 10, job.StateRunning)
				}
			},
			func(err error) bool { return errors.As(err, &exhausted) && exhausted.Reason == "SLOW_READER" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				s, ctx := w.service(t)
				ctx, stop := context.WithCancelCause(ctx)
				defer stop(nil)
				first := w.add(1, 10, job.StateRunning)
				changes, err := s.Watch(ctx, Watch{InstanceID: 1})
				if err != nil {
					t.Fatal(err)
				}
				var end error
				for change, err := range changes {
					if end = err; err == nil && change.Execution.ID == first.ID {
						test.do(w, s, stop)
						time.Sleep(time.Minute) // while nothing is read
					}
				}
				if !test.want(end) {
					t.Errorf("ended with %v", end)
				}
			})
		})
	}
}

func TestWatchWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		e := w.add(1, 10, job.StateRunning)
		g := watch(ctx, t, s, Watch{InstanceID: 1})
		g.want("at first", "1 RUNNING")
		w.outage(errors.New("out of order"))
		w.put(e, job.StateSucceeded)
		w.add(1, 10, job.StateFailed)
		g.want("without a store")
		time.Sleep(time.Minute)
		w.outage(nil)
		g.want("with one again", "1 SUCCEEDED", "2 FAILED")
	})
}

func TestNothingIsPolledForNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		polled := func() int {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.polls
		}
		time.Sleep(time.Minute)
		if polled() != 0 {
			t.Error("polled before anybody watched")
		}
		for range 3 {
			g := watch(ctx, t, s, Watch{InstanceID: 1})
			g.want("at first")
			watch(ctx, t, s, Watch{InstanceID: 2}).stop()
			g.stop()
			synctest.Wait()
			before := polled()
			time.Sleep(time.Minute)
			if polled() != before {
				t.Error("polled when nobody watched any more")
			}
		}
	})
}

func TestManyWatchersShareThePolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		s, ctx := w.service(t)
		var all []*watching
		for i := range 30 {
			all = append(all, watch(ctx, t, s, Watch{InstanceID: int64(1 + i%3)}))
		}
		time.Sleep(3 * time.Second)
		w.mu.Lock()
		polls := w.polls
		w.mu.Unlock()
		if most := int(3*time.Second/pollEvery) + len(all) + 1; polls > most {
			t.Errorf("%d polls in three seconds, want at most %d", polls, most)
		}
		w.add(2, 20, job.StateRunning)
		for i, g := range all {
			select {
			case c := <-g.changes:
				if i%3 != 1 || c.Execution.ID != 1 {
					t.Errorf("watcher %d was told of %d", i, c.Execution.ID)
				}
			case <-time.After(time.Second):
				if i%3 == 1 {
					t.Errorf("watcher %d was told nothing", i)
				}
			}
		}
	})
}
