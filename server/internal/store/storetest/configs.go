package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// remote is a sealed remote as a caller puts it.
func remote(name string, version int64) job.SealedRemote {
	return job.SealedRemote{
		Name: name, Type: "s3", Keys: []string{"region", "secret_access_key"}, Version: version,
		KeyID: 5, Ciphertext: []byte{0, 1, 2}, UpdatedAt: noon,
	}
}

// aborted says that err must be an AbortedError.
func aborted(t *testing.T, err error) {
	t.Helper()
	var e *job.AbortedError
	if !errors.As(err, &e) {
		t.Errorf("got error %v, want an AbortedError", err)
	}
}

var configTests = tests{
	"remotes are merged by name": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("b", 1), remote("a", 1), remote("_", 1), remote("B", 1)}, nil))
		changed := remote("a", 2)
		changed.Type, changed.Keys, changed.Ciphertext, changed.KeyID = "drive", []string{"token"}, []byte{9}, 6
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{changed}, []string{"_", "unknown"}))
		want := []job.SealedRemote{remote("B", 1), changed, remote("b", 1)}
		for i := range want {
			want[i].ResourceID = r.ID
		}
		same(t, "remotes by name", must(s.Remotes(t.Context(), r.ID))(t), want)
		same(t, "remote", must(s.Remote(t.Context(), r.ID, "a"))(t), want[1])
	},
	"a version that is not the next changes nothing": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("a", 1), remote("b", 1)}, nil))
		for _, wrong := range []job.SealedRemote{remote("a", 1), remote("a", 3), remote("c", 0), remote("c", 2)} {
			aborted(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("d", 1), wrong}, []string{"b"}))
		}
		var names []string
		for _, found := range must(s.Remotes(t.Context(), r.ID))(t) {
			names = append(names, found.Name)
		}
		same(t, "names", names, []string{"a", "b"})
	},
	"of those that put the same version one wins": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		for version := int64(1); version <= 2; version++ {
			var won atomic.Int32
			var all sync.WaitGroup
			for range 6 {
				all.Go(func() {
					err := s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("a", version)}, nil)
					if err == nil {
						won.Add(1)
						return
					}
					aborted(t, err)
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("version %d: %d won, want 1", version, won.Load())
			}
		}
	},
	"what is missing is not found": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		_, err := s.Remote(t.Context(), r.ID, "a")
		missing(t, "Remote", err)
		missing(t, "ChangeRemotes", s.ChangeRemotes(t.Context(), 99, []job.SealedRemote{remote("a", 1)}, nil))
		missing(t, "DeleteRemotes", s.DeleteRemotes(t.Context(), 99))
		same(t, "remotes of nothing", must(s.Remotes(t.Context(), 99))(t), []job.SealedRemote(nil))
	},
	"DeleteRemotes removes those of one resource": func(t *testing.T, s store.Store) {
		in := newInstance(t, s)
		r, other := newResource(t, s, in.ID), newResource(t, s, in.ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("a", 1), remote("b", 1)}, nil))
		ok(t, s.ChangeRemotes(t.Context(), other.ID, []job.SealedRemote{remote("a", 1)}, nil))
		ok(t, s.DeleteRemotes(t.Context(), r.ID))
		ok(t, s.DeleteRemotes(t.Context(), r.ID)) // again is no error
		same(t, "remotes", must(s.Remotes(t.Context(), r.ID))(t), []job.SealedRemote(nil))
		if left := must(s.Remotes(t.Context(), other.ID))(t); len(left) != 1 {
			t.Errorf("the other resource has %d remotes, want 1", len(left))
		}
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("a", 1)}, nil))
	},
}
