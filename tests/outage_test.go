package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// held is an outside whose calls end when it lets them go.
type held struct {
	*httptest.Server
	release func()
}

func newHeld(t *testing.T) *held {
	free := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-free:
		case <-r.Context().Done():
		}
	}))
	h := &held{server, sync.OnceFunc(func() { close(free) })}
	t.Cleanup(func() { h.release(); server.Close() })
	return h
}

// crew is some replicas of one database with executions that run on each.
type crew struct {
	*load
	replicas []*harness.Server
	// ending are executions that end when outside lets them go, long ones those
	// that don't end by themselves: one of each on each replica.
	ending, long []string
	outside      *held
}

// newCrew runs two executions on each replica: the others stand still meanwhile.
func newCrew(t *testing.T, replicas ...*harness.Server) *crew {
	c := &crew{load: newLoad(t, replicas[0].NewTenant(t)), replicas: replicas, outside: newHeld(t)}
	long := c.tenant.Create(t, object{"name": "/long", "overlapPolicy": "ALLOW"}, harness.Sleep("work", 10*time.Minute))
	for i, replica := range replicas {
		ending := c.tenant.Create(t, nil, patiently(harness.Get("call", c.outside.URL)), behind(harness.Get("told", c.sink.URL+fmt.Sprint("/ending/", i)), "call"))
		others := slices.DeleteFunc(slices.Clone(replicas), func(s *harness.Server) bool { return s == replica })
		for _, other := range others {
			other.Signal(t, syscall.SIGSTOP)
		}
		door := replica.As(c.tenant.Operator.Token).GRPCDoor()
		for _, run := range []struct {
			job  string
			made *[]string
		}{{ending, &c.ending}, {long, &c.long}} {
			execution := harness.Text(harness.Must(t, door, "RunJob", object{"jobId": run.job}), "id")
			*run.made = append(*run.made, execution)
			harness.Wait(t, 20*time.Second, execution+" runs", func() bool {
				return harness.Must(t, door, "GetExecution", object{"executionId": execution})["startedAt"] != nil
			})
		}
		for _, other := range others {
			other.Signal(t, syscall.SIGCONT)
		}
	}
	return c
}

// toldByTwo tells whether the first two replicas have ended what the outside held.
func (c *crew) toldByTwo() bool {
	return len(c.sink.Of("/ending/0")) == 1 && len(c.sink.Of("/ending/1")) == 1
}

// behind makes a task wait for another one.
func behind(task object, other string) object {
	task["inputs"] = other
	return task
}

// ended wants an execution to end in a state.
func (c *crew) ended(t *testing.T, by *harness.Server, execution, state string) {
	t.Helper()
	door := by.As(c.tenant.Operator.Token).GRPCDoor()
	var last object
	harness.Wait(t, 20*time.Second, execution+" has ended", func() bool {
		answer, err := door.Call(t.Context(), "GetExecution", object{"executionId": execution})
		if err == nil {
			last = answer
		}
		return err == nil && last["finishedAt"] != nil
	})
	if last["state"] != state {
		t.Errorf("%s ended as %v, want %s", execution, last, state)
	}
}

// outageTime is longer than a lease.
const outageTime = 15 * time.Second

// When the database was away for longer than a lease, whoever is back first gives
// the others time to store what ended meanwhile; one that was killed is buried all
// the same.
func TestOutageLongerThanALease(t *testing.T) {
	t.Parallel()
	direct, err := url.Parse(pgtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	var relays []*relay
	through := func() string {
		r := newRelay(t, direct.Host)
		relays = append(relays, r)
		address := *direct
		address.Host = r.address
		return address.String()
	}
	early := harness.StartReplicas(t, 1, through(), harness.Options{Flags: harness.Loopback, Errors: true})[0]
	late, killed := early.Beside(t, "--database-url", through()), early.Beside(t, "--database-url", through())
	c := newCrew(t, early, late, killed)

	for _, r := range relays {
		r.shut()
	}
	away := time.Now()
	killed.Kill(t)
	c.outside.release()
	harness.Wait(t, 10*time.Second, "what ends meanwhile has told the outside", c.toldByTwo)
	until(t, away.Add(outageTime))
	said := len(early.Log())
	relays[0].reopen()
	back := time.Now()
	harness.Wait(t, 20*time.Second, "the first replica is back", func() bool { return strings.Contains(early.Log()[said:], "msg=registered") })
	until(t, time.Now().Add(3*time.Second)) // it looks for dead replicas five times a second
	relays[1].reopen()
	relays[2].reopen()

	c.ended(t, early, c.ending[0], "SUCCEEDED")
	c.ended(t, early, c.ending[1], "SUCCEEDED")
	for _, execution := range slices.Concat(c.long, c.ending[2:]) {
		c.ended(t, early, execution, "WORKER_LOST")
	}
	t.Logf("the killed replica's executions ended %s after the database was back", time.Since(back))
	c.tenant.End(t, c.tenant.Run(t, c.tenant.Create(t, nil, harness.Noop("a"))))
	c.sink.Check(t)
	healthy(t, early)
}

// The same when the database stops and starts again; and what is started or
// stopped in between.
func TestDatabaseStops(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Own(t)
	replicas := harness.StartReplicas(t, 2, cluster.URL, harness.Options{Flags: append([]string{"--drain-timeout", "2s"}, harness.Loopback...), Errors: true})
	c := newCrew(t, replicas...)

	cluster.Halt()
	away := time.Now()
	c.outside.release()
	harness.Wait(t, 10*time.Second, "what ends meanwhile has told the outside", c.toldByTwo)
	refusesToStart(t, 1, []string{"--database-url", "connect"}, nil, serve(t.TempDir(), "--database-url", cluster.URL)...)
	until(t, away.Add(outageTime+3*time.Second))
	c.resume(t, cluster)
	for i := range replicas {
		c.ended(t, replicas[0], c.ending[i], "SUCCEEDED")
		c.ended(t, replicas[0], c.long[i], "WORKER_LOST")
	}
	c.sink.Check(t)
	healthy(t, replicas[0])

	// A stop in an outage ends in time, and loses nothing that was stored.
	again := newCrew(t, replicas...)
	cluster.Halt()
	asked := time.Now()
	again.outside.release()
	replicas[0].Signal(t, syscall.SIGTERM)
	replicas[0].AwaitStop(t)
	t.Logf("the stop took %s", time.Since(asked))
	if most := 2*time.Second + 20*time.Second; time.Since(asked) > 2*most {
		t.Errorf("the stop took %s, want at most %s", time.Since(asked), most)
	}
	again.resume(t, cluster)
	back := replicas[0].Again(t)
	again.ended(t, back, again.ending[1], "SUCCEEDED")
	for _, execution := range []string{again.long[0], again.ending[0]} {
		again.ended(t, back, execution, "WORKER_LOST")
	}
	again.sink.Check(t)
	healthy(t, back)
}

// resume starts the database again and waits until every replica that runs works.
func (c *crew) resume(t *testing.T, cluster *pgtest.Cluster) {
	t.Helper()
	if err := cluster.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, replica := range c.replicas {
		if replica.Ended() {
			continue
		}
		door := replica.As(c.tenant.Operator.Token).GRPCDoor()
		harness.Wait(t, 20*time.Second, "a replica works again", func() bool {
			_, err := door.Call(t.Context(), "GetInstance", object{"instanceId": c.tenant.Instance})
			return err == nil
		})
	}
}

// Replicas that start at the same moment on an empty database share it, one of
// them being killed in the midst of that or not.
func TestReplicasStartTogether(t *testing.T) {
	t.Parallel()
	for round := range roundsOf(3, 30) {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			replicas := harness.LaunchReplicas(t, 4, pgtest.Open(t), harness.Options{Flags: []string{"--migrate"}})
			if round > 0 {
				until(t, time.Now().Add(moment(0, 300*time.Millisecond)))
				replicas[0].Kill(t)
				replicas = replicas[1:]
			}
			for _, replica := range replicas {
				replica.Await(t)
			}
			tenant := replicas[0].NewTenant(t)
			for _, replica := range replicas {
				door := replica.As(tenant.Operator.Token).GRPCDoor()
				tenant.End(t, harness.Text(harness.Must(t, door, "RunJob", object{"jobId": tenant.Create(t, nil, harness.Noop("a"))}), "id"))
			}
			if again := replicas[0].Command(t, "migrate"); again.Code != 0 || again.Stdout != "" && !strings.Contains(again.Stdout, "up to date") {
				t.Errorf("carillon migrate ended with %d and says: %s%s", again.Code, again.Stdout, again.Stderr)
			}
			healthy(t, replicas[0])
		})
	}
}

// SIGTERM in a herd gives back what has not started, and lets the rest end.
func TestStopInAHerd(t *testing.T) {
	t.Parallel()
	const runs = 150
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: append([]string{"--concurrency", "20"}, harness.Loopback...)})
	l := newLoad(t, replicas[0].NewTenant(t))
	tenant := l.tenantOn(replicas[1])
	job := func(name string) string {
		return tenant.Create(t, object{"name": name}, harness.Get("call", l.sink.URL+name), behind(harness.Sleep("work", 100*time.Millisecond), "call"))
	}
	var executions []string
	for i := range runs {
		executions = append(executions, tenant.Run(t, job(fmt.Sprint("/herd/", i))))
		if i == runs/2 {
			replicas[0].Signal(t, syscall.SIGTERM)
		}
	}
	replicas[0].AwaitStop(t)
	for _, execution := range executions {
		if ended := tenant.End(t, execution); ended["state"] != "SUCCEEDED" || fmt.Sprint(ended["attempt"]) != "1" {
			t.Errorf("an execution of the herd ended as %v", ended)
		}
	}
	l.sink.Check(t)
	healthy(t, replicas[1])
}

// tenantOn is the load's tenant by another replica.
func (l *load) tenantOn(replica *harness.Server) *harness.Tenant {
	tenant := *l.tenant
	tenant.Server, tenant.Operator = replica, replica.As(l.tenant.Operator.Token)
	return &tenant
}
