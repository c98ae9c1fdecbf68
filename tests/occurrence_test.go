package tests

import (
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// backfilled runs one day of a daily job's past and waits for its end.
func backfilled(t *testing.T, tenant *harness.Tenant, door harness.Door, job string) string {
	t.Helper()
	made := harness.Must(t, door, "BackfillJob", object{"jobId": job, "from": "2026-01-01T00:00:00Z", "to": "2026-01-01T12:00:00Z", "overlapPolicy": "ALLOW"})
	id := harness.Text(made, "id")
	harness.Wait(t, 30*time.Second, id+" has finished", func() bool {
		return harness.Must(t, tenant.Operator.GRPCDoor(), "GetBackfill", object{"backfillId": id})["state"] == "FINISHED"
	})
	return id
}

// Single occurrences are skipped, moved and restored, ranges of the past run
// again, and instances pause: the same through each door.
func TestOccurrences(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	operator := server.As(server.Token(t, "operator"))
	for _, door := range operator.Doors() {
		t.Run(door.Name(), func(t *testing.T) {
			t.Parallel()
			occurrences(t, operator.NewTenant(t), door)
		})
	}
}

func occurrences(t *testing.T, tenant *harness.Tenant, door harness.Door) {
	job := tenant.Create(t, object{"frequencyType": "CRON_BASED", "cronExpression": "0 0 1 * *"}, harness.Noop("a"))
	coming := func() []object {
		return harness.List(onAll(t, tenant.Operator, "ListOccurrences", object{"jobId": job}, "nextPageToken"), "occurrences")
	}
	before := coming()
	if len(before) != 10 {
		t.Fatalf("%d occurrences are to come, want 10: %v", len(before), before)
	}
	first := before[0]["scheduledFor"]

	harness.Must(t, door, "SkipOccurrence", object{"jobId": job, "scheduledFor": first})
	if got := coming()[0]; got["outcome"] != "SKIPPED" || got["reason"] != "SKIPPED_BY_CALLER" || got["scheduledFor"] != first {
		t.Errorf("skipped it is %v", got)
	}
	harness.Must(t, door, "RestoreOccurrence", object{"jobId": job, "scheduledFor": first})
	if got := coming()[0]; got["outcome"] != "PENDING" {
		t.Errorf("restored it is %v", got)
	}
	to := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	harness.Must(t, door, "MoveOccurrence", object{"jobId": job, "scheduledFor": first, "moveTo": to})
	if next := harness.Must(t, door, "GetJob", object{"jobId": job})["nextRun"]; next != to {
		t.Errorf("moved to %v the next run is %v", to, next)
	}
	if got := coming()[0]; got["movedTo"] != to || got["scheduledFor"] != first {
		t.Errorf("moved it is %v", got)
	}
	for _, wrong := range []string{"2000-01-01T00:00:00Z", "2100-01-01T00:00:01Z"} {
		for _, door := range tenant.Operator.Doors() {
			if r := harness.Refused(t, door, "SkipOccurrence", object{"jobId": job, "scheduledFor": wrong}); len(r.Violations) != 1 || r.Code != "INVALID_ARGUMENT" {
				t.Errorf("skipping %s by %s: %v", wrong, door.Name(), r)
			}
		}
	}

	backfill := backfilled(t, tenant, door, job)
	told := onAll(t, tenant.Operator, "GetBackfill", object{"backfillId": backfill})
	executions := harness.List(onAll(t, tenant.Operator, "ListExecutions", object{"instanceId": tenant.Instance}, "signedLogUrl"), "executions")
	if len(executions) != 1 || executions[0]["trigger"] != "BACKFILL" || executions[0]["scheduledFor"] != "2026-01-01T00:00:00Z" {
		t.Errorf("the backfill %v made %v", told, executions)
	}
	onAll(t, tenant.Operator, "ExplainJob", object{"jobId": job, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"})

	paused := harness.Must(t, door, "PauseInstance", object{"instanceId": tenant.Instance, "reason": "holidays"})
	if harness.Text(paused, "pause", "reason") != "holidays" {
		t.Errorf("a paused instance is %v", paused)
	}
	still := onAll(t, tenant.Operator, "GetJob", object{"jobId": job})
	if still["state"] != "PAUSED" || harness.Text(still, "pause", "instanceId") != tenant.Instance {
		t.Errorf("the job of a paused instance is %v", still)
	}
	harness.Must(t, door, "ResumeInstance", object{"instanceId": tenant.Instance})
	// The instance's jobs are taken up one by one, soon.
	harness.Wait(t, 10*time.Second, "the job goes on where it was", func() bool {
		again := harness.Must(t, door, "GetJob", object{"jobId": job})
		return again["state"] == "ACTIVE" && again["nextRun"] == to
	})
	onAll(t, tenant.Operator, "GetJob", object{"jobId": job})
}
