package storetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// syncing is a job of a resource's instance that works on a folder of a remote.
func syncing(t *testing.T, s store.Store, r job.Resource, remotes ...string) job.Job {
	t.Helper()
	j := hourly(r.InstanceID)
	onTheHour(&j)
	j.ResourceIDs = []int64{r.ID}
	for _, name := range remotes {
		j.Folders = append(j.Folders, job.Folder{ResourceID: r.ID, Remote: name, Path: "a", Writes: true})
	}
	return must(s.CreateJob(t.Context(), j, noRequest))(t)
}

func refusal(r job.Resource, name string, version int64) store.RemoteRefusal {
	return store.RemoteRefusal{ResourceID: r.ID, Name: name, Version: version, Reason: "no", PauseReason: "REAUTH_REQUIRED: no", Now: noon}
}

func putRemotes(t *testing.T, s store.Store, r job.Resource, puts ...job.SealedRemote) {
	t.Helper()
	ok(t, s.ChangeRemotes(t.Context(), r.ID, puts, nil))
}

var reauthTests = tests{
	"what is known of credentials is kept": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		put := remote("a", 1)
		put.Account, put.Expiry = "x", job.Expiry{Credentials: hour(2), Token: hour(1)}
		putRemotes(t, s, r, put)
		put.ResourceID = r.ID
		same(t, "remote", must(s.Remote(t.Context(), r.ID, "a"))(t), put)
	},
	"the lock of a remote has one holder until it ends": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		putRemotes(t, s, r, remote("a", 1), remote("b", 1))
		lock := func(name, holder string, hold time.Duration) bool {
			return must(s.LockRemote(t.Context(), r.ID, name, holder, hold))(t)
		}
		var won atomic.Int32
		var all sync.WaitGroup
		for _, holder := range []string{"one", "two", "three", "four"} {
			all.Go(func() {
				if lock("a", holder, time.Minute) {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 || !lock("b", "five", time.Minute) || lock("missing", "five", time.Minute) {
			t.Fatalf("%d of four have the lock, want 1; or another remote's lock is not free; or one is locked that is not there", won.Load())
		}
		if !lock("b", "five", time.Minute) || lock("b", "six", time.Minute) {
			t.Error("a holder can't take its lock again, or somebody else can")
		}
		ok(t, s.UnlockRemote(t.Context(), r.ID, "b", "six"))
		if lock("b", "six", time.Minute) {
			t.Error("somebody else's unlock counted")
		}
		ok(t, s.UnlockRemote(t.Context(), r.ID, "b", "five"))
		if !lock("b", "six", -time.Second) || !lock("b", "seven", time.Minute) {
			t.Error("a lock that was given back, or whose time is over, is not free")
		}
		putRemotes(t, s, r, remote("b", 2))
		if !lock("b", "eight", time.Minute) {
			t.Error("a new version leaves the lock of the old one")
		}
	},
	"a refusal pauses the jobs that name the remote, once": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		putRemotes(t, s, r, remote("a", 1), remote("b", 1))
		hit, spared := syncing(t, s, r, "b", "a"), syncing(t, s, r, "b")
		if must(s.RefuseRemote(t.Context(), refusal(r, "a", 2)))(t) {
			t.Error("another version was refused")
		}
		var first atomic.Int32
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				if must(s.RefuseRemote(t.Context(), refusal(r, "a", 1)))(t) {
					first.Add(1)
				}
			})
		}
		all.Wait()
		if first.Load() != 1 {
			t.Errorf("%d refused it, want 1", first.Load())
		}
		got := must(s.Job(t.Context(), hit.ID))(t)
		same(t, "pause", got.Pause, &job.Pause{Reason: "REAUTH_REQUIRED: no", Actor: job.ActorSystem, Since: noon, Reauth: true})
		if got.Active || !got.NextRun.IsZero() || got.Version != hit.Version+1 {
			t.Errorf("the paused job is %+v", got)
		}
		if got := must(s.Job(t.Context(), spared.ID))(t); !got.Active || got.Version != spared.Version {
			t.Errorf("a job of another remote is %+v", got)
		}
		same(t, "refusal", must(s.Remote(t.Context(), r.ID, "a"))(t).Refusal, &job.Refusal{Reason: "no", Since: noon})
		refused, expiring, err := s.CountRemotes(t.Context(), noon)
		ok(t, err)
		if refused != 1 || expiring != 0 {
			t.Errorf("%d are refused and %d end soon, want 1 and 0", refused, expiring)
		}
	},
	"new credentials resume what the refusal paused": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		putRemotes(t, s, r, remote("a", 1), remote("b", 1))
		both, byHand := syncing(t, s, r, "a", "b"), syncing(t, s, r, "a")
		must(s.UpdateJob(t.Context(), byHand.ID, store.At(noon), func(j *job.Job, _ time.Time) (bool, []job.Skip, error) {
			j.Active, j.PausedAt, j.Pause = false, noon, &job.Pause{Reason: "holiday", Actor: "client_3", Since: noon}
			return true, nil, nil
		}))(t)
		for _, name := range []string{"a", "b"} {
			if !must(s.RefuseRemote(t.Context(), refusal(r, name, 1)))(t) {
				t.Fatalf("%s was not refused", name)
			}
		}
		next := func(name string) job.SealedRemote {
			put := remote(name, 2)
			put.UpdatedAt = hour(3)
			return put
		}
		putRemotes(t, s, r, next("a"))
		same(t, "claimed while another remote is refused", len(tick(t, s, hour(3))), 0)
		putRemotes(t, s, r, next("b"))
		tick(t, s, hour(3))
		got := must(s.Job(t.Context(), both.ID))(t)
		if !got.Active || got.Pause != nil || !got.NextRun.Equal(hour(4)) {
			t.Errorf("the resumed job is %+v", got)
		}
		same(t, "ledger", skips(t, s, both.ID),
			[]job.Skip{ledgerRow(both, job.SkipPaused, 1, 3, 3)})
		if got := must(s.Job(t.Context(), byHand.ID))(t); got.Active || got.Pause.Reason != "holiday" {
			t.Errorf("the job that somebody paused is %+v", got)
		}
		if found := must(s.Remote(t.Context(), r.ID, "a"))(t); found.Refusal != nil {
			t.Errorf("the new credentials are still refused: %+v", found)
		}
	},
	"credentials that end soon are counted": func(t *testing.T, s store.Store) {
		r := newResource(t, s, newInstance(t, s).ID)
		soon, later := remote("a", 1), remote("b", 1)
		soon.Expiry.Credentials, later.Expiry.Credentials = hour(1), hour(3)
		putRemotes(t, s, r, soon, later, remote("c", 1))
		refused, expiring, err := s.CountRemotes(t.Context(), hour(2))
		ok(t, err)
		if refused != 0 || expiring != 1 {
			t.Errorf("%d are refused and %d end soon, want 0 and 1", refused, expiring)
		}
	},
}
