package configs_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/auth"
	"github.com/pointscene/carillon/server/internal/configs"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/seal"
	"github.com/pointscene/carillon/server/internal/seal/sealtest"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/server/internal/store/entstore"
	"github.com/pointscene/carillon/server/internal/task"
	"github.com/pointscene/carillon/tests/pgtest"
)

// broker is two replicas' services on one database, and a token server whose
// tokens are numbers: the stored one must be given back to get the next.
type broker struct {
	stores   []*entstore.Store
	services []*configs.Service
	resource job.Resource
	job      job.Job

	mu sync.Mutex
	// next is the token that the server takes.
	next int
	// exchanged and denied count its answers.
	exchanged, denied int
	// revoked makes it deny all.
	revoked bool
}

func each(t *testing.T, test func(t *testing.T, b *broker)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t, "file:"+filepath.Join(t.TempDir(), "test.db"), 1))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t, pgtest.Open(t), 2))
	})
}

func setup(t *testing.T, url string, replicas int) *broker {
	t.Helper()
	b := &broker{next: 1}
	ring := sealtest.Keyring(t)
	for range replicas {
		s, err := entstore.Open(t.Context(), entstore.Options{URL: url, Timeout: time.Minute})
		ok(t, err)
		t.Cleanup(func() { _ = s.Close() })
		if len(b.stores) == 0 {
			_, err = s.Migrate(t.Context())
			ok(t, err)
		}
		facts := func(string, map[string]string, time.Time) (string, job.Expiry) { return "", job.Expiry{} }
		b.stores = append(b.stores, s)
		b.services = append(b.services, configs.New(s, auth.NewAuthorizer(s), ring, nil, facts, time.Now))
	}
	s := b.stores[0]
	in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
	ok(t, err)
	b.resource, err = s.CreateResource(t.Context(), job.Resource{InstanceID: in.ID}, store.Request{})
	ok(t, err)
	b.job, err = s.CreateJob(t.Context(), job.Job{
		InstanceID: in.ID, Active: true, Workflow: []byte(`{}`), Schedule: job.Schedule{Type: job.Manual, TimeZone: "UTC"}, CreatedAt: time.Now(),
		ResourceIDs: []int64{b.resource.ID}, Folders: []job.Folder{{ResourceID: b.resource.ID, Remote: "a"}},
	}, store.Request{})
	ok(t, err)
	b.put(t, ring, 1, `{"token":"1"}`)
	return b
}

// put stores a config as AddConfig would.
func (b *broker) put(t *testing.T, ring *seal.Keyring, version int64, options string) {
	t.Helper()
	sealed, err := ring.Seal([]byte(options), seal.RemoteAD(b.resource.ID, "a", version))
	ok(t, err)
	ok(t, b.stores[0].ChangeRemotes(t.Context(), b.resource.ID, []job.SealedRemote{{
		Name: "a", Type: "drive", Version: version, KeyID: sealed.KeyID, Ciphertext: sealed.Ciphertext,
	}}, nil))
}

func (b *broker) open(ctx context.Context, replica int) (task.RemoteConfig, error) {
	return b.services[replica].For(b.resource.InstanceID, 1).Remote(ctx, strconv.FormatInt(b.resource.ID, 10), "a")
}

// exchange is the token server.
func (b *broker) exchange(ctx context.Context, options map[string]string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.revoked || options["token"] != strconv.Itoa(b.next) {
		b.denied++
		return "", &job.Failure{Code: "UNAUTHENTICATED", Reason: job.ReasonReauth, Message: "invalid_grant"}
	}
	b.exchanged++
	b.next++
	return strconv.Itoa(b.next), nil
}

// all lets twenty executions, on all replicas, renew the token that they have
// opened, and answers their errors.
func (b *broker) all(t *testing.T) (failed []error) {
	t.Helper()
	var mu sync.Mutex
	var running, ready sync.WaitGroup
	start := make(chan struct{})
	for i := range 20 {
		ready.Add(1)
		running.Go(func() {
			config, err := b.open(t.Context(), i%len(b.services))
			ready.Done()
			if err == nil {
				<-start
				_, err = config.Renew(t.Context(), newer(config), b.exchange)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed = append(failed, err)
			}
		})
	}
	ready.Wait()
	close(start)
	running.Wait()
	return failed
}

// newer accepts any token but the one that was opened.
func newer(config task.RemoteConfig) func(map[string]string) bool {
	old := config.Options["token"]
	return func(options map[string]string) bool { return options["token"] != old }
}

func TestManyShareOneTokenThatIsGoodForOneUse(t *testing.T) {
	each(t, func(t *testing.T, b *broker) {
		for round := 1; round <= 3; round++ {
			if failed := b.all(t); len(failed) > 0 {
				t.Fatalf("%d of 20 failed: %v", len(failed), failed[0])
			}
			if b.exchanged != round || b.denied > 0 {
				t.Fatalf("in round %d: %d exchanges and %d denials, want %d and 0", round, b.exchanged, b.denied, round)
			}
		}
	})
}

func TestRefusedTokenIsTriedOnce(t *testing.T) {
	each(t, func(t *testing.T, b *broker) {
		b.revoked = true
		failed := b.all(t)
		if len(failed) != 20 {
			t.Fatalf("%d of 20 failed", len(failed))
		}
		for _, err := range failed {
			if f, ok := errors.AsType[*job.Failure](err); !ok || f.Reason != job.ReasonReauth {
				t.Errorf("one failed with %v", err)
			}
		}
		if b.denied != 1 {
			t.Errorf("the service was asked %d times, want once", b.denied)
		}
		if _, err := b.open(t.Context(), 0); err == nil {
			t.Error("refused credentials are opened again")
		}
		paused, err := b.stores[0].Job(t.Context(), b.job.ID)
		ok(t, err)
		if paused.Active || !paused.Pause.Reauth || paused.Pause.Actor != job.ActorSystem || paused.Version != b.job.Version+1 {
			t.Errorf("the job is %+v", paused)
		}
	})
}

// A holder that dies leaves the lock to end by itself; a caller that is
// cancelled does not take the new token with it.
func TestRenewalOutlivesItsCaller(t *testing.T) {
	each(t, func(t *testing.T, b *broker) {
		config, err := b.open(t.Context(), 0)
		ok(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		token, err := config.Renew(ctx, newer(config), func(inner context.Context, options map[string]string) (string, error) {
			cancel()
			if inner.Err() != nil {
				return "", errors.New("the exchange was cut off")
			}
			if _, limited := inner.Deadline(); !limited {
				return "", errors.New("the exchange has no limit")
			}
			return b.exchange(inner, options)
		})
		if err != nil || token != "2" {
			t.Fatalf("renewed to %q, %v", token, err)
		}
		again, err := b.open(t.Context(), 0)
		if err != nil || again.Options["token"] != "2" {
			t.Errorf("stored is %v, %v", again.Options, err)
		}
	})
}

func TestRenewalWaitsForAnother(t *testing.T) {
	each(t, func(t *testing.T, b *broker) {
		config, err := b.open(t.Context(), 0)
		ok(t, err)
		began := time.Now()
		locked, err := b.stores[0].LockRemote(t.Context(), b.resource.ID, "a", "somebody else", 300*time.Millisecond)
		ok(t, err)
		if !locked {
			t.Fatal("the lock is not free")
		}
		if token, err := config.Renew(t.Context(), newer(config), b.exchange); err != nil || token != "2" {
			t.Fatalf("renewed to %q, %v", token, err)
		}
		if waited := time.Since(began); waited < 250*time.Millisecond {
			t.Errorf("it waited for %s only", waited)
		}
	})
}

// A config that somebody stores while its token is being renewed stays.
func TestRenewalLosesAgainstNewConfig(t *testing.T) {
	t.Parallel()
	b := setup(t, "file:"+filepath.Join(t.TempDir(), "test.db"), 1)
	config, err := b.open(t.Context(), 0)
	ok(t, err)
	_, err = config.Renew(t.Context(), newer(config), func(ctx context.Context, _ map[string]string) (string, error) {
		return "2", b.stores[0].ChangeRemotes(ctx, b.resource.ID, nil, []string{"a"})
	})
	if f, ok := errors.AsType[*job.Failure](err); !ok || f.Reason != configs.ReasonRemoteNotConfigured {
		t.Errorf("renewing what was removed meanwhile: %v", err)
	}
	if _, err := b.open(t.Context(), 0); err == nil {
		t.Error("the removed remote is there again")
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("set up: %w", err))
	}
}
