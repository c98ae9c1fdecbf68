package tests

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
)

type object = harness.Object

// onAll makes a call that changes nothing through every door and fails unless
// all answer alike.
func onAll(t *testing.T, caller *harness.Caller, rpc string, request object, but ...string) object {
	t.Helper()
	var first object
	for i, door := range caller.Doors() {
		answer := harness.Must(t, door, rpc, request)
		forget(answer, but...)
		if i == 0 {
			first = answer
			continue
		}
		if diff := cmp.Diff(first, answer); diff != "" {
			t.Errorf("%s: gRPC and %s differ (-grpc +%s):\n%s", rpc, door.Name(), door.Name(), diff)
		}
	}
	return first
}

// forget drops keys that differ from call to call, at any depth.
func forget(value any, keys ...string) {
	switch v := value.(type) {
	case object:
		for _, key := range keys {
			delete(v, key)
		}
		for _, inner := range v {
			forget(inner, keys...)
		}
	case []any:
		for _, inner := range v {
			forget(inner, keys...)
		}
	}
}

// A job's life is the same through each door: what one makes, all see alike.
func TestLifeOfAJob(t *testing.T) {
	t.Parallel()
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	for _, door := range tenant.Operator.Doors() {
		t.Run(door.Name(), func(t *testing.T) {
			t.Parallel()
			life(t, tenant, door)
		})
	}
}

func life(t *testing.T, tenant *harness.Tenant, door harness.Door) {
	all := tenant.Operator
	fields := object{
		"name": "nightly é\u2028<&>", "description": "line one\nline \"two\"", "timeZone": "Europe/Helsinki",
		"frequencyType": "CRON_BASED", "cronExpression": "30 2 * * MON-FRI",
		"labels": object{"team": "survey"}, "overlapPolicy": "BUFFER_ONE", "catchUpPolicy": "NONE", "catchUpWindow": "3600s",
		"retryPolicy": object{"retryCount": 2, "minBackoff": "1.5s", "maxBackoff": "60s", "maxDoublings": 3, "maxRetryDuration": "600s"},
		"workflow": object{"name": "w", "tasks": []any{
			object{"name": "a", "type": "util.noop", "args": object{}, "inputs": []any{}},
			object{"name": "b", "type": "util.noop", "inputs": "a"},
			object{"name": "c", "type": "util.sleep", "args": object{"duration": "1ms"}, "inputs": []any{"a", "b"}},
		}},
	}
	made := harness.Must(t, door, "CreateJob", tenant.Job(fields))
	id := harness.Text(made, "id")
	if diff := cmp.Diff(made, onAll(t, all, "GetJob", object{"jobId": id})); diff != "" {
		t.Fatalf("what was answered is not what is read (-answered +read):\n%s", diff)
	}
	for name, want := range fields {
		if name == "retryPolicy" || name == "workflow" {
			continue // compared below, by parts
		}
		if diff := cmp.Diff(want, made[name]); diff != "" {
			t.Errorf("%s (-sent +read):\n%s", name, diff)
		}
	}
	if diff := cmp.Diff(harness.Canonical(fields["workflow"]), harness.Canonical(made["workflow"])); diff != "" {
		t.Errorf("workflow (-sent +read):\n%s", diff)
	}
	if made["state"] != "ACTIVE" || made["nextRun"] == nil || made["instanceId"] != tenant.Instance {
		t.Errorf("a new job is %v", made)
	}

	changed := harness.Must(t, door, "UpdateJob", object{"job": object{"id": id, "instanceId": tenant.Instance, "frequencyType": "MANUAL", "etag": made["etag"]}})
	if changed["cronExpression"] != nil || changed["nextRun"] != nil || changed["etag"] == made["etag"] {
		t.Errorf("switched to MANUAL it still has a schedule, or its etag: %v", changed)
	}
	if changed["name"] != made["name"] {
		t.Errorf("an update of the schedule changed the name to %v", changed["name"])
	}
	stale := harness.Refused(t, door, "UpdateJob", object{"job": object{"id": id, "instanceId": tenant.Instance, "name": "x", "etag": made["etag"]}})
	if stale.Code != "ABORTED" {
		t.Errorf("a stale etag is answered with %v, want ABORTED", stale)
	}
	paused := harness.Must(t, door, "PauseJob", object{"jobId": id})
	if paused["state"] != "PAUSED" || paused["active"] != false {
		t.Errorf("a paused job is %v", paused)
	}

	ran := harness.Must(t, door, "RunJob", object{"jobId": id})
	execution := harness.Text(ran, "id")
	if ran["trigger"] != "MANUAL" || ran["jobId"] != id || ran["logPath"] == nil {
		t.Errorf("a run answers %v", ran)
	}
	ended := tenant.End(t, execution)
	if ended["state"] != "SUCCEEDED" || ended["success"] != true || len(harness.List(ended, "tasks")) != 3 {
		t.Errorf("the execution ended as %v", ended)
	}
	onAll(t, all, "GetExecution", object{"executionId": execution}, "signedLogUrl")
	onAll(t, all, "TailLog", object{"executionId": execution})
	lastRun(t, all, id, ended)
	readLink(t, harness.Text(ended, "signedLogUrl"))

	resumed := harness.Must(t, door, "ResumeJob", object{"jobId": id})
	if resumed["state"] != "ACTIVE" || resumed["active"] != true {
		t.Errorf("a resumed job is %v", resumed)
	}
	harness.Must(t, door, "DeleteJob", object{"jobId": id})
	for _, door := range all.Doors() {
		for _, rpc := range []string{"GetJob", "DeleteJob", "RunJob"} {
			if r := harness.Refused(t, door, rpc, object{"jobId": id}); r.Code != "NOT_FOUND" || r.Reason != "JOB_NOT_FOUND" {
				t.Errorf("%s of a deleted job by %s: %v", rpc, door.Name(), r)
			}
		}
	}
	onAll(t, all, "GetExecution", object{"executionId": execution}, "signedLogUrl") // stays readable
}

func lastRun(t *testing.T, all *harness.Caller, id string, ended object) {
	t.Helper()
	job := onAll(t, all, "GetJob", object{"jobId": id})
	if job["lastRun"] != ended["startedAt"] {
		t.Errorf("lastRun is %v and the execution started at %v", job["lastRun"], ended["startedAt"])
	}
}

// readLink reads a log by its link alone.
func readLink(t *testing.T, link string) {
	t.Helper()
	answer, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("the signed link answers %s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	forged, err := http.Get(link[:len(link)-2] + "xx")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = forged.Body.Close() }()
	if forged.StatusCode == http.StatusOK {
		t.Error("a forged link is answered too")
	}
}

// Every list tells the same through every door, page by page.
func TestListsAgree(t *testing.T) {
	t.Parallel()
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	job := tenant.Create(t, object{"name": "listed", "frequencyType": "INTERVAL_BASED", "intervalMinutes": 60}, harness.Noop("a"))
	for range 5 {
		tenant.End(t, tenant.Run(t, job))
	}
	harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{
		"drop": object{"type": "dropbox", "app_key": "k", "app_secret": "s", "token": object{"access_token": "t"}},
	}})
	client := harness.Must(t, door, "CreateClient", object{"client": object{"title": "c", "scopes": []any{"instance-*"}, "instanceIds": []any{tenant.Instance}}})
	harness.Must(t, door, "DeleteClient", object{"clientId": client["id"]})

	for rpc, request := range map[string]object{
		"ListJobs":        {"instanceId": tenant.Instance},
		"ListInstances":   {},
		"GetInstance":     {"instanceId": tenant.Instance},
		"ListResources":   {"instanceId": tenant.Instance},
		"GetResource":     {"resourceId": tenant.Resource},
		"ListClients":     {},
		"ListTaskTypes":   {"pageSize": 3},
		"ListRemoteTypes": {"pageSize": 3},
		"ListKeys":        {},
		"ListSigningKeys": {},
		"GetConfig":       {"resourceId": tenant.Resource},
		"ListExecutions":  {"instanceId": tenant.Instance},
		"ListOccurrences": {"jobId": job, "to": "2100-01-01T00:00:00Z", "pageSize": 3},
		"PreviewSchedule": {"frequencyType": "CRON_BASED", "cronExpression": "30 3 * * *", "timeZone": "Europe/Helsinki", "after": "2026-03-27T00:00:00Z", "count": 4},
	} {
		t.Run(rpc, func(t *testing.T) {
			t.Parallel()
			onAll(t, tenant.Operator, rpc, request, "signedLogUrl", "nextPageToken")
		})
	}
	t.Run("pages", func(t *testing.T) {
		t.Parallel()
		pages(t, tenant)
	})
}

// pages walks the executions two by two through each door.
func pages(t *testing.T, tenant *harness.Tenant) {
	whole := harness.Must(t, tenant.Operator.GRPCDoor(), "ListExecutions", object{"instanceId": tenant.Instance})
	want := harness.List(whole, "executions")
	if len(want) != 5 {
		t.Fatalf("there are %d executions, want 5", len(want))
	}
	for _, door := range tenant.Operator.Doors() {
		ask := object{"instanceId": tenant.Instance, "pageSize": 2}
		var got []object
		for {
			page := harness.Must(t, door, "ListExecutions", ask)
			got = append(got, harness.List(page, "executions")...)
			if page["nextPageToken"] == nil {
				break
			}
			ask = maps.Clone(ask)
			ask["pageToken"] = page["nextPageToken"]
		}
		for i := range min(len(want), len(got)) {
			forget(got[i], "signedLogUrl")
			forget(want[i], "signedLogUrl")
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by %s the pages differ from the whole (-whole +pages):\n%s", door.Name(), diff)
		}
	}
}

// What is checked only changes nothing, and a repeated request is answered
// with the first result, whichever doors they came by.
func TestRepeatsAndChecks(t *testing.T) {
	t.Parallel()
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	ids := map[string]bool{}
	for i, door := range tenant.Operator.Doors() {
		fields := object{"name": "once"}
		if i%2 == 1 { // what others leave to the defaults
			fields["active"], fields["overlapPolicy"], fields["catchUpWindow"] = true, "SKIP", "86400s"
		}
		request := tenant.Job(fields, harness.Noop("a"))
		request["validateOnly"] = true
		harness.Must(t, door, "CreateJob", request)
		delete(request, "validateOnly")
		request["requestId"] = "the-same"
		made := harness.Must(t, door, "CreateJob", request)
		ids[harness.Text(made, "id")] = true
	}
	jobs, err := harness.All(t.Context(), tenant.Operator.RESTDoor(), "ListJobs", "jobs", object{"instanceId": tenant.Instance})
	if err != nil || len(jobs) != 1 || len(ids) != 1 {
		t.Errorf("four times the same request made %d jobs and %d identifiers (%v)", len(jobs), len(ids), err)
	}
	job := harness.Text(jobs[0], "id")
	runs := map[string]bool{}
	for _, door := range tenant.Operator.Doors() {
		run := harness.Must(t, door, "RunJob", object{"jobId": job, "requestId": "again", "overlapPolicy": "ALLOW"})
		runs[harness.Text(run, "id")] = true
	}
	if len(runs) != 1 {
		t.Errorf("one request id made the executions %v", runs)
	}
}

// While an execution runs, another run is refused with the blocking one's id.
func TestOverlappingRun(t *testing.T) {
	t.Parallel()
	tenant := harness.Start(t, harness.Options{Flags: []string{"--drain-timeout", "1s"}}).NewTenant(t)
	job := tenant.Create(t, nil, harness.Sleep("long", 10*60*1e9))
	running := tenant.Run(t, job)
	for _, door := range tenant.Operator.Doors() {
		r := harness.Refused(t, door, "RunJob", object{"jobId": job})
		if r.Code != "FAILED_PRECONDITION" || r.Reason != "OVERLAP" || !strings.Contains(r.Message, running) {
			t.Errorf("by %s: %v, want OVERLAP with %s", door.Name(), r, running)
		}
	}
	tenant.Reaches(t, running, func(e object) bool { return e["state"] == "RUNNING" })
	for _, door := range tenant.Operator.Doors() {
		_, err := door.Call(context.WithoutCancel(t.Context()), "CancelExecution", object{"executionId": running})
		var refusal *harness.Refusal
		if err != nil && !errors.As(err, &refusal) {
			t.Errorf("cancel by %s: %v", door.Name(), err)
		}
	}
	ended := tenant.End(t, running)
	if ended["state"] != "CANCELLED" || ended["success"] != false {
		t.Errorf("a cancelled execution ended as %v", ended)
	}
	for _, door := range tenant.Operator.Doors() {
		if r := harness.Refused(t, door, "CancelExecution", object{"executionId": running}); r.Code != "FAILED_PRECONDITION" {
			t.Errorf("cancelling what has ended, by %s: %v", door.Name(), r)
		}
	}
}
