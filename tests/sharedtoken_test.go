package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/apstest"
	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// TestTwentyShareOneRotatingToken tells of twenty executions on two replicas
// whose refresh token is good for one use: one of them renews it. When its user
// takes it back, the remote is refused once and the jobs are paused with that
// reason, until somebody stores new credentials.
func TestTwentyShareOneRotatingToken(t *testing.T) {
	t.Parallel()
	const n = 20
	aps := apstest.Start(t, apstest.Options{RateFactor: 10_000})
	aps.Put("Project Files/plan.pdf", "1")
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: []string{
		"--egress-allow", "127.0.0.0/8", "--local-remote-root", t.TempDir(), "--aps-rate-factor", "900", "--concurrency", "10"}})
	tenant := replicas[0].NewTenant(t)
	door := tenant.Operator.GRPCDoor()
	store := func(token string) {
		t.Helper()
		config := toAny(aps.Config("ada"))
		config["token"] = token
		harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{"disk": object{"type": "local"}, "acc": config}})
	}
	store(aps.ExpiredToken("ada"))
	var jobs []string
	for i := range n {
		jobs = append(jobs, tenant.Create(t, object{"name": fmt.Sprint("down ", i)}, object{"name": "sync", "type": "sync.files", "args": object{
			"resourceId": tenant.Resource, "remotes": []any{"acc:/Project Files", fmt.Sprintf("disk:/%d", i)}, "mode": "copy"}}))
	}
	run := func() (ended []object) {
		t.Helper()
		var executions []string
		for _, job := range jobs {
			executions = append(executions, tenant.Run(t, job))
		}
		for _, execution := range executions {
			ended = append(ended, tenant.End(t, execution))
		}
		return ended
	}
	for _, e := range run() {
		if e["state"] != "SUCCEEDED" {
			t.Fatalf("ended as %v", e)
		}
	}
	if got := aps.Requests(apstest.OpToken); got != 1 {
		t.Errorf("the token was renewed %d times, want once", got)
	}

	r := newReceiver(t)
	r.hears(t, tenant, "REAUTH_REQUIRED", "FIRST_FAILURE")
	aps.Revoke("ada")
	before := aps.Requests(apstest.OpToken)
	refused := run()
	for _, e := range refused {
		if e["state"] != "FAILED" || harness.Text(e, "error", "reason") != "REAUTH_REQUIRED" {
			t.Fatalf("with credentials that were taken back: %v", e)
		}
	}
	if got := aps.Requests(apstest.OpToken) - before; got != 1 {
		t.Errorf("the refused token was tried %d times, want once", got)
	}
	for _, remote := range harness.List(harness.Must(t, door, "GetConfig", object{"resourceId": tenant.Resource}), "remotes") {
		if harness.Text(remote, "name") == "acc" && harness.Text(remote, "state") != "REAUTH_REQUIRED" {
			t.Errorf("the remote is %v", remote)
		}
	}
	for _, id := range jobs {
		job := harness.Must(t, door, "GetJob", object{"jobId": id})
		if job["state"] != "PAUSED" || harness.Text(job, "pause", "actor") != "system" || !strings.HasPrefix(harness.Text(job, "pause", "reason"), "REAUTH_REQUIRED") {
			t.Fatalf("the job is %v", job)
		}
	}
	want := []string{"REAUTH_REQUIRED " + tenant.Resource + "/acc"} // once, not for each job
	for _, e := range refused {
		want = append(want, "FIRST_FAILURE "+harness.Text(e, "id"))
	}
	r.hasHeard(t, want...)
	store(aps.Token("bob"))
	for _, id := range jobs {
		var job object
		if !harness.Within(30*time.Second, func() bool {
			job = harness.Must(t, door, "GetJob", object{"jobId": id})
			return job["state"] == "ACTIVE"
		}) {
			t.Fatalf("with new credentials the job is still %v", job)
		}
	}
	for _, violation := range aps.Violations() {
		t.Error(violation)
	}
}
