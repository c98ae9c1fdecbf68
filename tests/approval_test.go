package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// put writes files below a folder.
func put(t *testing.T, root string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("1"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// under lists the files below a folder.
func under(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// mirror is a task that makes dst like src, two folders of a local remote.
func mirror(n *harness.Tenant, folder string) object {
	return object{"name": "sync", "type": "sync.files", "args": object{
		"resourceId": n.Resource, "remotes": []any{"a:/" + folder + "/src", "b:/" + folder + "/dst"},
	}}
}

func inState(state string) func(object) bool {
	return func(e object) bool { return e["state"] == state }
}

// The cases of a guard, each through every door: what would be deleted is
// known before, the execution waits with its plan, another plan can't be
// approved, and the approved one is done.
func TestGuardsOnEveryDoor(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", root}})
	operator := server.As(server.Token(t, "operator"))
	for i, door := range operator.Doors() {
		t.Run(door.Name(), func(t *testing.T) {
			t.Parallel()
			tenant := operator.NewTenant(t) // one makes only so many plans at a time
			harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource,
				"config": object{"a": object{"type": "local"}, "b": object{"type": "local"}}})
			guardStory(t, tenant, door, root, fmt.Sprint("door", i))
			guardCases(t, tenant, door, root, fmt.Sprint("cases", i))
		})
	}
}

// guardCases are the guards that ask nobody, another root than before, and a
// plan that is no longer the one that was approved.
func guardCases(t *testing.T, tenant *harness.Tenant, door harness.Door, root, folder string) {
	t.Helper()
	empty, missing, moved, changed := folder+"/empty", folder+"/missing", folder+"/moved", folder+"/changed"
	put(t, root, empty+"/dst/kept", missing+"/dst/kept", moved+"/src/a", moved+"/other/b", changed+"/src/a", changed+"/dst/b", changed+"/dst/c", changed+"/dst/d")
	if err := os.MkdirAll(filepath.Join(root, empty, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	wantAt := func(dir string, names ...string) {
		t.Helper()
		if diff := cmp.Diff(names, under(t, filepath.Join(root, dir))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", dir, diff)
		}
	}
	for at, reason := range map[string]string{empty: "SOURCE_EMPTY", missing: "SOURCE_MISSING"} {
		job := tenant.Create(t, nil, mirror(tenant, at))
		plan := harness.List(harness.Must(t, door, "PlanJob", object{"jobId": job}), "plans")[0]
		if harness.Text(plan, "guard", "reason") != reason && harness.Text(plan, "error", "reason") != reason {
			t.Errorf("the plan is %v, want %s", plan, reason)
		}
		execution := tenant.Run(t, job)
		tenant.End(t, execution)
		ended := harness.Must(t, door, "GetExecution", object{"executionId": execution})
		if ended["state"] != "FAILED" || harness.Text(ended, "error", "reason") != reason {
			t.Errorf("ended %v: %v, want %s", ended["state"], ended["error"], reason)
		}
		if refusal := harness.Refused(t, door, "ApproveExecution", object{"executionId": execution, "digest": "x"}); refusal.Code != "FAILED_PRECONDITION" {
			t.Errorf("approving what can't be: %v", refusal)
		}
		wantAt(at+"/dst", "kept")
	}

	stopped := func(job, reason string) (execution, digest string) {
		t.Helper()
		execution = tenant.Run(t, job)
		tenant.Reaches(t, execution, func(e object) bool { return e["state"] == "AWAITING_APPROVAL" || e["finishedAt"] != nil })
		waiting := harness.Must(t, door, "GetExecution", object{"executionId": execution})
		if waiting["state"] != "AWAITING_APPROVAL" || harness.Text(waiting, "error", "reason") != reason {
			t.Fatalf("is %v: %v, want to wait for %s", waiting["state"], waiting["error"], reason)
		}
		return execution, harness.Text(waiting, "approval", "digest")
	}
	all := func(dst string) object {
		task := mirror(tenant, moved)
		args := task["args"].(object)
		args["maxDelete"], args["remotes"] = "100%", []any{"a:/" + moved + "/src", "b:/" + moved + "/" + dst}
		return task
	}
	job := tenant.Create(t, nil, all("dst"))
	if ended := tenant.End(t, tenant.Run(t, job)); ended["state"] != "SUCCEEDED" {
		t.Fatalf("the first sync: %v", ended)
	}
	harness.Must(t, door, "UpdateJob", object{"job": object{"id": job, "instanceId": tenant.Instance, "workflow": object{"tasks": []any{all("other")}}}})
	execution, digest := stopped(job, "DESTINATION_CHANGED")
	wantAt(moved+"/other", "b")
	harness.Must(t, door, "ApproveExecution", object{"executionId": execution, "digest": digest})
	if ended := tenant.End(t, execution); ended["state"] != "SUCCEEDED" {
		t.Errorf("the approved one: %v", ended)
	}
	wantAt(moved+"/other", "a")

	execution, digest = stopped(tenant.Create(t, nil, mirror(tenant, changed)), "MAX_DELETE_EXCEEDED")
	put(t, root, changed+"/dst/e")
	harness.Must(t, door, "ApproveExecution", object{"executionId": execution, "digest": digest})
	tenant.End(t, execution)
	if ended := harness.Must(t, door, "GetExecution", object{"executionId": execution}); ended["state"] != "FAILED" || harness.Text(ended, "error", "reason") != "PLAN_CHANGED" {
		t.Errorf("another plan than approved: %v", ended)
	}
	wantAt(changed+"/dst", "b", "c", "d", "e")
}

// Nobody answers in time, which is told on every door and counts as no failure.
func TestApprovalExpires(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	tenant := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", root, "--approval-timeout", "1s"}}).NewTenant(t)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource,
		"config": object{"a": object{"type": "local"}, "b": object{"type": "local"}}})
	put(t, root, "x/src/a", "x/dst/b", "x/dst/c")
	job := tenant.Create(t, object{"pauseAfterFailures": 1}, mirror(tenant, "x"))
	execution := tenant.Run(t, job)
	tenant.End(t, execution)
	ended := onAll(t, tenant.Operator, "GetExecution", object{"executionId": execution}, "signedLogUrl")
	if ended["state"] != "FAILED" || harness.Text(ended, "error", "reason") != "APPROVAL_EXPIRED" || harness.Text(ended, "approval", "state") != "EXPIRED" {
		t.Errorf("ended %v", ended)
	}
	for _, door := range tenant.Operator.Doors() {
		refusal := harness.Refused(t, door, "ApproveExecution", object{"executionId": execution, "digest": harness.Text(ended, "approval", "digest")})
		if refusal.Code != "FAILED_PRECONDITION" {
			t.Errorf("%s: approving too late: %v", door.Name(), refusal)
		}
	}
	if got := harness.Must(t, tenant.Operator.GRPCDoor(), "GetJob", object{"jobId": job}); got["state"] != "ACTIVE" {
		t.Errorf("the job is %v", got["state"])
	}
	if got := under(t, filepath.Join(root, "x/dst")); len(got) != 2 {
		t.Errorf("the destination has %v", got)
	}
}

func guardStory(t *testing.T, tenant *harness.Tenant, door harness.Door, root, folder string) {
	put(t, root, folder+"/src/kept", folder+"/src/new", folder+"/dst/kept", folder+"/dst/x/1", folder+"/dst/x/2")
	job := tenant.Create(t, nil, mirror(tenant, folder), object{"name": "after", "type": "util.noop", "inputs": "sync"})

	for rpc, request := range map[string]object{"PlanJob": {"jobId": job}, "RunJob": {"jobId": job, "validateOnly": true}} {
		plans := harness.List(harness.Must(t, door, rpc, request), "plans")
		if len(plans) != 1 || harness.Text(plans[0], "guard", "reason") != "MAX_DELETE_EXCEEDED" || harness.Text(plans[0], "remote") != "b:/"+folder+"/dst" {
			t.Fatalf("%s answers %v", rpc, plans)
		}
		if got := fmt.Sprint(sorted(plans[0]["delete"])); got != "map[bytes:2 files:2 samples:[x/1 x/2]]" {
			t.Errorf("%s: deletions %s", rpc, got)
		}
	}
	if list := harness.List(harness.Must(t, tenant.Operator.GRPCDoor(), "ListExecutions", object{"jobId": job}), "executions"); len(list) > 0 {
		t.Fatalf("a plan has made %v", list)
	}

	stopped := tenant.Run(t, job)
	tenant.Reaches(t, stopped, inState("AWAITING_APPROVAL"))
	waiting := harness.Must(t, door, "GetExecution", object{"executionId": stopped})
	digest := harness.Text(waiting, "approval", "digest")
	if harness.Text(waiting, "error", "reason") != "MAX_DELETE_EXCEEDED" || harness.Text(waiting, "approval", "state") != "PENDING" || digest == "" || waiting["success"] != nil {
		t.Fatalf("waiting: %v", waiting)
	}
	for rpc, request := range map[string]object{
		"ApproveExecution": {"executionId": stopped, "digest": "of a stale page"},
		"RunJob":           {"jobId": job},
	} {
		if refusal := harness.Refused(t, door, rpc, request); refusal.Code != "FAILED_PRECONDITION" {
			t.Errorf("%s while it waits: %v", rpc, refusal)
		}
	}
	if got := under(t, filepath.Join(root, folder, "dst")); len(got) != 3 {
		t.Fatalf("something was changed: %v", got)
	}

	harness.Must(t, door, "ApproveExecution", object{"executionId": stopped, "digest": digest})
	ended := tenant.End(t, stopped)
	if ended["state"] != "SUCCEEDED" || harness.Text(ended, "approval", "decidedBy") == "" {
		t.Errorf("ended: %v", ended)
	}
	counters := harness.List(harness.Must(t, door, "GetExecution", object{"executionId": stopped}), "tasks")[0]["counters"].(object)
	want := "map[bytes:1 conflicts:0 copied:1 deleted:2 failed:0 found:2 skipped:1 totalBytes:1 totalFiles:3 updated:0]"
	if got := fmt.Sprint(counters); got != want {
		t.Errorf("counters %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{"kept", "new"}, under(t, filepath.Join(root, folder, "dst"))); diff != "" {
		t.Errorf("destination (-want +got):\n%s", diff)
	}
	files := harness.List(harness.Must(t, door, "ListExecutionFiles", object{"executionId": stopped, "action": "DELETE", "state": "DONE", "pathPrefix": "x/"}), "files")
	if len(files) != 2 || files[0]["size"] != "1" {
		t.Errorf("records of deletions: %v", files)
	}
	all := 0
	for token := ""; ; {
		page := harness.Must(t, door, "ListExecutionFiles", object{"executionId": stopped, "pageSize": 2, "pageToken": token})
		all += len(harness.List(page, "files"))
		if token, _ = page["nextPageToken"].(string); token == "" {
			break
		}
	}
	if all != 3 {
		t.Errorf("%d records, want one for each file that was changed", all)
	}

	put(t, root, folder+"/dst/y/1", folder+"/dst/y/2", folder+"/dst/y/3")
	refused := tenant.Run(t, job)
	tenant.Reaches(t, refused, inState("AWAITING_APPROVAL"))
	answer := harness.Must(t, door, "RejectExecution", object{"executionId": refused, "reason": "not today"})
	if answer["state"] != "FAILED" || harness.Text(answer, "error", "reason") != "PLAN_REJECTED" {
		t.Errorf("rejected: %v", answer)
	}
	if got := under(t, filepath.Join(root, folder, "dst")); len(got) != 5 {
		t.Errorf("destination after the rejection: %v", got)
	}
}

// sorted sorts the samples of a part: folders are compared side by side.
func sorted(part any) any {
	samples := part.(object)["samples"].([]any)
	if len(samples) == 2 && samples[0].(string) > samples[1].(string) {
		samples[0], samples[1] = samples[1], samples[0]
	}
	return part
}

// What waits for approval outlives the replica that stopped it, and a killed
// replica loses no record: another one makes the rest, and every file has one.
func TestApprovalAndRecordsOutliveReplicas(t *testing.T) {
	t.Parallel()
	const count = 1500
	root := t.TempDir()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: []string{"--local-remote-root", root}})
	tenant := replicas[0].NewTenant(t)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource,
		"config": object{"a": object{"type": "local"}, "b": object{"type": "local"}}})
	var names []string
	for i := range count {
		names = append(names, fmt.Sprintf("m/src/%02d/%d", i%50, i))
	}
	put(t, root, append(names, "m/dst/old/1", "m/dst/old/2")...)
	retry := object{"retryPolicy": object{"retryCount": 5, "minBackoff": "1s", "maxBackoff": "1s"}}
	job := tenant.Create(t, retry, mirror(tenant, "m"))
	execution := tenant.Run(t, job)
	waiting := tenant.Reaches(t, execution, inState("AWAITING_APPROVAL"))
	replicas[1].Kill(t) // whichever ran it: what waits is in the database
	again := replicas[1].Again(t)
	harness.Must(t, again.As(again.Token(t, "operator")).GRPCDoor(), "ApproveExecution",
		object{"executionId": execution, "digest": harness.Text(waiting, "approval", "digest")})
	door := tenant.Operator.GRPCDoor()
	harness.Wait(t, 30*time.Second, "some files were copied", func() bool {
		entries, _ := os.ReadDir(filepath.Join(root, "m/dst"))
		return len(entries) > 3
	})
	again.Kill(t)
	end := tenant.Reaches(t, execution, func(e object) bool {
		return e["state"] == "SUCCEEDED" || e["state"] == "FAILED" || e["state"] == "AWAITING_APPROVAL"
	})
	// If the killed one had it, the rest is another plan and waits once more.
	if end["state"] == "AWAITING_APPROVAL" {
		harness.Must(t, door, "ApproveExecution", object{"executionId": execution, "digest": harness.Text(end, "approval", "digest")})
		end = tenant.End(t, execution)
	}
	if end["state"] != "SUCCEEDED" {
		t.Fatalf("ended %v: %v", end["state"], end["error"])
	}
	// What a killed writer left in parts is no file to anybody.
	got := slices.DeleteFunc(under(t, filepath.Join(root, "m/dst")), func(name string) bool {
		return strings.HasPrefix(filepath.Base(name), ".carillon-") && strings.HasSuffix(name, ".partial")
	})
	if len(got) != count {
		t.Errorf("%d files at the destination, want %d", len(got), count)
	}
	records, err := harness.All(t.Context(), door, "ListExecutionFiles", "files", object{"executionId": execution, "pageSize": 1000})
	if err != nil {
		t.Fatal(err)
	}
	recorded := map[any]bool{}
	for _, r := range records {
		recorded[r["path"]] = true
	}
	if len(recorded) != count+2 {
		t.Errorf("%d files have a record, want all %d", len(recorded), count+2)
	}
}
