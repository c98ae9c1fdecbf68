package tests

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// A replica that stood still beyond its lease finds its executions taken: what
// it still writes is refused, and it goes on as a new one.
func TestStoppedReplica(t *testing.T) {
	t.Parallel()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: harness.Loopback, Errors: true})
	frozen, other := replicas[0], replicas[1]
	l := newLoad(t, other.NewTenant(t))
	door := other.As(l.tenant.Operator.Token).GRPCDoor()
	// Both outlive the stop, so that the stopped replica finds them done when
	// it goes on. One of them is tried again meanwhile, under the same id.
	var once, again, path string
	var stopped time.Time
	slowly := 6 * time.Second // less than a lease
	for ; ; slowly *= 2 {     // a busy machine takes longer to start the second and to stop
		path = fmt.Sprint("/again/", slowly)
		once = l.runOn(t, frozen, other, l.slow(t, "/once", slowly, nil))
		again = l.runOn(t, frozen, other, l.slow(t, path, slowly, object{"retryCount": 1, "minBackoff": "1s"}))
		frozen.Signal(t, syscall.SIGSTOP)
		stopped = time.Now()
		if harness.Must(t, door, "GetExecution", object{"executionId": once})["finishedAt"] == nil {
			break
		}
		frozen.Signal(t, syscall.SIGCONT)
	}
	l.lost(t, other, once, 15*time.Second)
	t.Logf("the stopped replica's execution ended after %s", time.Since(stopped))
	harness.Wait(t, 20*time.Second, "the other replica tries again", func() bool { return len(l.sink.Of(path)) == 2 })
	before := harness.Must(t, door, "GetExecution", object{"executionId": once})

	until(t, stopped.Add(slowly))
	frozen.Signal(t, syscall.SIGCONT)
	harness.Wait(t, 20*time.Second, "the replica notices and registers anew", func() bool {
		log := frozen.Log()
		at := strings.Index(log, "lost the lease")
		return at >= 0 && strings.Contains(log[at:], "msg=registered")
	})
	after := harness.Must(t, door, "GetExecution", object{"executionId": once})
	forget(before, "signedLogUrl")
	forget(after, "signedLogUrl")
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the stopped replica changed what had ended:\n%s", diff)
	}
	l.triedAgain(t, again, path, slowly)
	// It works again.
	l.tenant.End(t, l.runOn(t, frozen, other, l.tenant.Create(t, nil, harness.Noop("a"))))
}

// slow is a job that has its effect and then works for a while.
func (l *load) slow(t *testing.T, path string, slowly time.Duration, retry object) string {
	t.Helper()
	fields := object{"name": path}
	if retry != nil {
		fields["retryPolicy"] = retry
	}
	work := harness.Sleep("work", slowly)
	work["inputs"] = "call"
	return l.tenant.Create(t, fields, harness.Get("call", l.sink.URL+path), work)
}

// triedAgain wants the second attempt of an execution to be the one that is
// told, whatever the first one still had to say.
func (l *load) triedAgain(t *testing.T, execution, path string, slowly time.Duration) {
	t.Helper()
	ended := l.tenant.End(t, execution)
	effects := l.sink.Of(path)
	if len(effects) != 2 || effects[0].Key != effects[1].Key || effects[0].Fence >= effects[1].Fence || effects[0].Execution != effects[1].Execution {
		t.Fatalf("two attempts had the effects %+v, want one key and rising fences", effects)
	}
	worked := timeOf(t, ended, "finishedAt").Sub(effects[1].At)
	if ended["state"] != "SUCCEEDED" || fmt.Sprint(ended["attempt"]) != "2" || worked < slowly-100*time.Millisecond {
		t.Errorf("it ended %s after the call of its second attempt, as %v: the first one was heard", worked, ended)
	}
}

func timeOf(t *testing.T, of object, key string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, harness.Text(of, key))
	if err != nil {
		t.Fatalf("%s of %v: %v", key, of, err)
	}
	return at
}

// SIGTERM lets executions end, and takes no new ones; what was stored is found again
// in a folder whose name no URI can hold as it is.
func TestDrain(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "a #1 ?b%41")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	server := harness.Start(t, harness.Options{DataDir: folder})
	if _, err := os.Stat(filepath.Join(folder, "carillon.db")); err != nil {
		t.Errorf("the database is elsewhere: %v", err)
	}
	tenant := server.NewTenant(t)
	execution := tenant.Run(t, tenant.Create(t, nil, harness.Sleep("short", time.Second)))
	tenant.Reaches(t, execution, func(e object) bool { return e["startedAt"] != nil })
	server.Stop(t)
	ended := harness.Must(t, server.Again(t).As(tenant.Operator.Token).GRPCDoor(), "GetExecution", object{"executionId": execution})
	if ended["state"] != "SUCCEEDED" || ended["success"] != true {
		t.Errorf("an execution of one second ended as %v", ended)
	}
}

// What does not end in time is ended, and told.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: []string{"--drain-timeout", "500ms"}})
	tenant := server.NewTenant(t)
	execution := tenant.Run(t, tenant.Create(t, nil, harness.Sleep("long", 10*time.Minute)))
	tenant.Reaches(t, execution, func(e object) bool { return e["state"] == "RUNNING" })
	server.Stop(t)
	ended := harness.Must(t, server.Again(t).As(tenant.Operator.Token).GRPCDoor(), "GetExecution", object{"executionId": execution})
	if ended["state"] != "WORKER_LOST" || ended["success"] != false || harness.Text(ended, "error", "reason") == "" {
		t.Errorf("an execution that outlived the drain ended as %v", ended)
	}
}

// The end of its terminal stops a server as SIGTERM does, unless nohup said otherwise.
func TestHangup(t *testing.T) {
	t.Parallel()
	if signal.Ignored(syscall.SIGHUP) {
		t.Skip("these tests run under nohup, and so would the server")
	}
	server := harness.Start(t, harness.Options{})
	server.Signal(t, syscall.SIGHUP)
	server.AwaitStop(t)
}

// A stop that has nothing left to remove is a clean one.
func TestStopWithoutItsAddresses(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	if err := os.Remove(filepath.Join(server.DataDir, "addresses.json")); err != nil {
		t.Fatal(err)
	}
	server.Stop(t)
}

// While it drains, a server is not ready.
func TestReadinessWhileDraining(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{Flags: append([]string{"--drain-timeout", "10m"}, harness.Loopback...)})
	tenant := server.NewTenant(t)
	began, seen := make(chan struct{}), make(chan struct{})
	url := serveHTTP(t, func(http.ResponseWriter, *http.Request) { close(began); <-seen })
	tenant.Run(t, tenant.Create(t, nil, patiently(harness.Get("long", url))))
	<-began
	server.Signal(t, syscall.SIGTERM)
	harness.Wait(t, 10*time.Second, "the server says that it is not ready", func() bool {
		answer, err := http.Get("http://" + server.Admin + "/readyz")
		if err != nil {
			return false
		}
		_ = answer.Body.Close()
		return answer.StatusCode == http.StatusServiceUnavailable
	})
	close(seen)
	server.AwaitStop(t)
}

// patiently makes a call wait for its answer for longer than a test does.
func patiently(call object) object {
	call["args"].(object)["timeout"] = "1h"
	return call
}

// Two replicas share the work, and neither does the other's.
func TestTwoReplicasShare(t *testing.T) {
	t.Parallel()
	replicas := harness.StartReplicas(t, 2, pgtest.Open(t), harness.Options{Flags: append([]string{"--concurrency", "20"}, harness.Loopback...)})
	l := newLoad(t, replicas[0].NewTenant(t))
	door := replicas[1].As(l.tenant.Operator.Token).GRPCDoor()
	// Nobody's call is answered before there are more than one replica can make: an
	// instance may have most of its places. Its last ones stay free.
	const runs, most, least = 200, 18, 14
	var inside atomic.Int64
	enough := make(chan struct{})
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if inside.Add(1) == most+least {
			close(enough)
		}
		select {
		case <-enough:
			l.sink.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	})
	var jobs []string
	for i := range runs {
		name := fmt.Sprint("/shared/", i)
		jobs = append(jobs, l.tenant.Create(t, object{"name": name}, patiently(harness.Get("call", url+name)), harness.Sleep("work", 50*time.Millisecond)))
	}
	last := ""
	for _, job := range jobs {
		last = harness.Text(harness.Must(t, door, "RunJob", object{"jobId": job}), "id")
	}
	l.tenant.End(t, last)
	harness.Wait(t, 30*time.Second, "all have run", func() bool { return len(shared(l.sink)) >= runs })
	l.sink.Check(t)
	if got := len(shared(l.sink)); got != runs {
		t.Errorf("%d runs had %d effects", runs, got)
	}
	for i, replica := range replicas {
		n := claimed(t, replica)
		t.Logf("replica %d claimed %d executions", i, n)
		if n < least {
			t.Errorf("replica %d claimed %d of %d executions", i, n, runs)
		}
	}
	// Any replica answers for the other's work, logs included.
	for _, replica := range replicas {
		caller := replica.As(l.tenant.Operator.Token)
		onAll(t, caller, "GetExecution", object{"executionId": last}, "signedLogUrl")
		onAll(t, caller, "TailLog", object{"executionId": last})
	}
}

func shared(sink *harness.Sink) (effects []harness.Effect) {
	for _, e := range sink.Effects() {
		if strings.HasPrefix(e.Path, "/shared/") {
			effects = append(effects, e)
		}
	}
	return effects
}

var claimedMetric = regexp.MustCompile(`(?m)^carillon_executions_claimed_total (\S+)$`)

// claimed is how many executions a replica has claimed.
func claimed(t *testing.T, server *harness.Server) int {
	t.Helper()
	answer, err := http.Get("http://" + server.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	found := claimedMetric.FindSubmatch(text)
	if found == nil {
		t.Fatal("there is no such metric")
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(n)
}

// A process for the HTTP door alone needs no database.
func TestRolesApart(t *testing.T) {
	t.Parallel()
	database := pgtest.Open(t)
	replicas := harness.StartReplicas(t, 1, database, harness.Options{Flags: []string{"--roles", "api,ticker,executor"}})
	back := replicas[0]
	if back.HTTP != "" {
		t.Errorf("a process without the facade has an HTTP door at %s", back.HTTP)
	}
	front := harness.Start(t, harness.Options{Flags: []string{"--roles", "facade", "--api-addr", back.GRPC}, Errors: true})
	if front.GRPC != "" {
		t.Errorf("a process with only the facade has a gRPC door at %s", front.GRPC)
	}
	token := back.Token(t, "operator")
	tenant := back.As(token).NewTenant(t)
	for _, door := range []harness.Door{front.As(token).RESTDoor(), front.As(token).GraphQLDoor(false)} {
		made := harness.Must(t, door, "CreateJob", tenant.Job(object{"name": door.Name()}, harness.Noop("a")))
		run := harness.Must(t, door, "RunJob", object{"jobId": made["id"]})
		if ended := tenant.End(t, harness.Text(run, "id")); ended["state"] != "SUCCEEDED" {
			t.Errorf("by %s it ended as %v", door.Name(), ended)
		}
	}
	back.Stop(t)
	answer, err := front.As(token).HTTP(t.Context(), http.MethodGet, "/v1/instances", "")
	if err != nil || answer.Status != http.StatusServiceUnavailable || strings.Contains(string(answer.Body), back.GRPC) {
		t.Errorf("without its services the front answers %d %s, %v", answer.Status, answer.Body, err)
	}
}
