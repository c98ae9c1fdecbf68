package graph

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vektah/gqlparser/v2/ast"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	"github.com/pointscene/carillon/facade/internal/graph/exec"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

// operations are those beside the original ones, each with the call that must
// come of it.
var operations = []struct{ kind, field, arguments, method, request string }{
	{"query", "getJobHistory", `jobId: 19, page: {first: 2, after: "a"}`, "ListExecutions", `{"jobId": "19", "pageSize": 2, "pageToken": "a"}`},
	{"query", "getJobOccurrences", `jobId: 19, from: "2026-01-01T00:00:00+02:00", page: {first: 2}`, "ListOccurrences", `{"jobId": "19", "from": "2025-12-31T22:00:00Z", "pageSize": 2}`},
	{"query", "explainJob", `jobId: 19, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z"`, "ExplainJob", `{"jobId": "19", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}`},
	{"query", "getBackfill", `backfillId: 4`, "GetBackfill", `{"backfillId": "4"}`},
	{"query", "getJobLog", `jobHistoryId: 5, page: {after: "c"}`, "TailLog", `{"executionId": "5", "cursor": "c"}`},
	{"query", "getJobLog", `jobHistoryId: 5, before: "d", last: 9, level: "WARN", search: "x"`, "TailLog", `{"executionId": "5", "before": "d", "last": 9, "level": "WARN", "search": "x"}`},
	{"query", "previewSchedule", `frequencyType: INTERVAL_BASED, intervalMinutes: 5, timeZone: "UTC", after: "2026-01-01T00:00:00Z", count: 3, dstGapPolicy: SKIP, dstOverlapPolicy: BOTH, startTime: "2026-01-01T00:00:00Z", endTime: "2027-01-01T00:00:00Z", jitter: "5s", excludedDates: ["2026-12-24"], overlapPolicy: ALLOW, assumedDuration: "60s"`, "PreviewSchedule",
		`{"frequencyType": "INTERVAL_BASED", "intervalMinutes": 5, "timeZone": "UTC", "after": "2026-01-01T00:00:00Z", "count": 3, "dstGapPolicy": "SKIP", "dstOverlapPolicy": "BOTH", "startTime": "2026-01-01T00:00:00Z", "endTime": "2027-01-01T00:00:00Z",
			"jitter": "5s", "excludedDates": ["2026-12-24"], "overlapPolicy": "ALLOW", "assumedDuration": "60s"}`},
	{"query", "getJobConfig", `resourceId: 7`, "GetConfig", `{"resourceId": "7"}`},
	{"query", "getInstance", `instanceId: 1`, "GetInstance", `{"instanceId": "1"}`},
	{"query", "getInstances", `page: {after: "t"}`, "ListInstances", `{"pageToken": "t"}`},
	{"query", "getResource", `resourceId: 7`, "GetResource", `{"resourceId": "7"}`},
	{"query", "getResources", `instanceId: 1`, "ListResources", `{"instanceId": "1"}`},
	{"query", "getClients", `page: {first: 3}`, "ListClients", `{"pageSize": 3}`},
	{"query", "getQuota", `instanceId: 1`, "GetQuota", `{"instanceId": "1"}`},
	{"query", "getAuditEvents", `instanceId: 1, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", actor: "client_3", method: "CreateJob", object: "job_19", page: {first: 2, after: "a"}`,
		"ListAuditEvents", `{"instanceId": "1", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "actor": "client_3", "method": "CreateJob", "object": "job_19", "pageSize": 2, "pageToken": "a"}`},
	{"mutation", "setQuota", `instanceId: 1, jobs: 5, executionsPerHour: 0, minIntervalMinutes: 15`, "SetQuota", `{"instanceId": "1", "limits": {"jobs": 5, "executionsPerHour": 0, "minIntervalMinutes": 15}}`},
	{"query", "getRemoteTypes", `page: {first: 3}`, "ListRemoteTypes", `{"pageSize": 3}`},
	{"query", "getTaskTypes", `page: {first: 3}`, "ListTaskTypes", `{"pageSize": 3}`},
	{"mutation", "createScheduledJob", `instanceId: 1, frequencyType: MANUAL, workflow: {}, active: null, name: "n", description: "d", timeZone: "Europe/Helsinki", labels: {a: "b"}, overlapPolicy: ALLOW, catchUpPolicy: ALL, catchUpWindow: "60s", retryPolicy: {retryCount: 2, minBackoff: "1.5s", maxDoublings: 0}, dstGapPolicy: SKIP, dstOverlapPolicy: BOTH, startTime: "2026-01-01T00:00:00Z", endTime: "2027-01-01T00:00:00Z", jitter: "5s", excludedDates: ["2026-12-24"], maxExecutions: 3, executionTimeLimit: "60s", pauseAfterFailures: 4, priority: -1, managedBy: "m", requestId: "r", validateOnly: true`,
		"CreateJob", `{"instanceId": "1", "requestId": "r", "validateOnly": true, "job": {"frequencyType": "MANUAL", "workflow": {}, "name": "n", "description": "d", "timeZone": "Europe/Helsinki", "labels": {"a": "b"},
			"overlapPolicy": "ALLOW", "catchUpPolicy": "ALL", "catchUpWindow": "60s", "retryPolicy": {"retryCount": 2, "minBackoff": "1.5s", "maxDoublings": 0},
			"dstGapPolicy": "SKIP", "dstOverlapPolicy": "BOTH", "startTime": "2026-01-01T00:00:00Z", "endTime": "2027-01-01T00:00:00Z", "jitter": "5s", "excludedDates": ["2026-12-24"], "maxExecutions": 3,
			"executionTimeLimit": "60s", "pauseAfterFailures": 4, "priority": -1, "managedBy": "m"}}`},
	{"mutation", "updateScheduledJob", `jobId: 19, instanceId: 1, active: false, workflow: {a: []}, timeZone: "UTC", labels: {}, overlapPolicy: SKIP, catchUpPolicy: NONE, catchUpWindow: "60s", retryPolicy: {}, dstGapPolicy: SHIFT_FORWARD, dstOverlapPolicy: FIRST, startTime: "2026-01-01T00:00:00Z", endTime: "2027-01-01T00:00:00Z", jitter: "0s", excludedDates: [], maxExecutions: 0, executionTimeLimit: "60s", pauseAfterFailures: 0, priority: 0, managedBy: "m", etag: "e", validateOnly: true`,
		"UpdateJob", `{"validateOnly": true, "updateMask": "active,catchUpPolicy,catchUpWindow,dstGapPolicy,dstOverlapPolicy,endTime,excludedDates,executionTimeLimit,jitter,labels,managedBy,maxExecutions,overlapPolicy,pauseAfterFailures,priority,retryPolicy,startTime,timeZone,workflow", "job": {"id": "19", "instanceId": "1", "active": false,
			"workflow": {"a": []}, "timeZone": "UTC", "overlapPolicy": "SKIP", "catchUpPolicy": "NONE", "catchUpWindow": "60s", "retryPolicy": {}, "managedBy": "m", "etag": "e",
			"dstGapPolicy": "SHIFT_FORWARD", "dstOverlapPolicy": "FIRST", "startTime": "2026-01-01T00:00:00Z", "endTime": "2027-01-01T00:00:00Z", "jitter": "0s", "executionTimeLimit": "60s"}}`},
	{"mutation", "updateScheduledJob", `jobId: 19, instanceId: 1, name: "n", updateMask: ["startTime", "retryPolicy.minBackoff", "name", "workflow.tasks", "executionTimeLimit", "color", "max_executions", "id.x"]`,
		"UpdateJob", `{"updateMask": "startTime,retryPolicy.minBackoff,name,workflow.tasks,executionTimeLimit,color,maxExecutions,id.x", "job": {"id": "19", "instanceId": "1", "name": "n"}}`},
	{"mutation", "updateScheduledJob", `jobId: 19, instanceId: 1, name: "n", updateMask: []`, "UpdateJob", `{"updateMask": "id", "job": {"id": "19", "instanceId": "1", "name": "n"}}`},
	{"mutation", "deleteScheduledJob", `jobId: 19, etag: "e"`, "DeleteJob", `{"jobId": "19", "etag": "e"}`},
	{"mutation", "pauseScheduledJob", `jobId: 19, etag: "e", reason: "r", until: "2026-01-01T00:00:00Z"`, "PauseJob", `{"jobId": "19", "etag": "e", "reason": "r", "until": "2026-01-01T00:00:00Z"}`},
	{"mutation", "skipOccurrence", `jobId: 19, scheduledFor: "2026-01-01T00:00:00Z"`, "SkipOccurrence", `{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z"}`},
	{"mutation", "moveOccurrence", `jobId: 19, scheduledFor: "2026-01-01T00:00:00Z", moveTo: "2026-01-01T00:30:00Z"`, "MoveOccurrence",
		`{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z", "moveTo": "2026-01-01T00:30:00Z"}`},
	{"mutation", "restoreOccurrence", `jobId: 19, scheduledFor: "2026-01-01T00:00:00Z"`, "RestoreOccurrence", `{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z"}`},
	{"mutation", "backfillJob", `jobId: 19, from: "2026-01-01T00:00:00Z", to: "2026-01-02T00:00:00Z", concurrency: 2, overlapPolicy: ALLOW, requestId: "r", validateOnly: true`, "BackfillJob",
		`{"jobId": "19", "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "concurrency": 2, "overlapPolicy": "ALLOW", "requestId": "r", "validateOnly": true}`},
	{"mutation", "cancelBackfill", `backfillId: "backfill_4"`, "CancelBackfill", `{"backfillId": "backfill_4"}`},
	{"mutation", "pauseInstance", `instanceId: 1, reason: "r", until: "2026-01-01T00:00:00Z"`, "PauseInstance", `{"instanceId": "1", "reason": "r", "until": "2026-01-01T00:00:00Z"}`},
	{"mutation", "resumeInstance", `instanceId: 1`, "ResumeInstance", `{"instanceId": "1"}`},
	{"mutation", "resumeScheduledJob", `jobId: 19`, "ResumeJob", `{"jobId": "19"}`},
	{"mutation", "runScheduledJob", `jobId: 19, requestId: "r", overlapPolicy: CANCEL_OTHER, validateOnly: true`, "RunJob", `{"jobId": "19", "requestId": "r", "overlapPolicy": "CANCEL_OTHER", "validateOnly": true}`},
	{"query", "planJob", `jobId: 19`, "PlanJob", `{"jobId": "19"}`},
	{"query", "getExecutionFiles", `jobHistoryId: 5, action: DELETE, state: DONE, pathPrefix: "a/", page: {first: 2, after: "c"}`, "ListExecutionFiles",
		`{"executionId": "5", "action": "DELETE", "state": "DONE", "pathPrefix": "a/", "pageSize": 2, "pageToken": "c"}`},
	{"mutation", "approveScheduledJobRun", `jobHistoryId: 5, digest: "d"`, "ApproveExecution", `{"executionId": "5", "digest": "d"}`},
	{"mutation", "rejectScheduledJobRun", `jobHistoryId: 5, reason: "r"`, "RejectExecution", `{"executionId": "5", "reason": "r"}`},
	{"mutation", "cancelScheduledJobRun", `jobHistoryId: 5`, "CancelExecution", `{"executionId": "5"}`},
	{"mutation", "testJobConfig", `resourceId: 7, config: {a: {type: "s3"}}, remotes: ["a:/b", "c"], write: true`, "TestConfig",
		`{"resourceId": "7", "config": {"a": {"type": "s3"}}, "remotes": ["a:/b", "c"], "write": true}`},
	{"mutation", "deleteJobConfig", `resourceId: 7`, "DeleteConfig", `{"resourceId": "7"}`},
	{"mutation", "createInstance", `title: "t", requestId: "r", validateOnly: true`, "CreateInstance", `{"instance": {"title": "t"}, "requestId": "r", "validateOnly": true}`},
	{"mutation", "deleteInstance", `instanceId: 1`, "DeleteInstance", `{"instanceId": "1"}`},
	{"mutation", "createResource", `instanceId: 1, description: "d"`, "CreateResource", `{"instanceId": "1", "resource": {"description": "d"}}`},
	{"mutation", "deleteResource", `resourceId: 7`, "DeleteResource", `{"resourceId": "7"}`},
	{"mutation", "createClient", `title: "t", scopes: ["a"], instanceIds: [1, "inst_2"]`, "CreateClient", `{"client": {"title": "t", "scopes": ["a"], "instanceIds": ["1", "inst_2"]}}`},
	{"mutation", "deleteClient", `clientId: 3`, "DeleteClient", `{"clientId": "3"}`},
	{"mutation", "resetClientSecret", `clientId: 3`, "ResetClientSecret", `{"clientId": "3"}`},
	{"query", "getWebhook", `webhookId: 4`, "GetWebhook", `{"webhookId": "4"}`},
	{"query", "getWebhooks", `instanceId: 1, page: {first: 2}`, "ListWebhooks", `{"instanceId": "1", "pageSize": 2}`},
	{"query", "getDelivery", `deliveryId: 8`, "GetDelivery", `{"deliveryId": "8"}`},
	{"query", "getDeliveries", `instanceId: 1, webhookId: 4, jobId: 19, state: FAILED, event: FRESH`, "ListDeliveries",
		`{"instanceId": "1", "webhookId": "4", "jobId": "19", "state": "FAILED", "event": "FRESH"}`},
	{"mutation", "createWebhook", `instanceId: 1, url: "u", events: [NTH_FAILURE], failuresInARow: 3, labels: {a: "b"}, requestId: "r"`, "CreateWebhook",
		`{"instanceId": "1", "requestId": "r", "webhook": {"url": "u", "events": ["NTH_FAILURE"], "failuresInARow": 3, "labels": {"a": "b"}}}`},
	{"mutation", "updateWebhook", `webhookId: 4, etag: "e", jobIds: [], enabled: false, freshness: "60s"`, "UpdateWebhook",
		`{"webhook": {"id": "4", "etag": "e", "enabled": false, "freshness": "60s"}, "updateMask": "enabled,freshness,jobIds"}`},
	{"mutation", "deleteWebhook", `webhookId: 4, etag: "e"`, "DeleteWebhook", `{"webhookId": "4", "etag": "e"}`},
	{"mutation", "rotateWebhookSecret", `webhookId: 4`, "RotateWebhookSecret", `{"webhookId": "4"}`},
	{"mutation", "testWebhook", `webhookId: 4`, "TestWebhook", `{"webhookId": "4"}`},
	{"mutation", "redeliverNotice", `deliveryId: 8`, "RedeliverNotice", `{"deliveryId": "8"}`},
	{"query", "getKeys", ``, "ListKeys", `{}`},
	{"query", "getSigningKeys", ``, "ListSigningKeys", `{}`},
	{"mutation", "addKey", ``, "AddKey", `{}`},
	{"mutation", "promoteKey", `keyId: 9`, "PromoteKey", `{"keyId": "9"}`},
	{"mutation", "rewrapKeys", ``, "RewrapKeys", `{}`},
	{"mutation", "disableKey", `keyId: "key_9"`, "DisableKey", `{"keyId": "key_9"}`},
	{"mutation", "destroyKey", `keyId: 9, force: true`, "DestroyKey", `{"keyId": "9", "force": true}`},
	{"mutation", "rotateSigningKey", `purpose: TOKEN, revoke: true`, "RotateSigningKey", `{"purpose": "TOKEN", "revoke": true}`},
}

// TestOperations asks for every field of every answer, of messages that have
// as little as the service answers: nothing that must not be null may be.
func TestOperations(t *testing.T) {
	t.Parallel()
	schema := exec.NewExecutableSchema(exec.Config{}).Schema()
	for _, c := range operations {
		t.Run(c.field, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			answerLittle(b)
			root := schema.Query
			if c.kind == "mutation" {
				root = schema.Mutation
			}
			call := c.field
			if c.arguments != "" {
				call += "(" + c.arguments + ")"
			}
			query := fmt.Sprintf("%s { %s %s }", c.kind, call, everything(schema, root.Fields.ForName(c.field).Type))
			w, got := b.post(t, query, "")
			if len(got.Errors) > 0 {
				t.Fatalf("%s: %s", query, w.Body)
			}
			wantCall(t, b, c.method, c.request)
		})
	}
}

// Before a value is refused, the service is asked for what it would ask of the
// call itself.
func TestRightsComeBeforeValues(t *testing.T) {
	t.Parallel()
	for _, c := range operations {
		t.Run(c.field, func(t *testing.T) {
			t.Parallel()
			method := methodNamed(t, c.method)
			rule, _ := proto.GetExtension(method.Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
			request := map[string]any{}
			if err := json.Unmarshal([]byte(c.request), &request); err != nil {
				t.Fatal(err)
			}
			want := &carillonv1.CheckAccessRequest{Level: rule.GetLevel()}
			for _, object := range rule.GetObjects() {
				if id := textAt(request, object.GetField()); id != "" {
					want.Kind, want.ObjectId = object.GetKind(), id
				}
			}
			b := newBench(t)
			b.Fail("CheckAccess", facadetest.Error(codes.PermissionDenied, "PERMISSION_DENIED", "no"))
			call, selection := c.field, ""
			if c.arguments != "" {
				call += "(" + c.arguments + ")"
			}
			schema := exec.NewExecutableSchema(exec.Config{}).Schema()
			root := map[string]*ast.Definition{"query": schema.Query, "mutation": schema.Mutation}[c.kind]
			if schema.Types[root.Fields.ForName(c.field).Type.Name()].Kind == ast.Object {
				selection = "{ __typename }"
			}
			_, got := b.post(t, fmt.Sprintf("%s ($wrong: Boolean!) { %s @include(if: $wrong) %s }", c.kind, call, selection), `{"wrong": 1}`)
			if len(got.Errors) != 1 || got.Errors[0].Extensions.Code != "PERMISSION_DENIED" {
				t.Fatalf("%+v", got.Errors)
			}
			asked := b.Calls()[0].Request.(*carillonv1.CheckAccessRequest)
			if asked.GetLevel() == carillonv1.AccessRule_READ && asked.GetObjectId() == "" {
				asked.Level = carillonv1.AccessRule_AUTHENTICATED // the same
			}
			if !proto.Equal(asked, want) {
				t.Errorf("asked for %v, want %v", asked, want)
			}
		})
	}
}

// textAt reads the text at a path such as job.id.
func textAt(request map[string]any, path string) string {
	steps := strings.Split(path, ".")
	for _, step := range steps[:len(steps)-1] {
		request, _ = request[step].(map[string]any)
	}
	text, _ := request[jsonName(steps[len(steps)-1])].(string)
	return text
}

func jsonName(field string) string {
	head, tail, found := strings.Cut(field, "_")
	if !found {
		return head
	}
	return head + strings.ToUpper(tail[:1]) + tail[1:]
}

// methodNamed is the method of carillon.v1 with this name.
func methodNamed(t *testing.T, name string) (found protoreflect.MethodDescriptor) {
	t.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage("carillon.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			if method := file.Services().Get(i).Methods().ByName(protoreflect.Name(name)); method != nil {
				found = method
			}
		}
		return true
	})
	if found == nil {
		t.Fatalf("no method %s", name)
	}
	return found
}

func TestEveryOperationIsTested(t *testing.T) {
	t.Parallel()
	schema := exec.NewExecutableSchema(exec.Config{}).Schema()
	tested := map[string]bool{}
	for _, c := range operations {
		tested[c.field] = true
	}
	for _, c := range requests {
		tested[strings.Fields(c.name)[0]] = true
	}
	for _, root := range []*ast.Definition{schema.Query, schema.Mutation} {
		for _, field := range root.Fields {
			if !strings.HasPrefix(field.Name, "__") && !tested[field.Name] {
				t.Errorf("%s is not tested", field.Name)
			}
		}
	}
}

// everything selects all fields of a type.
func everything(schema *ast.Schema, of *ast.Type) string {
	definition := schema.Types[of.Name()]
	if definition.Kind != ast.Object {
		return ""
	}
	text := "{ "
	for _, field := range definition.Fields {
		text += field.Name + " " + everything(schema, field.Type) + " "
	}
	return text + "}"
}

func answerLittle(b *bench) {
	now := timestamppb.New(at)
	job := &carillonv1.Job{
		Id: "job_19", InstanceId: "inst_1", Active: proto.Bool(true), State: carillonv1.Job_PAUSED, Workflow: &structpb.Struct{},
		FrequencyType: carillonv1.Job_MANUAL, OverlapPolicy: carillonv1.Job_SKIP, CatchUpPolicy: carillonv1.Job_LATEST, CreatedAt: now, UpdatedAt: now,
		Warnings: []*carillonv1.Warning{{}}, RetryPolicy: &carillonv1.RetryPolicy{}, Pause: &carillonv1.Pause{Since: now},
	}
	for _, method := range []string{"CreateJob", "UpdateJob", "PauseJob", "ResumeJob"} {
		b.Answer(method, job)
	}
	execution := &carillonv1.Execution{
		Id: "exec_5", JobId: "job_19", InstanceId: "inst_1", Trigger: carillonv1.Execution_MANUAL, State: carillonv1.Execution_QUEUED, CreatedAt: now,
		Error: &carillonv1.Execution_Error{}, Tasks: []*carillonv1.Execution_Task{{State: carillonv1.Execution_Task_PENDING}},
	}
	for _, method := range []string{"RunJob", "CancelExecution", "ApproveExecution", "RejectExecution"} {
		b.Answer(method, execution)
	}
	b.Answer("ListExecutions", &carillonv1.ListExecutionsResponse{Executions: []*carillonv1.Execution{execution}})
	b.Answer("ListLatestExecutions", &carillonv1.ListLatestExecutionsResponse{Executions: []*carillonv1.Execution{execution}})
	b.Answer("ListOccurrences", &carillonv1.ListOccurrencesResponse{Occurrences: []*carillonv1.Occurrence{{ScheduledFor: now, Outcome: carillonv1.Occurrence_PENDING, Count: 1}}})
	b.Answer("ExplainJob", &carillonv1.ExplainJobResponse{Explanations: []*carillonv1.Explanation{{Text: "t"}}})
	b.Answer("PreviewSchedule", &carillonv1.PreviewScheduleResponse{Times: []*timestamppb.Timestamp{now}, Warnings: []*carillonv1.Warning{{}},
		Occurrences: []*carillonv1.PreviewedOccurrence{{ScheduledFor: now, Outcome: carillonv1.Occurrence_SKIPPED}}})
	instance := &carillonv1.Instance{Id: "inst_1", CreatedAt: now}
	resource := &carillonv1.Resource{Id: "res_7", InstanceId: "inst_1", CreatedAt: now}
	client := &carillonv1.Client{Id: "client_3", CreatedAt: now}
	for _, method := range []string{"GetInstance", "CreateInstance", "PauseInstance", "ResumeInstance"} {
		b.Answer(method, instance)
	}
	for _, method := range []string{"SkipOccurrence", "MoveOccurrence", "RestoreOccurrence"} {
		b.Answer(method, &carillonv1.Occurrence{ScheduledFor: now, Outcome: carillonv1.Occurrence_PENDING, Count: 1})
	}
	for _, method := range []string{"BackfillJob", "GetBackfill", "CancelBackfill"} {
		b.Answer(method, &carillonv1.Backfill{
			Id: "backfill_4", JobId: "job_19", InstanceId: "inst_1", From: now, To: now, Concurrency: 1,
			OverlapPolicy: carillonv1.Job_BUFFER_ALL, State: carillonv1.Backfill_RUNNING, CreatedAt: now,
		})
	}
	b.Answer("ListInstances", &carillonv1.ListInstancesResponse{Instances: []*carillonv1.Instance{instance}})
	b.Answer("GetResource", resource)
	b.Answer("CreateResource", resource)
	b.Answer("ListResources", &carillonv1.ListResourcesResponse{Resources: []*carillonv1.Resource{resource}})
	delivery := &carillonv1.Delivery{Id: "delivery_8", Event: carillonv1.Webhook_PING, State: carillonv1.Delivery_PENDING, CreatedAt: now,
		Attempts: []*carillonv1.Delivery_Attempt{{Time: now, Duration: durationpb.New(0)}}}
	for _, method := range []string{"TestWebhook", "GetDelivery", "RedeliverNotice"} {
		b.Answer(method, delivery)
	}
	b.Answer("ListDeliveries", &carillonv1.ListDeliveriesResponse{Deliveries: []*carillonv1.Delivery{delivery}})
	b.Answer("ListWebhooks", &carillonv1.ListWebhooksResponse{Webhooks: []*carillonv1.Webhook{{Id: "webhook_4"}}})
	b.Answer("CreateClient", client)
	b.Answer("ResetClientSecret", client)
	b.Answer("ListClients", &carillonv1.ListClientsResponse{Clients: []*carillonv1.Client{client}})
	b.Answer("ListRemoteTypes", &carillonv1.ListRemoteTypesResponse{RemoteTypes: []*carillonv1.RemoteType{{Name: "s3", Keys: []*carillonv1.RemoteType_Key{{Name: "region"}}, Alternatives: []*carillonv1.RemoteType_Alternatives{{Names: []string{"a"}}}}}})
	b.Answer("ListTaskTypes", &carillonv1.ListTaskTypesResponse{TaskTypes: []*carillonv1.TaskType{{Name: "a.b", ArgumentsSchema: &structpb.Struct{}, Example: &structpb.Struct{}}}})
	key := &carillonv1.Key{Id: "key_9", State: carillonv1.Key_PRIMARY, CreatedAt: now, ChangedAt: now}
	for _, method := range []string{"AddKey", "PromoteKey", "DisableKey", "DestroyKey"} {
		b.Answer(method, key)
	}
	signing := &carillonv1.SigningKey{Id: "k", Purpose: carillonv1.SigningKey_LINK, CreatedAt: now}
	b.Answer("RotateSigningKey", signing)
	b.Answer("ListKeys", &carillonv1.ListKeysResponse{Keys: []*carillonv1.Key{key}})
	b.Answer("ListSigningKeys", &carillonv1.ListSigningKeysResponse{SigningKeys: []*carillonv1.SigningKey{signing}})
	b.Answer("GetConfig", &carillonv1.Config{ResourceId: "res_7", Remotes: []*carillonv1.Remote{{Name: "s3", State: carillonv1.Remote_READY}}})
	b.OnStream("TailLog", func(_ context.Context, _ proto.Message, send func(proto.Message) error) error {
		return send(&carillonv1.TailLogResponse{Time: now, Cursor: "c1"})
	})
}

func TestValuesReadAsOnTheOtherDoors(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, got := b.post(t, `{ getScheduledJob(jobId: 19) { name description nextRun state labels retryPolicy { minBackoff } catchUpWindow } getScheduledJobHistory(jobHistoryId: 5) { state trigger startedAt finishedAt error { code } } }`, "")
	want := map[string]any{
		"getScheduledJob":        map[string]any{"name": "nightly", "description": nil, "nextRun": "2026-11-22T03:00:00Z", "state": "ACTIVE", "labels": map[string]any{}, "retryPolicy": nil, "catchUpWindow": nil},
		"getScheduledJobHistory": map[string]any{"state": "SUCCEEDED", "trigger": "SCHEDULE", "startedAt": "2026-11-22T03:00:00Z", "finishedAt": nil, "error": nil},
	}
	if diff := cmp.Diff(any(want), got.Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
}

// A page of a log ends where the reader wanted, and says whether more is there.
func TestPagesOfALog(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.OnStream("TailLog", func(_ context.Context, in proto.Message, send func(proto.Message) error) error {
		begin := len(in.(*carillonv1.TailLogRequest).GetCursor())
		for i := begin; i < 5; i++ {
			if err := send(&carillonv1.TailLogResponse{Time: timestamppb.New(at), Cursor: strings.Repeat("c", i+1), Message: fmt.Sprint(i)}); err != nil {
				return err
			}
		}
		return nil
	})
	for after, want := range map[string]string{
		``:      `{"cursor":"ccc","hasNextPage":true,"items":[{"message":"0"},{"message":"1"},{"message":"2"}]}`,
		`ccc`:   `{"cursor":"ccccc","hasNextPage":false,"items":[{"message":"3"},{"message":"4"}]}`,
		`ccccc`: `{"cursor":"ccccc","hasNextPage":false,"items":[]}`,
	} {
		_, got := b.post(t, `{ getJobLog(jobHistoryId: 5, page: {first: 3, after: "`+after+`"}) { items { message } cursor hasNextPage } }`, "")
		text, err := json.Marshal(got.Data.(map[string]any)["getJobLog"])
		if err != nil || string(text) != want {
			t.Errorf("after %q: %s, want %s (%v)", after, text, want, got.Errors)
		}
	}
}

func FuzzLiterals(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `{a: 1}`, `{a: {b: [1, 2.5, "c", null, true, D]}}`, `"a"`, `1e999`, `99999999999999999999`, `{a: 1, a: 2}`, `{a: $v}`, `"""b"""`, `{a: "\u0000"}`} {
		f.Add(seed)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, literal string) {
		w, got := b.post(t, `mutation { addJobConfig(resourceId: 7, config: `+literal+`) { success } }`, "")
		for _, e := range got.Errors {
			if e.Extensions.Code != "INVALID_ARGUMENT" || e.Extensions.Reason == "" {
				t.Errorf("%q: %s", literal, w.Body)
			}
		}
		if strings.Contains(b.log.String(), "msg=panic") {
			t.Fatalf("%q: a panic", literal)
		}
		b.log.Reset()
	})
}

// FuzzDocument sends whole queries through the transport: each is answered with
// data or with refusals that have a code, of a size that the limits promise.
func FuzzDocument(f *testing.F) {
	for _, seed := range []string{
		`{ getScheduledJob(id: 19) { id name ...f } } fragment f on ScheduledJob { id ...f }`, `query($a: [ID!]! = [1]) { __typename @skip(if: $a) }`,
		`{ __schema { types { fields { type { ofType { name } } } } } }`, `subscription { executionChanged(instanceId: 1) { __typename } }`,
		`mutation { a: deleteScheduledJob(id: 1) { success } b: deleteScheduledJob(id: 1) { success } }`, `{ a(b: """c""") }`, "{", "#", "\ufeff{ __typename }",
		`query a { __typename } query b { __typename }`, `{ ... on Query { ... { __typename } } }`, `{ x: __typename @a @a @a @a }`, `fragment a on Query { ...a }`,
	} {
		f.Add(seed)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, query string) {
		w, got := b.post(t, query, "")
		if w.Body.Len() > 1<<20 {
			t.Errorf("%q is answered by %d bytes", query, w.Body.Len())
		}
		for _, e := range got.Errors {
			if e.Extensions.Code == "" || e.Extensions.Code == "INTERNAL" || e.Extensions.Reason == "" {
				t.Errorf("%q: %s", query, w.Body)
			}
		}
		if strings.Contains(b.log.String(), "msg=panic") {
			t.Fatalf("%q: a panic", query)
		}
		b.log.Reset()
	})
}
