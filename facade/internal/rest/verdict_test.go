package rest

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/pointscene/carillon/facade/internal/facadetest"
	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
)

func TestPatchMask(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ query, body, want string }{
		"present fields": {"", `{"name": "a", "timeZone": "UTC"}`,
			`{"job": {"id": "19", "name": "a", "timeZone": "UTC"}, "updateMask": "name,timeZone"}`},
		"empty text is a value": {"", `{"name": ""}`, `{"job": {"id": "19"}, "updateMask": "name"}`},
		"null is absent":        {"", `{"name": "a", "cronExpression": null, "labels": null}`, `{"job": {"id": "19", "name": "a"}, "updateMask": "name"}`},
		"a whole policy": {"", `{"retryPolicy": {"retryCount": 2}}`,
			`{"job": {"id": "19", "retryPolicy": {"retryCount": 2}}, "updateMask": "retryPolicy"}`},
		"labels as a whole": {"", `{"labels": {"a": "b"}}`, `{"job": {"id": "19", "labels": {"a": "b"}}, "updateMask": "labels"}`},
		"etag and instance are conditions": {"", `{"name": "a", "etag": "e", "instanceId": 4}`,
			`{"job": {"id": "19", "name": "a", "etag": "e", "instanceId": "4"}, "updateMask": "name"}`},
		"what was read can be sent back": {"", `{"id": "job_19", "name": "a", "state": "PAUSED", "nextRun": null, "createdAt": "2026-01-01T00:00:00Z", "warnings": []}`,
			`{"job": {"id": "19", "name": "a"}, "updateMask": "name"}`},
		"a mask":              {"updateMask=name,catchUpWindow,retryPolicy.retryCount", `{"name": "a"}`, `{"job": {"id": "19", "name": "a"}, "updateMask": "name,catchUpWindow,retryPolicy.retryCount"}`},
		"a mask in snake":     {"update_mask=catch_up_window", `{}`, `{"job": {"id": "19"}, "updateMask": "catchUpWindow"}`},
		"nothing":             {"", `{}`, `{"job": {"id": "19"}, "updateMask": ""}`},
		"no body":             {"", ``, `{"job": {"id": "19"}, "updateMask": ""}`},
		"check only":          {"validateOnly=true", `{"name": "a"}`, `{"job": {"id": "19", "name": "a"}, "updateMask": "name", "validateOnly": true}`},
		"a null workflow":     {"", `{"workflow": null, "name": "a"}`, `{"job": {"id": "19", "name": "a"}, "updateMask": "name"}`},
		"null in a workflow":  {"", `{"workflow": {"tasks": null}}`, `{"job": {"id": "19", "workflow": {"tasks": null}}, "updateMask": "workflow"}`},
		"snake in the body":   {"", `{"time_zone": "UTC"}`, `{"job": {"id": "19", "timeZone": "UTC"}, "updateMask": "timeZone"}`},
		"an id as an integer": {"", `{"id": 19, "name": "a"}`, `{"job": {"id": "19", "name": "a"}, "updateMask": "name"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.ask(t, "PATCH", "/v1/jobs/19?"+c.query, c.body)
			if w.Code != http.StatusOK {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			want := &carillonv1.UpdateJobRequest{}
			if err := protojson.Unmarshal([]byte(c.want), want); err != nil {
				t.Fatal(err)
			}
			if got := b.Calls("UpdateJob")[0].Request; !proto.Equal(got, want) {
				t.Errorf("request\n%s, want\n%s", protojson.Format(got), protojson.Format(want))
			}
		})
	}
}

func TestErrorsOfTheService(t *testing.T) {
	t.Parallel()
	for code, want := range map[codes.Code]int{
		codes.InvalidArgument: 400, codes.FailedPrecondition: 400, codes.Unauthenticated: 401, codes.PermissionDenied: 403,
		codes.NotFound: 404, codes.Aborted: 409, codes.AlreadyExists: 409, codes.ResourceExhausted: 429, codes.Canceled: 499,
		codes.Internal: 500, codes.Unimplemented: 501, codes.Unavailable: 503, codes.DeadlineExceeded: 504,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.Fail("GetJob", facadetest.Error(code, "SOME_REASON", "some text", &errdetails.BadRequest_FieldViolation{
				Field: "workflow.tasks[1].inputs[0]", Reason: "UNKNOWN_INPUT", Description: "no such task",
			}))
			w := b.ask(t, "GET", "/v1/jobs/19", "")
			got := refusalOf(t, w)
			if got.HTTP != want || got.Reason != "SOME_REASON" || len(got.Fields) != 1 || got.Fields[0] != "workflow.tasks[1].inputs[0] UNKNOWN_INPUT" {
				t.Errorf("%+v, want HTTP %d", got, want)
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (want == 401) {
				t.Errorf("WWW-Authenticate %q", challenge)
			}
		})
	}
}

// What gRPC itself says may name addresses.
func TestForeignErrorsAreHidden(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		status.Error(codes.Unavailable, "dial tcp 10.1.2.3:9090: refused"),
		status.Error(codes.Unknown, "10.1.2.3"),
		status.Error(codes.InvalidArgument, "10.1.2.3"),
		errors.New("10.1.2.3"),
	} {
		b := newBench(t)
		b.Fail("GetJob", err)
		w := b.ask(t, "GET", "/v1/jobs/19", "")
		got := refusalOf(t, w)
		if strings.Contains(w.Body.String(), "10.1.2.3") || got.Reason != got.Status {
			t.Errorf("%v is told as %s", err, w.Body)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	s, err := status.New(codes.ResourceExhausted, "slow down").WithDetails(
		&errdetails.ErrorInfo{Reason: "QUOTA", Domain: "carillon"}, &errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)})
	if err != nil {
		t.Fatal(err)
	}
	b.Fail("GetJob", s.Err())
	if got := b.ask(t, "GET", "/v1/jobs/19", "").Header().Get("Retry-After"); got != "2" {
		t.Errorf("Retry-After %q, want 2", got)
	}
}

func TestHeadersThatReachTheService(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.ask(t, "GET", "/v1/jobs/19", "", func(r *http.Request) {
		r.Header.Set("X-Request-Id", "abc-1")
		r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		r.Header.Set("Grpc-Metadata-Authorization", "Bearer other")
		r.Header.Set("Grpc-Metadata-X-Evil", "1")
		r.Header.Set("Grpc-Timeout", "1n")
		r.Header.Set("X-Forwarded-For", "1.2.3.4")
		r.Header.Set("Cookie", "a=b")
	})
	got := metadata.MD{}
	for key, values := range b.Calls("GetJob")[0].Metadata {
		switch key {
		case ":authority", "content-type", "user-agent", "x-forwarded-host", "grpc-accept-encoding": // gRPC's and the gateway's own
		default:
			got[key] = values
		}
	}
	want := metadata.MD{
		"authorization":   {"Bearer good"},
		"x-request-id":    {"abc-1"},
		"traceparent":     {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
		"x-forwarded-for": {"192.0.2.1"}, // the peer, not what the client says
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
}

func TestAuthorizationComesFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		verb, address, body string
		edit                func(*http.Request)
		// asked is what the service is asked of the caller, who lacks it.
		asked string
		want  int
	}{
		"no token":                   {"POST", "/v1/instances/1/jobs", jobBody, noToken, "", 401},
		"bad token":                  {"POST", "/v1/instances/1/jobs", jobBody, badToken, "", 401},
		"two tokens":                 {"POST", "/v1/instances/1/jobs", jobBody, twoTokens, "", 401},
		"no token, bad body":         {"POST", "/v1/instances/1/jobs", `{"nam": 1}`, noToken, "", 401},
		"bad token, bad query":       {"GET", "/v1/jobs?x=1", ``, badToken, "", 404},
		"bad token, bad parameter":   {"GET", "/v1/clients?x=1", ``, badToken, "", 401},
		"foreign job, bad body":      {"PATCH", "/v1/jobs/19", `{"nam": 1}`, nil, `{"level": "WRITE", "kind": "JOB", "objectId": "19"}`, 404},
		"foreign instance, bad body": {"POST", "/v1/instances/1/jobs", `{"nam": 1}`, nil, `{"level": "WRITE", "kind": "INSTANCE", "objectId": "1"}`, 404},
		"foreign resource, bad body": {"POST", "/v1/resources/1/config", `[]`, nil, `{"level": "WRITE", "kind": "RESOURCE", "objectId": "1"}`, 404},
		"foreign execution, query":   {"GET", "/v1/executions/1/log?follow=maybe", ``, nil, `{"level": "READ", "kind": "EXECUTION", "objectId": "1"}`, 404},
		"foreign webhook, bad body":  {"POST", "/v1/webhooks/1:test", `[]`, nil, `{"level": "WRITE", "kind": "WEBHOOK", "objectId": "1"}`, 404},
		"no operator, bad body":      {"POST", "/v1/clients", `[]`, nil, `{"level": "OPERATOR"}`, 404},
		"own job, bad body":          {"PATCH", "/v1/jobs/19", `{"nam": 1}`, nil, "", 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			if c.asked != "" {
				b.Fail("CheckAccess", facadetest.Error(codes.NotFound, "JOB_NOT_FOUND", "no such job"))
			}
			edit := c.edit
			if edit == nil {
				edit = func(*http.Request) {}
			}
			if got := refusalOf(t, b.ask(t, c.verb, c.address, c.body, edit)); got.HTTP != c.want {
				t.Errorf("%+v, want HTTP %d", got, c.want)
			}
			if c.asked == "" {
				return
			}
			want := &carillonv1.CheckAccessRequest{}
			if err := protojson.Unmarshal([]byte(c.asked), want); err != nil {
				t.Fatal(err)
			}
			if got := b.Calls("CheckAccess")[0].Request; !proto.Equal(got, want) {
				t.Errorf("asked %s, want %s", protojson.Format(got), c.asked)
			}
		})
	}
}

func noToken(r *http.Request)   { r.Header.Del("Authorization") }
func badToken(r *http.Request)  { r.Header.Set("Authorization", "Bearer bad") }
func twoTokens(r *http.Request) { r.Header.Add("Authorization", "Bearer good") }

// An enum that is not set is left out, at any depth; what callers stored is told
// as it is.
func TestUnsetEnumsAreLeftOut(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	workflow, err := structpb.NewStruct(map[string]any{"state": "STATE_UNSPECIFIED"})
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]string{"state": "STATE_UNSPECIFIED", `a"b`: "é"}
	b.Answer("ListJobs", &carillonv1.ListJobsResponse{Jobs: []*carillonv1.Job{
		{Id: "job_1", Workflow: workflow, Labels: labels}, {},
	}})
	text := b.ask(t, "GET", "/v1/instances/1/jobs", "").Body.Bytes()
	var got struct{ Jobs []map[string]any }
	if err := json.Unmarshal(text, &got); err != nil || len(got.Jobs) != 2 {
		t.Fatalf("%v: %s", err, text)
	}
	if n := strings.Count(string(text), "UNSPECIFIED"); n != 2 {
		t.Errorf("%d unset enums are told, want those of the workflow and the labels: %s", n, text)
	}
	if diff := cmp.Diff(map[string]any{"state": "STATE_UNSPECIFIED", `a"b`: "é"}, got.Jobs[0]["labels"]); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if name, told := got.Jobs[1]["name"]; !told || name != "" {
		t.Errorf("another empty field is left out: %s", text)
	}
}

func TestAnswersHoldEveryField(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.Answer("GetExecution", &carillonv1.Execution{Id: "exec_1", State: carillonv1.Execution_RUNNING, ScheduledFor: timestamppb.New(time.Unix(0, 1000))})
	var got map[string]any
	if err := json.Unmarshal(b.ask(t, "GET", "/v1/executions/1", "").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"id": "exec_1", "jobId": "", "instanceId": "", "triggerId": "", "waitingFor": nil, "scheduledFor": "1970-01-01T00:00:00.000001Z",
		"startedAt": nil, "finishedAt": nil, "state": "RUNNING", "success": nil, "error": nil, "attempt": 0.0, "logPath": "",
		"signedLogUrl": "", "tasks": []any{}, "createdAt": nil, "approval": nil, "plans": []any{},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

// No refusal and no log line repeats a value that was sent.
func TestNoEcho(t *testing.T) {
	t.Parallel()
	const canary = "CANARY-8f2a"
	for name, body := range map[string]string{
		"malformed":      `{"config": {"s3": {"secret_access_key": "` + canary + `"`,
		"wrong type":     `{"config": "` + canary + `"}`,
		"in a list":      `{"config": ["` + canary + `"]}`,
		"unknown field":  `{"conf": "` + canary + `"}`,
		"duplicate":      `{"config": {"a": "` + canary + `", "a": "` + canary + `"}}`,
		"bad text":       `{"config": {"a": "` + canary + `\u0000"}}`,
		"accepted":       `{"config": {"s3": {"type": "s3", "secret_access_key": "` + canary + `"}}}`,
		"not JSON":       canary,
		"another method": `{"resourceId": "` + canary + `"}`,
	} {
		b := newBench(t)
		b.On("AddConfig", func(context.Context, proto.Message) (proto.Message, error) {
			return nil, status.Error(codes.Internal, "a driver says something")
		})
		w := b.ask(t, "POST", "/v1/resources/7/config", body, func(r *http.Request) { r.URL.RawQuery = "token=" + canary })
		w2 := b.ask(t, "POST", "/v1/resources/7/config", body)
		if out := w.Body.String() + w2.Body.String() + b.log.String(); strings.Contains(out, canary) {
			t.Errorf("%s: the value is repeated:\n%s", name, out)
		}
	}
}

func FuzzBody(f *testing.F) {
	for _, seed := range []string{jobBody, `{}`, `[]`, `{"labels": {"a": "b"}, "retryPolicy": {"minBackoff": "1s"}}`, `{"id": 5, "instance_id": 7}`, `{"name": null}`, `{"workflow": {"a": [1, 1e5, null]}}`} {
		f.Add([]byte(seed))
	}
	all, err := newRoutes()
	if err != nil {
		f.Fatal(err)
	}
	create := all.byID["POST /v1/instances/{instance_id=*}/jobs"]
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/v1/instances/1/jobs", nil)
		checked, err := create.check(r, body, map[string]string{"instance_id": "1"})
		if err != nil {
			return
		}
		// What the check accepts, the gateway's decoder accepts, too.
		if text := readAll(t, checked.Body); protojson.Unmarshal([]byte(text), &carillonv1.Job{}) != nil {
			t.Errorf("accepted %q as %q, which is no job", body, text)
		}
	})
}

// FuzzQueryString: what is accepted of an address, the gateway's decoder accepts, too.
func FuzzQueryString(f *testing.F) {
	for _, seed := range []string{"", "updateMask=name,workflow.tasks", "update_mask=*&validateOnly", "updateMask=a&update_mask=b", "validateOnly=1", "page_size=-1", "pageToken=%00", "x=y", "%zz", ";", "updateMask=%C3%28", "updateMask=" + strings.Repeat("a.", 200)} {
		f.Add(seed)
	}
	all, err := newRoutes()
	if err != nil {
		f.Fatal(err)
	}
	routes := []*route{all.byID["PATCH /v1/jobs/{job.id=*}"], all.byID["GET /v1/instances/{instance_id=*}/jobs"], all.byID["GET /v1/jobs/{job_id=*}/occurrences"]}
	f.Fuzz(func(t *testing.T, raw string) {
		for _, r := range routes {
			values, violations := r.query(raw)
			if len(violations) > 0 {
				continue
			}
			for name, given := range values {
				if field := fieldNamed(r.method.Input(), name); field == nil || len(given) != 1 {
					t.Errorf("%q lets %q through", raw, name)
				}
			}
		}
	})
}
