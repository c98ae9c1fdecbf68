package tests

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// Quotas are set, read and enforced alike on every door.
func TestQuotasOnEveryDoor(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--quota-jobs", "50"}})
	if next := time.Now().Truncate(time.Hour).Add(time.Hour); time.Until(next) < 15*time.Second {
		until(t, next) // a quota is of an hour by the clock, and the next one is a new one
	}
	for _, door := range server.As(server.Token(t, "operator")).Doors() {
		tenant := server.NewTenant(t)
		own := harness.Must(t, door, "SetQuota", object{"instanceId": tenant.Instance, "limits": object{"executionsPerHour": 1, "minIntervalMinutes": 10}})
		got := harness.Must(t, door, "GetQuota", object{"instanceId": tenant.Instance})
		if fmt.Sprint(got) != fmt.Sprint(own) || fmt.Sprint(got["limits"]) != "map[executionsPerHour:1 jobs:50 logMebibytes:0 minIntervalMinutes:10]" {
			t.Errorf("%s: quota %v, answered as %v", door.Name(), got, own)
		}
		often := tenant.Job(object{"frequencyType": "INTERVAL_BASED", "intervalMinutes": 5}, harness.Noop("a"))
		wantRefusal(t, door, "CreateJob", often, "RESOURCE_EXHAUSTED", "QUOTA")
		job := tenant.Create(t, nil, harness.Noop("a"))
		harness.Must(t, door, "RunJob", object{"jobId": job, "overlapPolicy": "ALLOW"})
		wantRefusal(t, door, "RunJob", object{"jobId": job, "overlapPolicy": "ALLOW"}, "RESOURCE_EXHAUSTED", "QUOTA")
		harness.Must(t, door, "SetQuota", object{"instanceId": tenant.Instance, "limits": object{"jobs": 1}})
		wantRefusal(t, door, "CreateJob", tenant.Job(nil, harness.Noop("a")), "RESOURCE_EXHAUSTED", "QUOTA")
		wantRefusal(t, door, "SetQuota", object{"instanceId": tenant.Instance, "limits": object{"jobs": -1}}, "INVALID_ARGUMENT", "INT32_GTE")
	}
}

func wantRefusal(t *testing.T, door harness.Door, rpc string, request object, code, reason string) {
	t.Helper()
	if got := harness.Refused(t, door, rpc, request); got.Code != code || got.Reason != reason {
		t.Errorf("%s by %s: %v, want %s %s", rpc, door.Name(), got, code, reason)
	}
}

// What is done by any door is told by every door, with the caller's address,
// which nobody can choose.
func TestAuditOnEveryDoor(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	token := server.Token(t, "instance-write-"+tenant.Instance[5:])
	for _, door := range server.As(token).Doors() {
		harness.Must(t, door, "PauseJob", object{"jobId": job})
	}
	answer, err := server.As(token).HTTP(t.Context(), http.MethodPost, "/v1/jobs/"+job+":pause", "{}", "X-Forwarded-For", "198.51.100.7")
	if err != nil || answer.Status != http.StatusOK {
		t.Fatal(err, answer.Status)
	}
	for _, door := range server.As(token).Doors() {
		events := harness.List(harness.Must(t, door, "ListAuditEvents", object{"instanceId": tenant.Instance, "method": "PauseJob", "object": job}), "events")
		if len(events) != 5 {
			t.Fatalf("%s tells of %d events: %v", door.Name(), len(events), events)
		}
		for _, e := range events {
			if e["peer"] != "127.0.0.1" || e["code"] != "OK" || e["instanceId"] != tenant.Instance || e["requestId"] == nil {
				t.Errorf("%s tells %v", door.Name(), e)
			}
		}
	}
}

// Behind a trusted proxy the address is what the proxy says.
func TestAuditBehindAProxy(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--trusted-proxies", "127.0.0.1"}})
	operator := server.As(server.Token(t, "operator"))
	answer, err := operator.HTTP(t.Context(), http.MethodPost, "/v1/instances", `{"title": "a"}`, "X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	if err != nil || answer.Status != http.StatusOK {
		t.Fatal(err, answer.Status)
	}
	events := harness.List(harness.Must(t, operator.RESTDoor(), "ListAuditEvents", object{"method": "CreateInstance"}), "events")
	if len(events) == 0 || events[0]["peer"] != "198.51.100.7" {
		t.Errorf("events %v", events)
	}
}

// A client that asks for too much waits, and others don't.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--client-rate", "1"}})
	tenant := server.NewTenant(t)
	greedy := server.As(server.Token(t, "instance-read-"+tenant.Instance[5:]))
	ask := object{"instanceId": tenant.Instance, "pageSize": 1000}
	for _, door := range greedy.Doors() {
		refused := false
		for range 10 {
			_, err := door.Call(t.Context(), "ListJobs", ask)
			var refusal *harness.Refusal
			if errors.As(err, &refusal) && refusal.Code == "RESOURCE_EXHAUSTED" && refusal.Reason == "RATE_LIMITED" {
				refused = true
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", door.Name(), err)
			}
		}
		if !refused {
			t.Errorf("%s answered ten pages of 1000", door.Name())
		}
	}
	// The bucket fills while a busy machine lets this test wait, so it is emptied again.
	var answer harness.Answer
	for range 10 {
		var err error
		if answer, err = greedy.HTTP(t.Context(), http.MethodGet, "/v1/instances/"+tenant.Instance+"/jobs?pageSize=1000", ""); err != nil {
			t.Fatal(err)
		}
		if answer.Status == http.StatusTooManyRequests {
			break
		}
	}
	if wait, err := strconv.Atoi(answer.Header.Get("Retry-After")); answer.Status != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 60 {
		t.Errorf("status %d, Retry-After %q", answer.Status, answer.Header.Get("Retry-After"))
	}
	other := server.As(server.Token(t, "instance-read-"+tenant.Instance[5:]))
	harness.Must(t, other.RESTDoor(), "ListJobs", ask)
	harness.Must(t, tenant.Operator.RESTDoor(), "ListJobs", ask)
}

// A tenant that fills every place costs another one nothing that it notices: its
// executions take as long as before.
func TestPlacesAreShared(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--concurrency", "20", "--drain-timeout", "1s"}})
	greedy, other := server.NewTenant(t), server.NewTenant(t)
	short := other.Create(t, nil, harness.Noop("a"))
	five := func() time.Duration {
		began := time.Now()
		for range 5 {
			if ended := other.End(t, other.Run(t, short)); ended["state"] != "SUCCEEDED" {
				t.Fatalf("it ended as %v", ended)
			}
		}
		return time.Since(began)
	}
	alone := five()
	long := greedy.Create(t, nil, harness.Sleep("a", time.Hour))
	for range 60 {
		harness.Must(t, greedy.Operator.GRPCDoor(), "RunJob", object{"jobId": long, "overlapPolicy": "ALLOW"})
	}
	beside := five()
	t.Logf("five executions took %s alone, and %s beside a greedy tenant", alone, beside)
	if beside > 5*alone+time.Minute { // the others hold their places for an hour
		t.Errorf("five executions took %s alone, and %s beside a greedy tenant", alone, beside)
	}
}
