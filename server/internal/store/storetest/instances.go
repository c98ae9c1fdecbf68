package storetest

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var instanceTests = tests{
	"an instance comes back as it was given": func(t *testing.T, s store.Store) {
		in := job.Instance{Title: "Zürich — 測試", Description: "two\nlines", CreatedAt: noon}
		made := must(s.CreateInstance(t.Context(), in, 0, noRequest))(t)
		if made.ID < 1 || made.ID > job.MaxID {
			t.Errorf("id is %d", made.ID)
		}
		in.ID = made.ID
		same(t, "made", made, in)
		same(t, "read", must(s.Instance(t.Context(), made.ID))(t), in)
	},
	"without a time it gets the present in whole microseconds": func(t *testing.T, s store.Store) {
		made := must(s.CreateInstance(t.Context(), job.Instance{}, 0, noRequest))(t)
		if d := time.Since(made.CreatedAt); d < -time.Minute || d > time.Minute {
			t.Errorf("created at %v", made.CreatedAt)
		}
		if made.CreatedAt != job.Time(made.CreatedAt) {
			t.Errorf("created at %v, want UTC and microseconds", made.CreatedAt)
		}
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.Instance(t.Context(), 99)
		missing(t, "Instance", err)
		missing(t, "DeleteInstance", s.DeleteInstance(t.Context(), 99))
		_, err = s.Resource(t.Context(), 99)
		missing(t, "Resource", err)
		missing(t, "DeleteResource", s.DeleteResource(t.Context(), 99))
		_, err = s.CreateResource(t.Context(), job.Resource{InstanceID: 99}, noRequest)
		missing(t, "CreateResource", err)
		_, err = s.CreateInstance(t.Context(), job.Instance{}, 99, noRequest)
		missing(t, "CreateInstance for a client", err)
		if list := must(s.Instances(t.Context(), nil, firstPage))(t); len(list) != 0 {
			t.Errorf("an instance was made all the same: %v", list)
		}
	},
	"lists go from the newest to the oldest by pages": func(t *testing.T, s store.Store) {
		var ids []int64
		for range 5 {
			ids = append(ids, newInstance(t, s).ID)
		}
		var seen []int64
		page := store.Page{Limit: 2}
		for {
			list := must(s.Instances(t.Context(), nil, page))(t)
			if len(list) == 0 {
				break
			}
			if len(list) > 2 {
				t.Fatalf("a page of %d", len(list))
			}
			for _, in := range list {
				seen = append(seen, in.ID)
			}
			page.Before = seen[len(seen)-1]
		}
		same(t, "ids", seen, []int64{ids[4], ids[3], ids[2], ids[1], ids[0]})
	},
	"only restricts the list": func(t *testing.T, s store.Store) {
		a, b, c := newInstance(t, s).ID, newInstance(t, s).ID, newInstance(t, s).ID
		for _, test := range []struct{ only, want []int64 }{
			{nil, []int64{c, b, a}},
			{[]int64{}, nil},
			{[]int64{a, c, 99}, []int64{c, a}},
		} {
			var got []int64
			for _, in := range must(s.Instances(t.Context(), test.only, firstPage))(t) {
				got = append(got, in.ID)
			}
			same(t, "only", got, test.want)
		}
	},
	"resources belong to their instance": func(t *testing.T, s store.Store) {
		in, other := newInstance(t, s), newInstance(t, s)
		r := job.Resource{InstanceID: in.ID, Title: "Bucket", Description: "of sand", CreatedAt: noon}
		made := must(s.CreateResource(t.Context(), r, noRequest))(t)
		r.ID = made.ID
		same(t, "made", made, r)
		second, foreign := newResource(t, s, in.ID), newResource(t, s, other.ID)
		same(t, "read", must(s.Resource(t.Context(), r.ID))(t), r)
		same(t, "list", must(s.Resources(t.Context(), in.ID, firstPage))(t), []job.Resource{second, r})
		same(t, "second page", must(s.Resources(t.Context(), in.ID, store.Page{Before: second.ID, Limit: 5}))(t), []job.Resource{r})
		byID := must(s.ResourcesByID(t.Context(), []int64{foreign.ID, 99, r.ID}))(t)
		if len(byID) != 2 || byID[0].ID+byID[1].ID != foreign.ID+r.ID {
			t.Errorf("by id: %v", byID)
		}
		same(t, "no ids", must(s.ResourcesByID(t.Context(), nil))(t), []job.Resource(nil))
	},
	"an instance goes when it is empty": func(t *testing.T, s store.Store) {
		j := newJob(t, s)
		refused(t, s.DeleteInstance(t.Context(), j.InstanceID), "INSTANCE_NOT_EMPTY")
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		r := newResource(t, s, j.InstanceID)
		refused(t, s.DeleteInstance(t.Context(), j.InstanceID), "INSTANCE_NOT_EMPTY")
		ok(t, s.DeleteResource(t.Context(), r.ID))
		ok(t, s.DeleteInstance(t.Context(), j.InstanceID))
		_, err := s.Instance(t.Context(), j.InstanceID)
		missing(t, "Instance", err)
	},
	"a resource goes when no job uses it": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		r := newResource(t, s, in.ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("a", 1)}, nil))
		draft := hourly(in.ID)
		draft.ResourceIDs = []int64{r.ID}
		j := must(s.CreateJob(t.Context(), draft, noRequest))(t)
		e := refused(t, s.DeleteResource(t.Context(), r.ID), "RESOURCE_IN_USE")
		if got, want := e.Metadata["jobId"], job.KindJob.Format(j.ID); got != want {
			t.Errorf("jobId is %q, want %q", got, want)
		}
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		ok(t, s.DeleteResource(t.Context(), r.ID))
		same(t, "remotes", must(s.Remotes(t.Context(), r.ID))(t), []job.SealedRemote(nil))
	},
	"InstanceOf finds the instance of every object": func(t *testing.T, s store.Store) {
		newInstance(t, s) // so that ids differ
		j := newJob(t, s)
		r := newResource(t, s, j.InstanceID)
		e := enqueue(t, s, j.ID, noon)
		is := func(what string, kind job.Kind, id int64) {
			t.Helper()
			if got := must(s.InstanceOf(t.Context(), kind, id))(t); got != j.InstanceID {
				t.Errorf("%s: %d, want %d", what, got, j.InstanceID)
			}
		}
		is("instance", job.KindInstance, j.InstanceID)
		is("resource", job.KindResource, r.ID)
		is("job", job.KindJob, j.ID)
		is("waiting execution", job.KindExecution, e.ID)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		is("execution of a deleted job", job.KindExecution, e.ID)
		for _, kind := range []job.Kind{job.KindInstance, job.KindResource, job.KindJob, job.KindExecution, job.KindBackfill} {
			_, err := s.InstanceOf(t.Context(), kind, 99)
			missing(t, kind.Name(), err)
		}
	},
	"ids are not used again": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		first := newResource(t, s, in.ID)
		ok(t, s.DeleteResource(t.Context(), first.ID))
		if again := newResource(t, s, in.ID); again.ID <= first.ID {
			t.Errorf("resource %d after %d was deleted", again.ID, first.ID)
		}
		j := must(s.CreateJob(t.Context(), hourly(in.ID), noRequest))(t)
		ok(t, s.DeleteJob(t.Context(), j.ID, store.At(noon), allow))
		if again := must(s.CreateJob(t.Context(), hourly(in.ID), noRequest))(t); again.ID <= j.ID {
			t.Errorf("job %d after %d was deleted", again.ID, j.ID)
		}
		empty := newInstance(t, s)
		ok(t, s.DeleteInstance(t.Context(), empty.ID))
		if again := newInstance(t, s); again.ID <= empty.ID {
			t.Errorf("instance %d after %d was deleted", again.ID, empty.ID)
		}
	},
}

// allow is a check that lets a deletion pass.
func allow(job.Job) error { return nil }
