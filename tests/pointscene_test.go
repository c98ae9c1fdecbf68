package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
)

// client is a program that was written for the original API: it knows
// /graphql, a bearer token, and numbers as identifiers.
type client struct {
	*harness.Tenant
	caller *harness.Caller
	words  *strings.Replacer
}

func newClient(t *testing.T) *client {
	t.Helper()
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	number := func(id string) string { return id[strings.IndexByte(id, '_')+1:] }
	scope := "instance-write-" + number(tenant.Instance) + " resource-write-" + number(tenant.Resource)
	return &client{
		Tenant: tenant,
		caller: server.As(server.Token(t, scope)),
		words:  strings.NewReplacer("INSTANCE", number(tenant.Instance), "RESOURCE", number(tenant.Resource)),
	}
}

// ask sends a request as it stands, but for the words INSTANCE and RESOURCE,
// which become numbers, and returns the root field's value.
func (c *client) ask(t *testing.T, query, variables string) object {
	t.Helper()
	body := object{"query": c.words.Replace(query)}
	if variables != "" {
		body["variables"] = json.RawMessage(c.words.Replace(variables))
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := c.caller.HTTP(t.Context(), http.MethodPost, "/graphql", string(text))
	if err != nil {
		t.Fatal(err)
	}
	data, err := harness.ReadGraphQL(answer)
	if err != nil || answer.Status != http.StatusOK {
		t.Fatalf("%d, %v\nfor %s", answer.Status, err, text)
	}
	return data
}

// form is one way in which clients write a request.
type form struct{ name, query, variables string }

const tokenText = `{\"access_token\":\"ya29\",\"refresh_token\":\"1//0g\",\"token_type\":\"Bearer\",\"expiry\":\"2026-01-01T00:00:00.000Z\"}`

var addJobConfig = []form{
	{"literal", `mutation {
		addJobConfig(
			resourceId: RESOURCE
			config: {
				aws_s3: {type: "s3", provider: "AWS", access_key_id: "AKIA", secret_access_key: "s3cr3t", region: "eu-north-1"}
				gdrive: {type: "drive", client_id: "1.apps", client_secret: "GOCSPX", scope: "drive", token: "` + tokenText + `"}
				acc: {type: "acc", client_id: "a", client_secret: "b", hub_id: "b.2b7f", project_id: "b.1c", token: "` + tokenText + `"}
			}
		) { success }
	}`, ""},
	{"variables", `mutation AddJobConfig($resourceId: ID!, $config: JSON!) {
		addJobConfig(resourceId: $resourceId, config: $config) { success }
	}`, `{"resourceId": RESOURCE, "config": {"drop": {"type": "dropbox", "app_key": "k", "app_secret": "s", "token": "` + tokenText + `"}}}`},
	{"inner variable", `mutation ($secret: String) {
		addJobConfig(resourceId: "RESOURCE", config: {second: {type: "s3", access_key_id: "A", secret_access_key: $secret}}) { success }
	}`, `{"secret": "from a variable"}`},
}

var createScheduledJob = []form{
	{"literal with nested objects", `mutation {
		createScheduledJob(
			instanceId: INSTANCE
			name: "Sync"
			description: "Drive to S3"
			frequencyType: CRON_BASED
			cronExpression: "0 0 * * *"
			active: true
			workflow: {
				name: "Sync workflow"
				instanceId: INSTANCE
				tasks: [
					{name: "input", type: "resource.input", args: {id: RESOURCE, exclude: ["sync/**"]}, inputs: []}
					{name: "sync", type: "rclone.sync", args: {id: RESOURCE, remotes: ["gdrive:/Scans", "aws_s3:/bucket/scans"]}, inputs: ["input"]}
				]
			}
		) { id instanceId name description active workflow frequencyType cronExpression intervalMinutes nextRun lastRun createdAt history { id } }
	}`, ""},
	{"inputs as text, and absent", `mutation CreateScheduledJob($instanceId: ID!, $workflow: JSON!, $frequencyType: FrequencyType!, $cronExpression: String, $name: String, $description: String) {
		createScheduledJob(instanceId: $instanceId, workflow: $workflow, frequencyType: $frequencyType, cronExpression: $cronExpression, name: $name, description: $description) {
			id instanceId name description active workflow frequencyType cronExpression intervalMinutes nextRun lastRun createdAt history { id } }
	}`, `{"instanceId": INSTANCE, "name": "Sync", "description": "Drive to S3", "frequencyType": "CRON_BASED", "cronExpression": "0 0 * * *",
		"workflow": {"name": "Sync workflow", "instanceId": "INSTANCE", "tasks": [
			{"name": "input", "type": "resource.input", "args": {"id": "RESOURCE", "exclude": ["sync/**"]}},
			{"name": "sync", "type": "rclone.sync", "args": {"id": RESOURCE, "remotes": ["gdrive:/Scans", "aws_s3:/bucket/scans"]}, "inputs": "input"}]}}`},
	{"identifiers with their prefix", `mutation ($workflow: JSON!) {
		createScheduledJob(instanceId: "inst_INSTANCE" workflow: $workflow frequencyType: CRON_BASED cronExpression: "0 0 * * *" name: "Sync" description: "Drive to S3" active: null) {
			id instanceId name description active workflow frequencyType cronExpression intervalMinutes nextRun lastRun createdAt history { id } }
	}`, `{"workflow": {"tasks": [{"name": "sync", "type": "sync.files", "args": {"resourceId": "res_RESOURCE", "remotes": ["gdrive:/Scans", "aws_s3:/bucket/scans"]}}]}}`},
}

// An existing client's requests work after a change of URL and token alone.
func TestPointsceneClient(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	c := newClient(t)
	for _, f := range addJobConfig {
		t.Run("addJobConfig "+f.name, func(t *testing.T) {
			if diff := cmp.Diff(object{"addJobConfig": object{"success": true}}, c.ask(t, f.query, f.variables)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	stored := harness.List(onAll(t, c.Operator, "GetConfig", object{"resourceId": c.Resource}), "remotes")
	if len(stored) != 5 {
		t.Errorf("%d remotes are stored, want 5: %v", len(stored), stored)
	}
	for _, f := range createScheduledJob {
		t.Run("createScheduledJob "+f.name, func(t *testing.T) {
			t.Parallel()
			made, _ := c.ask(t, f.query, f.variables)["createScheduledJob"].(object)
			c.checkMade(t, made)
			c.readAndChange(t, harness.Text(made, "id"))
		})
	}
}

func (c *client) checkMade(t *testing.T, made object) {
	t.Helper()
	wanted := object{
		"instanceId": c.Instance, "name": "Sync", "description": "Drive to S3", "active": true, "frequencyType": "CRON_BASED",
		"cronExpression": "0 0 * * *", "intervalMinutes": nil, "lastRun": nil,
	}
	for name, want := range wanted {
		if got := made[name]; got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	if next, _ := made["nextRun"].(string); !strings.HasSuffix(next, "T00:00:00Z") {
		t.Errorf("nextRun is %v, want midnight in UTC", made["nextRun"])
	}
	if history, ok := made["history"].([]any); !ok || len(history) != 0 {
		t.Errorf("history is %v, want an empty list", made["history"])
	}
	if workflow, _ := made["workflow"].(object); len(harness.List(workflow, "tasks")) == 0 {
		t.Errorf("the workflow came back as %v", made["workflow"])
	}
}

// readAndChange reads, updates and deletes a job with both forms of each
// operation.
func (c *client) readAndChange(t *testing.T, id string) {
	number := strings.TrimPrefix(id, "job_")
	const fields = `{ id active name frequencyType cronExpression intervalMinutes history { id jobId success logPath createdAt signedLogUrl } }`
	one := c.ask(t, `{ getScheduledJob(jobId: `+number+`) `+fields+` }`, "")["getScheduledJob"]
	same := c.ask(t, `query Get($id: ID!) { getScheduledJob(jobId: $id) `+fields+` }`, `{"id": "`+number+`"}`)["getScheduledJob"]
	if diff := cmp.Diff(one, same); diff != "" {
		t.Errorf("getScheduledJob by literal and by variable differ:\n%s", diff)
	}
	all, _ := c.ask(t, `{ getScheduledJobs(instanceId: INSTANCE) `+fields+` }`, "")["getScheduledJobs"].([]any)
	if len(all) == 0 || len(all) > len(createScheduledJob) {
		t.Errorf("getScheduledJobs answers %d jobs", len(all))
	}
	c.ask(t, `query ($instanceId: ID!) { getScheduledJobs(instanceId: $instanceId) { id } }`, `{"instanceId": "inst_INSTANCE"}`)

	changed, _ := c.ask(t, `mutation { updateScheduledJob(jobId: `+number+`, instanceId: INSTANCE, active: false, name: null) `+fields+` }`, "")["updateScheduledJob"].(object)
	if changed["active"] != false || changed["name"] != "Sync" {
		t.Errorf("deactivated it is %v", changed)
	}
	changed, _ = c.ask(t, `mutation Update($jobId: ID!, $instanceId: ID!, $frequencyType: FrequencyType, $intervalMinutes: Int, $active: Boolean, $workflow: JSON, $name: String) {
		updateScheduledJob(jobId: $jobId, instanceId: $instanceId, frequencyType: $frequencyType, intervalMinutes: $intervalMinutes, active: $active, workflow: $workflow, name: $name) `+fields+` }`,
		`{"jobId": `+number+`, "instanceId": "INSTANCE", "frequencyType": "INTERVAL_BASED", "intervalMinutes": 525600, "active": true, "name": "Renamed",
			"workflow": {"instanceId": INSTANCE, "tasks": [{"name": "a", "type": "util.noop", "inputs": []}]}}`)["updateScheduledJob"].(object)
	if changed["cronExpression"] != nil || changed["intervalMinutes"] != json.Number("525600") || changed["name"] != "Renamed" {
		t.Errorf("changed it is %v", changed)
	}
	c.history(t, id, number)

	form := `mutation { deleteScheduledJob(id: ` + number + `) { success } }`
	if number[len(number)-1]%2 == 0 {
		form = `mutation { deleteScheduledJob(jobId: "` + number + `") { success } }`
	}
	if diff := cmp.Diff(object{"deleteScheduledJob": object{"success": true}}, c.ask(t, form, "")); diff != "" {
		t.Errorf("deleteScheduledJob (-want +got):\n%s", diff)
	}
}

// history reads the executions of a job in every way.
func (c *client) history(t *testing.T, id, number string) {
	execution := c.Run(t, id)
	c.End(t, execution)
	const fields = `{ id jobId success logPath createdAt signedLogUrl }`
	one, _ := c.ask(t, `{ getScheduledJobHistory(jobHistoryId: `+strings.TrimPrefix(execution, "exec_")+`) `+fields+` }`, "")["getScheduledJobHistory"].(object)
	if one["success"] != true || one["jobId"] != id || one["logPath"] == nil {
		t.Errorf("the execution is %v", one)
	}
	readLink(t, harness.Text(one, "signedLogUrl"))
	c.ask(t, `query ($id: ID!) { getScheduledJobHistory(jobHistoryId: $id) `+fields+` }`, `{"id": "`+execution+`"}`)

	job, _ := c.ask(t, `{ getScheduledJob(jobId: `+number+`) { history { id } } }`, "")["getScheduledJob"].(object)
	if latest := harness.List(job, "history"); len(latest) != 1 || latest[0]["id"] != execution {
		t.Errorf("the job's history is %v, want %s", latest, execution)
	}
	page, _ := c.ask(t, `query ($page: Page) { getInstanceJobHistory(instanceId: INSTANCE, page: $page) { items `+fields+` cursor hasNextPage } }`,
		`{"page": {"first": 1}}`)["getInstanceJobHistory"].(object)
	if items := harness.List(page, "items"); len(items) != 1 {
		t.Errorf("a page of one has %d executions", len(items))
	}
	if cursor, _ := page["cursor"].(string); page["hasNextPage"] == true {
		c.ask(t, `{ getInstanceJobHistory(instanceId: INSTANCE, page: {first: 1, after: "`+cursor+`"}) { items { id } cursor hasNextPage } }`, "")
	}
	c.ask(t, `{ getInstanceJobHistory(instanceId: INSTANCE) { items { id } cursor hasNextPage } }`, "")
}

// deleteScheduledJob takes exactly one of its two arguments.
func TestDeleteScheduledJobTakesOneIdentifier(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	c := newClient(t)
	job := c.Create(t, nil, harness.Noop("a"))
	for _, arguments := range []string{"", `(id: "` + job + `", jobId: "` + job + `")`, "(id: null)"} {
		answer, err := c.caller.GraphQL(t.Context(), `mutation { deleteScheduledJob`+arguments+` { success } }`, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := harness.ReadGraphQL(answer); err == nil || !strings.Contains(err.Error(), "INVALID_ARGUMENT") {
			t.Errorf("deleteScheduledJob%s: %v, want INVALID_ARGUMENT", arguments, err)
		}
	}
	harness.Must(t, c.Operator.GRPCDoor(), "GetJob", object{"jobId": job})
}

// A nullable query that is refused answers null and the error.
func TestNullableQueries(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	c := newClient(t)
	for _, query := range []string{`getScheduledJob(jobId: 999)`, `getScheduledJobHistory(jobHistoryId: 999)`} {
		name, _, _ := strings.Cut(query, "(")
		answer, err := c.caller.GraphQL(t.Context(), `{ `+query+` { id } }`, nil)
		if err != nil {
			t.Fatal(err)
		}
		value, err := answer.JSON()
		if err != nil {
			t.Fatal(err)
		}
		data, there := value.(object)["data"].(object)
		if field, given := data[name]; !there || !given || field != nil || !strings.Contains(string(answer.Body), "NOT_FOUND") {
			t.Errorf("%s answers %s", query, answer.Body)
		}
	}
}

// Queries may come by GET, mutations may not.
func TestGraphQLByGet(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	c := newClient(t)
	get := func(query string) harness.Answer {
		answer, err := c.caller.HTTP(t.Context(), http.MethodGet, "/graphql?"+url.Values{"query": {c.words.Replace(query)}}.Encode(), "")
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	if answer := get(`{ getScheduledJobs(instanceId: INSTANCE) { id } }`); answer.Status != http.StatusOK || string(answer.Body) != `{"data":{"getScheduledJobs":[]}}` {
		t.Errorf("a query by GET answers %d %s", answer.Status, answer.Body)
	}
	if answer := get(`mutation { deleteScheduledJob(id: 1) { success } }`); answer.Status != http.StatusMethodNotAllowed {
		t.Errorf("a mutation by GET answers %d %s", answer.Status, answer.Body)
	}
}
