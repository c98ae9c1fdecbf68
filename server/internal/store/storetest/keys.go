package storetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

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
	"a rotation retires the older keys": func(t *testing.T, s store.Store) {
		at := func(minutes int) time.Time { return noon.Add(time.Duration(minutes) * time.Minute) }
		first := store.SigningKey{ID: "1", Purpose: "token", KeyID: 5, Sealed: []byte{1}, CreatedAt: noon}
		link := store.SigningKey{ID: "l", Purpose: "link", KeyID: 5, Sealed: []byte{1}, CreatedAt: noon}
		ok(t, s.AddFirstSigningKey(t.Context(), first))
		ok(t, s.AddFirstSigningKey(t.Context(), link))
		second := store.SigningKey{ID: "2", Purpose: "token", KeyID: 5, Sealed: []byte{2}, CreatedAt: at(1), ActiveAt: at(2)}
		ok(t, s.RotateSigningKey(t.Context(), second, at(10), at(1)))
		third := store.SigningKey{ID: "3", Purpose: "token", KeyID: 5, Sealed: []byte{3}, CreatedAt: at(3), ActiveAt: at(4)}
		ok(t, s.RotateSigningKey(t.Context(), third, at(12), at(3)))
		first.RetiresAt, second.RetiresAt = at(10), at(12) // the sooner end stays
		same(t, "keys", must(s.SigningKeys(t.Context()))(t), []store.SigningKey{first, link, second, third})
		fourth := store.SigningKey{ID: "4", Purpose: "token", KeyID: 5, Sealed: []byte{4}, CreatedAt: at(11)}
		ok(t, s.RotateSigningKey(t.Context(), fourth, at(20), at(11)))
		third.RetiresAt = at(20)
		same(t, "keys after one has retired", must(s.SigningKeys(t.Context()))(t), []store.SigningKey{link, second, third, fourth})
		fifth := store.SigningKey{ID: "5", Purpose: "token", KeyID: 5, Sealed: []byte{5}, CreatedAt: at(12)}
		ok(t, s.RotateSigningKey(t.Context(), fifth, at(12), at(12)))
		same(t, "keys after a revocation", must(s.SigningKeys(t.Context()))(t), []store.SigningKey{link, fifth})
	},
}
