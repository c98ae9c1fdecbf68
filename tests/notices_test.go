package tests

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// receiver takes notices, as somebody else's program would.
type receiver struct {
	URL string

	mu sync.Mutex
	// secret verifies; without one the signatures are not looked at.
	secret string
	// told are the changes, an event and what it is about, by webhook-id.
	told  map[string]string
	wrong []string
	calls int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{told: map[string]string{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	text, err := io.ReadAll(request.Body)
	var body struct {
		Type string
		Data struct{ ExecutionID, JobID, ResourceID, Remote string }
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	if err != nil || json.Unmarshal(text, &body) != nil {
		r.wrong = append(r.wrong, string(text))
	}
	if verifier, err := standardwebhooks.NewWebhook(r.secret); err != nil || verifier.Verify(text, request.Header) != nil {
		r.wrong = append(r.wrong, fmt.Sprintf("signature of %s", text))
	}
	about := cmp.Or(body.Data.ExecutionID, body.Data.JobID, body.Data.ResourceID+"/"+body.Data.Remote)
	r.told[request.Header.Get("webhook-id")] = body.Type + " " + about
	w.WriteHeader(http.StatusNoContent)
}

// changes are what was told, by the alphabet.
func (r *receiver) changes() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Values(r.told))
}

// hasHeard waits until exactly this was told, in any order.
func (r *receiver) hasHeard(t *testing.T, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !harness.Within(90*time.Second, func() bool { return slices.Equal(r.changes(), want) }) {
		t.Fatalf("told are %q, want %q", r.changes(), want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.wrong) > 0 {
		t.Fatalf("wrong calls: %q", r.wrong)
	}
}

// hears makes a webhook of the receiver.
func (r *receiver) hears(t *testing.T, tenant *harness.Tenant, events ...any) {
	t.Helper()
	made := harness.Must(t, tenant.Operator.GRPCDoor(), "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": r.URL, "events": events}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = harness.Text(made, "secret")
}

// What changes with the jobs of an instance is told, each change once: failures
// by their number, recoveries, a pause by the service, a plan that waits, and a
// job that had no success for too long.
func TestEveryChangeIsTold(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: slices.Concat(harness.Loopback, []string{"--local-remote-root", root})})
	tenant := server.NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{"a": object{"type": "local"}, "b": object{"type": "local"}}})
	r := newReceiver(t)
	made := harness.Must(t, door, "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": r.URL, "failuresInARow": 2, "freshness": "3600s", "events": []any{
		"FIRST_FAILURE", "NTH_FAILURE", "RECOVERED", "PAUSED_BY_SYSTEM", "APPROVAL_NEEDED", "NOT_FRESH", "FRESH"}}})
	r.secret = harness.Text(made, "secret")

	flaky := tenant.Create(t, object{"name": "flaky", "pauseAfterFailures": 3}, harness.Get("call", closedPort))
	run := func(job string) string {
		execution := tenant.Run(t, job)
		tenant.End(t, execution)
		return execution
	}
	first, second := run(flaky), run(flaky)
	run(flaky)
	put(t, root, "m/src/kept", "m/dst/kept", "m/dst/x/1", "m/dst/x/2")
	guarded := tenant.Create(t, object{"name": "guarded"}, mirror(tenant, "m"))
	waits := tenant.Run(t, guarded)
	tenant.Reaches(t, waits, inState("AWAITING_APPROVAL"))
	want := []string{"APPROVAL_NEEDED " + waits, "FIRST_FAILURE " + first, "NTH_FAILURE " + second, "PAUSED_BY_SYSTEM " + flaky}
	r.hasHeard(t, want...)

	// An hour passes: only the jobs that nobody has paused are not fresh.
	resting := tenant.Create(t, object{"name": "resting", "active": false}, harness.Noop("a"))
	harness.Wait(t, 10*time.Second, "all jobs are looked at", func() bool { return ageFreshness(t, server) == 3 })
	want = append(want, "NOT_FRESH "+flaky, "NOT_FRESH "+guarded)
	r.hasHeard(t, want...)
	harness.Must(t, door, "UpdateJob", object{"job": object{"id": flaky, "active": true, "workflow": object{"tasks": []any{harness.Noop("call")}}}})
	mended := run(flaky)
	want = append(want, "FRESH "+mended, "RECOVERED "+mended)
	r.hasHeard(t, want...)
	if job := harness.Must(t, door, "GetJob", object{"jobId": resting}); job["state"] != "PAUSED" {
		t.Errorf("the paused job is %v", job)
	}
}

// closedPort answers nobody.
const closedPort = "http://127.0.0.1:1/"

// ageFreshness makes the last successes of all jobs an hour older, as the clock
// can't be moved, and answers how many jobs are watched.
func ageFreshness(t *testing.T, server *harness.Server) (watched int) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(server.DataDir, "carillon.db")+"?_pragma=busy_timeout(60000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM job_freshnesses").Scan(&watched); err != nil {
		t.Fatal(err)
	}
	if watched == 3 {
		if _, err := db.ExecContext(t.Context(), "UPDATE job_freshnesses SET since = since - 3600000000, due = 1"); err != nil {
			t.Fatal(err)
		}
	}
	return watched
}

// Receivers that never answer, fifty in each of two instances, cost others
// nothing.
func TestDeadReceiversKeepNobodyWaiting(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: harness.Loopback})
	var hanging atomic.Int64
	dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that the end of the connection is noticed
		hanging.Add(1)
		<-r.Context().Done()
	}))
	t.Cleanup(func() { dead.CloseClientConnections(); dead.Close() })
	var fail []func()
	for range 2 {
		tenant := server.NewTenant(t)
		for range 50 {
			harness.Must(t, tenant.Operator.GRPCDoor(), "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": dead.URL, "events": []any{"FIRST_FAILURE"}}})
		}
		for i := range 4 {
			job := tenant.Create(t, object{"name": fmt.Sprint("fails ", i)}, harness.Get("call", closedPort))
			fail = append(fail, func() { tenant.Run(t, job) })
		}
	}
	tenant := server.NewTenant(t)
	r := newReceiver(t)
	r.hears(t, tenant, "FIRST_FAILURE")
	job := tenant.Create(t, object{"name": "fails"}, harness.Get("call", closedPort))
	began := time.Now()
	for _, run := range fail {
		run()
	}
	harness.Wait(t, 30*time.Second, "the places of two instances are taken", func() bool { return hanging.Load() >= 128 })
	asked := time.Now()
	execution := tenant.Run(t, job)
	r.hasHeard(t, "FIRST_FAILURE "+execution)
	got := hanging.Load()
	t.Logf("told after %s, while %d others got no answer", time.Since(asked).Round(time.Millisecond), got)
	// After fifteen seconds the first are given up, and the next take their places.
	if got != 128 && time.Since(began) < 15*time.Second {
		t.Errorf("%d notices were sent to those who don't answer, want as many as two instances may at once", got)
	}
}

// Every change is told under one webhook-id, whichever replica dies whenever.
func TestNoticesWhenReplicasAreKilled(t *testing.T) {
	t.Parallel()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: harness.Loopback})
	tenant := replicas[0].NewTenant(t)
	r := newReceiver(t)
	r.hears(t, tenant, "FIRST_FAILURE", "RECOVERED")
	var calls atomic.Int64
	flips := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%2 != 0 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	t.Cleanup(flips.Close)
	var jobs []string
	for i := range 8 {
		jobs = append(jobs, tenant.Create(t, object{"name": fmt.Sprint("flips ", i)}, harness.Get("call", flips.URL)))
	}
	for round := range roundsOf(4, 40) {
		victim, other := replicas[round%2], replicas[1-round%2]
		door := other.As(tenant.Operator.Token).GRPCDoor()
		var running sync.WaitGroup
		for _, job := range jobs {
			running.Go(func() {
				for range 3 {
					execution := harness.Text(harness.Must(t, door, "RunJob", object{"jobId": job}), "id")
					harness.Wait(t, 30*time.Second, execution+" has ended", func() bool {
						return harness.Must(t, door, "GetExecution", object{"executionId": execution})["finishedAt"] != nil
					})
				}
			})
		}
		until(t, time.Now().Add(moment(50*time.Millisecond, 1500*time.Millisecond)))
		victim.Kill(t)
		running.Wait()
		replicas[round%2] = victim.Again(t)
	}
	door := replicas[0].As(tenant.Operator.Token).GRPCDoor()
	want := transitions(t, door, jobs)
	r.hasHeard(t, want...)
	t.Logf("%d changes were told by %d calls", len(want), r.calls)
	if len(want) == 0 {
		t.Error("nothing changed: the story tells nothing")
	}
}

// transitions are what the executions of jobs, one after the other, come to.
func transitions(t *testing.T, door harness.Door, jobs []string) (list []string) {
	t.Helper()
	for _, job := range jobs {
		executions, err := harness.All(t.Context(), door, "ListExecutions", "executions", object{"jobId": job})
		if err != nil {
			t.Fatal(err)
		}
		slices.Reverse(executions)
		failed := false
		for _, e := range executions {
			switch succeeded := e["state"] == "SUCCEEDED"; {
			case !succeeded && !failed:
				list = append(list, "FIRST_FAILURE "+harness.Text(e, "id"))
			case succeeded && failed:
				list = append(list, "RECOVERED "+harness.Text(e, "id"))
			}
			failed = e["state"] != "SUCCEEDED"
		}
	}
	slices.Sort(list)
	return list
}

// A receiver that never answers costs the others nothing, and one that is gone
// is not called again.
func TestNoticesOfOthersDoNotWait(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: harness.Loopback})
	tenant := server.NewTenant(t)
	release := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(stuck.Close)
	t.Cleanup(func() { close(release) })
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	t.Cleanup(gone.Close)
	door := tenant.Operator.GRPCDoor()
	var ids []string
	for _, url := range []string{stuck.URL, gone.URL} {
		made := harness.Must(t, door, "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": url, "events": []any{"FIRST_FAILURE"}}})
		ids = append(ids, harness.Text(made, "id"))
	}
	for range 20 {
		harness.Must(t, door, "TestWebhook", object{"webhookId": ids[0]})
	}
	harness.Must(t, door, "TestWebhook", object{"webhookId": ids[1]})
	r := newReceiver(t)
	r.hears(t, tenant, "FIRST_FAILURE")
	tenant.Run(t, tenant.Create(t, object{"name": fmt.Sprint(rand.Int())}, harness.Get("call", "http://127.0.0.1:1/")))
	harness.Wait(t, 10*time.Second, "the others are told", func() bool { return len(r.changes()) == 1 })
	harness.Wait(t, 10*time.Second, "the one that is gone is disabled", func() bool {
		return harness.Must(t, door, "GetWebhook", object{"webhookId": ids[1]})["disabledReason"] == "GONE"
	})
}
