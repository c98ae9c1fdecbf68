package storetest

import (
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var clientTests = tests{
	"a client comes back as it was given": func(t *testing.T, s store.Store) {
		a, b := newInstance(t, s), newInstance(t, s)
		c := job.Client{
			Title:         "Nightly",
			Scopes:        []string{"instance-*", "instance-read-4"},
			InstanceIDs:   []int64{b.ID, a.ID},
			SecretHash:    []byte{0, 1, 255},
			SecretVersion: 1,
			CreatedAt:     noon,
		}
		made := must(s.CreateClient(t.Context(), c))(t)
		c.ID, c.InstanceIDs = made.ID, []int64{a.ID, b.ID}
		same(t, "made", made, c)
		same(t, "read", must(s.Client(t.Context(), made.ID))(t), c)
		same(t, "list", must(s.Clients(t.Context(), firstPage))(t), []job.Client{c})
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		_, err := s.Client(t.Context(), 99)
		missing(t, "Client", err)
		_, err = s.ResetClientSecret(t.Context(), 99, []byte{1})
		missing(t, "ResetClientSecret", err)
		missing(t, "DeleteClient", s.DeleteClient(t.Context(), 99))
		_, err = s.CreateClient(t.Context(), job.Client{SecretHash: []byte{1}, InstanceIDs: []int64{99}})
		missing(t, "CreateClient", err)
		if list := must(s.Clients(t.Context(), firstPage))(t); len(list) != 0 {
			t.Errorf("a client was made all the same: %v", list)
		}
	},
	"lists go from the newest to the oldest by pages": func(t *testing.T, s store.Store) {
		a, b, c := newClient(t, s), newClient(t, s), newClient(t, s)
		same(t, "first page", must(s.Clients(t.Context(), store.Page{Limit: 2}))(t), []job.Client{c, b})
		same(t, "second page", must(s.Clients(t.Context(), store.Page{Limit: 2, Before: b.ID}))(t), []job.Client{a})
	},
	"a reset replaces the hash and raises the version": func(t *testing.T, s store.Store) {
		c := newClient(t, s)
		changed := must(s.ResetClientSecret(t.Context(), c.ID, []byte("new")))(t)
		c.SecretHash, c.SecretVersion = []byte("new"), c.SecretVersion+1
		same(t, "changed", changed, c)
		same(t, "read", must(s.Client(t.Context(), c.ID))(t), c)
	},
	"links say what instance-* stands for": func(t *testing.T, s store.Store) {
		linked, other := newInstance(t, s), newInstance(t, s)
		c := newClient(t, s, linked.ID)
		made := must(s.CreateInstance(t.Context(), job.Instance{}, c.ID, noRequest))(t)
		for id, want := range map[int64]bool{linked.ID: true, made.ID: true, other.ID: false, 99: false} {
			if got := must(s.Linked(t.Context(), c.ID, id))(t); got != want {
				t.Errorf("linked to %d: %v, want %v", id, got, want)
			}
		}
		same(t, "links", must(s.LinkedInstances(t.Context(), c.ID))(t), []int64{linked.ID, made.ID})
		same(t, "links of nobody", must(s.LinkedInstances(t.Context(), 99))(t), []int64(nil))
		ok(t, s.DeleteInstance(t.Context(), linked.ID))
		same(t, "links after the instance went", must(s.LinkedInstances(t.Context(), c.ID))(t), []int64{made.ID})
	},
	"a deleted client leaves its instances": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		c := newClient(t, s, in.ID)
		ok(t, s.DeleteClient(t.Context(), c.ID))
		missing(t, "second delete", s.DeleteClient(t.Context(), c.ID))
		if must(s.Linked(t.Context(), c.ID, in.ID))(t) {
			t.Error("the link is still there")
		}
		must(s.Instance(t.Context(), in.ID))(t)
	},
}

func newClient(t *testing.T, s store.Store, links ...int64) job.Client {
	t.Helper()
	return must(s.CreateClient(t.Context(), job.Client{
		Title: "Client", Scopes: []string{"operator"}, InstanceIDs: links, SecretHash: []byte("old"), SecretVersion: 1, CreatedAt: noon,
	}))(t)
}
