package entstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pointscene/carillon/ent"
	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
	"github.com/pointscene/carillon/tests/pgtest"
)

// A batch that waits for a row sees the row as it was before the wait unless
// it looks again: these tests hold a row while the batch runs.
func TestBatchesSeeWhatTheyWaitedFor(t *testing.T) {
	t.Parallel()
	now := time.Date(2031, 1, 2, 3, 4, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		write func(context.Context, *Store, store.Claimed) error
		check func(*testing.T, *Store, store.Claimed)
	}{
		"finish": {
			write: func(ctx context.Context, s *Store, c store.Claimed) error {
				_, err := s.Finish(ctx, []store.Finish{{ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateSucceeded, StartedAt: now, FinishedAt: now}})
				return err
			},
			check: func(t *testing.T, s *Store, c store.Claimed) {
				list, err := s.ExecutionsOfJob(t.Context(), c.JobID, store.Page{Limit: 10})
				if err != nil || len(list) != 1 || list[0].State != job.StateSucceeded {
					t.Errorf("executions %+v, error %v; want one that succeeded", list, err)
				}
			},
		},
		"finish by its mark": {
			write: func(ctx context.Context, s *Store, c store.Claimed) error {
				_, err := s.Finish(ctx, []store.Finish{{ExecutionID: c.ExecutionID, Mark: c.Mark, Fence: c.Fence, State: job.StateSucceeded, StartedAt: now, FinishedAt: now}})
				return err
			},
			check: func(t *testing.T, s *Store, c store.Claimed) {
				list, err := s.ExecutionsOfJob(t.Context(), c.JobID, store.Page{Limit: 10})
				if err != nil || len(list) != 1 || list[0].State != job.StateSucceeded {
					t.Errorf("executions %+v, error %v; want one that succeeded", list, err)
				}
			},
		},
		"progress": {
			write: func(ctx context.Context, s *Store, c store.Claimed) error {
				_, _, err := s.Progress(ctx, []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: now, LogBytes: 9}})
				return err
			},
			check: func(t *testing.T, s *Store, c store.Claimed) {
				e, err := s.Execution(t.Context(), c.ExecutionID)
				if err != nil || e.State != job.StateCancelling || e.LogBytes != 9 {
					t.Errorf("execution %+v, error %v; want it CANCELLING with 9 bytes of log", e, err)
				}
			},
		},
		"retry": {
			write: func(ctx context.Context, s *Store, c store.Claimed) error {
				_, err := s.Finish(ctx, []store.Finish{{
					ExecutionID: c.ExecutionID, Fence: c.Fence, State: job.StateQueued, StartedAt: now, FinishedAt: now, RetryAt: now.Add(time.Hour),
				}})
				return err
			},
			check: func(t *testing.T, s *Store, c store.Claimed) {
				list, err := s.ExecutionsOfJob(t.Context(), c.JobID, store.Page{Limit: 10})
				if err != nil || len(list) != 1 || list[0].State != job.StateCancelled {
					t.Errorf("executions %+v, error %v; want one that is cancelled", list, err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openMigrated(t, pgtest.Open(t))
			c := claimOne(t, s, now)
			tx, err := s.pool.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "UPDATE active_executions SET state = 'CANCELLING' WHERE id = $1", c.ExecutionID); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() { written <- test.write(t.Context(), s, c) }()
			waitForLock(t, s)
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			test.check(t, s, c)
		})
	}
}

// TestStalledClaim: a process that stands still within a claim, as by SIGSTOP,
// keeps its jobs from others for no longer than a moment, and then claims
// nothing.
func TestStalledClaim(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	other := openMigrated(t, database)
	const timeout = 10 * time.Second
	stalled := openWithin(t, database, timeout)
	now := time.Date(2031, 1, 2, 3, 4, 0, 0, time.UTC)
	makeDue(t, stalled, now)
	req := store.ClaimRequest{Owner: register(t, stalled, time.Hour), Now: now, Ahead: now, Limit: 1}
	start := func(store.Due) store.Decision {
		return store.Decision{Starts: []store.Start{{ScheduledFor: now, NotBefore: now}}}
	}
	stands, goesOn, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	began := time.Now()
	go func() {
		_, _, err := stalled.ClaimDue(t.Context(), req, func(d store.Due) store.Decision {
			close(stands)
			<-goesOn
			return start(d)
		})
		ended <- err
	}()
	<-stands
	req.Owner = register(t, other, time.Hour)
	for {
		claimed, _, err := other.ClaimDue(t.Context(), req, start)
		if err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if len(claimed) == 0 && took < time.Minute {
			continue
		}
		if len(claimed) != 1 || took < stalledAfter(timeout) {
			t.Errorf("the other one claimed %d executions after %s", len(claimed), took)
		}
		break
	}
	close(goesOn)
	if err := <-ended; err == nil {
		t.Error("the stalled claim succeeded")
	}
}

// A stopped replica that goes on may start what it has claimed while its burial
// waits for a lock: that may have had its effect, and must not wait again.
func TestBurialCountsWhatStartsMeanwhile(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	started := claimOne(t, s, job.Time(time.Now().Add(-time.Minute)))
	ahead := claimOne(t, s, job.Time(time.Now().Add(store.StartGuard+time.Second)))
	tx := lockSchedule(t, s.pool, started.JobID)
	self := register(t, s, time.Hour)
	buried := make(chan []store.Lost, 1)
	go func() {
		lost, err := s.Bury(t.Context(), self, 0)
		if err != nil {
			t.Error(err)
		}
		buried <- lost
	}()
	waitForLock(t, s)
	for must(s.DatabaseTime(t.Context()))(t).Before(ahead.NotBefore) {
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lost := <-buried; len(lost) != 2 {
		t.Errorf("lost are %+v, want %d and %d", lost, started.ExecutionID, ahead.ExecutionID)
	}
}

// A process that stands still in the midst of reading an answer keeps the rows that
// it has locked: no timeout of the database ends that, but its burial does.
func TestBurialFreesWhatTheDeadHaveLocked(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	stalled, other := openMigrated(t, database), openStore(t, database)
	c := claimOne(t, stalled, job.Time(time.Now().Add(-time.Minute)))
	tx := lockSchedule(t, stalled.engine, c.JobID)
	conn := tx.Conn().PgConn()
	defer func() {
		_, _ = conn.Conn().Close(), tx.Rollback(t.Context()) // the server has closed it
	}()
	conn.Frontend().SendQuery(&pgproto3.Query{String: "SELECT repeat('x', 1000000) FROM generate_series(1, 1000)"})
	if err := conn.Frontend().Flush(); err != nil {
		t.Fatal(err)
	}
	if lost := must(other.Bury(t.Context(), register(t, other, time.Hour), 0))(t); len(lost) != 1 {
		t.Errorf("lost are %+v, want execution %d", lost, c.ExecutionID)
	}
}

// A process that stood still between finding another one dead and burying it asks
// again; and one that was buried itself buries nobody.
func TestBurialAsksOnceMore(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	self, other := register(t, s, time.Hour), register(t, s, -time.Second)
	bury := func() error {
		return s.tx(t.Context(), "bury", func(ctx context.Context, tx *ent.Tx) error { return s.removeDead(ctx, tx, self, 0, []int64{other}) })
	}
	must(s.Renew(t.Context(), other, time.Hour))(t)
	if err := bury(); err != nil || len(must(s.Replicas(t.Context()))(t)) != 2 {
		t.Errorf("buried one that has renewed its lease meanwhile: %v", err)
	}
	must(s.Renew(t.Context(), other, -time.Second))(t)
	if err := s.Leave(t.Context(), self); err != nil {
		t.Fatal(err)
	}
	if err := bury(); !errors.Is(err, store.ErrNotFound) || len(must(s.Replicas(t.Context()))(t)) != 1 {
		t.Errorf("the buried has buried another one: %v", err)
	}
}

// A lease is renewed however many calls and claims wait for locks.
func TestRenewalWaitsForNobody(t *testing.T) {
	t.Parallel()
	s := openMigrated(t, pgtest.Open(t))
	self := register(t, s, time.Hour)
	for _, pool := range []*pgxpool.Pool{s.pool, s.engine} {
		for range pool.Config().MaxConns {
			conn, err := pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Release()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	must(s.Renew(ctx, self, time.Hour))(t)
}

// What is acknowledged survives a crash of a database that is set for speed, as
// those of tests are.
func TestCommitsAreDurable(t *testing.T) {
	t.Parallel()
	s := openStore(t, pgtest.Open(t))
	for _, pool := range []*pgxpool.Pool{s.pool, s.engine, s.pulse} {
		var setting string
		if err := pool.QueryRow(t.Context(), "SHOW synchronous_commit").Scan(&setting); err != nil || setting == "off" {
			t.Errorf("synchronous_commit is %q, %v", setting, err)
		}
	}
}

// lockSchedule holds a job's schedule in a transaction.
func lockSchedule(t *testing.T, pool *pgxpool.Pool, jobID int64) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM schedules WHERE id = $1 FOR UPDATE", jobID); err != nil {
		t.Fatal(err)
	}
	return tx
}

// register makes a replica and answers its id.
func register(t *testing.T, s *Store, lease time.Duration) int64 {
	t.Helper()
	r, _, err := s.Register(t.Context(), "replica", lease)
	if err != nil {
		t.Fatal(err)
	}
	return r.ID
}

// claimOne makes a job and claims an execution of it, as a replica whose lease has
// ended.
func claimOne(t *testing.T, s *Store, now time.Time) store.Claimed {
	t.Helper()
	makeDue(t, s, now)
	claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: register(t, s, -time.Second), Now: now, Ahead: now, Limit: 1}, func(d store.Due) store.Decision {
		return store.Decision{Starts: []store.Start{{ScheduledFor: now, NotBefore: now}}}
	})
	if err != nil || len(claimed) != 1 {
		t.Fatalf("claimed %v, error %v", claimed, err)
	}
	return claimed[0]
}

// makeDue makes a job that is due.
func makeDue(t *testing.T, s *Store, now time.Time) {
	t.Helper()
	in, err := s.CreateInstance(t.Context(), job.Instance{}, 0, store.Request{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.CreateJob(t.Context(), job.Job{InstanceID: in.ID, Active: true, Workflow: []byte("{}"), NextRun: now}, store.Request{})
	if err != nil {
		t.Fatal(err)
	}
}

// waitForLock returns when some statement waits for a lock.
func waitForLock(t *testing.T, s *Store) {
	t.Helper()
	for waiting := 0; waiting == 0; {
		err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		if err != nil {
			t.Fatal(err)
		}
	}
}
