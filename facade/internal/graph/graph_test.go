package graph

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// bench is a GraphQL door in front of a service that a test decides.
type bench struct {
	*facadetest.Service
	handler http.Handler
	log     lockedText
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{Service: facadetest.New(t)}
	b.handler = door.Wrap(New(b.Conn), slog.New(slog.NewTextHandler(&b.log, nil)), nil)
	job := &carillonv1.Job{
		Id: "job_19", InstanceId: "inst_1", Name: "nightly", Active: proto.Bool(true), State: carillonv1.Job_ACTIVE,
		Workflow: object(t, `{"tasks": []}`), FrequencyType: carillonv1.Job_CRON_BASED, TimeZone: proto.String("UTC"),
		CronExpression: wrapperspb.String("0 3 * * *"), OverlapPolicy: carillonv1.Job_SKIP, CatchUpPolicy: carillonv1.Job_LATEST,
		NextRun: timestamppb.New(at), CreatedAt: timestamppb.New(at), UpdatedAt: timestamppb.New(at), Etag: "e1",
	}
	for _, method := range []string{"CreateJob", "GetJob", "UpdateJob", "PauseJob", "ResumeJob"} {
		b.Answer(method, job)
	}
	b.Answer("ListJobs", &carillonv1.ListJobsResponse{Jobs: []*carillonv1.Job{job}})
	execution := &carillonv1.Execution{
		Id: "exec_5", JobId: "job_19", InstanceId: "inst_1", Trigger: carillonv1.Execution_SCHEDULE, State: carillonv1.Execution_SUCCEEDED,
		Success: wrapperspb.Bool(true), LogPath: "logs/5", SignedLogUrl: "http://127.0.0.1/logs/exec_5?signature=s",
		Attempt: 1, CreatedAt: timestamppb.New(at), StartedAt: timestamppb.New(at),
		Tasks: []*carillonv1.Execution_Task{{Name: "sync", Type: "sync.files", State: carillonv1.Execution_Task_SUCCEEDED}},
	}
	b.Answer("GetExecution", execution)
	b.Answer("RunJob", execution)
	b.Answer("CancelExecution", execution)
	b.Answer("ListExecutions", &carillonv1.ListExecutionsResponse{Executions: []*carillonv1.Execution{execution}, NextPageToken: "more"})
	b.Answer("ListLatestExecutions", &carillonv1.ListLatestExecutionsResponse{Executions: []*carillonv1.Execution{execution}})
	return b
}

func object(t testing.TB, text string) *structpb.Struct {
	t.Helper()
	s := &structpb.Struct{}
	if err := protojson.Unmarshal([]byte(text), s); err != nil {
		t.Fatal(err)
	}
	return s
}

// outcome is a GraphQL answer as tests look at it.
type outcome struct {
	Data   any
	Errors []struct {
		Message    string
		Path       []any
		Locations  []struct{ Line, Column int }
		Extensions struct {
			Code, Reason    string
			FieldViolations []door.Violation
			Metadata        map[string]string
		}
	}
}

// post sends a document with variables and a valid token.
func (b *bench) post(t testing.TB, query, variables string, edit ...func(*http.Request)) (*httptest.ResponseRecorder, outcome) {
	t.Helper()
	text, err := json.Marshal(query)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"query": ` + string(text) + `}`
	if variables != "" {
		body = `{"query": ` + string(text) + `, "variables": ` + variables + `}`
	}
	return b.send(t, body, edit...)
}

func (b *bench) send(t testing.TB, body string, edit ...func(*http.Request)) (*httptest.ResponseRecorder, outcome) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/graphql", strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+facadetest.Token)
	r.Header.Set("Content-Type", "application/json")
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	var out outcome
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatalf("the answer is no JSON: %v\n%s", err, w.Body)
	}
	return w, out
}

var at = time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)

// requests are those of clients of the original API, each as a literal and
// with variables, and the call that must come of it.
var requests = []struct {
	name, literal, variable, variables string
	method, request                    string
	// data is the answer.
	data string
}{
	{
		name:      "addJobConfig",
		literal:   `mutation { addJobConfig(resourceId: 7, config: {drive: {type: "drive", client_id: "i", client_secret: "s", token: "{\"access_token\":\"x\"}", scope: "drive"}, aws_s3: {type: "s3", env_auth: false, region: "eu-north-1"}}) { success } }`,
		variable:  `mutation ($resourceId: ID!, $config: JSON!) { addJobConfig(resourceId: $resourceId, config: $config) { success } }`,
		variables: `{"resourceId": 7, "config": {"drive": {"type": "drive", "client_id": "i", "client_secret": "s", "token": "{\"access_token\":\"x\"}", "scope": "drive"}, "aws_s3": {"type": "s3", "env_auth": false, "region": "eu-north-1"}}}`,
		method:    "AddConfig",
		request:   `{"resourceId": "7", "config": {"drive": {"type": "drive", "client_id": "i", "client_secret": "s", "token": "{\"access_token\":\"x\"}", "scope": "drive"}, "aws_s3": {"type": "s3", "env_auth": false, "region": "eu-north-1"}}}`,
		data:      `{"addJobConfig": {"success": true}}`,
	},
	{
		name: "createScheduledJob",
		literal: `mutation {
			createScheduledJob(
				instanceId: "1"
				frequencyType: CRON_BASED
				cronExpression: "0 3 * * *"
				workflow: { instanceId: 1, tasks: [
					{ name: "input", type: "resource.input", args: { id: 7, exclude: ["sync/**"] }, inputs: [] }
					{ name: "sync", type: "rclone.sync", args: { id: 7, remotes: ["drive:/a", "aws_s3:/b"], n: 1.5, off: null, ok: true }, inputs: "input" }
				] }
			) { id name active nextRun cronExpression intervalMinutes lastRun }
		}`,
		variable: `mutation ($instanceId: ID!, $workflow: JSON!, $type: FrequencyType!, $cron: String) {
			createScheduledJob(instanceId: $instanceId, workflow: $workflow, frequencyType: $type, cronExpression: $cron) { id name active nextRun cronExpression intervalMinutes lastRun } }`,
		variables: `{"instanceId": "1", "type": "CRON_BASED", "cron": "0 3 * * *", "workflow": {"instanceId": 1, "tasks": [
			{"name": "input", "type": "resource.input", "args": {"id": 7, "exclude": ["sync/**"]}, "inputs": []},
			{"name": "sync", "type": "rclone.sync", "args": {"id": 7, "remotes": ["drive:/a", "aws_s3:/b"], "n": 1.5, "off": null, "ok": true}, "inputs": "input"}]}}`,
		method: "CreateJob",
		request: `{"instanceId": "1", "job": {"active": true, "frequencyType": "CRON_BASED", "cronExpression": "0 3 * * *", "workflow": {"instanceId": 1, "tasks": [
			{"name": "input", "type": "resource.input", "args": {"id": 7, "exclude": ["sync/**"]}, "inputs": []},
			{"name": "sync", "type": "rclone.sync", "args": {"id": 7, "remotes": ["drive:/a", "aws_s3:/b"], "n": 1.5, "off": null, "ok": true}, "inputs": "input"}]}}}`,
		data: `{"createScheduledJob": {"id": "job_19", "name": "nightly", "active": true, "nextRun": "2026-11-22T03:00:00Z", "cronExpression": "0 3 * * *", "intervalMinutes": null, "lastRun": null}}`,
	},
	{
		name:      "updateScheduledJob",
		literal:   `mutation { updateScheduledJob(jobId: 19, instanceId: 1, frequencyType: INTERVAL_BASED, intervalMinutes: 20, cronExpression: null, description: "") { id } }`,
		variable:  `mutation ($jobId: ID!, $instanceId: ID!, $minutes: Int, $cron: String, $type: FrequencyType, $text: String, $unset: Boolean) { updateScheduledJob(jobId: $jobId, instanceId: $instanceId, frequencyType: $type, intervalMinutes: $minutes, cronExpression: $cron, description: $text, active: $unset) { id } }`,
		variables: `{"jobId": "19", "instanceId": 1, "minutes": 20, "cron": null, "type": "INTERVAL_BASED", "text": ""}`,
		method:    "UpdateJob",
		request:   `{"job": {"id": "19", "instanceId": "1", "frequencyType": "INTERVAL_BASED", "intervalMinutes": 20}, "updateMask": "description,frequencyType,intervalMinutes"}`,
		data:      `{"updateScheduledJob": {"id": "job_19"}}`,
	},
	{
		name:      "updateScheduledJob of nothing",
		literal:   `mutation { updateScheduledJob(jobId: 19, instanceId: 1) { id } }`,
		variable:  `mutation ($jobId: ID!, $name: String) { updateScheduledJob(jobId: $jobId, instanceId: 1, name: $name) { id } }`,
		variables: `{"jobId": 19, "name": null}`,
		method:    "UpdateJob",
		request:   `{"job": {"id": "19", "instanceId": "1"}, "updateMask": "id"}`,
		data:      `{"updateScheduledJob": {"id": "job_19"}}`,
	},
	{
		name:      "deleteScheduledJob by id",
		literal:   `mutation { deleteScheduledJob(id: "19") { success } }`,
		variable:  `mutation ($id: ID) { deleteScheduledJob(id: $id) { success } }`,
		variables: `{"id": 19}`,
		method:    "DeleteJob",
		request:   `{"jobId": "19"}`,
		data:      `{"deleteScheduledJob": {"success": true}}`,
	},
	{
		name:      "deleteScheduledJob by jobId",
		literal:   `mutation { deleteScheduledJob(jobId: "job_19") { success } }`,
		variable:  `mutation ($id: ID) { deleteScheduledJob(jobId: $id, id: null) { success } }`,
		variables: `{"id": "job_19"}`,
		method:    "DeleteJob",
		request:   `{"jobId": "job_19"}`,
		data:      `{"deleteScheduledJob": {"success": true}}`,
	},
	{
		name:      "getScheduledJobs",
		literal:   `{ getScheduledJobs(instanceId: 1) { id instanceId name description active workflow frequencyType cronExpression intervalMinutes nextRun lastRun createdAt } }`,
		variable:  `query Jobs($instanceId: ID!) { getScheduledJobs(instanceId: $instanceId) { id instanceId name description active workflow frequencyType cronExpression intervalMinutes nextRun lastRun createdAt } }`,
		variables: `{"instanceId": "1"}`,
		method:    "ListJobs",
		request:   `{"instanceId": "1", "pageSize": 1000}`,
		data: `{"getScheduledJobs": [{"id": "job_19", "instanceId": "inst_1", "name": "nightly", "description": null, "active": true, "workflow": {"tasks": []}, "frequencyType": "CRON_BASED",
			"cronExpression": "0 3 * * *", "intervalMinutes": null, "nextRun": "2026-11-22T03:00:00Z", "lastRun": null, "createdAt": "2026-11-22T03:00:00Z"}]}`,
	},
	{
		name:      "getScheduledJob",
		literal:   `{ getScheduledJob(jobId: "job_19") { id history { id jobId success logPath createdAt signedLogUrl } } }`,
		variable:  `query ($jobId: ID!) { getScheduledJob(jobId: $jobId) { id history { id jobId success logPath createdAt signedLogUrl } } }`,
		variables: `{"jobId": "job_19"}`,
		method:    "GetJob",
		request:   `{"jobId": "job_19"}`,
		data: `{"getScheduledJob": {"id": "job_19", "history": [{"id": "exec_5", "jobId": "job_19", "success": true, "logPath": "logs/5",
			"createdAt": "2026-11-22T03:00:00Z", "signedLogUrl": "http://127.0.0.1/logs/exec_5?signature=s"}]}}`,
	},
	{
		name:      "getInstanceJobHistory",
		literal:   `{ getInstanceJobHistory(instanceId: 1, page: {first: 5, after: "c"}) { items { id success } cursor hasNextPage } }`,
		variable:  `query ($instanceId: ID!, $page: Page) { getInstanceJobHistory(instanceId: $instanceId, page: $page) { items { id success } cursor hasNextPage } }`,
		variables: `{"instanceId": 1, "page": {"first": 5, "after": "c"}}`,
		method:    "ListExecutions",
		request:   `{"instanceId": "1", "pageSize": 5, "pageToken": "c"}`,
		data:      `{"getInstanceJobHistory": {"items": [{"id": "exec_5", "success": true}], "cursor": "more", "hasNextPage": true}}`,
	},
	{
		name:      "getInstanceJobHistory without a page",
		literal:   `{ getInstanceJobHistory(instanceId: 1) { hasNextPage } }`,
		variable:  `query ($page: Page) { getInstanceJobHistory(instanceId: 1, page: $page) { hasNextPage } }`,
		variables: `{"page": null}`,
		method:    "ListExecutions",
		request:   `{"instanceId": "1"}`,
		data:      `{"getInstanceJobHistory": {"hasNextPage": true}}`,
	},
	{
		name:      "getScheduledJobHistory",
		literal:   `{ getScheduledJobHistory(jobHistoryId: 5) { id } }`,
		variable:  `query ($id: ID!) { getScheduledJobHistory(jobHistoryId: $id) { id } }`,
		variables: `{"id": "5"}`,
		method:    "GetExecution",
		request:   `{"executionId": "5"}`,
		data:      `{"getScheduledJobHistory": {"id": "exec_5"}}`,
	},
}

func TestRequestsOfExistingClients(t *testing.T) {
	t.Parallel()
	for _, c := range requests {
		for form, text := range map[string][2]string{"literal": {c.literal, ""}, "variable": {c.variable, c.variables}} {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				t.Parallel()
				b := newBench(t)
				w, got := b.post(t, text[0], text[1])
				if w.Code != http.StatusOK || len(got.Errors) > 0 {
					t.Fatalf("status %d: %s", w.Code, w.Body)
				}
				var want any
				if err := json.Unmarshal([]byte(c.data), &want); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got.Data); diff != "" {
					t.Errorf("data (-want +got):\n%s", diff)
				}
				wantCall(t, b, c.method, c.request)
			})
		}
	}
}

func wantCall(t *testing.T, b *bench, method, request string) {
	t.Helper()
	calls := b.Calls(method)
	if len(calls) != 1 {
		t.Fatalf("%d calls of %s: %+v", len(calls), method, b.Calls())
	}
	want := calls[0].Request.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal([]byte(request), want); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(calls[0].Request, want) {
		t.Errorf("request\n%s, want\n%s", protojson.Format(calls[0].Request), protojson.Format(want))
	}
}

// A client that goes away before its operation runs is no fault of ours.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	w, _ := b.post(t, `{ getScheduledJob(jobId: 19) { id } }`, "", func(r *http.Request) { *r = *r.WithContext(ctx) })
	if w.Code == http.StatusInternalServerError || strings.Contains(b.log.String(), "panic") {
		t.Errorf("status %d, log:\n%s", w.Code, b.log.String())
	}
}
