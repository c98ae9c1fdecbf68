package storetest

import (
	"errors"
	"sync"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// creations make one object each; the second result is its id.
var creations = map[string]func(t *testing.T, s store.Store, in job.Instance, j job.Job, req store.Request) (int64, error){
	"instance": func(t *testing.T, s store.Store, _ job.Instance, _ job.Job, req store.Request) (int64, error) {
		made, err := s.CreateInstance(t.Context(), job.Instance{Title: "x"}, 0, req)
		return made.ID, err
	},
	"resource": func(t *testing.T, s store.Store, in job.Instance, _ job.Job, req store.Request) (int64, error) {
		made, err := s.CreateResource(t.Context(), job.Resource{InstanceID: in.ID}, req)
		return made.ID, err
	},
	"job": func(t *testing.T, s store.Store, in job.Instance, _ job.Job, req store.Request) (int64, error) {
		made, err := s.CreateJob(t.Context(), hourly(in.ID), req)
		return made.ID, err
	},
	"execution": func(t *testing.T, s store.Store, _ job.Instance, j job.Job, req store.Request) (int64, error) {
		made, err := s.EnqueueManual(t.Context(), store.Manual{JobID: j.ID, TriggerID: req.Key, Now: store.At(noon), Request: req})
		return made.ID, err
	},
	"backfill": func(t *testing.T, s store.Store, _ job.Instance, j job.Job, req store.Request) (int64, error) {
		made, err := s.CreateBackfill(t.Context(), past(j), req)
		return made.ID, err
	},
}

var idempotencyTests = tests{
	"a repeat answers what the first call made": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		in := newInstance(t, s)
		for kind, create := range creations {
			req := store.Request{Key: kind, Digest: "d"}
			first := must(create(t, s, in, j, req))(t)
			if again := must(create(t, s, in, j, req))(t); again != first || first == 0 {
				t.Errorf("%s: %d, then %d", kind, first, again)
			}
		}
	},
	"a repeat answers the object as it is now": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		manual := store.Manual{JobID: j.ID, TriggerID: "r", Now: store.At(noon), Request: store.Request{Key: "k", Digest: "d"}}
		_ = must(s.EnqueueManual(t.Context(), manual))(t)
		finish(t, s, claimQueued(t, s, noon)[0], job.StateSucceeded, noon, noon)
		same(t, "state", must(s.EnqueueManual(t.Context(), manual))(t).State, job.StateSucceeded)
	},
	"another request under the same id is refused": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		in := newInstance(t, s)
		for kind, create := range creations {
			_ = must(create(t, s, in, j, store.Request{Key: kind, Digest: "d"}))(t)
			_, err := create(t, s, in, j, store.Request{Key: kind, Digest: "e"})
			var e *job.InvalidError
			if !errors.As(err, &e) || e.Violations[0].Field != "requestId" {
				t.Errorf("%s: got error %v, want an InvalidError of requestId", kind, err)
			}
		}
	},
	"without an id every call makes one": func(t *testing.T, s store.Store) {
		if a, b := newInstance(t, s), newInstance(t, s); a.ID == b.ID {
			t.Errorf("both are %d", a.ID)
		}
	},
	"what was deleted since is not made again": func(t *testing.T, s store.Store) {
		req := store.Request{Key: "k", Digest: "d"}
		in := must(s.CreateInstance(t.Context(), job.Instance{}, 0, req))(t)
		ok(t, s.DeleteInstance(t.Context(), in.ID))
		_, err := s.CreateInstance(t.Context(), job.Instance{}, 0, req)
		refused(t, err, "REQUESTED_OBJECT_DELETED")
	},
	"a call that failed is not remembered": func(t *testing.T, s store.Store) {
		req := store.Request{Key: "k", Digest: "d"}
		_, err := s.CreateResource(t.Context(), job.Resource{InstanceID: 99}, req)
		missing(t, "CreateResource", err)
		_ = must(s.CreateResource(t.Context(), job.Resource{InstanceID: newInstance(t, s).ID}, req))(t)
	},
	"of calls at the same time one makes it": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		in := newInstance(t, s)
		for kind, create := range creations {
			var all sync.WaitGroup
			ids := make([]int64, 8)
			for i := range ids {
				all.Go(func() {
					var err error
					if ids[i], err = create(t, s, in, j, store.Request{Key: kind, Digest: "d"}); err != nil {
						t.Errorf("%s: %v", kind, err)
					}
				})
			}
			all.Wait()
			for _, id := range ids {
				if id != ids[0] {
					t.Errorf("%s: made %v", kind, ids)
				}
			}
		}
	},
}
