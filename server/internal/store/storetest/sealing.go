package storetest

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// big is an id that no signed 32 bits hold.
const big = 4_000_000_000

// report says that a process holds keys, of which the first seals.
func report(t *testing.T, s store.Store, id string, lives time.Duration, keys ...uint32) {
	t.Helper()
	ok(t, s.ReportKeys(t.Context(), store.KeyHolder{ID: id, Name: "process " + id, Keys: keys, Primary: keys[0]}, lives))
}

// states are the states of the sealing keys by id.
func states(t *testing.T, s store.Store) map[uint32]store.SealingState {
	t.Helper()
	found := map[uint32]store.SealingState{}
	for _, key := range must(s.SealingStates(t.Context()))(t) {
		found[key.ID] = key.State
	}
	return found
}

// setState changes one key.
func setState(t *testing.T, s store.Store, id uint32, state store.SealingState) {
	t.Helper()
	ok(t, s.ChangeSealingKeys(t.Context(), func(store.SealingView) ([]store.SealingKey, error) {
		return []store.SealingKey{{ID: id, State: state}}, nil
	}))
}

var sealingTests = tests{
	"the first report names the primary key": func(t *testing.T, s store.Store) {
		report(t, s, "a", time.Minute, big, 7)
		same(t, "states", states(t, s), map[uint32]store.SealingState{big: store.SealingPrimary, 7: store.SealingEnabled})
		report(t, s, "b", time.Minute, 9, big) // its own idea of the primary comes late
		same(t, "states", states(t, s), map[uint32]store.SealingState{big: store.SealingPrimary, 7: store.SealingEnabled, 9: store.SealingEnabled})
		setState(t, s, 7, store.SealingDisabled)
		report(t, s, "a", time.Minute, big, 7)
		same(t, "a report changes no state", states(t, s)[7], store.SealingDisabled)
	},
	"of first reports that race one names the primary key": func(t *testing.T, s store.Store) {
		var all sync.WaitGroup
		for i := range uint32(6) {
			all.Go(func() {
				h := store.KeyHolder{ID: string('a' + rune(i)), Keys: []uint32{i + 1, 100}, Primary: i + 1}
				if err := s.ReportKeys(t.Context(), h, time.Minute); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		primaries := 0
		for _, state := range states(t, s) {
			if state == store.SealingPrimary {
				primaries++
			}
		}
		if primaries != 1 {
			t.Errorf("%d keys seal, want 1", primaries)
		}
	},
	"the view shows living holders and what is sealed": func(t *testing.T, s store.Store) {
		report(t, s, "a", time.Hour, 5)
		report(t, s, "dead", -time.Second, 5)
		report(t, s, "b", time.Hour, 5)
		report(t, s, "b", time.Hour, 5, big)
		report(t, s, "gone", time.Hour, 5)
		ok(t, s.ForgetKeyHolder(t.Context(), "gone"))
		r := newResource(t, s, newInstance(t, s).ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("x", 1), remote("y", 1)}, nil))
		ok(t, s.AddFirstSigningKey(t.Context(), store.SigningKey{ID: "k", Purpose: "token", KeyID: big, Sealed: []byte{1}}))
		view := must(s.SealingView(t.Context()))(t)
		same(t, "holders", view.Holders, []store.KeyHolder{
			{ID: "a", Name: "process a", Keys: []uint32{5}, Primary: 5}, {ID: "b", Name: "process b", Keys: []uint32{5, big}, Primary: 5},
		})
		same(t, "sealed", view.Sealed, map[uint32]int64{5: 2, big: 1})
		if len(view.Keys) != 2 || view.Now.IsZero() || view.Keys[0].CreatedAt.IsZero() || view.Keys[0].ChangedAt.IsZero() {
			t.Errorf("the view is %+v", view)
		}
	},
	"a renewed report lives on": func(t *testing.T, s store.Store) {
		report(t, s, "a", -time.Second, 5)
		ok(t, s.RenewKeyReport(t.Context(), "a", time.Hour))
		same(t, "holders", must(s.SealingView(t.Context()))(t).Holders, []store.KeyHolder{{ID: "a", Name: "process a", Keys: []uint32{5}, Primary: 5}})
		ok(t, s.RenewKeyReport(t.Context(), "a", -time.Second))
		same(t, "holders whose time is over", len(must(s.SealingView(t.Context()))(t).Holders), 0)
		missing(t, "RenewKeyReport", s.RenewKeyReport(t.Context(), "b", time.Hour))
	},
	"a refused change changes nothing": func(t *testing.T, s store.Store) {
		report(t, s, "a", time.Minute, 5, 6)
		err := s.ChangeSealingKeys(t.Context(), func(store.SealingView) ([]store.SealingKey, error) {
			return []store.SealingKey{{ID: 6, State: store.SealingDisabled}}, &job.PreconditionError{Reason: "NO"}
		})
		refused(t, err, "NO")
		same(t, "state", states(t, s)[6], store.SealingEnabled)
	},
	"nothing is stored that a retired key seals": func(t *testing.T, s store.Store) {
		report(t, s, "a", time.Minute, 6, 5)
		r := newResource(t, s, newInstance(t, s).ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("x", 1)}, nil))
		for _, state := range []store.SealingState{store.SealingDisabled, store.SealingDestroyed} {
			setState(t, s, 5, state)
			aborted(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("x", 2)}, nil))
			key := store.SigningKey{ID: "k", Purpose: "token", KeyID: 5, Sealed: []byte{1}, CreatedAt: noon}
			aborted(t, s.AddFirstSigningKey(t.Context(), key))
			aborted(t, s.RotateSigningKey(t.Context(), key, noon, noon))
			_, err := s.Reseal(t.Context(), []job.SealedRemote{{ResourceID: r.ID, Name: "x", Version: 1, KeyID: 5}}, nil)
			aborted(t, err)
		}
		fresh := remote("x", 2)
		fresh.KeyID = 6
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{fresh}, nil))
	},
	"a key that is disabled while values are stored seals none of them": disableRace,
	"Reseal replaces what is still as it was read": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		other := newResource(t, s, newInstance(t, s).ID)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{remote("b", 1), remote("a", 1)}, nil))
		ok(t, s.ChangeRemotes(t.Context(), other.ID, []job.SealedRemote{remote("c", 1)}, nil))
		var seen []job.SealedRemote
		for after := (store.RemoteRef{}); ; {
			page := must(s.RemotesToReseal(t.Context(), 6, after, 1))(t)
			if len(page) == 0 {
				break
			}
			seen = append(seen, page...)
			after = store.RemoteRef{ResourceID: page[0].ResourceID, Name: page[0].Name}
		}
		if len(seen) != 3 {
			t.Fatalf("read %d remotes page by page, want 3", len(seen))
		}
		overtaken := remote("b", 2)
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{overtaken}, nil))
		for i := range seen {
			seen[i].KeyID, seen[i].Ciphertext = 6, []byte("new")
		}
		for _, want := range []int{2, 0} { // again is harmless
			if n := must(s.Reseal(t.Context(), seen, nil))(t); n != want {
				t.Errorf("resealed %d, want %d", n, want)
			}
		}
		got := must(s.Remotes(t.Context(), r.ID))(t)
		overtaken.ResourceID = r.ID
		want := remote("a", 1)
		want.ResourceID, want.KeyID, want.Ciphertext = r.ID, 6, []byte("new")
		same(t, "remotes", got, []job.SealedRemote{want, overtaken})
		left := must(s.RemotesToReseal(t.Context(), 6, store.RemoteRef{}, 10))(t)
		same(t, "left", left, []job.SealedRemote{overtaken})
	},
	"Reseal replaces signing keys": func(t *testing.T, s store.Store) {
		key := store.SigningKey{ID: "k", Purpose: "token", Public: []byte{1}, KeyID: 5, Sealed: []byte{1}, CreatedAt: noon}
		ok(t, s.AddFirstSigningKey(t.Context(), key))
		key.KeyID, key.Sealed = big, []byte{2}
		if n := must(s.Reseal(t.Context(), nil, []store.SigningKey{key, {ID: "gone", KeyID: big}}))(t); n != 1 {
			t.Errorf("resealed %d, want 1", n)
		}
		same(t, "keys", must(s.SigningKeys(t.Context()))(t), []store.SigningKey{key})
	},
	"SealedKeyIDs lists what sealed rows need": func(t *testing.T, s store.Store) {
		same(t, "of nothing", must(s.SealedKeyIDs(t.Context()))(t), []uint32(nil))
		r := newResource(t, s, newInstance(t, s).ID)
		a, b := remote("a", 1), remote("b", 1)
		a.KeyID, b.KeyID = 9, 4_294_967_295
		ok(t, s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{a, b}, nil))
		ok(t, s.AddFirstSigningKey(t.Context(), store.SigningKey{ID: "k", Purpose: "token", KeyID: 9, Sealed: []byte{1}}))
		ok(t, s.AddFirstSigningKey(t.Context(), store.SigningKey{ID: "l", Purpose: "link", KeyID: 3, Sealed: []byte{1}}))
		same(t, "ids", must(s.SealedKeyIDs(t.Context()))(t), []uint32{3, 9, 4_294_967_295})
	},
}

// disableRace disables a key, once nothing is sealed by it, beside writers who
// seal with it: none of what they store may stay unreadable.
func disableRace(t *testing.T, s store.Store) {
	report(t, s, "a", time.Minute, 6, 5)
	r := newResource(t, s, newInstance(t, s).ID)
	var stop atomic.Bool
	var writers sync.WaitGroup
	for i := range 4 {
		name := string('a' + rune(i))
		writers.Go(func() {
			for !stop.Load() {
				put := remote(name, 1)
				if err := s.ChangeRemotes(t.Context(), r.ID, []job.SealedRemote{put}, nil); err != nil {
					aborted(t, err)
					return
				}
				if err := s.ChangeRemotes(t.Context(), r.ID, nil, []string{name}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	disabled := false
	for !disabled {
		ok(t, s.ChangeSealingKeys(t.Context(), func(view store.SealingView) ([]store.SealingKey, error) {
			if disabled = view.Sealed[5] == 0; !disabled {
				return nil, nil
			}
			return []store.SealingKey{{ID: 5, State: store.SealingDisabled}}, nil
		}))
	}
	stop.Store(true)
	writers.Wait()
	if ids := must(s.SealedKeyIDs(t.Context()))(t); slices.Contains(ids, 5) {
		t.Error("a value is sealed by the disabled key")
	}
}
