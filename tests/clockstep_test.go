package tests

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// The database's clock makes steps under load, as when a virtual machine is moved or
// somebody sets it: no lease ends, nothing is lost or runs twice, no occurrence
// starts before its time by that clock, and each is told once.
func TestStepsOfTheDatabaseClock(t *testing.T) {
	if !long() {
		t.Skip("takes minutes of waiting; set CARILLON_TEST_LONG=1")
	}
	t.Parallel()
	oneAfterTheOther(t)
	clock := newSteppedClock(t, pgtest.Open(t))
	replicas := harness.StartReplicas(t, 2, clock.database, harness.Options{Flags: harness.Loopback})
	clock.to(t, 45*time.Second)
	l := newLoad(t, replicas[0].NewTenant(t))
	began := clock.now(t)
	ctx, stop := context.WithCancel(t.Context())
	var driving sync.WaitGroup
	for _, replica := range replicas {
		driving.Go(func() { l.trickle(ctx, replica) })
	}
	awaitTold := func() {
		t.Helper()
		harness.Wait(t, 20*time.Second, "every minute up to now is told", func() bool {
			due := int(clock.now(t).Truncate(time.Minute).Sub(began.Truncate(time.Minute)) / time.Minute)
			return !slices.ContainsFunc(l.minutely, func(id string) bool { return l.told(t, id, began, clock) < due })
		})
	}
	clock.pass(t, 0)
	awaitTold()

	t.Log("back, over a minute that has been told")
	clock.step(t, -20*time.Second)
	clock.awaitKnown(t)
	clock.pass(t, 2*time.Second)

	t.Log("an hour forth and back again")
	clock.step(t, time.Hour)
	awaitTold()
	clock.step(t, -time.Hour)
	clock.awaitKnown(t)
	clock.step(t, time.Hour)

	t.Log("forth, over a minute")
	clock.to(t, 50*time.Second)
	clock.step(t, 20*time.Second)
	awaitTold()

	t.Log("back when a minute's executions have been claimed, and forth again")
	clock.to(t, 48*time.Second)
	clock.awaitKnown(t)
	clock.pass(t, -300*time.Millisecond)
	clock.step(t, -20*time.Second)
	clock.awaitKnown(t)
	clock.step(t, 20*time.Second)
	awaitTold()
	harness.Wait(t, 20*time.Second, "all that was due has started", func() bool {
		return !slices.ContainsFunc(l.minutely, func(id string) bool {
			return slices.ContainsFunc(l.executions(t, object{"jobId": id}), func(e object) bool {
				return e["startedAt"] == nil && !timeOf(t, e, "scheduledFor").After(clock.now(t))
			})
		})
	})

	stop()
	driving.Wait()
	healthy(t, replicas[0])
	clock.judge(t, l)
	l.check(t, replicas[1])
}

// trickle works on a server until ctx ends, with some time between.
func (l *load) trickle(ctx context.Context, server *harness.Server) {
	door := server.As(l.tenant.Operator.Token).GRPCDoor()
	for pause := time.NewTicker(25 * time.Millisecond); ctx.Err() == nil; {
		l.step(ctx, door)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
	}
}

// told is how many minutes of a job are told since a time.
func (l *load) told(t *testing.T, job string, began time.Time, clock *steppedClock) (n int) {
	t.Helper()
	door := l.tenant.Operator.GRPCDoor()
	window := object{"jobId": job, "from": began.Format(time.RFC3339), "to": clock.now(t).Add(time.Second).Format(time.RFC3339)}
	for _, row := range harness.List(harness.Must(t, door, "ListOccurrences", window), "occurrences") {
		if row["outcome"] != "PENDING" {
			n += number(row["count"])
		}
	}
	return n
}

// executions are all so far, of a job or an instance.
func (l *load) executions(t *testing.T, of object) []object {
	t.Helper()
	all, err := harness.All(t.Context(), l.tenant.Operator.GRPCDoor(), "ListExecutions", "executions", of)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func number(of any) (n int) {
	_, _ = fmt.Sscan(fmt.Sprint(of), &n)
	return n
}

// steppedClock is a database whose clock the test sets: a function of that name is
// found before the built-in one.
type steppedClock struct {
	database string
	db       *sql.DB
	by       time.Duration
	// steps are what the clock was ahead of the local one, the oldest first.
	steps []clockStep
}

// clockStep says that the clock was ahead by so much from a local time on, and that a
// replica may have believed so until another.
type clockStep struct {
	from, until time.Time
	by          time.Duration
}

func newSteppedClock(t *testing.T, database string) *steppedClock {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c := &steppedClock{database: database, db: db, steps: []clockStep{{}}}
	for _, statement := range []string{
		`CREATE SCHEMA stepped`,
		`CREATE TABLE stepped.clock AS SELECT interval '0' AS ahead`,
		`CREATE FUNCTION stepped.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
		   AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM stepped.clock'`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, stepped, pg_catalog', current_database()); END $$`,
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// now is the database's time.
func (c *steppedClock) now(t *testing.T) time.Time {
	t.Helper()
	return time.Now().Add(c.by).UTC()
}

func (c *steppedClock) step(t *testing.T, by time.Duration) {
	t.Helper()
	at := time.Now()
	c.by += by
	if _, err := c.db.ExecContext(t.Context(), "UPDATE stepped.clock SET ahead = make_interval(secs => $1)", c.by.Seconds()); err != nil {
		t.Fatal(err)
	}
	c.steps = append(c.steps, clockStep{from: at, by: c.by})
}

// to steps to so long after the full minute, forward.
func (c *steppedClock) to(t *testing.T, after time.Duration) {
	t.Helper()
	now := c.now(t)
	at := now.Truncate(time.Minute).Add(after)
	if at.Before(now) {
		at = at.Add(time.Minute)
	}
	c.step(t, at.Sub(now))
}

// pass waits until so long after the next full minute.
func (c *steppedClock) pass(t *testing.T, after time.Duration) {
	t.Helper()
	now := c.now(t)
	until(t, time.Now().Add(now.Truncate(time.Minute).Add(time.Minute+after).Sub(now)))
}

// awaitKnown waits until every replica has asked for the time since the last step: a
// lease is changed once by others, and by its own replica at every renewal.
func (c *steppedClock) awaitKnown(t *testing.T) {
	t.Helper()
	changes, last := map[int64]int{}, map[int64]int64{}
	harness.Wait(t, 20*time.Second, "every replica has learned of the step", func() bool {
		rows, err := c.db.QueryContext(t.Context(), "SELECT id, lease_until FROM replicas")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = rows.Close() }()
		known := true
		for rows.Next() {
			var id, lease int64
			if err := rows.Scan(&id, &lease); err != nil {
				t.Fatal(err)
			}
			if before, seen := last[id]; seen && before != lease {
				changes[id]++
			}
			last[id] = lease
			known = known && changes[id] >= 2
		}
		return known && len(last) == 2
	})
	for i := range c.steps[:len(c.steps)-1] {
		if c.steps[i].until.IsZero() {
			c.steps[i].until = time.Now()
		}
	}
}

// judge wants no occurrence to have had its effect before its time by the database's
// clock, as a replica may have known it, nor in its record, and none to be lost.
func (c *steppedClock) judge(t *testing.T, l *load) {
	t.Helper()
	effects := map[string]time.Time{}
	for _, e := range l.sink.Effects() {
		effects[e.Execution] = e.At
	}
	const trembling = 5 * time.Second // of the replica's idea of the time on a busy machine
	for _, e := range l.executions(t, object{"instanceId": l.tenant.Instance}) {
		id := harness.Text(e, "id")
		if e["startedAt"] == nil {
			continue // the next minute's are claimed
		}
		if e["finishedAt"] != nil && timeOf(t, e, "finishedAt").Before(timeOf(t, e, "startedAt")) {
			t.Errorf("%s ended before it started: %v", id, e)
		}
		stalled := func(s clockStep) bool { return harness.Stalled(timeOf(t, e, "finishedAt").Add(-s.by)) }
		if e["state"] == "WORKER_LOST" && !slices.ContainsFunc(c.steps, stalled) {
			t.Errorf("%s was lost: %v", id, e)
		}
		if e["trigger"] != "SCHEDULE" {
			continue
		}
		slot, at := timeOf(t, e, "scheduledFor"), effects[id]
		if timeOf(t, e, "startedAt").Before(slot) {
			t.Errorf("%s is told to have started before its time: %v", id, e)
		}
		if !at.IsZero() && !slices.ContainsFunc(c.steps, func(s clockStep) bool {
			believed := !at.Before(s.from) && (s.until.IsZero() || at.Before(s.until.Add(time.Second)))
			return believed && !at.Add(s.by+trembling).Before(slot)
		}) {
			t.Errorf("%s had its effect at %s, which is before its time by every clock that it may have known: %v", id, at.UTC(), e)
		}
	}
}
