package auth_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/sealtest"
	"github.com/pointscene/carillon/server/internal/store"
)

// fakeStore keeps keys, clients and links in memory and writes down each call.
type fakeStore struct {
	mu      sync.Mutex
	keys    []store.SigningKey
	clients map[int64]job.Client
	links   map[[2]int64]bool
	calls   []string
	err     error
	// hold makes SigningKeys wait until it is closed.
	hold chan struct{}
}

func (f *fakeStore) called(format string, args ...any) error {
	f.calls = append(f.calls, fmt.Sprintf(format, args...))
	return f.err
}

func (f *fakeStore) SigningKeys(ctx context.Context) ([]store.SigningKey, error) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.keys), f.called("SigningKeys")
}

func (f *fakeStore) AddFirstSigningKey(_ context.Context, key store.SigningKey) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.ContainsFunc(f.keys, func(k store.SigningKey) bool { return k.Purpose == key.Purpose }) {
		f.keys = append(f.keys, key)
	}
	return f.called("AddFirstSigningKey %s", key.Purpose)
}

func (f *fakeStore) RotateSigningKey(_ context.Context, key store.SigningKey, retire, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.keys[:0:0]
	for _, k := range f.keys {
		if k.Purpose == key.Purpose && (k.RetiresAt.IsZero() || k.RetiresAt.After(retire)) {
			k.RetiresAt = retire
		}
		if k.Purpose != key.Purpose || k.RetiresAt.After(now) {
			kept = append(kept, k)
		}
	}
	f.keys = append(kept, key)
	return f.called("RotateSigningKey %s", key.Purpose)
}

func (f *fakeStore) Client(_ context.Context, id int64) (job.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.called("Client %d", id); err != nil {
		return job.Client{}, err
	}
	client, ok := f.clients[id]
	if !ok {
		return job.Client{}, fmt.Errorf("client %d: %w", id, store.ErrNotFound)
	}
	return client, nil
}

func (f *fakeStore) Linked(_ context.Context, clientID, instanceID int64) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.links[[2]int64{clientID, instanceID}], f.called("Linked")
}

func (f *fakeStore) LinkedInstances(_ context.Context, clientID int64) ([]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []int64
	for link := range f.links {
		if link[0] == clientID {
			ids = append(ids, link[1])
		}
	}
	return ids, f.called("LinkedInstances %d", clientID)
}

// takeCalls returns the calls since it was last called.
func (f *fakeStore) takeCalls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	calls := f.calls
	f.calls = nil
	return calls
}

// change alters the store under its lock.
func (f *fakeStore) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// clock is a time that tests move by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var identity = auth.Identity{Issuer: "https://carillon.example", Audience: "carillon"}

// bundle is one replica with its own store.
type bundle struct {
	store     *fakeStore
	clock     *clock
	ring      *seal.Keyring
	keys      *auth.Keys
	issuer    *auth.Issuer
	verifier  *auth.Verifier
	exchanger *auth.Exchanger
	links     *auth.LinkSigner
	// client is client_3 with every kind of scope; secret is its secret.
	client job.Client
	secret seal.Secret
}

func setup(t testing.TB) *bundle {
	t.Helper()
	b := &bundle{
		store: &fakeStore{clients: map[int64]job.Client{}, links: map[[2]int64]bool{{3, 5}: true}},
		clock: &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 500, time.UTC)},
		ring:  sealtest.Keyring(t),
	}
	secret, hash := auth.NewSecret()
	b.secret = secret
	b.client = job.Client{
		ID: 3, SecretHash: hash, SecretVersion: 2,
		Scopes: []string{"instance-*", "instance-create", "instance-write-10", "instance-read-1", "resource-read-7"},
	}
	b.store.clients[3] = b.client
	b.keys = auth.NewKeys(b.store, b.ring, b.clock.Now)
	if err := b.keys.EnsureKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.store.takeCalls()
	b.issuer = auth.NewIssuer(b.keys, identity, b.clock.Now)
	b.verifier = auth.NewVerifier(b.keys, b.store, identity, b.clock.Now)
	b.exchanger = auth.NewExchanger(b.store, b.store, b.issuer, b.clock.Now)
	b.links = auth.NewLinkSigner(b.keys, b.clock.Now)
	return b
}

func scopes(t testing.TB, text string) auth.Scopes {
	t.Helper()
	s, err := auth.ParseScopes(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// key returns the id and the private part of the store's key for a purpose.
func (b *bundle) key(t testing.TB, purpose string) (id string, secret []byte) {
	t.Helper()
	for _, row := range b.store.keys {
		if row.Purpose == purpose {
			secret, err := b.ring.Open(seal.Sealed{KeyID: row.KeyID, Ciphertext: row.Sealed}, seal.SigningKeyAD(purpose, row.ID))
			if err != nil {
				t.Fatal(err)
			}
			return row.ID, secret
		}
	}
	t.Fatalf("no key for %s", purpose)
	return "", nil
}
