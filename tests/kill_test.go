package tests

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite" // looks into the file that a kill left

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// load creates and runs jobs as fast as the server lets it, and remembers what
// was acknowledged.
type load struct {
	tenant *harness.Tenant
	sink   *harness.Sink
	// minutely jobs are due every minute, so that kills meet claims ahead, too.
	minutely []string

	mu sync.Mutex
	// jobs and runs are acknowledged: by request id, the identifier.
	jobs, runs map[string]string
	// unsure are requests whose answer never came.
	unsure map[string]bool
	sent   int
}

const minutelyJobs = 20

func newLoad(t *testing.T, tenant *harness.Tenant) *load {
	t.Helper()
	l := &load{tenant: tenant, sink: harness.NewSink(t), jobs: map[string]string{}, runs: map[string]string{}, unsure: map[string]bool{}}
	for i := range minutelyJobs {
		name := fmt.Sprint("/minutely/", i)
		l.minutely = append(l.minutely, tenant.Create(t, object{"name": name, "frequencyType": "CRON_BASED", "cronExpression": "* * * * *", "overlapPolicy": "ALLOW"},
			harness.Get("call", l.sink.URL+name)))
	}
	return l
}

// drive works on a server until ctx ends; one door for each worker.
func (l *load) drive(ctx context.Context, server *harness.Server) *sync.WaitGroup {
	var working sync.WaitGroup
	caller := server.As(l.tenant.Operator.Token)
	for _, door := range []harness.Door{caller.GRPCDoor(), caller.RESTDoor(), caller.GraphQLDoor(false), caller.GRPCDoor()} {
		working.Go(func() {
			for ctx.Err() == nil {
				l.step(ctx, door)
			}
		})
	}
	return &working
}

// step makes a job and runs it.
func (l *load) step(ctx context.Context, door harness.Door) {
	l.mu.Lock()
	l.sent++
	id := fmt.Sprint("request-", l.sent)
	l.mu.Unlock()
	path := "/" + id
	request := l.tenant.Job(object{"name": id, "active": true}, harness.Get("call", l.sink.URL+path), harness.Sleep("work", 20*time.Millisecond))
	request["requestId"] = id
	job, ok := l.send(ctx, door, l.jobs, id, "CreateJob", request)
	if ok {
		l.send(ctx, door, l.runs, id, "RunJob", object{"jobId": job, "requestId": "run-" + id})
	}
}

// send makes a call and notes what became of it.
func (l *load) send(ctx context.Context, door harness.Door, noted map[string]string, id, rpc string, request object) (string, bool) {
	answer, err := door.Call(ctx, rpc, request)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.unsure[id] = true
		return "", false
	}
	noted[id] = harness.Text(answer, "id")
	return noted[id], true
}

// acknowledged is how many runs were.
func (l *load) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.runs)
}

// check compares what was acknowledged with what a server has, after every
// execution has ended.
func (l *load) check(t *testing.T, server *harness.Server) {
	t.Helper()
	door := server.As(l.tenant.Operator.Token).GRPCDoor()
	instance := object{"instanceId": l.tenant.Instance}
	for _, job := range l.minutely {
		// The next minute must not add to what is being counted.
		harness.Must(t, door, "PauseJob", object{"jobId": job})
	}
	var executions []object
	open := func() int {
		var err error
		if executions, err = harness.All(t.Context(), door, "ListExecutions", "executions", instance); err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(slices.Clone(executions), func(e object) bool { return e["finishedAt"] != nil }))
	}
	if !harness.Within(30*time.Second, func() bool { return open() == 0 }) {
		t.Errorf("%d executions stay open", open())
	}
	jobs, err := harness.All(t.Context(), door, "ListJobs", "jobs", instance)
	if err != nil {
		t.Fatal(err)
	}
	l.checkJobs(t, jobs)
	l.checkExecutions(t, executions)
	l.sink.Check(t)
	healthy(t, server)
	states := map[any]int{}
	for _, e := range executions {
		states[e["state"]]++
	}
	t.Logf("%d jobs and %d runs were acknowledged, %d requests lost their answer; executions ended %v; %d effects",
		len(l.jobs), len(l.runs), len(l.unsure), states, len(l.sink.Effects()))
	if len(l.jobs) == 0 || len(l.runs) == 0 {
		t.Error("nothing was acknowledged: the story tells nothing")
	}
}

// checkJobs wants every acknowledged job, and none twice.
func (l *load) checkJobs(t *testing.T, jobs []object) {
	t.Helper()
	byName := map[string]string{}
	for _, job := range jobs {
		name := harness.Text(job, "name")
		if first, twice := byName[name]; twice {
			t.Errorf("the request %s made %s and %s", name, first, job["id"])
		}
		byName[name] = harness.Text(job, "id")
	}
	for request, id := range l.jobs {
		if byName[request] != id {
			t.Errorf("%s was acknowledged as %s, and is %q now", request, id, byName[request])
		}
	}
	for name := range byName {
		if l.jobs[name] == "" && !l.unsure[name] && name[0] != '/' {
			t.Errorf("nobody asked for the job %s", name)
		}
	}
}

// checkExecutions wants every acknowledged run, one execution for each
// instant, and an end that says whether it succeeded.
func (l *load) checkExecutions(t *testing.T, executions []object) {
	t.Helper()
	known := map[string]object{}
	instants := map[string]string{}
	effects := map[string]bool{}
	for _, e := range l.sink.Effects() {
		effects[e.Execution] = true
	}
	for _, e := range executions {
		id := harness.Text(e, "id")
		known[id] = e
		if e["trigger"] == "SCHEDULE" {
			instant := fmt.Sprint(e["jobId"], " ", e["scheduledFor"])
			if first, twice := instants[instant]; twice {
				t.Errorf("%s has two executions: %s and %s", instant, first, id)
			}
			instants[instant] = id
		}
		switch state, succeeded := e["state"], e["success"] == true; {
		case (state == "SUCCEEDED") != succeeded:
			t.Errorf("%s is %v and its success is %v", id, state, e["success"])
		case succeeded && !effects[id]:
			t.Errorf("%s succeeded without an effect", id)
		case !succeeded && state != "WORKER_LOST":
			t.Errorf("%s ended %v: %v", id, state, e["error"])
		}
	}
	for request, id := range l.runs {
		if known[id] == nil {
			t.Errorf("the run of %s was acknowledged as %s, and is gone", request, id)
		}
	}
	for id := range effects {
		if known[id] == nil {
			t.Errorf("%s had an effect, and is not known", id)
		}
	}
}

// moment is some time after which a kill comes.
func moment(least, most time.Duration) time.Duration { return least + rand.N(most-least) }

// kill -9 at any moment loses nothing that was acknowledged, and leaves nothing
// open.
func TestKillOnSQLite(t *testing.T) {
	t.Parallel()
	rounds := roundsOf(20, 300)
	server := harness.Start(t, harness.Options{Flags: harness.Loopback})
	l := newLoad(t, server.NewTenant(t))
	sleeper := l.tenant.Create(t, object{"name": "/sleeper", "overlapPolicy": "ALLOW"}, harness.Get("call", l.sink.URL+"/sleeper"), harness.Sleep("long", 10*time.Minute))
	for round := range rounds {
		door := server.As(l.tenant.Operator.Token).GRPCDoor()
		running := harness.Text(harness.Must(t, door, "RunJob", object{"jobId": sleeper}), "id")
		harness.Wait(t, 20*time.Second, running+" runs", func() bool {
			return slices.ContainsFunc(l.sink.Of("/sleeper"), func(e harness.Effect) bool { return e.Execution == running })
		})
		ctx, stop := context.WithCancel(t.Context())
		before := l.acknowledged()
		working := l.drive(ctx, server)
		if round%2 == 0 { // however slow the machine is, some are acknowledged before
			harness.Wait(t, 20*time.Second, "something is acknowledged", func() bool { return l.acknowledged() > before })
		}
		until(t, time.Now().Add(moment(50*time.Millisecond, 700*time.Millisecond)))
		server.Kill(t)
		stop()
		working.Wait()
		intact(t, server.DataDir)
		server = server.Again(t)
		l.lost(t, server, running, 2*time.Second)
		told, err := server.Get(server.Admin, "/metrics")
		if metric := `carillon_attempt_duration_seconds_count{state="WORKER_LOST"} `; err != nil || !strings.Contains(told, metric) || strings.Contains(told, metric+"0") {
			t.Errorf("no metric tells of the killed process (%v)", err)
		}
	}
	l.check(t, server)
}

// lost wants an execution of a killed process to end in time.
func (l *load) lost(t *testing.T, server *harness.Server, execution string, goal time.Duration) {
	t.Helper()
	door := server.As(l.tenant.Operator.Token).GRPCDoor()
	asked := time.Now()
	var last object
	harness.Wait(t, 20*time.Second, execution+" has ended", func() bool {
		last = harness.Must(t, door, "GetExecution", object{"executionId": execution})
		return last["finishedAt"] != nil
	})
	if last["state"] != "WORKER_LOST" || last["success"] != false || harness.Text(last, "error", "reason") == "" {
		t.Errorf("the killed process's execution ended as %v", last)
	}
	if took := time.Since(asked); took > goal {
		t.Logf("SLOW: %s ended %s after the kill or the start, the goal is %s", execution, took, goal)
	}
}

// intact asks SQLite whether its file is whole: a copy, so that it is the next
// start that recovers the file itself.
func intact(t *testing.T, folder string) {
	t.Helper()
	copied := t.TempDir()
	for _, name := range []string{"carillon.db", "carillon.db-wal"} {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(copied, "carillon.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the database is not whole: %s, %v", verdict, err)
	}
}

// The same on PostgreSQL, where another replica goes on meanwhile.
func TestKillOneOfTwo(t *testing.T) {
	t.Parallel()
	rounds := roundsOf(5, 60)
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: harness.Loopback})
	l := newLoad(t, replicas[0].NewTenant(t))
	sleeper := l.tenant.Create(t, object{"name": "/sleeper", "overlapPolicy": "ALLOW"}, harness.Get("call", l.sink.URL+"/sleeper"), harness.Sleep("long", 10*time.Minute))
	for round := range rounds {
		victim, other := round%2, 1-round%2
		onVictim, stopVictim := context.WithCancel(t.Context())
		onOther, stopOther := context.WithCancel(t.Context())
		before := l.acknowledged()
		both := []*sync.WaitGroup{l.drive(onVictim, replicas[victim]), l.drive(onOther, replicas[other])}
		running := l.runOn(t, replicas[victim], replicas[other], sleeper)
		if round%2 == 0 { // however slow the machine is, some are acknowledged before
			harness.Wait(t, 20*time.Second, "something is acknowledged", func() bool { return l.acknowledged() > before })
		}
		until(t, time.Now().Add(moment(50*time.Millisecond, 700*time.Millisecond)))
		replicas[victim].Kill(t)
		stopVictim()
		l.lost(t, replicas[other], running, time.Second)
		replicas[victim] = replicas[victim].Again(t)
		stopOther()
		for _, working := range both {
			working.Wait()
		}
	}
	l.check(t, replicas[0])
	l.check(t, replicas[1])
}

// The same when a replica stands still for longer than its lease and goes on.
func TestStopOneOfTwo(t *testing.T) {
	t.Parallel()
	rounds, still := 1, 12*time.Second
	if long() {
		rounds, still = 20, 30*time.Second
	}
	database := pgtest.Open(t)
	replicas := harness.StartReplicas(t, 2, database, harness.Options{Flags: harness.Loopback, Errors: true})
	l := newLoad(t, replicas[0].NewTenant(t))
	for round := range rounds {
		frozen, other := replicas[round%2], replicas[1-round%2]
		ctx, stop := context.WithCancel(t.Context())
		working := []*sync.WaitGroup{l.drive(ctx, other), l.drive(ctx, frozen)}
		until(t, time.Now().Add(moment(200*time.Millisecond, 700*time.Millisecond)))
		said := len(frozen.Log())
		frozen.Signal(t, syscall.SIGSTOP)
		until(t, time.Now().Add(still))
		harness.Wait(t, 20*time.Second, "the other replica is alone", func() bool { return registered(t, database) == 1 })
		frozen.Signal(t, syscall.SIGCONT)
		harness.Wait(t, 20*time.Second, "the replica notices and registers anew", func() bool {
			_, after, lost := strings.Cut(frozen.Log()[said:], "lost the lease")
			return lost && strings.Contains(after, "msg=registered")
		})
		stop()
		for _, each := range working {
			each.Wait()
		}
	}
	l.check(t, replicas[0])
	l.check(t, replicas[1])
}

// registered is how many replicas a database has.
func registered(t *testing.T, database string) (n int) {
	t.Helper()
	db, err := sql.Open("pgx", database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM replicas").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// runOn makes one replica run a job: the other one stands still meanwhile.
func (l *load) runOn(t *testing.T, replica, other *harness.Server, job string) string {
	t.Helper()
	stopped := time.Now()
	other.Signal(t, syscall.SIGSTOP)
	defer func() {
		other.Signal(t, syscall.SIGCONT)
		if time.Since(stopped) > 4*time.Second { // on a busy machine
			other.MayLoseItsLease()
		}
	}()
	door := replica.As(l.tenant.Operator.Token).GRPCDoor()
	execution := harness.Text(harness.Must(t, door, "RunJob", object{"jobId": job}), "id")
	harness.Wait(t, 20*time.Second, execution+" runs", func() bool {
		return harness.Must(t, door, "GetExecution", object{"executionId": execution})["startedAt"] != nil
	})
	return execution
}
