package tests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// keysCommand runs `carillon keys` on a server's database and keyset.
func keysCommand(t *testing.T, server *harness.Server, args ...string) string {
	t.Helper()
	result := server.Command(t, append([]string{"keys"}, args...)...)
	if result.Code != 0 {
		t.Fatalf("carillon keys %s ended with %d: %s", strings.Join(args, " "), result.Code, result.Stderr)
	}
	return strings.TrimSpace(result.Stdout)
}

// primaryKey is the key that seals.
func primaryKey(t *testing.T, door harness.Door) string {
	t.Helper()
	for _, key := range harness.List(harness.Must(t, door, "ListKeys", object{}), "keys") {
		if key["state"] == "PRIMARY" {
			return harness.Text(key, "id")
		}
	}
	t.Fatal("no key seals")
	return ""
}

// copying is a tenant whose jobs open a stored config each time they run.
type copying struct {
	tenant *harness.Tenant
	job    string
	done   atomic.Int64
	failed atomic.Int64
	mu     sync.Mutex
	first  error
}

func newCopying(t *testing.T, server *harness.Server, root string) *copying {
	t.Helper()
	c := &copying{tenant: server.NewTenant(t)}
	if err := os.MkdirAll(filepath.Join(root, "from"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "from", "a.txt"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	harness.Must(t, c.tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": c.tenant.Resource, "config": object{"disk": object{"type": "local"}}})
	c.job = c.tenant.Create(t, object{"overlapPolicy": "ALLOW"}, object{"name": "copy", "type": "sync.files", "args": object{
		"resourceId": c.tenant.Resource, "remotes": []any{"disk:/from", "disk:/to"},
	}})
	return c
}

func (c *copying) failure(err error) {
	c.failed.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = err
	}
}

// load writes configs, reads them and runs jobs on each server until ctx ends.
// unsure tells whether calls may go without an answer, as those of a killed
// server do.
func (c *copying) load(ctx context.Context, servers []*harness.Server, unsure func() bool) *sync.WaitGroup {
	var working sync.WaitGroup
	for i, server := range servers {
		caller := server.As(c.tenant.Operator.Token)
		for k, door := range []harness.Door{caller.GRPCDoor(), caller.RESTDoor(), caller.GraphQLDoor(false)} {
			working.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					err := c.step(ctx, door, fmt.Sprintf("w%d-%d", i, k), n)
					var refused *harness.Refusal
					switch {
					case err == nil:
						c.done.Add(1)
					case ctx.Err() != nil, unsure() && (!errors.As(err, &refused) || refused.Code == "UNAVAILABLE"):
					default:
						c.failure(err)
					}
				}
			})
		}
	}
	return &working
}

func (c *copying) step(ctx context.Context, door harness.Door, name string, n int) error {
	config := object{name: object{"type": "s3", "region": fmt.Sprint("r", n), "access_key_id": "a", "secret_access_key": "b", "provider": "Other"}}
	if _, err := door.Call(ctx, "AddConfig", object{"resourceId": c.tenant.Resource, "config": config}); err != nil {
		return fmt.Errorf("AddConfig by %s: %w", door.Name(), err)
	}
	run, err := door.Call(ctx, "RunJob", object{"jobId": c.job})
	if err != nil {
		return fmt.Errorf("RunJob by %s: %w", door.Name(), err)
	}
	if _, err := door.Call(ctx, "GetConfig", object{"resourceId": c.tenant.Resource}); err != nil {
		return fmt.Errorf("GetConfig by %s: %w", door.Name(), err)
	}
	// Whoever asks waits for the end, or the load would be as large as the
	// machine is slow at it.
	var failed error
	harness.Within(time.Minute, func() bool {
		var e object
		e, failed = door.Call(ctx, "GetExecution", object{"executionId": run["id"]})
		return failed != nil || e["finishedAt"] != nil
	})
	return failed
}

// check wants every execution to have opened its config.
func (c *copying) check(t *testing.T, server *harness.Server, allowed ...string) {
	t.Helper()
	door := server.As(c.tenant.Operator.Token).GRPCDoor()
	counts := map[string]int{}
	var executions []object
	ended := harness.Within(time.Minute, func() bool {
		var err error
		if executions, err = harness.All(t.Context(), door, "ListExecutions", "executions", object{"jobId": c.job}); err != nil {
			t.Fatal(err)
		}
		for _, e := range executions {
			if e["finishedAt"] == nil {
				return false
			}
		}
		return true
	})
	if !ended {
		t.Error("some executions stay open")
	}
	for _, e := range executions {
		state := harness.Text(e, "state")
		counts[state]++
		if state != "SUCCEEDED" && !strings.Contains(strings.Join(allowed, " "), state) {
			t.Errorf("%s ended %s: %v", e["id"], state, e["error"])
		}
	}
	t.Logf("%d rounds of calls, %d failed; executions ended %v", c.done.Load(), c.failed.Load(), counts)
	if c.failed.Load() > 0 {
		t.Errorf("%d calls failed, the first: %v", c.failed.Load(), c.first)
	}
	if c.done.Load() == 0 || counts["SUCCEEDED"] == 0 {
		t.Error("nothing happened: the story tells nothing")
	}
}

// A whole rotation of every key on two replicas, while jobs run and configs
// change through every door: no call and no execution fails.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: []string{"--local-remote-root", root}})
	c := newCopying(t, replicas[0], root)
	operator := replicas[0].As(c.tenant.Operator.Token)
	old := primaryKey(t, operator.GRPCDoor())

	ctx, stop := context.WithCancel(t.Context())
	working := c.load(ctx, replicas, func() bool { return false })
	fresh := keysCommand(t, replicas[0], "add")
	keysCommand(t, replicas[1], "promote", fresh)
	keysCommand(t, replicas[1], "rotate-tokens")
	keysCommand(t, replicas[0], "rotate-links")
	harness.Wait(t, time.Minute, "the old key is out of use", func() bool {
		// A replica may seal with the old one until it has followed.
		keysCommand(t, replicas[0], "rewrap")
		return replicas[1].Command(t, "keys", "disable", old).Code == 0
	})
	if result := replicas[0].Command(t, "keys", "destroy", old); result.Code == 0 || !strings.Contains(result.Stderr, "force") {
		t.Errorf("a key is destroyed at once: %d %s", result.Code, result.Stderr)
	}
	keysCommand(t, replicas[0], "destroy", old, "--force")
	for _, replica := range replicas { // both go on without the old key
		if at := primaryKey(t, replica.As(c.tenant.Operator.Token).RESTDoor()); at != fresh {
			t.Errorf("%s seals, want %s", at, fresh)
		}
	}
	before := c.done.Load()
	harness.Wait(t, time.Minute, "the load goes on", func() bool { return c.done.Load() > before+20 })
	stop()
	working.Wait()
	c.check(t, replicas[0])
	list := keysCommand(t, replicas[1], "list")
	if !strings.Contains(list, "DESTROYED") || strings.Count(list, "token") != 2 || strings.Count(list, "link") != 2 {
		t.Errorf("keys list says:\n%s", list)
	}
}

// kill -9 at any moment of a rotation, of a replica and of the command, loses
// nothing: the steps are repeated, and every config still opens.
func TestKillInsideRotation(t *testing.T) {
	t.Parallel()
	rounds := roundsOf(1, 30)
	root := t.TempDir()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: []string{"--local-remote-root", root}})
	c := newCopying(t, replicas[0], root)
	for range rounds {
		door := replicas[1].As(c.tenant.Operator.Token).RESTDoor()
		old := primaryKey(t, door)
		ctx, stop := context.WithCancel(t.Context())
		before := c.done.Load()
		working := c.load(ctx, replicas, func() bool { return true })
		harness.Wait(t, time.Minute, "the load runs", func() bool { return c.done.Load() > before })
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			time.Sleep(moment(0, 1500*time.Millisecond))
			replicas[0].Kill(t)
		}()
		fresh := harness.Text(harness.Must(t, door, "AddKey", object{}), "id")
		// The dead one counts as living for a while, and holds the key or not.
		harness.Wait(t, time.Minute, "the new key is promoted", func() bool {
			_, err := door.Call(t.Context(), "PromoteKey", object{"keyId": fresh})
			return err == nil
		})
		<-killed
		harness.Wait(t, 2*time.Minute, "the old key is out of use", func() bool {
			_, err := door.Call(t.Context(), "RewrapKeys", object{})
			if err != nil {
				return false
			}
			_, err = door.Call(t.Context(), "DisableKey", object{"keyId": old})
			return err == nil
		})
		stop()
		working.Wait()
		replicas[0] = replicas[0].Again(t)
	}
	run := c.tenant.Run
	c.tenant.Operator = replicas[0].As(c.tenant.Operator.Token)
	if e := c.tenant.End(t, run(t, c.job)); e["state"] != "SUCCEEDED" {
		t.Errorf("after %d rounds an execution ends %v: %v", rounds, e["state"], e["error"])
	}
	c.check(t, replicas[0], "WORKER_LOST")
}
