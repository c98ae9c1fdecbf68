package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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
	// ids are the webhook-ids by event and execution.
	ids   map[string]map[string]bool
	wrong []string
	calls int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{ids: map[string]map[string]bool{}}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.URL = server.URL
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	text, err := io.ReadAll(request.Body)
	var body struct {
		Type string
		Data struct{ ExecutionID string }
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
	change := body.Type + " " + body.Data.ExecutionID
	if r.ids[change] == nil {
		r.ids[change] = map[string]bool{}
	}
	r.ids[change][request.Header.Get("webhook-id")] = true
	w.WriteHeader(http.StatusNoContent)
}

// changes are what was told, in order.
func (r *receiver) changes() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for change := range r.ids {
		list = append(list, change)
	}
	slices.Sort(list)
	return list
}

// hears makes a webhook of the receiver.
func (r *receiver) hears(t *testing.T, tenant *harness.Tenant, events ...any) {
	t.Helper()
	made := harness.Must(t, tenant.Operator.GRPCDoor(), "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": r.URL, "events": events}})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secret = harness.Text(made, "secret")
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
	if !harness.Within(90*time.Second, func() bool { return slices.Equal(r.changes(), want) }) {
		t.Fatalf("told are %q, want %q", r.changes(), want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for change, ids := range r.ids {
		if len(ids) != 1 {
			t.Errorf("%s came under %d webhook-ids", change, len(ids))
		}
	}
	if len(r.wrong) > 0 {
		t.Errorf("wrong calls: %q", r.wrong)
	}
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
