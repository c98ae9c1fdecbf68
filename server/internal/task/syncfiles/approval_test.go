package syncfiles

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/server/internal/job"
	"github.com/pointscene/carillon/server/internal/remote"
	"github.com/pointscene/carillon/server/internal/task"
)

// stoppedBy is the approval that a task waits for.
func stoppedBy(t *testing.T, err error, reason string) *task.Approval {
	t.Helper()
	approval, ok := errors.AsType[*task.Approval](err)
	if !ok || approval.Failure.Reason != reason || len(approval.Plans) == 0 {
		t.Fatalf("ended with %v, want an approval for %s", err, reason)
	}
	return approval
}

// goOn runs the task again as after an approval, through JSON as when stored.
func (b *bundle) goOn(t *testing.T, args string, a *task.Approval) (task.Output, error) {
	t.Helper()
	run := b.run
	run.Args, run.Approved = decode(t, args), append(json.RawMessage(nil), a.State...)
	return b.typ["sync.files"].Do(t.Context(), run)
}

func states(r job.TaskReport) (list []job.TaskState) {
	for _, each := range r.Remotes {
		list = append(list, each.State)
	}
	return list
}

func TestStoppedRemoteDoesNotStopTheOthersAndGoesOnAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "full/x": "1", "full/y": "1"})
	const args = `{"resourceId":"res_7","remotes":["a:/src","b:/full","typo:/x","c:/dst"]}`
	_, err := b.do(t, "sync.files", args)
	a := stoppedBy(t, err, remote.ReasonMaxDelete)
	if p := a.Plans[0]; len(a.Plans) != 1 || p.Remote != "b:/full" || p.Task != t.Name() || p.Delete.Files != 2 || p.Copy.Files != 1 || p.Digest == "" {
		t.Errorf("plans %+v", a.Plans)
	}
	if diff := cmp.Diff([]job.TaskState{job.TaskAwaitingApproval, job.TaskFailed, job.TaskSucceeded}, states(b.report)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if got := b.read(t, "dst"); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("the last remote has %v", got)
	}
	b.write(t, map[string]string{"dst/stranger": "1"}) // nothing of the others is done again

	_, err = b.goOn(t, args, a)
	partial, ok := errors.AsType[*task.Partial](err)
	if !ok || partial.Failure.Reason != "REMOTE_NOT_CONFIGURED" {
		t.Fatalf("ended with %v, want a partial success", err)
	}
	if got := b.read(t, "full"); !maps.Equal(got, map[string]string{"a": "1"}) {
		t.Errorf("the approved remote has %v", got)
	}
	if got := b.read(t, "dst"); len(got) != 2 {
		t.Errorf("the last remote has %v", got)
	}
	if diff := cmp.Diff([]job.TaskState{job.TaskSucceeded, job.TaskFailed, job.TaskSucceeded}, states(b.report)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if c := b.report.Counters; c.Copied != 2 || c.Deleted != 2 {
		t.Errorf("counters %+v", c)
	}
}

func TestChangedPlanIsNotCarriedOut(t *testing.T) {
	t.Parallel()
	const args = `{"resourceId":"res_7","remotes":["a:/src","b:/dst"]}`
	for name, change := range map[string]map[string]string{
		"a further deletion": {"dst/more": "1"}, "a further copy": {"src/more": "1"}, "another version": {"src/a": "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.write(t, map[string]string{"src/a": "1", "dst/x": "1"})
			_, err := b.do(t, "sync.files", args)
			a := stoppedBy(t, err, remote.ReasonMaxDelete)
			b.write(t, change)
			before := b.read(t, "dst")
			if _, err = b.goOn(t, args, a); reason(err) != job.ReasonPlanChanged {
				t.Errorf("ended with %v", err)
			}
			if after := b.read(t, "dst"); !maps.Equal(before, after) {
				t.Errorf("destination %v, was %v", after, before)
			}
		})
	}
}

func TestAnotherRootThanLastTime(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "src/b": "1", "dst/a": "1", "wrong/a": "1", "wrong/b": "1", "wrong/precious": "1", "empty/a": "1"})
	const right, wrong = `{"resourceId":"res_7","remotes":["a:/src","b:/dst"]}`, `{"resourceId":"res_7","remotes":["a:/src","b:/wrong"]}`
	if _, err := b.do(t, "sync.files", right); err != nil {
		t.Fatal(err)
	}
	_, err := b.do(t, "sync.files", wrong)
	a := stoppedBy(t, err, remote.ReasonRootChanged)
	if got := b.read(t, "wrong"); len(got) != 3 {
		t.Errorf("the wrong folder has %v", got)
	}
	if _, err := b.goOn(t, wrong, a); err != nil {
		t.Fatal(err)
	}
	b.write(t, map[string]string{"wrong/more": "1"})
	if _, err := b.do(t, "sync.files", wrong); err != nil {
		t.Errorf("once approved, it is the root: %v", err)
	}
	// A folder without anything to delete is nobody's loss.
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/empty"]}`); err != nil {
		t.Error(err)
	}
}

func TestSomeFilesFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "src/blocked": "1", "dst/blocked/f": "1"})
	_, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/dst"],"mode":"copy"}`)
	partial, ok := errors.AsType[*task.Partial](err)
	if !ok || partial.Failure.Reason != remote.ReasonFilesFailed {
		t.Fatalf("ended with %v, want a partial success", err)
	}
	want := []job.FileErrors{{Reason: remote.ReasonInTheWay, Count: 1, Message: "a folder of this name is in the way at the destination", Samples: []string{"blocked"}}}
	if diff := cmp.Diff(want, b.report.FileErrors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	// Every file that was to be changed was announced before.
	if len(b.files.announced) != 1 || b.files.announced[0].Path != "a" || len(b.files.done) != 2 {
		t.Errorf("announced %v, done %v", b.files.announced, b.files.done)
	}
}

func TestBackupDirHasAFolderForEachExecution(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "new", "src/same": "1", "dst/a": "old", "dst/gone": "x", "dst/same": "1"})
	if _, err := b.do(t, "sync.files", `{"resourceId":"res_7","remotes":["a:/src","b:/dst"],"backupDir":"/kept"}`); err != nil {
		t.Fatal(err)
	}
	if got := b.read(t, "dst"); !maps.Equal(got, map[string]string{"a": "new", "same": "1"}) {
		t.Errorf("destination %v", got)
	}
	if got := b.read(t, "kept/exec_1"); !maps.Equal(got, map[string]string{"a": "old", "gone": "x"}) {
		t.Errorf("backup %v", got)
	}
}

func TestBackupDirRefuses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for args, want := range map[string]string{
		`"remotes":["a:/src","b:/dst"],"backupDir":"kept"`:                  "backupDir INVALID_VALUE",
		`"remotes":["a:/src","b:/dst"],"backupDir":"/x/../y"`:               "backupDir INVALID_VALUE",
		`"remotes":["a:/src","b:/dst"],"backupDir":"/dst/old"`:              "backupDir " + remote.ReasonOverlap,
		`"remotes":["a:/src","a:/dst"],"backupDir":"/src/old"`:              "backupDir " + remote.ReasonOverlap,
		`"remotes":["a:/src","b:/dst"],"backupDir":"/kept","mode":"bisync"`: "backupDir INVALID_VALUE",
	} {
		got := violations(b.typ["sync.files"].Check(decode(t, `{"resourceId":"res_7",`+args+`}`)))
		if diff := cmp.Diff([]string{want}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", args, diff)
		}
	}
}

func TestBisyncRemembersBetweenExecutions(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const args = `{"resourceId":"res_7","remotes":["a:/one","b:/two"],"mode":"bisync"}`
	b.write(t, map[string]string{"one/a": "1", "one/b": "1", "one/c": "1", "two/d": "1"})
	sync := func() {
		t.Helper()
		if _, err := b.do(t, "sync.files", args); err != nil {
			t.Fatal(err)
		}
		if one, two := b.read(t, "one"), b.read(t, "two"); !maps.Equal(one, two) {
			t.Fatalf("one has %v, two %v", one, two)
		}
	}
	sync()
	if err := os.Remove(filepath.Join(b.root, "two/a")); err != nil {
		t.Fatal(err)
	}
	b.write(t, map[string]string{"one/d": "changed", "two/e": "1"})
	sync()
	if got := b.read(t, "one"); !maps.Equal(got, map[string]string{"b": "1", "c": "1", "d": "changed", "e": "1"}) {
		t.Errorf("both have %v", got)
	}
	// A job that has forgotten deletes nothing.
	clear(b.memory)
	if err := os.Remove(filepath.Join(b.root, "two/b")); err != nil {
		t.Fatal(err)
	}
	sync()
	if got := b.read(t, "two"); got["b"] != "1" {
		t.Errorf("both have %v", got)
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.write(t, map[string]string{"src/a": "1", "src/b": "22", "dst/b": "old", "dst/x": "1", "dst/y": "1", "dst/z": "1"})
	run := b.run
	run.Args = decode(t, `{"resourceId":"res_7","remotes":["a:/src","b:/dst","typo:/x"]}`)
	run.Files, run.Report = nil, nil // a plan tells nothing
	plans, _, err := b.typ["sync.files"].(task.Planner).Plan(t.Context(), run)
	if err != nil || len(plans) != 2 {
		t.Fatalf("%v, %v", plans, err)
	}
	if plans[0].Guard == nil || plans[0].Guard.Reason != remote.ReasonMaxDelete || plans[1].Error == nil || plans[1].Error.Reason != "REMOTE_NOT_CONFIGURED" {
		t.Errorf("guard %v, error %v", plans[0].Guard, plans[1].Error)
	}
	plans[0].Guard, plans[0].Digest = nil, ""
	for _, samples := range []*[]string{&plans[0].Delete.Samples} {
		if len(*samples) != 3 {
			t.Errorf("samples %v", *samples)
		}
		*samples = nil
	}
	want := job.Plan{
		Task: t.Name(), Remote: "b:/dst", Found: 2,
		Copy: job.PlanPart{Files: 1, Bytes: 1, Samples: []string{"a"}}, Update: job.PlanPart{Files: 1, Bytes: 2, Samples: []string{"b"}},
		Delete: job.PlanPart{Files: 3, Bytes: 3},
	}
	if diff := cmp.Diff(want, plans[0]); diff != "" {
		t.Errorf("plan (-want +got):\n%s", diff)
	}
	if got := b.read(t, "dst"); len(got) != 4 || len(b.memory) > 0 {
		t.Errorf("destination %v, memory %v", got, b.memory)
	}
}
