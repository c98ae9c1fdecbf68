// Package storetest is the suite that every store must pass: what package
// store promises, tried through its interfaces alone.
//
// Rules:
//   - A test has a store of its own, empty and migrated, and runs in parallel.
//   - Times are fixed or passed in; where a store takes the present from the
//     clock, tests keep a distance of hours from it.
package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/store"
)

// Open gives a test an empty, migrated store that is closed at its end.
type Open func(t *testing.T) store.Store

// volume is how many rows a test takes that wants many. Under the race detector
// SQLite is ten times slower, and a race shows as well with fewer.
func volume(many int) int {
	if raceDetector {
		return many / 5
	}
	return many
}

// tests are the tests of one topic by name.
type tests map[string]func(t *testing.T, s store.Store)

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	for topic, all := range map[string]tests{
		"instances":    instanceTests,
		"quotas":       quotaTests,
		"audit":        auditTests,
		"clients":      clientTests,
		"keys":         keyTests,
		"sealing":      sealingTests,
		"configs":      configTests,
		"reauth":       reauthTests,
		"folders":      folderTests,
		"folder races": folderRaceTests,
		"jobs":         jobTests,
		"updates":      updateTests,
		"pauses":       pauseTests,
		"occurrences":  occurrenceTests,
		"backfills":    backfillTests,
		"executions":   executionTests,
		"manual":       manualTests,
		"cancel":       cancelTests,
		"approvals":    approvalTests,
		"files":        fileTests,
		"ledger":       ledgerTests,
		"watching":     watchTests,
		"inspection":   inspectionTests,
		"idempotency":  idempotencyTests,
		"deletes":      deleteTests,
		"retention":    retentionTests,
		"notices":      noticeTests,
		"freshness":    freshnessTests,
		"concurrency":  concurrencyTests,
	} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			for name, test := range all {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					register(t, s, 1) // owner
					test(t, s)
				})
			}
		})
	}
}

// noon is a time with microseconds, far from the present.
var noon = time.Date(2031, 5, 6, 12, 0, 0, 123456000, time.UTC)

// firstPage is larger than any list of the tests.
var firstPage = store.Page{Limit: 1000}

// noRequest is not remembered.
var noRequest store.Request

// must ends the test on an error.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// ok ends the test on an error.
func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// same compares with nil and empty alike.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, emptyIsNil); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var emptyIsNil = cmp.Options{
	cmp.FilterValues(func(a, b []byte) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b map[string]string) bool { return len(a) == 0 && len(b) == 0 }, cmp.Ignore()),
}

// missing says that err must be ErrNotFound.
func missing(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, store.ErrNotFound) {
		t.Errorf("%s: got error %v, want ErrNotFound", what, err)
	}
}

// refused says that err must be a PreconditionError with this reason.
func refused(t *testing.T, err error, reason string) *job.PreconditionError {
	t.Helper()
	var e *job.PreconditionError
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want a PreconditionError %s", err, reason)
	}
	if e.Reason != reason {
		t.Errorf("got reason %s, want %s", e.Reason, reason)
	}
	return e
}

// newInstance makes an instance.
func newInstance(t *testing.T, s store.Store) job.Instance {
	t.Helper()
	return must(s.CreateInstance(t.Context(), job.Instance{Title: "Tenant", CreatedAt: noon}, 0, noRequest))(t)
}

// newResource makes a resource of an instance.
func newResource(t *testing.T, s store.Store, instanceID int64) job.Resource {
	t.Helper()
	return must(s.CreateResource(t.Context(), job.Resource{InstanceID: instanceID, Title: "Drive", CreatedAt: noon}, noRequest))(t)
}

// hourly is a job that is next due at noon.
func hourly(instanceID int64) job.Job {
	return job.Job{
		InstanceID: instanceID,
		Name:       "Hourly",
		Active:     true,
		Workflow:   json.RawMessage(`{"tasks":[]}`),
		Schedule:   job.Schedule{Type: job.IntervalBased, IntervalMinutes: 60, TimeZone: "UTC", Anchor: noon.Truncate(time.Second)},
		NextRun:    noon,
		CreatedAt:  noon.Add(-time.Hour),
	}
}

// newJob makes an hourly job in an instance of its own, changed by edit.
func newJob(t *testing.T, s store.Store, edit ...func(*job.Job)) job.Job {
	t.Helper()
	j := hourly(newInstance(t, s).ID)
	for _, f := range edit {
		f(&j)
	}
	return must(s.CreateJob(t.Context(), j, noRequest))(t)
}

// owner is the replica that the tests of a topic claim as; it is registered.
const owner = 1

// register makes n further replicas, whose ids follow.
func register(t *testing.T, s store.Store, n int) {
	t.Helper()
	for range n {
		_, _, err := s.Register(t.Context(), "replica", time.Hour)
		ok(t, err)
	}
}

// claimDue claims what is due by now+ahead and starts it.
func claimDue(t *testing.T, s store.Store, now time.Time, ahead time.Duration) []store.Claimed {
	t.Helper()
	claimed, _, err := s.ClaimDue(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now.Add(ahead), Limit: 100}, startHourly)
	ok(t, err)
	return claimed
}

// startHourly decides that a due job starts and is due again an hour later.
func startHourly(d store.Due) store.Decision {
	return store.Decision{Starts: []store.Start{{ScheduledFor: d.NextRun, NotBefore: d.NextRun}}, Next: d.NextRun.Add(time.Hour)}
}

// claimOne is claimDue for exactly one.
func claimOne(t *testing.T, s store.Store, now time.Time, ahead time.Duration) store.Claimed {
	t.Helper()
	claimed := claimDue(t, s, now, ahead)
	if len(claimed) != 1 {
		t.Fatalf("claimed %d executions, want 1", len(claimed))
	}
	return claimed[0]
}

// claimQueued claims what waits for a replica.
func claimQueued(t *testing.T, s store.Store, now time.Time) []store.Claimed {
	t.Helper()
	claimed, _, err := s.ClaimQueued(t.Context(), store.ClaimRequest{Owner: owner, Now: now, Ahead: now, Limit: 100})
	ok(t, err)
	return claimed
}

// start reports that a claimed execution runs.
func start(t *testing.T, s store.Store, c store.Claimed, at time.Time) {
	t.Helper()
	stale, _, err := s.Progress(t.Context(), []store.Progress{{ExecutionID: c.ExecutionID, Fence: c.Fence, StartedAt: at}})
	ok(t, err)
	if len(stale) > 0 {
		t.Fatalf("execution %d is stale", c.ExecutionID)
	}
}

// finish ends a claimed execution.
func finish(t *testing.T, s store.Store, c store.Claimed, state job.State, from, to time.Time) {
	t.Helper()
	stale, err := s.Finish(t.Context(), []store.Finish{{ExecutionID: c.ExecutionID, Fence: c.Fence, State: state, StartedAt: from, FinishedAt: to}})
	ok(t, err)
	if len(stale) > 0 {
		t.Fatalf("execution %d is stale", c.ExecutionID)
	}
}

// history makes n executions of a job, each claimed, started and ended.
func history(t *testing.T, s store.Store, jobID int64, n int) []int64 {
	t.Helper()
	var ids []int64
	for i := range n {
		at := noon.Add(time.Duration(i) * time.Minute)
		e := enqueue(t, s, jobID, at)
		finish(t, s, claimQueued(t, s, at)[0], job.StateSucceeded, at, at.Add(time.Second))
		ids = append(ids, e.ID)
	}
	return ids
}

// enqueue runs a job by hand beside whatever runs.
func enqueue(t *testing.T, s store.Store, jobID int64, now time.Time) job.Execution {
	t.Helper()
	return must(s.EnqueueManual(t.Context(), store.Manual{JobID: jobID, TriggerID: fmt.Sprint(now.UnixMicro()), Now: store.At(now), Overlap: job.OverlapAllow}))(t)
}

// idsOf lists the ids of executions.
func idsOf(list []job.Execution) []int64 {
	var ids []int64
	for _, e := range list {
		ids = append(ids, e.ID)
	}
	return ids
}

// listen collects signals from now on. Signals sent before listen returns are
// not seen.
func listen(t *testing.T, s store.Store) <-chan store.Signal {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	signals, ended := make(chan store.Signal, 100), make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Listen(ctx, func(sig store.Signal) { signals <- sig }) // it ends with ctx
	}()
	t.Cleanup(func() { cancel(); <-ended })
	<-signals // the one that says that it listens
	return signals
}

// expect waits for a signal; others may come before it.
func expect(t *testing.T, signals <-chan store.Signal, want store.Signal) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case got := <-signals:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("no signal %+v", want)
		}
	}
}
