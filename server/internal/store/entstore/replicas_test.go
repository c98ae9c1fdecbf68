package entstore

import (
	"slices"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/pgtest"
)

// When all connections have broken, the first replica to be back must give the
// others time: their executions go on.
func TestBrokenConnectionsAreNoDeath(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	awaitOld(t, openMigrated(t, database))
	first, other := openStore(t, database), openStore(t, database)
	self := register(t, first, time.Hour)
	for range 20 {
		silent := register(t, other, time.Hour)
		past(t, first, silent, "started_at", time.Hour) // it had other connections before
		for _, s := range []*Store{first, other} {
			s.pool.Reset()
			s.engine.Reset()
		}
		awaitNoConnection(t, first, other.session)
		patience := must(first.patience(t.Context(), []int64{silent}))(t)
		began, back := time.Now(), make(chan time.Duration, 1)
		time.AfterFunc(3*connectsWithin, func() {
			if _, err := other.DatabaseTime(t.Context()); err != nil {
				t.Error(err)
			}
			back <- time.Since(began)
		})
		if _, err := first.Bury(t.Context(), self, 0); err != nil {
			t.Fatal(err)
		}
		inTime := <-back < patience
		list, err := first.Replicas(t.Context())
		if err == nil && len(list) == 2 {
			return
		}
		if err != nil || patience > 4*connectsWithin && inTime {
			t.Fatalf("replicas %+v, error %v; want both", list, err)
		} // else this machine was too busy
	}
	t.Error("this machine is too busy to connect again")
}

// How long a silent replica is waited for depends on when all may have lost their
// connections, also when who looks was started after that.
func TestPatienceWithTheSilent(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	began := time.Now()
	fresh, old, gone := openMigrated(t, database), openStore(t, database), openStore(t, database)
	register(t, fresh, time.Hour)
	silent := register(t, gone, time.Hour)
	gone.engine.Reset()
	gone.pool.Reset()
	patience := func() time.Duration { return must(fresh.patience(t.Context(), []int64{silent}))(t) }
	wantShort := func(what string) {
		t.Helper()
		if got := patience(); got != connectsWithin {
			t.Errorf("%s: it is given %s, want %s", what, got, connectsWithin)
		}
	}
	wantLong := func(what string, since time.Time) {
		t.Helper()
		if got := patience(); got > reconnectsWithin || got < connectsWithin || time.Since(since)+got < reconnectsWithin {
			t.Errorf("%s: it is given %s after %s, want %s together", what, got, time.Since(since), reconnectsWithin)
		}
	}
	wantShort("of a replica that was connected for as long as we are")
	past(t, fresh, silent, "started_at", time.Hour)
	wantLong("of an old replica, where nobody has an old connection", began)
	if _, err := old.engine.Exec(t.Context(), "SELECT pg_sleep(4)"); err != nil {
		t.Fatal(err)
	}
	again := time.Now()
	fresh.engine.Reset()
	fresh.pool.Reset()
	for left := 1; left > 0; { // the server closes them soon
		err := old.engine.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity
WHERE application_name IN ($1, $2) AND backend_start < to_timestamp($3)`, fresh.session, gone.session, float64(again.UnixMicro())/1e6).Scan(&left)
		if err != nil {
			t.Fatal(err)
		}
	}
	wantLong("of an old replica, where the old connections are no replica's", again)
	register(t, old, time.Hour)
	wantShort("of an old replica, where another one has an old connection")
}

const (
	leaseTime = 10 * time.Second
	// outage is longer than a lease.
	outage = 15 * time.Second
)

// While the database was away nobody could renew: the first one that is back gives
// the others a lease's time. What it was itself it buries at once.
func TestNobodyIsBuriedRightAfterAnOutage(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	first, second := openMigrated(t, database), openStore(t, database)
	former, other := register(t, first, leaseTime), register(t, second, leaseTime)
	past(t, first, 0, "steady_since", time.Hour)
	past(t, first, 0, "lease_until", outage)
	bury := func(self int64) {
		t.Helper()
		_ = must(first.Bury(t.Context(), self, leaseTime))(t)
	}
	bury(former)
	wantReplicas(t, first, "before anybody has renewed", former, other)

	must(first.Renew(t.Context(), former, leaseTime))(t)
	bury(former)
	wantReplicas(t, first, "when one has renewed", former, other)

	past(t, first, former, "lease_until", outage)
	self := register(t, first, leaseTime)
	bury(self)
	wantReplicas(t, first, "when one has registered anew", other, self)

	past(t, first, self, "steady_since", leaseTime+time.Second)
	must(second.Renew(t.Context(), other, leaseTime))(t)
	bury(self)
	wantReplicas(t, first, "when the other one is back, too", other, self)

	past(t, first, other, "lease_until", outage)
	bury(self)
	wantReplicas(t, first, "when only the other one's lease has ended", self)
}

// A step of the database's clock, as by a failover to another machine, ends no
// lease, and makes none longer.
func TestLeasesWhenTheClockMakesAStep(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		// steady is for how long everybody has been.
		step, steady time.Duration
	}{
		"forth":                         {5 * time.Minute, time.Hour},
		"back":                          {-5 * time.Minute, time.Hour},
		"back, to before it was steady": {-5 * time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, database := test.step, pgtest.Open(t)
			s, another := openMigrated(t, database), openStore(t, database)
			self, other, dead := register(t, s, leaseTime), register(t, another, leaseTime), register(t, another, leaseTime)
			past(t, s, 0, "steady_since", test.steady)
			elapse := func(d time.Duration) {
				t.Helper()
				past(t, s, 0, "steady_since", d)
				past(t, s, 0, "lease_until", d)
				for _, living := range []int64{other, self} {
					must(s.Renew(t.Context(), living, leaseTime))(t)
				}
			}
			bury := func() {
				t.Helper()
				_ = must(s.Bury(t.Context(), self, leaseTime))(t)
			}
			past(t, s, 0, "steady_since", step)
			past(t, s, 0, "lease_until", step)
			bury()
			wantReplicas(t, s, "before anybody has renewed", self, other, dead)
			must(s.Renew(t.Context(), other, leaseTime))(t) // and shortens the leases of all
			bury()
			wantReplicas(t, s, "when one has renewed", self, other, dead)
			for range 5 {
				elapse(3 * time.Second)
			}
			bury()
			wantReplicas(t, s, "after a lease's time", self, other)
		})
	}
}

// past moves a time of a replica, or of all with 0, into the past: as if that much
// time had passed since.
func past(t *testing.T, s *Store, id int64, column string, by time.Duration) {
	t.Helper()
	_, err := s.engine.Exec(t.Context(), "UPDATE replicas SET "+column+" = "+column+" - $2 WHERE $1::bigint IN (0, id)", id, by.Microseconds())
	if err != nil {
		t.Fatal(err)
	}
}

// wantReplicas wants these to be there.
func wantReplicas(t *testing.T, s *Store, when string, want ...int64) {
	t.Helper()
	var got []int64
	for _, r := range must(s.Replicas(t.Context()))(t) {
		got = append(got, r.ID)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s the replicas are %v, want %v", when, got, want)
	}
}

// awaitOld waits until the server has been up for so long that silence counts.
func awaitOld(t *testing.T, s *Store) {
	t.Helper()
	_, err := s.engine.Exec(t.Context(), `
SELECT pg_sleep(greatest(0, extract(epoch FROM pg_postmaster_start_time() + interval '`+aliveAfterRestart+`' + interval '1 second' - clock_timestamp())))`)
	if err != nil {
		t.Fatal(err)
	}
}

// awaitNoConnection waits until the database has closed those of a session.
func awaitNoConnection(t *testing.T, s *Store, session string) {
	t.Helper()
	for left := 1; left > 0; {
		err := s.engine.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", session).Scan(&left)
		if err != nil {
			t.Fatal(err)
		}
	}
}
