package rest

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pointscene/carillon/facade/internal/door"
	"github.com/pointscene/carillon/facade/internal/facadetest"
)

// bench is a REST door in front of a service that a test decides.
type bench struct {
	*facadetest.Service
	handler http.Handler
	log     strings.Builder
}

func newBench(t testing.TB) *bench {
	t.Helper()
	b := &bench{Service: facadetest.New(t)}
	h, err := New(b.Conn)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/", h)
	mux.HandleFunc("/logs/{execution_id}", h.SignedLog)
	b.handler = door.Wrap(mux, slog.New(slog.NewTextHandler(&b.log, nil)), nil)
	return b
}

// ask sends a request with a valid token, unless edit takes it away.
func (b *bench) ask(t testing.TB, method, address, body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, address, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+facadetest.Token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, e := range edit {
		e(r)
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// refusal is what a test looks at in an error.
type refusal struct {
	HTTP   int
	Status string
	Reason string
	// Fields are "path REASON".
	Fields []string
}

func refusalOf(t testing.TB, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var body struct {
		Error struct {
			Code    int
			Status  string
			Message string
			Details []struct {
				Type            string `json:"@type"`
				Reason, Domain  string
				FieldViolations []struct{ Field, Reason, Description string }
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("the error is no JSON: %v\n%s", err, w.Body)
	}
	if body.Error.Code != w.Code || body.Error.Message == "" {
		t.Errorf("status %d, but the body says %+v", w.Code, body.Error)
	}
	out := refusal{HTTP: w.Code, Status: body.Error.Status}
	for _, detail := range body.Error.Details {
		if detail.Type == "type.googleapis.com/google.rpc.ErrorInfo" {
			out.Reason = detail.Reason
			if detail.Domain != "carillon" {
				t.Errorf("domain %q", detail.Domain)
			}
		}
		for _, v := range detail.FieldViolations {
			out.Fields = append(out.Fields, v.Field+" "+v.Reason)
			if v.Description == "" {
				t.Errorf("%s lacks a description", v.Field)
			}
		}
	}
	return out
}

const jobBody = `{"name": "nightly", "workflow": {"tasks": []}, "frequencyType": "MANUAL"}`

// calls has every route, and the call that must come of it.
var calls = []struct{ verb, address, body, method, request string }{
	{"POST", "/v1/instances?requestId=r&validateOnly=true", `{"title": "a"}`, "CreateInstance", `{"instance": {"title": "a"}, "requestId": "r", "validateOnly": true}`},
	{"GET", "/v1/instances?pageSize=5&pageToken=t", "", "ListInstances", `{"pageSize": 5, "pageToken": "t"}`},
	{"GET", "/v1/instances/inst_1", "", "GetInstance", `{"instanceId": "inst_1"}`},
	{"DELETE", "/v1/instances/1", "", "DeleteInstance", `{"instanceId": "1"}`},
	{"POST", "/v1/instances/1/resources", `{"title": "a"}`, "CreateResource", `{"instanceId": "1", "resource": {"title": "a"}}`},
	{"GET", "/v1/instances/1/resources", "", "ListResources", `{"instanceId": "1"}`},
	{"GET", "/v1/resources/res_7", "", "GetResource", `{"resourceId": "res_7"}`},
	{"DELETE", "/v1/resources/7", "", "DeleteResource", `{"resourceId": "7"}`},
	{"GET", "/v1/instances/1/quota", "", "GetQuota", `{"instanceId": "1"}`},
	{"POST", "/v1/instances/1/quota:set", `{"jobs": 5, "minIntervalMinutes": 0}`, "SetQuota", `{"instanceId": "1", "limits": {"jobs": 5, "minIntervalMinutes": 0}}`},
	{"GET", "/v1/auditEvents?instanceId=1&from=2026-01-01T00:00:00Z&actor=client_3&method=CreateJob&object=job_19&pageSize=2", "", "ListAuditEvents", `{"instanceId": "1", "from": "2026-01-01T00:00:00Z", "actor": "client_3", "method": "CreateJob", "object": "job_19", "pageSize": 2}`},
	{"POST", "/v1/clients", `{"title": "c", "scopes": ["instance-*"], "instanceIds": [1, "inst_2"]}`, "CreateClient", `{"client": {"title": "c", "scopes": ["instance-*"], "instanceIds": ["1", "inst_2"]}}`},
	{"GET", "/v1/clients", "", "ListClients", `{}`},
	{"GET", "/v1/remoteTypes?pageSize=2", "", "ListRemoteTypes", `{"pageSize": 2}`},
	{"GET", "/v1/taskTypes?pageSize=2", "", "ListTaskTypes", `{"pageSize": 2}`},
	{"DELETE", "/v1/clients/3", "", "DeleteClient", `{"clientId": "3"}`},
	{"POST", "/v1/clients/client_3:resetSecret", "", "ResetClientSecret", `{"clientId": "client_3"}`},
	{"GET", "/v1/keys", "", "ListKeys", `{}`},
	{"POST", "/v1/keys", `{}`, "AddKey", `{}`},
	{"POST", "/v1/keys/key_9:promote", "", "PromoteKey", `{"keyId": "key_9"}`},
	{"POST", "/v1/keys:rewrap", "", "RewrapKeys", `{}`},
	{"POST", "/v1/keys/9:disable", `{}`, "DisableKey", `{"keyId": "9"}`},
	{"POST", "/v1/keys/9:destroy", `{"force": true}`, "DestroyKey", `{"keyId": "9", "force": true}`},
	{"GET", "/v1/signingKeys", "", "ListSigningKeys", `{}`},
	{"POST", "/v1/signingKeys:rotate", `{"purpose": "LINK", "revoke": true}`, "RotateSigningKey", `{"purpose": "LINK", "revoke": true}`},
	{"POST", "/v1/resources/7/config", `{"config": {"s3": {"type": "s3"}, "old": null}}`, "AddConfig", `{"resourceId": "7", "config": {"s3": {"type": "s3"}, "old": null}}`},
	{"GET", "/v1/resources/7/config", "", "GetConfig", `{"resourceId": "7"}`},
	{"POST", "/v1/resources/7/config:test", `{"config": {"s3": {"type": "s3"}}, "remotes": ["s3:/b"], "write": true}`, "TestConfig",
		`{"resourceId": "7", "config": {"s3": {"type": "s3"}}, "remotes": ["s3:/b"], "write": true}`},
	{"DELETE", "/v1/resources/7/config", "", "DeleteConfig", `{"resourceId": "7"}`},
	{"POST", "/v1/instances/1/jobs", jobBody, "CreateJob", `{"instanceId": "1", "job": ` + jobBody + `}`},
	{"GET", "/v1/instances/1/jobs", "", "ListJobs", `{"instanceId": "1"}`},
	{"GET", "/v1/jobs/job_19", "", "GetJob", `{"jobId": "job_19"}`},
	{"PATCH", "/v1/jobs/19", `{"name": "b"}`, "UpdateJob", `{"job": {"id": "19", "name": "b"}, "updateMask": "name"}`},
	{"DELETE", "/v1/jobs/19?etag=e", "", "DeleteJob", `{"jobId": "19", "etag": "e"}`},
	{"POST", "/v1/jobs/19:pause", `{"etag": "e"}`, "PauseJob", `{"jobId": "19", "etag": "e"}`},
	{"POST", "/v1/jobs/19:resume", "", "ResumeJob", `{"jobId": "19"}`},
	{"POST", "/v1/jobs/19:run", `{"requestId": "r", "overlapPolicy": "ALLOW"}`, "RunJob", `{"jobId": "19", "requestId": "r", "overlapPolicy": "ALLOW"}`},
	{"POST", "/v1/schedules:preview", `{"frequencyType": "CRON_BASED", "cronExpression": "* * * * *", "after": "2026-01-01T00:00:00Z", "count": 3}`, "PreviewSchedule", `{"frequencyType": "CRON_BASED", "cronExpression": "* * * * *", "after": "2026-01-01T00:00:00Z", "count": 3}`},
	{"GET", "/v1/jobs/19/occurrences?from=2026-01-01T00:00:00Z&pageSize=2", "", "ListOccurrences", `{"jobId": "19", "from": "2026-01-01T00:00:00Z", "pageSize": 2}`},
	{"GET", "/v1/jobs/19/executions", "", "ListExecutions", `{"jobId": "19"}`},
	{"GET", "/v1/instances/1/executions", "", "ListExecutions", `{"instanceId": "1"}`},
	{"GET", "/v1/executions/exec_5", "", "GetExecution", `{"executionId": "exec_5"}`},
	{"POST", "/v1/jobs/19:plan", "{}", "PlanJob", `{"jobId": "19"}`},
	{"POST", "/v1/executions/5:approve", `{"digest": "d"}`, "ApproveExecution", `{"executionId": "5", "digest": "d"}`},
	{"POST", "/v1/executions/5:reject", `{"reason": "r"}`, "RejectExecution", `{"executionId": "5", "reason": "r"}`},
	{"GET", "/v1/executions/5/files?action=COPY&state=FAILED&pathPrefix=a&pageSize=2", "", "ListExecutionFiles", `{"executionId": "5", "action": "COPY", "state": "FAILED", "pathPrefix": "a", "pageSize": 2}`},
	{"POST", "/v1/executions/5:cancel", "{}", "CancelExecution", `{"executionId": "5"}`},
	{"GET", "/v1/executions/5/log?follow&cursor=c", "", "TailLog", `{"executionId": "5", "follow": true, "cursor": "c"}`},
	{"GET", "/v1/executions/5/log?before=d&last=9&level=WARN&search=x", "", "TailLog", `{"executionId": "5", "before": "d", "last": 9, "level": "WARN", "search": "x"}`},
	{"POST", "/v1/instances/1:pause", `{"reason": "r", "until": "2026-01-01T00:00:00Z"}`, "PauseInstance", `{"instanceId": "1", "reason": "r", "until": "2026-01-01T00:00:00Z"}`},
	{"POST", "/v1/instances/1:resume", "", "ResumeInstance", `{"instanceId": "1"}`},
	{"GET", "/v1/instances/1/executions:watch?jobId=19&cursor=c", "", "WatchExecutions", `{"instanceId": "1", "jobId": "19", "cursor": "c"}`},
	{"POST", "/v1/jobs/19/occurrences:skip", `{"scheduledFor": "2026-01-01T00:00:00Z"}`, "SkipOccurrence", `{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z"}`},
	{"POST", "/v1/jobs/19/occurrences:move", `{"scheduledFor": "2026-01-01T00:00:00Z", "moveTo": "2026-01-02T00:00:00Z"}`, "MoveOccurrence", `{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z", "moveTo": "2026-01-02T00:00:00Z"}`},
	{"POST", "/v1/jobs/19/occurrences:restore", `{"scheduledFor": "2026-01-01T00:00:00Z"}`, "RestoreOccurrence", `{"jobId": "19", "scheduledFor": "2026-01-01T00:00:00Z"}`},
	{"POST", "/v1/jobs/19:explain", `{"from": "2026-01-01T00:00:00Z"}`, "ExplainJob", `{"jobId": "19", "from": "2026-01-01T00:00:00Z"}`},
	{"POST", "/v1/jobs/19:backfill", `{}`, "BackfillJob", `{"jobId": "19"}`},
	{"GET", "/v1/backfills/backfill_2", "", "GetBackfill", `{"backfillId": "backfill_2"}`},
	{"POST", "/v1/backfills/2:cancel", "", "CancelBackfill", `{"backfillId": "2"}`},
	{"POST", "/v1/instances/1/webhooks?requestId=r", `{"url": "https://a.example", "events": ["RECOVERED"], "freshness": "60s", "enabled": false}`, "CreateWebhook", `{"instanceId": "1", "requestId": "r", "webhook": {"url": "https://a.example", "events": ["RECOVERED"], "freshness": "60s", "enabled": false}}`},
	{"GET", "/v1/instances/1/webhooks?pageSize=2", "", "ListWebhooks", `{"instanceId": "1", "pageSize": 2}`},
	{"GET", "/v1/webhooks/webhook_4", "", "GetWebhook", `{"webhookId": "webhook_4"}`},
	{"PATCH", "/v1/webhooks/4", `{"jobIds": []}`, "UpdateWebhook", `{"webhook": {"id": "4"}, "updateMask": "jobIds"}`},
	{"DELETE", "/v1/webhooks/4?etag=e", "", "DeleteWebhook", `{"webhookId": "4", "etag": "e"}`},
	{"POST", "/v1/webhooks/4:rotateSecret", "", "RotateWebhookSecret", `{"webhookId": "4"}`},
	{"POST", "/v1/webhooks/4:test", "", "TestWebhook", `{"webhookId": "4"}`},
	{"GET", "/v1/instances/1/deliveries?webhookId=4&jobId=19&state=FAILED&event=FRESH", "", "ListDeliveries", `{"instanceId": "1", "webhookId": "4", "jobId": "19", "state": "FAILED", "event": "FRESH"}`},
	{"GET", "/v1/deliveries/delivery_8", "", "GetDelivery", `{"deliveryId": "delivery_8"}`},
	{"POST", "/v1/deliveries/8:redeliver", "", "RedeliverNotice", `{"deliveryId": "8"}`},
}

func TestEveryRouteCallsItsMethod(t *testing.T) {
	t.Parallel()
	for _, c := range calls {
		t.Run(c.verb+" "+c.address, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if w := b.ask(t, c.verb, c.address, c.body); w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			made := b.Calls()
			if len(made) != 1 || made[0].Method != c.method {
				t.Fatalf("calls %+v, want one of %s", made, c.method)
			}
			want := made[0].Request.ProtoReflect().New().Interface()
			if err := protojson.Unmarshal([]byte(c.request), want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(made[0].Request, want) {
				t.Errorf("request\n%s, want\n%s", protojson.Format(made[0].Request), protojson.Format(want))
			}
		})
	}
}

func TestTheTableHasEveryRoute(t *testing.T) {
	t.Parallel()
	all, err := newRoutes()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all.list {
		found := false
		for _, c := range calls {
			path, _, _ := strings.Cut(c.address, "?")
			found = found || c.verb == r.verb && c.method == string(r.method.Name()) && r.matches(path)
		}
		if !found {
			t.Errorf("%s %s is not tested", r.verb, r.pattern)
		}
	}
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for name, c := range map[string]struct {
		verb, address, body string
		want                refusal
	}{
		"unknown field":           {"POST", "/v1/instances/1/jobs", `{"nam": "a"}`, invalid("nam UNKNOWN_FIELD")},
		"unknown nested field":    {"POST", "/v1/instances/1/jobs", `{"retryPolicy": {"tries": 1}}`, invalid("retryPolicy.tries UNKNOWN_FIELD")},
		"several at once":         {"POST", "/v1/instances/1/jobs", `{"a": 1, "name": 5}`, invalid("a UNKNOWN_FIELD", "name WRONG_TYPE")},
		"both spellings":          {"POST", "/v1/instances/1/jobs", `{"timeZone": "UTC", "time_zone": "UTC"}`, invalid("time_zone DUPLICATE_KEY")},
		"duplicate key":           {"POST", "/v1/instances/1/jobs", `{"workflow": {"tasks": [{"a": 1, "a": 2}]}}`, invalid("workflow.tasks[0].a DUPLICATE_KEY")},
		"text for a number":       {"POST", "/v1/instances/1/jobs", `{"intervalMinutes": "5"}`, invalid("intervalMinutes WRONG_TYPE")},
		"fraction":                {"POST", "/v1/instances/1/jobs", `{"intervalMinutes": 5.5}`, invalid("intervalMinutes WRONG_TYPE")},
		"33 bits":                 {"POST", "/v1/instances/1/jobs", `{"intervalMinutes": 8589934592}`, invalid("intervalMinutes OUT_OF_RANGE")},
		"beyond 2^53":             {"POST", "/v1/instances/1/jobs", `{"workflow": {"tasks": [{"args": {"n": 9007199254740993}}]}}`, invalid("workflow.tasks[0].args.n NUMBER_RANGE")},
		"beyond a double":         {"POST", "/v1/instances/1/jobs", `{"workflow": {"n": 1e999}}`, invalid("workflow.n NUMBER_RANGE")},
		"NUL":                     {"POST", "/v1/instances/1/jobs", `{"workflow": {"n": "a\u0000"}}`, invalid("workflow.n INVALID_TEXT")},
		"no UTF-8":                {"POST", "/v1/instances/1/jobs", "{\"workflow\": {\"n\": \"\xff\"}}", invalid("workflow.n INVALID_TEXT")},
		"too deep":                {"POST", "/v1/instances/1/jobs", `{"workflow": {"n": ` + deep + `}}`, invalid("workflow.n" + strings.Repeat("[0]", 114) + " TOO_DEEP")},
		"workflow is a list":      {"POST", "/v1/instances/1/jobs", `{"workflow": []}`, invalid("workflow WRONG_TYPE")},
		"workflow is text":        {"POST", "/v1/instances/1/jobs", `{"workflow": "{}"}`, invalid("workflow WRONG_TYPE")},
		"unknown enum value":      {"POST", "/v1/instances/1/jobs", `{"frequencyType": "CRON"}`, invalid("frequencyType INVALID_VALUE")},
		"enum by number":          {"POST", "/v1/instances/1/jobs", `{"frequencyType": 1}`, invalid("frequencyType WRONG_TYPE")},
		"bad duration":            {"POST", "/v1/instances/1/jobs", `{"catchUpWindow": "1h"}`, invalid("catchUpWindow INVALID_VALUE")},
		"label is no text":        {"POST", "/v1/instances/1/jobs", `{"labels": {"a": 1}}`, invalid("labels.a WRONG_TYPE")},
		"labels are a list":       {"POST", "/v1/instances/1/jobs", `{"labels": ["a"]}`, invalid("labels WRONG_TYPE")},
		"odd label":               {"POST", "/v1/instances/1/jobs", `{"labels": {"a b": 1}}`, invalid(`labels["a b"] WRONG_TYPE`)},
		"scope is null":           {"POST", "/v1/clients", `{"scopes": ["a", null]}`, invalid("scopes[1] WRONG_TYPE")},
		"scope is no text":        {"POST", "/v1/clients", `{"scopes": [true]}`, invalid("scopes[0] WRONG_TYPE")},
		"fraction as id":          {"POST", "/v1/clients", `{"instanceIds": [4.5]}`, invalid("instanceIds[0] WRONG_TYPE")},
		"bad time":                {"POST", "/v1/schedules:preview", `{"after": "yesterday"}`, invalid("after INVALID_VALUE")},
		"time is a number":        {"POST", "/v1/schedules:preview", `{"after": 5}`, invalid("after WRONG_TYPE")},
		"body is a list":          {"POST", "/v1/instances/1/jobs", `[]`, invalid(" WRONG_TYPE")},
		"body is null":            {"POST", "/v1/instances/1/jobs", `null`, invalid(" WRONG_TYPE")},
		"body is no JSON":         {"POST", "/v1/instances/1/jobs", `{"name": }`, invalid("name MALFORMED_JSON")},
		"two documents":           {"POST", "/v1/instances/1/jobs", `{} {}`, invalid(" MALFORMED_JSON")},
		"another id in the body":  {"PATCH", "/v1/jobs/19", `{"id": "job_20"}`, invalid("id INVALID_VALUE")},
		"another id of an action": {"POST", "/v1/jobs/19:pause", `{"jobId": "job_20"}`, invalid("jobId INVALID_VALUE")},
		"body of a DELETE":        {"DELETE", "/v1/jobs/19", `{"etag": "a"}`, invalid(" INVALID_VALUE")},
		"unknown parameter":       {"GET", "/v1/instances/1/jobs?page=2", "", invalid("page UNKNOWN_FIELD")},
		"parameter of the body":   {"PATCH", "/v1/jobs/19?name=a", `{}`, invalid("name UNKNOWN_FIELD")},
		"parameter of an action":  {"POST", "/v1/jobs/19:run?requestId=a", ``, invalid("requestId UNKNOWN_FIELD")},
		"parameter of the path":   {"GET", "/v1/jobs/19?jobId=20", "", invalid("jobId UNKNOWN_FIELD")},
		"parameter given twice":   {"GET", "/v1/instances/1/jobs?pageSize=1&pageSize=2", "", invalid("pageSize INVALID_VALUE")},
		"parameter, both names":   {"GET", "/v1/instances/1/jobs?pageSize=1&page_size=2", "", invalid("page_size INVALID_VALUE")},
		"parameter is no number":  {"GET", "/v1/instances/1/jobs?pageSize=many", "", invalid("pageSize INVALID_VALUE")},
		"parameter is no time":    {"GET", "/v1/jobs/1/occurrences?from=now", "", invalid("from INVALID_VALUE")},
		"parameter is no flag":    {"GET", "/v1/executions/1/log?follow=maybe", "", invalid("follow INVALID_VALUE")},
		"parameter is no name":    {"GET", "/v1/instances/1/deliveries?state=1", "", invalid("state INVALID_VALUE")},
		"parameter is no UTF-8":   {"GET", "/v1/instances/1/jobs?pageToken=%ff", "", invalid("pageToken INVALID_TEXT")},
		"address is no UTF-8":     {"GET", "/v1/jobs/%ff", "", invalid("job_id INVALID_TEXT")},
		"query not well formed":   {"GET", "/v1/jobs/1?a=%zz", "", invalid(" INVALID_VALUE")},
		"mask of unknown field":   {"PATCH", "/v1/jobs/19?updateMask=name,color", `{}`, invalid("updateMask UNKNOWN_FIELD")},
		"no such address":         {"GET", "/v1/nothing", "", refusal{404, "NOT_FOUND", "ROUTE_NOT_FOUND", nil}},
		"no such action":          {"GET", "/v1/jobs", "", refusal{404, "NOT_FOUND", "ROUTE_NOT_FOUND", nil}},
		"no such action of a job": {"POST", "/v1/jobs/19:rum", `{}`, refusal{404, "NOT_FOUND", "ROUTE_NOT_FOUND", nil}},
		"wrong verb of an action": {"PUT", "/v1/jobs/19:run", `{}`, refusal{405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", nil}},
		"GET of an action":        {"GET", "/v1/jobs/job_1:run", ``, refusal{405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", nil}},
		"DELETE of an action":     {"DELETE", "/v1/jobs/job_1:run", ``, refusal{405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", nil}},
		"wrong verb":              {"PUT", "/v1/jobs/19", `{}`, refusal{405, "UNIMPLEMENTED", "METHOD_NOT_ALLOWED", nil}},
		"body too large":          {"POST", "/v1/instances/1/jobs", `{"name": "` + strings.Repeat("a", 1<<20) + `"}`, refusal{413, "RESOURCE_EXHAUSTED", "BODY_TOO_LARGE", nil}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			got := refusalOf(t, b.ask(t, c.verb, c.address, c.body))
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
			for _, call := range b.Calls() {
				if call.Method != "CheckAccess" {
					t.Errorf("%s was called", call.Method)
				}
			}
		})
	}
}

func invalid(fields ...string) refusal {
	_, reason, _ := strings.Cut(fields[0], " ")
	if i := strings.LastIndexByte(fields[0], ' '); i >= 0 {
		reason = fields[0][i+1:]
	}
	return refusal{http.StatusBadRequest, "INVALID_ARGUMENT", reason, fields}
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header, value string
		want          int
	}{
		"JSON":             {"Content-Type", "application/json", 200},
		"JSON with utf-8":  {"Content-Type", "application/json; charset=UTF-8", 200},
		"none":             {"Content-Type", "", 200},
		"what curl says":   {"Content-Type", "application/x-www-form-urlencoded", 200},
		"several parts":    {"Content-Type", "multipart/form-data; boundary=x", 415},
		"text":             {"Content-Type", "text/plain", 415},
		"another charset":  {"Content-Type", "application/json; charset=latin1", 415},
		"no media type":    {"Content-Type", "json;;", 415},
		"compressed":       {"Content-Encoding", "gzip", 415},
		"not compressed":   {"Content-Encoding", "identity", 200},
		"method override":  {"X-Http-Method-Override", "DELETE", 200},
		"accepts anything": {"Accept", "text/html", 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.ask(t, "POST", "/v1/instances/1/jobs", jobBody, func(r *http.Request) {
				r.Header.Set(c.header, c.value)
				if c.value == "" {
					r.Header.Del(c.header)
				}
			})
			if w.Code != c.want {
				t.Errorf("status %d, want %d: %s", w.Code, c.want, w.Body)
			}
			if got := len(b.Calls("CreateJob")); got != map[bool]int{true: 1}[c.want == 200] {
				t.Errorf("%d jobs created", got)
			}
		})
	}
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
