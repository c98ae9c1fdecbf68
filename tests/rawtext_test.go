package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
)

// What JSON text can say but a message cannot is refused where the text comes
// in, with its path. ARGS stands for the arguments of a task.
func TestRawText(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	t.Run("doors", func(t *testing.T) {
		for _, c := range []struct {
			name, args, want string
			// literal is the same in a query, empty where a query can't say it.
			literal string
		}{
			{"integer beyond 2^53-1", `{"n": 9007199254740992}`, "args.n=NUMBER_RANGE", `{n: 9007199254740992}`},
			{"integer below", `{"n": -9007199254740992}`, "args.n=NUMBER_RANGE", `{n: -9007199254740992}`},
			{"integer beyond 64 bits", `{"n": [1, 99999999999999999999]}`, "args.n[1]=NUMBER_RANGE", `{n: [1, 99999999999999999999]}`},
			{"integer that is written as a float", `{"n": 9007199254740993.0}`, "args.n=NUMBER_RANGE", `{n: 9007199254740993.0}`},
			{"number beyond a double", `{"n": 1e400}`, "args.n=NUMBER_RANGE", `{n: 1e400}`},
			{"key twice", `{"a": {"b": 1, "b": 2}}`, "args.a.b=DUPLICATE_KEY", `{a: {b: 1, b: 2}}`},
			{"key twice, once escaped", `{"b": 1, "\u0062": 2}`, "args.b=DUPLICATE_KEY", ""},
			{"NUL", `{"a": "x\u0000"}`, "args.a=INVALID_TEXT", `{a: "x\u0000"}`},
			{"half a surrogate", `{"a": "\ud800"}`, "args.a=INVALID_TEXT", ""},
			{"no UTF-8", "{\"a\": \"\xff\"}", "args.a=INVALID_TEXT", ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				refusedText(t, tenant, c.args, "workflow.tasks[0]."+c.want)
				if c.literal == "" {
					return
				}
				query := fmt.Sprintf(`mutation { createScheduledJob(instanceId: %q, frequencyType: MANUAL, workflow: {tasks: [{name: "a", type: "util.noop", args: %s}]}) { id } }`,
					tenant.Instance, c.literal)
				text, err := json.Marshal(query)
				if err != nil {
					t.Fatal(err)
				}
				want := "workflow.tasks[0]." + c.want
				refusedBody(t, tenant, "/graphql", fmt.Sprintf(`{"query": %s}`, text), want)
			})
		}
	})
	if jobs := harness.Must(t, tenant.Operator.GRPCDoor(), "ListJobs", object{"instanceId": tenant.Instance}); len(jobs) != 0 {
		t.Errorf("refused requests left %v", jobs)
	}
}

// refusedText sends a workflow with the given arguments by REST and in a
// variable of GraphQL.
func refusedText(t *testing.T, tenant *harness.Tenant, args, want string) {
	t.Helper()
	workflow := fmt.Sprintf(`{"tasks": [{"name": "a", "type": "util.noop", "args": %s}]}`, args)
	refusedBody(t, tenant, "/v1/instances/"+tenant.Instance+"/jobs", fmt.Sprintf(`{"frequencyType": "MANUAL", "workflow": %s}`, workflow), want)
	refusedBody(t, tenant, "/graphql", fmt.Sprintf(`{"query": "mutation ($w: JSON!) { createScheduledJob(instanceId: %s, frequencyType: MANUAL, workflow: $w) { id } }", "variables": {"w": %s}}`,
		strings.TrimPrefix(tenant.Instance, "inst_"), workflow), want)
}

func refusedBody(t *testing.T, tenant *harness.Tenant, path, body, want string) {
	t.Helper()
	answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, path, body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Status >= 500 || !strings.Contains(string(answer.Body), "INVALID_ARGUMENT") {
		t.Fatalf("%s answers %d %s, want a refusal", path, answer.Status, answer.Body)
	}
	field, reason, _ := strings.Cut(want, "=")
	for _, part := range []string{fmt.Sprintf(`"field":%q`, field), fmt.Sprintf(`"reason":%q`, reason)} {
		if !strings.Contains(strings.ReplaceAll(string(answer.Body), `": "`, `":"`), part) {
			t.Errorf("%s lacks %s: %s", path, part, answer.Body)
		}
	}
}

// REST refuses whatever it does not know or cannot read.
func TestRESTRequests(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	jobs := "/v1/instances/" + tenant.Instance + "/jobs"
	job := tenant.Create(t, nil, harness.Noop("a"))
	const workflow = `"workflow": {"tasks": [{"name": "a", "type": "util.noop"}]}`
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		reason, field            string
	}{
		{"field", "POST", jobs, `{"frequencyType": "MANUAL", "colour": "red", ` + workflow + `}`, nil, 400, "UNKNOWN_FIELD", "colour"},
		{"inner field", "POST", jobs, `{"frequencyType": "MANUAL", "retryPolicy": {"count": 1}, ` + workflow + `}`, nil, 400, "UNKNOWN_FIELD", "retryPolicy.count"},
		{"field of an update", "PATCH", "/v1/jobs/" + job, `{"cron": "* * * * *"}`, nil, 400, "UNKNOWN_FIELD", "cron"},
		{"field of a verb", "POST", "/v1/jobs/" + job + ":run", `{"now": true}`, nil, 400, "UNKNOWN_FIELD", "now"},
		{"query parameter", "GET", jobs + "?page_sise=1", "", nil, 400, "UNKNOWN_FIELD", "page_sise"},
		{"query parameter twice", "GET", jobs + "?pageSize=1&pageSize=2", "", nil, 400, "INVALID_VALUE", "pageSize"},
		{"negative page", "GET", jobs + "?pageSize=-1", "", nil, 400, "INT32_GTE", "pageSize"},
		{"page of text", "GET", jobs + "?pageSize=ten", "", nil, 400, "INVALID_VALUE", "pageSize"},
		{"forged page token", "GET", jobs + "?pageToken=xyz", "", nil, 400, "INVALID_PAGE_TOKEN", "pageToken"},
		{"unknown mask", "PATCH", "/v1/jobs/" + job + "?updateMask=colour", `{"name": "x"}`, nil, 400, "UNKNOWN_FIELD", "updateMask"},
		{"enum", "POST", jobs, `{"frequencyType": "HOURLY", ` + workflow + `}`, nil, 400, "INVALID_VALUE", "frequencyType"},
		{"enum in lower case", "POST", jobs, `{"frequencyType": "manual", ` + workflow + `}`, nil, 400, "INVALID_VALUE", "frequencyType"},
		{"enum by number", "POST", jobs, `{"frequencyType": 3, ` + workflow + `}`, nil, 400, "WRONG_TYPE", "frequencyType"},
		{"text for a number", "POST", jobs, `{"frequencyType": "INTERVAL_BASED", "intervalMinutes": "5", ` + workflow + `}`, nil, 400, "WRONG_TYPE", "intervalMinutes"},
		{"fraction", "POST", jobs, `{"frequencyType": "INTERVAL_BASED", "intervalMinutes": 5.5, ` + workflow + `}`, nil, 400, "WRONG_TYPE", "intervalMinutes"},
		{"number beyond 32 bits", "POST", jobs, `{"frequencyType": "INTERVAL_BASED", "intervalMinutes": 4294967296, ` + workflow + `}`, nil, 400, "OUT_OF_RANGE", "intervalMinutes"},
		{"workflow as text", "POST", jobs, `{"frequencyType": "MANUAL", "workflow": "{}"}`, nil, 400, "WRONG_TYPE", "workflow"},
		{"key twice", "POST", jobs, `{"frequencyType": "MANUAL", "name": "a", "name": "b", ` + workflow + `}`, nil, 400, "DUPLICATE_KEY", "name"},
		{"both spellings", "POST", jobs, `{"frequencyType": "MANUAL", "frequency_type": "MANUAL", ` + workflow + `}`, nil, 400, "DUPLICATE_KEY", "frequency_type"},
		{"no JSON", "POST", jobs, `{"frequencyType": `, nil, 400, "", ""},
		{"more than one value", "POST", jobs, `{"frequencyType": "MANUAL", ` + workflow + `} {}`, nil, 400, "", ""},
		{"list", "POST", jobs, `[]`, nil, 400, "", ""},
		{"media type", "POST", jobs, `x=1`, []string{"Content-Type", "text/xml"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		{"form", "POST", jobs, `x=1`, []string{"Content-Type", "application/x-www-form-urlencoded"}, 400, "MALFORMED_JSON", ""},
		{"compressed", "POST", jobs, `x`, []string{"Content-Encoding", "gzip"}, 415, "UNSUPPORTED_MEDIA_TYPE", ""},
		{"body of more than 1 MiB", "POST", jobs, `{"name": "` + strings.Repeat("x", 1<<20) + `"}`, nil, 413, "BODY_TOO_LARGE", ""},
		{"method", "PUT", jobs, `{}`, nil, 405, "METHOD_NOT_ALLOWED", ""},
		{"override of the method", "POST", "/v1/jobs/" + job, `{}`, []string{"X-HTTP-Method-Override", "DELETE"}, 405, "METHOD_NOT_ALLOWED", ""},
		{"route", "GET", "/v1/nothing", "", nil, 404, "ROUTE_NOT_FOUND", ""},
		{"verb", "POST", "/v1/jobs/" + job + ":explode", `{}`, nil, 404, "ROUTE_NOT_FOUND", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answer, err := tenant.Operator.HTTP(t.Context(), c.method, c.path, c.body, c.headers...)
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Error struct {
					Code    int
					Details []struct {
						Reason          string
						FieldViolations []struct{ Field, Reason string }
					}
				}
			}
			if err := json.Unmarshal(answer.Body, &got); err != nil {
				t.Fatalf("%d %s: %v", answer.Status, answer.Body, err)
			}
			if answer.Status != c.status || got.Error.Code != c.status {
				t.Errorf("answers %d %s, want %d", answer.Status, answer.Body, c.status)
			}
			if c.reason != "" && !strings.Contains(string(answer.Body), fmt.Sprintf("%q", c.reason)) {
				t.Errorf("lacks the reason %s: %s", c.reason, answer.Body)
			}
			if c.field != "" && !strings.Contains(string(answer.Body), fmt.Sprintf("%q", c.field)) {
				t.Errorf("lacks the field %s: %s", c.field, answer.Body)
			}
		})
	}
}

// GraphQL's own refusals look like all others.
func TestGraphQLRequests(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	deep := "{ getScheduledJobs(instanceId: 1) " + strings.Repeat("{ history ", 50) + "{ id }" + strings.Repeat(" }", 51)
	wide := "{ " + strings.Repeat("a: getScheduledJobs(instanceId: 1) { id } ", 500) + "}"
	aliases := &strings.Builder{}
	for i := range 3000 {
		fmt.Fprintf(aliases, "a%d: __typename ", i)
	}
	for _, c := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"syntax", `{"query": "{ getScheduledJobs("}`, 200, "INVALID_ARGUMENT"},
		{"field", `{"query": "{ getNothing { id } }"}`, 200, "INVALID_ARGUMENT"},
		{"argument", `{"query": "{ getScheduledJobs(instance: 1) { id } }"}`, 200, "INVALID_ARGUMENT"},
		{"argument missing", `{"query": "{ getScheduledJobs { id } }"}`, 200, "INVALID_ARGUMENT"},
		{"enum as text", `{"query": "{ previewSchedule(frequencyType: \"MANUAL\") { times } }"}`, 200, "INVALID_ARGUMENT"},
		{"enum unknown", `{"query": "{ previewSchedule(frequencyType: HOURLY) { times } }"}`, 200, "frequencyType"},
		{"variable of the wrong type", `{"query": "query ($n: Int) { previewSchedule(frequencyType: INTERVAL_BASED, intervalMinutes: $n) { times } }", "variables": {"n": "5"}}`, 200, "intervalMinutes"},
		{"no query", `{}`, 400, "INVALID_ARGUMENT"},
		{"no JSON", `{"query": `, 400, "INVALID_ARGUMENT"},
		{"batch", `[{"query": "{ __typename }"}]`, 400, "INVALID_ARGUMENT"},
		{"too deep", `{"query": "` + deep + `"}`, 200, "QUERY_TOO_DEEP"},
		{"too many fields at the root", `{"query": "` + wide + `"}`, 200, "QUERY_TOO_LONG"},
		{"too many tokens", `{"query": "{ ` + aliases.String() + `}"}`, 200, "QUERY_TOO_LONG"},
		{"body of more than 1 MiB", `{"query": "{ __typename }", "variables": {"x": "` + strings.Repeat("x", 1<<20) + `"}}`, 413, "BODY_TOO_LARGE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/graphql", c.body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.Status != c.status || !strings.Contains(string(answer.Body), c.want) {
				t.Errorf("answers %d %.500s, want %d with %s", answer.Status, answer.Body, c.status, c.want)
			}
			if _, err := harness.ReadGraphQL(answer); err == nil {
				t.Error("is no error")
			} else if !strings.Contains(err.Error(), " ") || strings.Contains(err.Error(), "without code") {
				t.Errorf("is no refusal of ours: %v", err)
			}
		})
	}
}

// A request that fits the limits by a hair is taken: those of a query don't
// count inside of a JSON argument.
func TestLargestWorkflow(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	tenant := harness.Start(t, harness.Options{}).NewTenant(t)
	tasks := make([]any, 100)
	for i := range tasks {
		task := harness.Get(fmt.Sprint("t", i), "https://example.com/")
		task["args"].(object)["body"] = object{"text": strings.Repeat("x", 5000), "list": []any{1, 2, 3, []any{object{"b": 9007199254740991}}}}
		tasks[i] = task
	}
	tasks[0].(object)["args"].(object)["body"] = deep(95)
	for _, door := range tenant.Operator.Doors() {
		made := harness.Must(t, door, "CreateJob", tenant.Job(nil, tasks...))
		workflow, _ := made["workflow"].(object)
		if got := len(harness.List(workflow, "tasks")); got != 100 {
			t.Errorf("by %s %d tasks came back, want 100", door.Name(), got)
		}
	}
}
