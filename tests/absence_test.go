package tests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// healthy wants the doctor to find nothing broken.
func healthy(t *testing.T, server *harness.Server) {
	t.Helper()
	if found := server.Command(t, "doctor"); found.Code != 0 {
		t.Errorf("carillon doctor ended with %d: %s%s", found.Code, found.Stdout, found.Stderr)
	}
}

// Two weeks of downtime cost a job of forty minutes an hour one execution and one
// row, and the start no time. None of those minutes is near the present: a busy
// machine may take long.
func TestFourteenDaysAway(t *testing.T) {
	t.Parallel()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	now := time.Now().UTC()
	due := minutesFrom(now.Minute()+10, 40)
	job := tenant.Create(t, due.cron("* * *"), harness.Noop("a"))
	server.Stop(t)
	const away = 14 * 24 * time.Hour
	setBack(t, "sqlite", "file:"+filepath.Join(server.DataDir, "carillon.db"), away)
	from := time.Now()
	server = server.Again(t)
	door := server.As(tenant.Operator.Token).RESTDoor()
	window := object{"jobId": job, "from": from.Add(-away - time.Hour).UTC().Format(time.RFC3339), "to": from.UTC().Format(time.RFC3339)}
	var rows []object
	harness.Wait(t, 10*time.Second, "what was missed is told", func() bool {
		rows = harness.List(harness.Must(t, door, "ListOccurrences", window), "occurrences")
		return len(rows) > 1 && rows[0]["outcome"] != "PENDING" // the server serves before the ticker comes by
	})
	t.Logf("started and told after %s", time.Since(from))
	if len(rows) != 2 || rows[0]["outcome"] != "SKIPPED" || rows[0]["reason"] != "MISSED" || rows[1]["outcome"] != "STARTED" {
		t.Fatalf("two weeks are told as %v, want one row and one execution", rows)
	}
	if missed, want := fmt.Sprint(rows[0]["count"]), len(due)*int(away/time.Hour)-1; missed != fmt.Sprint(want) {
		t.Errorf("%s occurrences were missed, want %d", missed, want)
	}
	harness.Wait(t, 10*time.Second, "what is made up ends", func() bool {
		return harness.Must(t, door, "GetExecution", object{"executionId": rows[1]["executionId"]})["state"] == "SUCCEEDED"
	})
	healthy(t, server)
}

// relay passes bytes on to a server until it is told to swallow them.
type relay struct {
	address string
	mu      sync.Mutex
	open    chan struct{}
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{address: listener.Addr().String(), open: make(chan struct{})}
	close(r.open)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); _ = listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go r.pass(ctx, from, to)
		}
	}()
	return r
}

// pass joins two connections; either end closes both.
func (r *relay) pass(ctx context.Context, from net.Conn, address string) {
	to, err := net.Dial("tcp", address)
	if err != nil {
		_ = from.Close()
		return
	}
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			defer func() { _, _ = from.Close(), to.Close() }()
			_, _ = io.Copy(gate{r, ctx, way[1]}, way[0]) // it ends with a connection
		}()
	}
}

// gate lets nothing through while its relay is shut.
type gate struct {
	relay *relay
	ctx   context.Context
	io.Writer
}

func (g gate) Write(p []byte) (int, error) {
	g.relay.mu.Lock()
	open := g.relay.open
	g.relay.mu.Unlock()
	select {
	case <-open:
		return g.Writer.Write(p)
	case <-g.ctx.Done():
		return 0, g.ctx.Err()
	}
}

func (r *relay) shut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = make(chan struct{})
}

func (r *relay) reopen() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.open)
}

// A database that swallows everything makes every door say so in time; nothing
// is lost when it is back, not even the end of what ended meanwhile.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	away := 12 * time.Second // longer than a lease
	if long() {
		away = 20 * time.Second
	}
	direct, err := url.Parse(pgtest.Open(t))
	if err != nil {
		t.Fatal(err)
	}
	through := *direct
	relay := newRelay(t, direct.Host)
	through.Host = relay.address
	server := harness.StartReplicas(t, 1, through.String(), harness.Options{Errors: true})[0]
	tenant := server.NewTenant(t)
	execution := tenant.Run(t, tenant.Create(t, nil, harness.Sleep("short", 3*time.Second)))
	tenant.Reaches(t, execution, func(e object) bool { return e["state"] == "RUNNING" })

	relay.shut()
	back := time.Now().Add(away)
	var asking sync.WaitGroup
	for _, door := range tenant.Operator.Doors() {
		asking.Go(func() { unavailable(t, door, execution) })
	}
	asking.Wait()
	if answer, err := http.Get("http://" + server.Admin + "/readyz"); err != nil || answer.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without its database the server is ready: %v", err)
	} else {
		_ = answer.Body.Close()
	}
	until(t, back)
	relay.reopen()

	harness.Wait(t, 20*time.Second, "the server works again", func() bool {
		_, err := tenant.Operator.GRPCDoor().Call(t.Context(), "GetExecution", object{"executionId": execution})
		return err == nil
	})
	if ended := tenant.End(t, execution); ended["state"] != "SUCCEEDED" {
		t.Errorf("what ended while the database was away is %v", ended)
	}
	tenant.End(t, tenant.Run(t, tenant.Create(t, nil, harness.Noop("a"))))
	healthy(t, server)
}

// unavailable wants a call to be refused in time.
func unavailable(t *testing.T, door harness.Door, execution string) {
	asked := time.Now()
	_, err := door.Call(t.Context(), "GetExecution", object{"executionId": execution})
	took := time.Since(asked)
	var refusal *harness.Refusal
	if !errors.As(err, &refusal) || refusal.Code != "UNAVAILABLE" {
		t.Errorf("by %s without a database: %v", door.Name(), err)
	}
	t.Logf("by %s it took %s to say that the database is away", door.Name(), took)
	if took > 30*time.Second { // some seconds, on a quiet machine
		t.Errorf("by %s it took %s to say that the database is away", door.Name(), took)
	}
}

// A log store without space costs lines, not executions.
func TestLogStoreFull(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("can't mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	server := harness.Start(t, harness.Options{Flags: []string{"--log-store", "file://" + folder}, Errors: true})
	tenant := server.NewTenant(t)
	tasks := make([]any, 60)
	for i := range tasks { // each fails with a line
		tasks[i] = harness.Get(fmt.Sprint("t", i), "http://127.0.0.1:1/"+fmt.Sprint(i))
	}
	failing := tenant.Create(t, object{"overlapPolicy": "ALLOW"}, tasks...)
	for range 8 {
		if ended := tenant.End(t, tenant.Run(t, failing)); ended["state"] != "FAILED" {
			t.Fatalf("an execution ended as %v", ended)
		}
	}
	harness.Wait(t, 20*time.Second, "the log store is full", func() bool {
		tenant.End(t, tenant.Run(t, failing))
		return strings.Contains(server.Log(), "log store failed") || strings.Contains(server.Log(), "log is incomplete")
	})
	if ended := tenant.End(t, tenant.Run(t, tenant.Create(t, nil, harness.Noop("a")))); ended["state"] != "SUCCEEDED" {
		t.Errorf("with a full log store an execution ended as %v", ended)
	}
	healthy(t, server)
}
