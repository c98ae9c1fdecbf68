package tests

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// killed runs a command on a server's database and ends it without any warning
// after a while; it tells whether the command had ended before.
func killed(t *testing.T, server *harness.Server, after time.Duration, args ...string) (ended bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Program(), append(args, "--data-dir", server.DataDir)...) // Cancel is kill -9
	cmd.Dir = t.TempDir()
	return cmd.Run() == nil
}

// kill -9 of the command, and of the server, at any moment of every step of a
// rotation: each step is finished by running it again, and every config opens
// all the time.
func TestKillOfTheKeysCommand(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	root := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", root}})
	c := newCopying(t, server, root)
	door := c.tenant.Operator.GRPCDoor()
	for n := range 40 {
		config := object{}
		for k := range 25 {
			config[fmt.Sprintf("r%d-%d", n, k)] = object{"type": "s3", "access_key_id": "a", "secret_access_key": "b", "provider": "Other", "region": "x"}
		}
		harness.Must(t, door, "AddConfig", object{"resourceId": c.tenant.Resource, "config": config})
	}
	opens := func(step string) {
		t.Helper()
		if e := c.tenant.End(t, c.tenant.Run(t, c.job)); e["state"] != "SUCCEEDED" {
			t.Fatalf("%s: an execution ends %v: %v", step, e["state"], e["error"])
		}
	}
	old := primaryKey(t, door)
	moments := []time.Duration{30, 60, 90, 150, 300} // milliseconds: from the start of the program to past its end
	fresh, kills, late := "", 0, 0
	for _, step := range [][]string{{"add"}, {"promote", "FRESH"}, {"rewrap"}, {"disable", "OLD"}, {"destroy", "OLD", "--force"}} {
		args := []string{"keys"}
		for _, arg := range step {
			args = append(args, strings.NewReplacer("FRESH", fresh, "OLD", old).Replace(arg))
		}
		for _, moment := range moments {
			kills++
			if killed(t, server, moment*time.Millisecond, args...) {
				late++
			}
		}
		opens(step[0] + ", killed")
		server.Kill(t)
		server = server.Again(t)
		c.tenant.Server, c.tenant.Operator = server, server.As(c.tenant.Operator.Token)
		door = c.tenant.Operator.GRPCDoor()
		opens(step[0] + ", after a kill of the server")
		result := harness.Result{Code: -1}
		// A killed command is waited for until its report ends.
		if !harness.Within(time.Minute, func() bool { result = server.Command(t, args...); return result.Code == 0 }) {
			t.Fatalf("%v never ends: %s", args, result.Stderr)
		}
		if step[0] == "add" {
			fresh = strings.TrimSpace(result.Stdout)
		}
		opens(step[0])
	}
	t.Logf("%d kills of the command, %d of them after its end", kills, late)
	if late == kills {
		t.Errorf("all of %d kills came too late: the story tells nothing", kills)
	}
	states := map[string]int{}
	for _, key := range harness.List(harness.Must(t, door, "ListKeys", object{}), "keys") {
		states[harness.Text(key, "state")]++
		if harness.Text(key, "id") == old && key["state"] != "DESTROYED" {
			t.Errorf("the old key: %v", key)
		}
	}
	if states["PRIMARY"] != 1 || states["DESTROYED"] != 1 || primaryKey(t, door) != fresh {
		t.Errorf("keys end %v", states)
	}
	remotes := harness.List(harness.Must(t, door, "GetConfig", object{"resourceId": c.tenant.Resource}), "remotes")
	if len(remotes) != 1001 {
		t.Errorf("%d remotes are left of 1001", len(remotes))
	}
}
