package tests

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
	"github.com/pointscene/carillon/tests/pgtest"
)

// collector takes traces as OTLP by HTTP, and keeps their bytes.
type collector struct {
	mu   sync.Mutex
	text strings.Builder
}

func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			return
		}
		body = unpacked
	}
	text, _ := io.ReadAll(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.Write(text)
}

func (c *collector) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// Stored credentials, and those of requests that fail, are in no trace, metric,
// profile, audit event, plan, record of a file, export or dump of PostgreSQL,
// and not in what the system tells of the process.
func TestSecretsAreInNoTelemetry(t *testing.T) {
	t.Parallel()
	traces := &collector{}
	otlp := httptest.NewServer(traces)
	t.Cleanup(otlp.Close)
	leaky := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, "<error>%s %s %s %s</error>", password, user, r.Header.Get("Authorization"), r.URL)
	}))
	t.Cleanup(leaky.Close)
	database := pgtest.Open(t)
	server := harness.StartReplicas(t, 1, database, harness.Options{
		Flags: []string{"--egress-allow", "127.0.0.0/8", "--log-level", "debug", "--drain-timeout", "1s"},
		Env:   []string{"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_BSP_SCHEDULE_DELAY=50"},
	})[0]
	tenant := server.NewTenant(t)
	c := &canaries{texts: map[string]string{}}
	storeSecrets(t, c, tenant, leaky.URL)
	failSecrets(t, c, tenant)
	persisted := c.sing("a persisted query")
	answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/graphql", `{"query": "mutation { addJobConfig(resourceId: 1, config: {r: {type: \"s3\", secret_access_key: \"`+persisted+
		`\"}}) { success } }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "`+strings.Repeat("a", 64)+`"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	c.note(string(answer.Body))

	control := "control" + persisted[:8]
	door := tenant.Operator.GRPCDoor()
	var jobs []string
	for _, remote := range []string{"dav-grpc", "s3-rest", "drop-graphql"} {
		jobs = append(jobs, tenant.Create(t, object{"name": control}, object{"name": "a", "type": "sync.files",
			"args": object{"resourceId": tenant.Resource, "remotes": []any{remote + ":/bucket/x", "dav-rest:/y"}}}))
	}
	for _, job := range jobs {
		execution := tenant.Run(t, job)
		c.note(tenant.End(t, execution))
		c.note(onAll(t, tenant.Operator, "TailLog", object{"executionId": execution}))
		c.note(onAll(t, tenant.Operator, "ListExecutionFiles", object{"executionId": execution}))
		for _, d := range tenant.Operator.Doors() {
			plan, err := d.Call(t.Context(), "PlanJob", object{"jobId": job})
			c.note(fmt.Sprint(plan, err))
		}
	}
	events, err := harness.All(t.Context(), door, "ListAuditEvents", "events", object{})
	if err != nil || len(events) < 20 {
		t.Fatal(err, len(events))
	}
	c.note(events)

	person, env := newPerson(t), []string(nil)
	person.env = append(person.env, "CARILLON_TOKEN="+tenant.Operator.Token, "CARILLON_API_ADDR="+server.GRPC)
	exported := harness.RunWith(t, person.env, "", "export", "--instance", tenant.Instance)
	if exported.Code != 0 || !strings.Contains(exported.Stdout, control) {
		t.Errorf("export ended with %d: %s %s", exported.Code, exported.Stdout, exported.Stderr)
	}
	// The database's password is in no error of the commands.
	for _, url := range []string{"postgres://u:%s@127.0.0.1:1/x", "postgres://u:%s@127.0.0.1:port/x", "postgres://u:%s@127.0.0.1:1/x?sslmode=nonsense", "postgres://u:%s@[::1/x", "mysql://u:%s@h/x"} {
		for _, args := range [][]string{{"migrate"}, {"serve"}, {"doctor"}} {
			r := harness.Run(t, append(env, "CARILLON_DATABASE_URL="+fmt.Sprintf(url, c.sing("the database's password in "+url))), append(args, "--data-dir", t.TempDir())...)
			if r.Code == 0 {
				t.Errorf("%v with %s succeeded", args, url)
			}
			c.note(r.Stdout + r.Stderr)
		}
	}

	harness.Wait(t, 20*time.Second, "the traces are collected", func() bool { return strings.Contains(traces.String(), "PlanJob") })
	texts := map[string]string{"the traces": traces.String(), "the answers": c.seen.String(), "the log": server.Log(), "the export": exported.Stdout + exported.Stderr}
	for _, path := range []string{"/metrics", "/healthz", "/debug/pprof/", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/heap", "/debug/pprof/allocs?debug=1", "/debug/pprof/cmdline", "/debug/vars"} {
		if texts[path], err = server.Get(server.Admin, path); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{"cmdline", "environ"} {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", server.Pid(), file))
		texts["the process's "+file] = string(text)
	}
	if dump := pgDump(t); dump != "" {
		text, err := exec.Command(dump, "--dbname", database).Output()
		if err != nil || !strings.Contains(string(text), control) {
			t.Errorf("pg_dump: %v, %d bytes", err, len(text))
		}
		texts["the dump"] = string(text)
	}
	for place, text := range texts {
		c.look(t, place, text)
	}
}

// pgDump is the newest pg_dump of this machine, "" for none.
func pgDump(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("pg_dump"); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump") // the pattern is well-formed
	if len(found) == 0 {
		t.Log("without pg_dump")
		return ""
	}
	slices.Sort(found)
	return found[len(found)-1]
}
