package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// person uses the client commands with a profile of their own.
type person struct {
	t   *testing.T
	env []string
}

func newPerson(t *testing.T) *person {
	t.Helper()
	return &person{t, []string{"CARILLON_PROFILE=" + filepath.Join(t.TempDir(), "client.yaml")}}
}

// do runs a command that must end with a code, and answers what it printed.
func (p *person) do(code int, stdin string, args ...string) harness.Result {
	p.t.Helper()
	r := harness.RunWith(p.t, p.env, stdin, args...)
	if r.Code != code {
		p.t.Fatalf("carillon %s ended with %d, want %d\n%s%s", strings.Join(args, " "), r.Code, code, r.Stdout, r.Stderr)
	}
	return r
}

// object runs a command with -o json.
func (p *person) object(code int, args ...string) object {
	p.t.Helper()
	r := p.do(code, "", append(args, "-o", "json")...)
	var o object
	if err := json.Unmarshal([]byte(r.Stdout), &o); err != nil {
		p.t.Fatalf("carillon %s -o json: %v\n%s", strings.Join(args, " "), err, r.Stdout)
	}
	return o
}

// signedIn is a person who signed in as a client of a new tenant.
func signedIn(t *testing.T, server *harness.Server) (*person, *harness.Tenant) {
	t.Helper()
	tenant := server.NewTenant(t)
	client := harness.Must(t, tenant.Operator.GRPCDoor(), "CreateClient", object{"client": object{"title": "cli", "scopes": []any{"instance-*"}, "instanceIds": []any{tenant.Instance}}})
	p := newPerson(t)
	p.do(0, harness.Text(client, "clientSecret")+"\n", "login", "--api-addr", server.GRPC, "--client-id", harness.Text(client, "id"))
	return p, tenant
}

// Shells complete ids, and get no message in the middle of a line.
func TestCompletion(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	p, tenant := signedIn(t, server)
	id := tenant.Create(t, object{"name": "first\tjob"}, harness.Noop("a"))
	execution := harness.Text(p.object(0, "job", "run", id, "--wait"), "id")
	hook := harness.Text(p.object(0, "webhook", "create", "--url", "https://hooks.example/a", "--event", "FIRST_FAILURE"), "id")
	ping := p.object(0, "webhook", "test", hook)
	harness.Must(t, tenant.Operator.GRPCDoor(), "UpdateJob", object{"job": object{"id": id, "frequencyType": "CRON_BASED", "cronExpression": "0 0 * * *"}})
	backfill := harness.Text(p.object(0, "job", "backfill", id, "--from", "-48h", "--to", "0s"), "id")
	harness.Wait(t, 10*time.Second, "the backfill begins", func() bool {
		return strings.Contains(p.do(0, "", "execution", "list", "-o", "json").Stdout, backfill)
	})
	for _, test := range []struct{ want, args string }{
		{id + "\tfirst job\n", "job get"},
		{execution + "\t" + id + " SUCCEEDED\n", "execution log"},
		{tenant.Instance + "\t", "instance use"},
		{tenant.Instance + "\t", "job list --instance"},
		{id + "\t", "execution list --job"},
		{tenant.Resource + "\tsite\n", "resource get"},
		{tenant.Resource + "\t", "config get"},
		{hook + "\thttps://hooks.example/a\n", "webhook rotate"},
		{harness.Text(ping, "id") + "\tPING PENDING\n", "delivery get"},
		{hook + "\t", "delivery list --webhook"},
		{"PENDING\nDELIVERED\nFAILED\n", "delivery list --state"},
		{backfill + "\t" + id + "\n", "backfill get"},
	} {
		// Nobody at a shell waits long; a busy machine is asked again.
		var r harness.Result
		if !harness.Within(10*time.Second, func() bool {
			r = p.do(0, "", append(append([]string{"__complete"}, strings.Fields(test.args)...), "")...)
			return strings.Contains("\n"+r.Stdout, "\n"+test.want)
		}) {
			t.Errorf("%s completes to %q, want %q", test.args, r.Stdout, test.want)
		}
	}
	const nothing = ":4\n"
	if r := p.do(0, "", "__complete", "job", "get", id, ""); r.Stdout != nothing {
		t.Errorf("a second id: %q", r.Stdout)
	}
	if r := p.do(0, "", "__complete", "job", "get", "x"); !strings.HasPrefix(r.Stdout, ":") {
		t.Errorf("an id that does not fit: %q", r.Stdout)
	}
	r := newPerson(t).do(0, "", "__complete", "job", "get", "--api-addr", server.GRPC, "")
	if r.Stdout != nothing || strings.Contains(r.Stderr, "carillon") {
		t.Errorf("a stranger gets %q, %q", r.Stdout, r.Stderr)
	}
}

const noopJob = "name: %s\nfrequencyType: MANUAL\nworkflow: {tasks: [{name: a, type: %s}]}\n"

// From signing in to an execution's end, by commands alone.
func TestClientCommands(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	stranger := newPerson(t)
	stranger.do(4, "", "instance", "list", "--api-addr", server.GRPC)
	stranger.do(3, "x", "login", "--with-token", "--api-addr", "127.0.0.1:1")
	stranger.do(2, "", "instance", "list", "--data-dir", t.TempDir())
	newPerson(t).do(0, server.Token(t, "operator"), "login", "--with-token", "--data-dir", server.DataDir, "--keyset", "none", "--database-url", "none")
	stranger.do(4, "wrong\n", "login", "--api-addr", server.GRPC, "--client-id", "client_1")

	p, tenant := signedIn(t, server)
	profile := strings.TrimPrefix(p.env[0], "CARILLON_PROFILE=")
	if info, err := os.Stat(profile); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("the profile: %v, %v", info, err)
	}
	p.do(2, "", "nosuch")
	p.do(2, "", "job", "get")
	p.do(2, "", "job", "list", "--nosuch")
	created := p.do(0, fmt.Sprintf(noopJob, "first", "util.noop"), "job", "create", "-f", "-", "-o", "json")
	var j object
	if err := json.Unmarshal([]byte(created.Stdout), &j); err != nil {
		t.Fatal(err)
	}
	id := harness.Text(j, "id")
	if e := p.object(0, "job", "run", id, "--wait"); e["state"] != "SUCCEEDED" {
		t.Errorf("ran as %v", e)
	}
	broken := tenant.Create(t, object{"name": "broken"}, harness.Get("call", "http://127.0.0.1:1/"))
	r := p.do(1, "", "job", "run", broken, "--follow")
	if !strings.Contains(r.Stdout, "FAILED") || !strings.Contains(r.Stderr, "[call]") {
		t.Errorf("a failed run printed %q, %q", r.Stdout, r.Stderr)
	}
	if strings.ContainsAny(r.Stderr, "\r\x1b") || strings.Contains(r.Stderr, "tasks 0/1") {
		t.Errorf("progress without a terminal: %q", r.Stderr)
	}
	all := p.object(0, "execution", "list", "--limit", "1")["executions"].([]any)
	if len(all) != 1 {
		t.Fatalf("listed %v", all)
	}
	failed := harness.Text(all[0].(object), "id")
	lines := strings.Count(p.do(0, "", "execution", "log", failed, "-o", "json").Stdout, "\n")
	if got := p.do(0, "", "execution", "log", failed, "-o", "yaml").Stdout; lines == 0 || strings.Count(got, "---\ntime: ") != lines {
		t.Errorf("a log of %d lines as YAML is %q", lines, got)
	}
	refused := p.do(2, fmt.Sprintf(noopJob, "x", "util.nop"), "job", "create", "-f", "-")
	if !strings.Contains(refused.Stderr, "workflow.tasks[0].type: unknown task type") {
		t.Errorf("refused with %q", refused.Stderr)
	}
	p.do(5, "", "job", "get", "job_999")
	p.do(6, "", "job", "update", id, "--name", "x", "--etag", "stale")
	p.do(2, "", "job", "list", "-o", "xml")
	p.do(0, "", "job", "pause", id, "--reason", "later", "--until", "2h")
	if j := p.object(0, "job", "get", id); j["state"] != "PAUSED" || harness.Text(j, "pause", "reason") != "later" {
		t.Errorf("paused: %v", j)
	}
	p.do(0, `{"disk": {"type": "s3", "provider": "Minio", "access_key_id": "a", "secret_access_key": "canary"}}`, "config", "add", tenant.Resource, "-f", "-")
	if got := p.do(0, "", "config", "get", tenant.Resource, "-o", "yaml"); strings.Contains(got.Stdout, "canary") || !strings.Contains(got.Stdout, "secret_access_key") {
		t.Errorf("config get printed %q", got.Stdout)
	}
	if got := p.do(1, "", "config", "test", tenant.Resource, "--write"); strings.Contains(got.Stdout, "canary") || !strings.Contains(got.Stdout, "CONNECT  FAILED") {
		t.Errorf("config test printed %q", got.Stdout)
	}
	p.do(2, `{"disk": {"type": "ftp"}}`, "config", "test", tenant.Resource, "-f", "-")
	p.do(0, "", "logout")
	p.do(4, "", "instance", "list", "--api-addr", server.GRPC)
}

// What is exported is what is applied, and applying twice changes nothing.
func TestApply(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	p, tenant := signedIn(t, harness.Start(t, harness.Options{}))
	byHand := tenant.Create(t, object{"name": "by hand", "description": "d", "labels": object{"team": "a"}}, harness.Noop("a"))
	tenant.Create(t, object{"name": "same"}, harness.Noop("a"))
	tenant.Create(t, object{"name": "same"}, harness.Noop("a"))
	for range 2 { // of one address, told apart by their ids
		p.do(0, "", "webhook", "create", "--url", "https://hooks.example/a", "--event", "NOT_FRESH", "--freshness", "26h", "-l", "team=a")
	}
	exported := p.do(0, "", "export").Stdout
	p.do(0, exported, "diff", "-f", "-")
	if strings.Contains(exported, "whsec_") || strings.Count(exported, "kind: webhook\nid: webhook_") != 2 {
		t.Errorf("exported:\n%s", exported)
	}

	dir := t.TempDir()
	write := func(name, text string) { writeFile(t, filepath.Join(dir, name), text) }
	write("one.yaml", "labels: {team: a}\n"+fmt.Sprintf(noopJob, "one", "util.noop"))
	write("hook.yaml", "kind: webhook\nurl: https://hooks.example/b\nevents: [FIRST_FAILURE, RECOVERED]\njobIds: ["+byHand+"]\n")
	write("two.yaml", "labels: {team: a}\n"+fmt.Sprintf(noopJob, "two", "util.noop"))
	p.do(1, "", "diff", "-f", dir)
	p.do(2, "", "apply", "-f", dir) // nobody to ask
	if r := p.do(0, "", "apply", "-f", dir, "--yes"); strings.Contains(r.Stdout+r.Stderr, "whsec_") || !strings.Contains(r.Stderr, "carillon webhook rotate webhook_3") {
		t.Errorf("the first time: %s%s", r.Stdout, r.Stderr)
	}
	if r := p.do(0, "", "apply", "-f", dir, "--yes"); r.Stdout != "0 to create, 0 to update, 0 to delete, 3 as they should be.\n" {
		t.Errorf("the second time: %s", r.Stdout)
	}
	p.do(0, "", "webhook", "update", "webhook_3", "--enabled=false") // stays so
	write("hook.yaml", "kind: webhook\nurl: https://hooks.example/b\nevents: [RECOVERED]\njobIds: ["+byHand+"]\n")
	if r := p.do(0, "", "apply", "-f", dir, "--yes"); !strings.Contains(r.Stdout, `events: ["FIRST_FAILURE","RECOVERED"] -> ["RECOVERED"]`) || strings.Contains(r.Stdout, "enabled") {
		t.Errorf("a change of the webhook: %s", r.Stdout)
	}
	// Nothing changes when one definition is refused.
	write("three.yaml", fmt.Sprintf(noopJob, "three", "util.nop"))
	write("one.yaml", "description: new\nlabels: {team: a}\n"+fmt.Sprintf(noopJob, "one", "util.noop"))
	if r := p.do(2, "", "apply", "-f", dir, "--yes"); !strings.Contains(r.Stderr, "three.yaml") || !strings.Contains(r.Stderr, "tasks[0].type") {
		t.Errorf("refused with %s", r.Stderr)
	}
	p.do(1, "", "diff", "-f", filepath.Join(dir, "one.yaml"))
	for _, name := range []string{"two.yaml", "three.yaml"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	p.do(0, "", "apply", "-f", dir, "--prune", "team=a", "--yes")
	names := map[string]any{}
	for _, j := range p.object(0, "job", "list")["jobs"].([]any) {
		names[j.(map[string]any)["name"].(string)] = j.(map[string]any)["managedBy"]
	}
	if names["one"] != "carillon apply" || names["by hand"] != nil || len(names) != 3 {
		t.Errorf("after pruning there are %v; %s was made by hand", names, byHand)
	}
	if hooks := p.object(0, "webhook", "list")["webhooks"].([]any); len(hooks) != 3 {
		t.Errorf("pruning jobs left %d webhooks", len(hooks))
	}
}

// Two people who apply at once: every job is there once, and whoever came too
// late is told.
func TestApplyAtOnce(t *testing.T) {
	t.Parallel()
	p, _ := signedIn(t, harness.Start(t, harness.Options{}))
	var text strings.Builder
	const jobs = 20
	for i := range jobs {
		fmt.Fprintf(&text, "---\n"+noopJob, fmt.Sprint("job ", i), "util.noop")
	}
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			r := harness.RunWith(t, p.env, text.String(), "apply", "-f", "-", "--yes")
			if r.Code != 0 && (r.Code != 6 || !strings.Contains(r.Stderr, "MANAGED_NAME_TAKEN")) {
				t.Errorf("ended with %d: %s", r.Code, r.Stderr)
			}
		})
	}
	both.Wait()
	if all := p.object(0, "job", "list", "--limit", "0")["jobs"].([]any); len(all) != jobs {
		t.Errorf("%d jobs, want %d", len(all), jobs)
	}
	p.do(0, text.String(), "diff", "-f", "-")
}

// A watch goes on until somebody interrupts it; a script can tell.
func TestWatchIsInterrupted(t *testing.T) {
	t.Parallel()
	p, tenant := signedIn(t, harness.Start(t, harness.Options{Flags: []string{"--drain-timeout", "1s"}}))
	p.env = append(p.env, "CARILLON_INSTANCE="+tenant.Instance)
	sleeper := strings.Replace(fmt.Sprintf(noopJob, "sleeper", "util.sleep"), "util.sleep", "util.sleep, args: {duration: 10m}", 1)
	var j object
	if err := json.Unmarshal([]byte(p.do(0, sleeper, "job", "create", "-f", "-", "-o", "json").Stdout), &j); err != nil {
		t.Fatal(err)
	}
	id := harness.Text(p.object(0, "job", "run", harness.Text(j, "id")), "id")
	for _, args := range [][]string{{"execution", "list", "--watch"}, {"execution", "log", id, "--follow", "-o", "json"}} {
		seen := id
		if args[1] == "log" {
			seen = "sleeping"
		}
		if r := harness.RunUntil(t, p.env, seen, args...); r.Code != 130 || r.Stderr != "carillon: interrupted\n" {
			t.Errorf("%v ended with %d\n%s%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// A command whose call answers nothing tells what it did, and what is shown of a
// job, a webhook and an execution is what people ask for.
func TestCommandsTellWhatTheyDid(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", t.TempDir()}})
	p, tenant := signedIn(t, server)
	id := tenant.Create(t, object{"name": "kept", "description": "why", "labels": object{"team": "survey", "env": "prod"}, "managedBy": "somebody", "pauseAfterFailures": 3, "retryPolicy": object{"retryCount": 2}}, harness.Noop("a"))
	hook := harness.Text(p.object(0, "webhook", "create", "--url", "https://hooks.example/a", "--event", "NTH_FAILURE", "--failures-in-a-row", "3", "-l", "team=survey"), "id")
	for _, test := range []struct{ args, stdin, stdout, stderr string }{
		{"job get " + id, "", "description why labels env=prod,team=survey managed by somebody", ""},
		{"job get " + id, "", "retries 2, the first after 5s pauses after 3 failures in a row", ""},
		{"webhook get " + hook, "", "events NTH_FAILURE, 3 in a row about team=survey enabled true", ""},
		{"config add " + tenant.Resource + " -f -", `{"one": {"type": "local"}, "two": {"type": "local"}}`, "", "stored one, two of " + tenant.Resource},
		{"config remove " + tenant.Resource + " one", "", "", "removed one of " + tenant.Resource},
		{"config remove " + tenant.Resource, "", "", "removed every remote of " + tenant.Resource},
		{"webhook delete " + hook, "", "", "deleted " + hook},
		{"job delete " + id, "", "", "deleted " + id},
		{"resource delete " + tenant.Resource, "", "", "deleted " + tenant.Resource},
	} {
		r := p.do(0, test.stdin, strings.Fields(test.args)...)
		if out := strings.Join(strings.Fields(r.Stdout), " "); !strings.Contains(out, test.stdout) || r.Stderr != "" && strings.TrimSpace(r.Stderr) != test.stderr || test.stderr != "" && r.Stderr == "" {
			t.Errorf("carillon %s\n%s%s\nwant %q and %q", test.args, r.Stdout, r.Stderr, test.stdout, test.stderr)
		}
	}
}

// Whoever calls a command wrongly is told what to write instead.
func TestMistakesSayWhatToDo(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	p, _ := signedIn(t, server)
	for _, test := range []struct {
		code       int
		says, args string
		stdin      string
	}{
		{code: 2, args: "jbo", says: "did you mean carillon job?"},
		{code: 2, args: "job lst", says: "did you mean carillon job get or list?"},
		{code: 2, args: "nonsense", says: "carillon --help lists the commands"},
		{code: 2, args: "job get", says: "usage: carillon job get ID"},
		{code: 2, args: "apply", says: "--file is needed"},
		{code: 2, args: "apply -f nowhere", says: "carillon: nowhere: no such file or directory\n"},
		{code: 2, args: "apply -f -", says: "standard input: unknown field \"title\"", stdin: "title: a\n"},
		{code: 2, args: "job create --manual --interval 5m", says: "--interval and --manual exclude each other"},
		{code: 2, args: "job create --name x", says: "a schedule (--cron, --interval or --manual) and a workflow (--workflow FILE)"},
		{code: 2, args: "job create -f -", says: "2 mistakes (CRON_FIELD_COUNT)\n  cronExpression: has 1 fields", stdin: `{"frequencyType": "CRON_BASED", "cronExpression": "1", "workflow": {"tasks": [{"name": "a", "type": "none"}]}}`},
		{code: 3, args: "login --api-addr 127.0.0.1:1 --with-token", says: "no service answers: 127.0.0.1:1: connect: connection refused\n  is it running? name another by --api-addr", stdin: "token"},
	} {
		if r := p.do(test.code, test.stdin, strings.Fields(test.args)...); !strings.Contains(r.Stderr, test.says) {
			t.Errorf("carillon %s says\n%swant %q", test.args, r.Stderr, test.says)
		}
	}
	if r := newPerson(t).do(4, "", "job", "list"); !strings.Contains(r.Stderr, "nobody is signed in") {
		t.Errorf("who is not signed in hears %q", r.Stderr)
	}
}
