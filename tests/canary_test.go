package tests

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	oneAfterTheOther(t)
	traces := &collector{}
	otlp := httptest.NewServer(traces)
	t.Cleanup(otlp.Close)
	leaky := &echo{}
	receiver := httptest.NewServer(leaky)
	t.Cleanup(receiver.Close)
	leaky.URL = receiver.URL
	database := pgtest.Open(t)
	server := harness.StartReplicas(t, 1, database, harness.Options{
		Flags: []string{"--egress-allow", "127.0.0.0/8", "--log-level", "debug", "--drain-timeout", "1s", "--aps-endpoint", leaky.URL},
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
	spoken := &canaries{texts: map[string]string{}}
	testSecrets(t, c, tenant, leaky)
	linkSecrets(t, c, tenant, jobs[0])
	webhookSecrets(t, c, tenant, leaky, jobs[0])
	spokenSecrets(t, spoken, tenant, leaky)
	events, err := harness.All(t.Context(), door, "ListAuditEvents", "events", object{})
	if err != nil || len(events) < 20 {
		t.Fatal(err, len(events))
	}
	c.note(events)
	spoken.note(events)

	person, env := newPerson(t), []string(nil)
	person.env = append(person.env, "CARILLON_TOKEN="+tenant.Operator.Token, "CARILLON_API_ADDR="+server.GRPC)
	for _, args := range [][]string{{"doctor"}, {"doctor", "-o", "json"}, {"keys", "list"}, {"get", "jobs", "--instance", tenant.Instance, "-o", "json"}} {
		r := harness.RunWith(t, append(person.env, "CARILLON_DATABASE_URL="+database), "", append(args, map[bool][]string{true: {"--data-dir", server.DataDir}}[args[0] != "get"]...)...)
		if r.Stdout+r.Stderr == "" {
			t.Errorf("%v says nothing", args)
		}
		c.note(r.Stdout + r.Stderr)
	}
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
		if place != "the answers" && place != "the export" && place != "the dump" { // which have the arguments of tasks
			spoken.look(t, place, text)
		}
	}
	spoken.look(t, "what executions tell", spoken.seen.String())
}

// echo is a careless server, which tells everything that it was sent in its
// answer. Below /away it sends its callers away, with the same.
type echo struct {
	URL string

	mu sync.Mutex
	// signatures are those of notices.
	signatures []string
}

func (e *echo) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20)) // half of it is enough
	e.mu.Lock()
	e.signatures = append(e.signatures, r.Header.Values("webhook-signature")...)
	e.mu.Unlock()
	w.Header().Set("X-Echo", strings.Join(r.Header.Values("webhook-signature"), " ")+password)
	if strings.HasPrefix(r.URL.Path, "/away") {
		w.Header().Set("Location", "http://u:"+r.URL.Query().Get("key")+"@10.0.0.1/?key="+r.URL.Query().Get("key"))
		w.WriteHeader(http.StatusFound)
		return
	}
	w.WriteHeader(http.StatusForbidden)
	_, _ = fmt.Fprintf(w, "<error>%s %s %s %s</error>%s", password, user, r.Header, r.URL, body)
}

// testSecrets tries configs, stored and not, which fail in every way.
func testSecrets(t *testing.T, c *canaries, tenant *harness.Tenant, leaky *echo) {
	t.Helper()
	refresh := `{"access_token":"` + c.sing("an expired token") + `","refresh_token":"` + c.sing("a refresh token that its issuer repeats") + `","expiry":"2020-01-01T00:00:00Z"}`
	acc := object{"type": "acc", "hub_id": "b.1", "project_id": "b.2", "client_id": "k", "client_secret": c.sing("the secret of an app"), "token": refresh}
	harness.Must(t, tenant.Operator.RESTDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{"acc-expired": acc}})
	for _, door := range tenant.Operator.Doors() {
		given := object{
			"s3":   object{"type": "s3", "access_key_id": c.sing("a tested key id"), "secret_access_key": c.sing("a tested key"), "endpoint": leaky.URL, "provider": "Other", "region": "x"},
			"dav":  object{"type": "webdav", "url": leaky.URL, "user": "u", "pass": c.sing("a tested password"), "vendor": "other"},
			"bad":  object{"type": "s3", "colour": c.sing("a tested option")},
			"host": object{"type": "sftp", "host": "127.0.0.1", "port": "1", "user": "u", "pass": c.sing("a tested login")},
		}
		for name, config := range given {
			if door.Name() == "graphql-literal" {
				name = "n" // whose keys have no hyphens
			}
			answer, err := door.Call(t.Context(), "TestConfig", object{"resourceId": tenant.Resource, "config": object{name: config}, "remotes": []any{name + ":/bucket"}})
			c.note(fmt.Sprint(answer, err))
		}
		answer, err := door.Call(t.Context(), "TestConfig", object{"resourceId": tenant.Resource, "remotes": []any{"acc-expired:/Project Files", "dav-rest:/x", "s3-rest:/b"}})
		c.note(fmt.Sprint(answer, err))
	}
}

// linkSecrets follows the link to a log, whose signature is a permission.
func linkSecrets(t *testing.T, c *canaries, tenant *harness.Tenant, job string) {
	t.Helper()
	execution := harness.List(harness.Must(t, tenant.Operator.GRPCDoor(), "ListExecutions", object{"jobId": job}), "executions")[0]
	link, err := url.Parse(harness.Text(execution, "signedLogUrl"))
	if err != nil {
		t.Fatal(err)
	}
	signature := link.Query().Get("signature")
	for _, query := range []string{link.RawQuery, strings.Replace(link.RawQuery, "expires=", "expires=1", 1)} {
		answer, err := tenant.As("").HTTP(t.Context(), http.MethodGet, link.Path+"?"+query, "")
		if err != nil || (answer.Status == http.StatusOK) != (query == link.RawQuery) {
			t.Errorf("a link is answered with %v, %v", answer, err)
		}
		c.note(string(answer.Body))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(signature) < 20 {
		t.Fatalf("the link is %s", link)
	}
	c.texts[signature] = "a signed link"
}

// webhookSecrets sends notices to a server that repeats their signatures.
func webhookSecrets(t *testing.T, c *canaries, tenant *harness.Tenant, leaky *echo, job string) {
	t.Helper()
	secret := ""
	for _, door := range tenant.Operator.Doors() {
		if door.Name() == "graphql-literal" { // which can't write a list of enums
			continue
		}
		made := harness.Must(t, door, "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": leaky.URL + "/hook", "events": []any{"FIRST_FAILURE"}}})
		secret = harness.Text(made, "secret")
		id := harness.Text(made, "webhook", "id")
		if id == "" {
			id = harness.Text(made, "id")
		}
		if len(secret) < 20 || id == "" {
			t.Fatalf("%s: a webhook is made as %v", door.Name(), made)
		}
		c.mu.Lock()
		c.texts[strings.TrimPrefix(secret, "whsec_")] = "CreateWebhook's answer"
		c.mu.Unlock()
		harness.Must(t, door, "TestWebhook", object{"webhookId": id})
		harness.Wait(t, 20*time.Second, "a notice was refused", func() bool {
			answer := harness.Must(t, door, "ListDeliveries", object{"instanceId": tenant.Instance, "webhookId": id})
			return strings.Contains(fmt.Sprint(answer), "UNEXPECTED_STATUS")
		})
		c.note(harness.Must(t, door, "ListDeliveries", object{"instanceId": tenant.Instance, "webhookId": id}))
		c.note(harness.Must(t, door, "GetWebhook", object{"webhookId": id}))
	}
	leaky.mu.Lock()
	defer leaky.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, signature := range leaky.signatures {
		c.texts[strings.TrimPrefix(signature, "v1,")] = "the signature of a notice"
	}
	if len(leaky.signatures) < 3 {
		t.Errorf("%d notices were signed", len(leaky.signatures))
	}
}

// spokenSecrets are those that people write into tasks, against our advice: they
// are answered with the job, and stand nowhere else.
func spokenSecrets(t *testing.T, c *canaries, tenant *harness.Tenant, leaky *echo) {
	t.Helper()
	host := strings.TrimPrefix(leaky.URL, "http://")
	request := func(what, url string) object {
		return object{"name": "a", "type": "http.request", "args": object{
			"url": url, "method": "POST", "body": c.sing("the body of " + what),
			"headers": object{"X-Api-Key": c.sing("a header of " + what), "Authorization": "Bearer " + c.sing("a bearer of "+what)},
		}}
	}
	away := request("a redirect", leaky.URL+"/away?key="+c.sing("a redirect's address"))
	away["args"].(object)["method"] = "GET"
	delete(away["args"].(object), "body")
	for _, task := range []object{
		request("a request", leaky.URL+"/x?key="+c.sing("a query")+"#"+c.sing("a fragment")),
		request("a login", "http://u:"+c.sing("a password in an address")+"@"+host+"/"),
		request("nobody there", "http://u:"+c.sing("a password for nobody")+"@127.0.0.1:1/?key="+c.sing("a query for nobody")),
		request("no such host", "http://nowhere.invalid/?key="+c.sing("a query to nowhere")),
		away,
		{"name": "a", "type": "web.download", "args": object{
			"files":   []any{object{"url": leaky.URL + "/f?sig=" + c.sing("a download's address"), "path": "f"}},
			"headers": object{"X-Api-Key": c.sing("a download's header")},
		}},
		{"name": "a", "type": "grpc.call", "args": object{
			"address": "127.0.0.1:1", "method": "a.b.C/D", "plaintext": true,
			"metadata": object{"authorization": "Bearer " + c.sing("a call's metadata")}, "body": object{"password": c.sing("a call's body")},
		}},
	} {
		execution := tenant.Run(t, tenant.Create(t, nil, task))
		ended := tenant.End(t, execution)
		if ended["state"] != "FAILED" {
			t.Errorf("%v ended as %v", task, ended)
		}
		c.note(ended)
		c.note(onAll(t, tenant.Operator, "TailLog", object{"executionId": execution}))
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
