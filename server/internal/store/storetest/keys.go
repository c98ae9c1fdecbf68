package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

var keyTests = tests{
	"the first key of a purpose stays": func(t *testing.T, s store.Store) {
		token := store.SigningKey{ID: "k1", Purpose: "token", Public: []byte{1, 0}, KeyID: 4_000_000_000, Sealed: []byte{2}, CreatedAt: noon}
		ok(t, s.AddFirstSigningKey(t.Context(), token))
		ok(t, s.AddFirstSigningKey(t.Context(), store.SigningKey{ID: "k2", Purpose: "token", KeyID: 5, Sealed: []byte{3}, CreatedAt: noon}))
		link := store.SigningKey{ID: "k3", Purpose: "link", KeyID: 6, Sealed: []byte{4}, CreatedAt: noon.Add(-time.Hour)}
		ok(t, s.AddFirstSigningKey(t.Context(), link))
		same(t, "keys", must(s.SigningKeys(t.Context()))(t), []store.SigningKey{link, token})
	},
	"of those that race one wins": func(t *testing.T, s store.Store) {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				key := store.SigningKey{ID: fmt.Sprint(i), Purpose: "token", Sealed: []byte{1}, CreatedAt: noon}
				if err := s.AddFirstSigningKey(t.Context(), key); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if keys := must(s.SigningKeys(t.Context()))(t); len(keys) != 1 {
			t.Errorf("there are %d keys, want 1", len(keys))
		}
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
