package tests

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// copyTask copies between two folders of the tenant's disk.
func copyTask(tenant *harness.Tenant, from, to string) object {
	return object{"name": "copy", "type": "sync.files", "args": object{
		"resourceId": tenant.Resource, "mode": "copy", "remotes": []any{"disk:" + from, "disk:" + to},
	}}
}

// active is how many executions a replica has claimed.
func active(t *testing.T, s *harness.Server) string {
	t.Helper()
	answer, err := http.Get("http://" + s.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if n, found := strings.CutPrefix(line, "carillon_executions_active "); found {
			return strings.TrimSpace(n)
		}
	}
	t.Fatal("there is no such metric")
	return ""
}

// One execution writes a folder at a time, whichever replica runs it: another
// one waits and says for whom, or is refused; and when the replica dies with the
// first, the second gets its turn.
func TestOneWritesAFolderAtATime(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "in", "a"), []byte("1"), 0o644); err != nil {
		t.Fatal(err)
	}
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: []string{"--local-remote-root", root}})
	tenant := replicas[0].NewTenant(t)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{"disk": object{"type": "local"}}})
	rest := harness.Sleep("rest", time.Hour)
	rest["inputs"] = []any{"copy"}
	running := tenant.Run(t, tenant.Create(t, nil, copyTask(tenant, "/in", "/out"), rest))
	tenant.Reaches(t, running, func(e object) bool { return e["state"] == "RUNNING" })

	patient := tenant.Create(t, object{"overlapPolicy": "BUFFER_ONE"}, copyTask(tenant, "/in", "/out/deep"))
	waits := tenant.Run(t, patient)
	tenant.Reaches(t, waits, func(e object) bool { return e["waitingFor"] != nil })
	told := onAll(t, tenant.Operator, "GetExecution", object{"executionId": waits}, "signedLogUrl")
	if told["state"] != "QUEUED" || harness.Text(told, "waitingFor", "reason") != "REMOTE_BUSY" || harness.Text(told, "waitingFor", "executionId") != running {
		t.Errorf("the execution that waits is %v", told)
	}
	explained := onAll(t, tenant.Operator, "ExplainJob", object{"jobId": patient})
	if list := harness.List(explained, "explanations"); len(list) != 1 || !strings.Contains(harness.Text(list[0], "text"), "waits for "+running) {
		t.Errorf("it is explained as %v", explained)
	}
	hasty := tenant.Create(t, nil, copyTask(tenant, "/out", "/elsewhere"))
	for _, door := range tenant.Operator.Doors() {
		if r := harness.Refused(t, door, "RunJob", object{"jobId": hasty}); r.Code != "FAILED_PRECONDITION" || r.Reason != "REMOTE_BUSY" {
			t.Errorf("a run by %s under SKIP: %v", door.Name(), r)
		}
	}
	beside := tenant.Run(t, tenant.Create(t, nil, copyTask(tenant, "/in", "/beside")))
	if e := tenant.End(t, beside); e["state"] != "SUCCEEDED" {
		t.Errorf("one that reads the same source ended %v", e)
	}

	dies, lives := replicas[0], replicas[1]
	harness.Wait(t, 10*time.Second, "one replica has the first, and the other none", func() bool {
		if active(t, dies) == "0" {
			dies, lives = lives, dies
		}
		return active(t, dies) != "0" && active(t, lives) == "0"
	})
	dies.Kill(t)
	survivor := &harness.Tenant{Server: lives, Operator: lives.As(tenant.Operator.Token), Instance: tenant.Instance, Resource: tenant.Resource}
	first, second := survivor.End(t, running), survivor.End(t, waits)
	if first["state"] != "WORKER_LOST" || second["state"] != "SUCCEEDED" || harness.Text(second, "startedAt") < harness.Text(first, "finishedAt") {
		t.Errorf("the first ended %v and the second %v", first, second)
	}
	if text, err := os.ReadFile(filepath.Join(root, "out", "deep", "a")); err != nil || string(text) != "1" {
		t.Errorf("the second copied %q, %v", text, err)
	}
}
