package tests

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	carillonv1 "github.com/pointscene/carillon/gen/carillon/v1"
	"github.com/pointscene/carillon/tests/harness"
)

// right is what a call needs on the tenant, or what a token has.
type right struct {
	// instance and resource are "", "read" or "write"; the first implies the
	// second.
	instance, resource string
	create, operator   bool
	// any is for calls that need no more than a token.
	any bool
}

// guarded is one RPC with what it needs.
type guarded struct {
	rpc     string
	needs   right
	request object
}

// The first of their kinds on a server; whoever asks every call makes them.
const theWebhook, theDelivery = "webhook_1", "delivery_1"

// everyCall is every RPC. Whoever may make the call gets an answer or is told
// what is wrong with it; nobody gets to change the tenant.
func everyCall(n *harness.Tenant, job, execution, backfill string) []guarded {
	wrong := object{"tasks": []any{}}
	const past, later = "2000-01-01T00:00:00Z", "2000-01-02T00:00:00Z"
	return []guarded{
		{"GetInstance", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"DeleteInstance", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"CreateResource", right{instance: "write"}, object{"instanceId": n.Instance, "resource": object{"title": strings.Repeat("x", 201)}}},
		{"ListResources", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetResource", right{resource: "read"}, object{"resourceId": n.Resource}},
		{"DeleteResource", right{resource: "write"}, object{"resourceId": n.Resource}},
		{"AddConfig", right{resource: "write"}, object{"resourceId": n.Resource, "config": object{"x": object{"type": "none"}}}},
		{"TestConfig", right{resource: "write"}, object{"resourceId": n.Resource, "config": object{"x": object{"type": "none"}}}},
		{"GetConfig", right{resource: "read"}, object{"resourceId": n.Resource}},
		{"DeleteConfig", right{resource: "write"}, object{"resourceId": n.Resource}},
		{"CreateJob", right{instance: "write"}, object{"instanceId": n.Instance, "job": object{"frequencyType": "MANUAL", "workflow": wrong}}},
		{"ListJobs", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetJob", right{instance: "read"}, object{"jobId": job}},
		{"UpdateJob", right{instance: "write"}, object{"job": object{"id": job, "instanceId": n.Instance, "workflow": wrong}}},
		{"DeleteJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"PauseJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"ResumeJob", right{instance: "write"}, object{"jobId": job, "etag": `"stale"`}},
		{"RunJob", right{instance: "write"}, object{"jobId": job, "requestId": strings.Repeat("x", 129)}},
		{"ListOccurrences", right{instance: "read"}, object{"jobId": job}},
		{"ListExecutions", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetExecution", right{instance: "read"}, object{"executionId": execution}},
		{"TailLog", right{instance: "read"}, object{"executionId": execution}},
		{"PlanJob", right{instance: "write"}, object{"jobId": job}},
		{"ApproveExecution", right{instance: "write"}, object{"executionId": execution, "digest": strings.Repeat("x", 201)}},
		{"RejectExecution", right{instance: "write"}, object{"executionId": execution, "reason": strings.Repeat("x", 501)}},
		{"ListExecutionFiles", right{instance: "read"}, object{"executionId": execution}},
		{"CancelExecution", right{instance: "write"}, object{"executionId": execution}},
		{"CreateInstance", right{create: true}, object{"instance": object{"title": strings.Repeat("x", 201)}}},
		{"CreateClient", right{operator: true}, object{"client": object{"scopes": []any{"nonsense"}}}},
		{"ListClients", right{operator: true}, object{}},
		{"DeleteClient", right{operator: true}, object{"clientId": "client_99999"}},
		{"ResetClientSecret", right{operator: true}, object{"clientId": "client_99999"}},
		{"PauseInstance", right{instance: "write"}, object{"instanceId": n.Instance, "reason": strings.Repeat("x", 501)}},
		{"ResumeInstance", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"SkipOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past}},
		{"MoveOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past, "moveTo": later}},
		{"RestoreOccurrence", right{instance: "write"}, object{"jobId": job, "scheduledFor": past}},
		{"ExplainJob", right{instance: "read"}, object{"jobId": job}},
		{"BackfillJob", right{instance: "write"}, object{"jobId": job, "from": later, "to": past}},
		{"GetBackfill", right{instance: "read"}, object{"backfillId": backfill}},
		{"CancelBackfill", right{instance: "write"}, object{"backfillId": backfill}},
		{"WatchExecutions", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetQuota", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"SetQuota", right{operator: true}, object{"instanceId": n.Instance, "limits": object{"jobs": -1}}},
		{"ListAuditEvents", right{instance: "write"}, object{"instanceId": n.Instance}},
		{"ListAuditEvents", right{any: true}, object{}},
		{"ListKeys", right{operator: true}, object{}},
		{"AddKey", right{operator: true}, object{}},
		{"PromoteKey", right{operator: true}, object{"keyId": "key_1"}},
		{"RewrapKeys", right{operator: true}, object{}},
		{"DisableKey", right{operator: true}, object{"keyId": "key_1"}},
		{"DestroyKey", right{operator: true}, object{"keyId": "key_1"}},
		{"ListSigningKeys", right{operator: true}, object{}},
		{"RotateSigningKey", right{operator: true}, object{"purpose": "LINK"}},
		{"CreateWebhook", right{instance: "write"}, object{"instanceId": n.Instance, "webhook": object{"url": "ftp://example.com", "events": []any{}}}},
		{"GetWebhook", right{instance: "read"}, object{"webhookId": theWebhook}},
		{"ListWebhooks", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"UpdateWebhook", right{instance: "write"}, object{"webhook": object{"id": theWebhook, "url": "ftp://example.com"}}},
		{"DeleteWebhook", right{instance: "write"}, object{"webhookId": theWebhook, "etag": `"stale"`}},
		{"RotateWebhookSecret", right{instance: "write"}, object{"webhookId": theWebhook}},
		{"TestWebhook", right{instance: "write"}, object{"webhookId": theWebhook}},
		{"ListDeliveries", right{instance: "read"}, object{"instanceId": n.Instance}},
		{"GetDelivery", right{instance: "read"}, object{"deliveryId": theDelivery}},
		{"RedeliverNotice", right{instance: "write"}, object{"deliveryId": theDelivery}},
		{"ListInstances", right{any: true}, object{}},
		{"ListTaskTypes", right{any: true}, object{}},
		{"ListRemoteTypes", right{any: true}, object{}},
		{"PreviewSchedule", right{any: true}, object{"frequencyType": "MANUAL"}},
	}
}

// verdict is the code that a call must end with, "" when it is none of those
// about rights.
func (has right) verdict(needs right) string {
	enough := func(has, needs string) bool { return has == "write" || has == needs }
	switch {
	case needs.any, has.operator, needs.create && has.create:
		return ""
	case needs.create, needs.operator:
		return "PERMISSION_DENIED"
	}
	kind, own := needs.instance, has.instance
	if needs.resource != "" {
		kind, own = needs.resource, max(has.resource, has.instance) // "write" is the greater word
	}
	switch {
	case own == "":
		return "NOT_FOUND"
	case !enough(own, kind):
		return "PERMISSION_DENIED"
	}
	return ""
}

// Every call, by everybody, through every door.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	other := tenant.Operator.NewTenant(t)
	for !strings.HasPrefix(other.Instance, tenant.Instance) { // inst_1 and inst_10: identifiers compare whole
		other = tenant.Operator.NewTenant(t)
	}
	job := tenant.Create(t, object{"frequencyType": "CRON_BASED", "cronExpression": "0 0 1 1 *"},
		object{"name": "a", "type": "resource.input", "args": object{"id": tenant.Resource}})
	execution := tenant.Run(t, job)
	tenant.End(t, execution)
	backfill := backfilled(t, tenant, tenant.Operator.GRPCDoor(), job)
	harness.Must(t, tenant.Operator.GRPCDoor(), "CreateWebhook", object{"instanceId": tenant.Instance, "webhook": object{"url": "http://127.0.0.1:1/", "events": []any{"FRESH"}}})
	harness.Must(t, tenant.Operator.GRPCDoor(), "TestWebhook", object{"webhookId": theWebhook})
	before := harness.Must(t, tenant.Operator.GRPCDoor(), "GetJob", object{"jobId": job})

	number := func(id string) string { _, n, _ := strings.Cut(id, "_"); return n }
	callers := map[string]struct {
		scope string
		has   right
	}{
		"operator":       {"operator", right{operator: true}},
		"writer":         {"instance-write-" + tenant.Instance, right{instance: "write"}},
		"reader":         {"instance-read-" + number(tenant.Instance), right{instance: "read"}},
		"both":           {"instance-read-" + number(tenant.Instance) + " resource-write-" + number(tenant.Resource), right{instance: "read", resource: "write"}},
		"resource write": {"resource-write-" + tenant.Resource, right{resource: "write"}},
		"resource read":  {"resource-read-" + number(tenant.Resource), right{resource: "read"}},
		"creator":        {"instance-create", right{create: true}},
		"other tenant":   {"instance-write-" + number(other.Instance) + " resource-write-" + number(other.Resource), right{}},
	}
	t.Run("callers", func(t *testing.T) {
		for name, who := range callers {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				caller := server.As(server.Token(t, who.scope))
				for _, call := range everyCall(tenant, job, execution, backfill) {
					want := who.has.verdict(call.needs)
					if call.rpc == "WatchExecutions" && want == "" {
						continue // it would be answered for ever
					}
					judge(t, caller, call.rpc, call.request, want)
					judgeUnread(t, caller, call, want)
				}
			})
		}
	})
	after := harness.Must(t, tenant.Operator.GRPCDoor(), "GetJob", object{"jobId": job})
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("somebody changed the job:\n%s", diff)
	}
}

// judgeUnread makes a call that REST refuses by itself: the caller's rights come
// before that, too.
func judgeUnread(t *testing.T, caller *harness.Caller, call guarded, want string) {
	t.Helper()
	request := maps.Clone(call.request)
	request["nothing"] = "x"
	_, err := caller.RESTDoor().Call(t.Context(), call.rpc, request)
	if want == "" {
		want = "INVALID_ARGUMENT"
	}
	if refusal := asRefusal(t, err); refusal == nil || refusal.Code != want {
		t.Errorf("%s by rest with an unknown field: %v, want %s", call.rpc, err, want)
	}
}

// open are the methods that need no token, and two that are part of others:
// ListJobs of GraphQL asks for the executions of all jobs at once, and doors ask
// what a caller may do before they refuse a request themselves.
var open = []string{"IssueToken", "GetSigningKeys", "DownloadLog", "ListLatestExecutions", "CheckAccess"}

// The stories above leave no method and no door out.
func TestEveryMethodIsJudged(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	judged := map[string]bool{}
	for _, call := range everyCall(&harness.Tenant{}, "", "", "") {
		judged[call.rpc] = true
	}
	var nobody harness.Caller
	for name := range harness.Methods() {
		if slices.Contains(open, name) {
			continue
		}
		if !judged[name] {
			t.Errorf("nobody tries %s without the right to it", name)
		}
		for _, door := range nobody.Doors() {
			if !door.Offers(name) && name != "WatchExecutions" { // a subscription of GraphQL
				t.Errorf("%s does not offer %s", door.Name(), name)
			}
		}
	}
}

// What a method declares is what the stories above expect of it: a declaration
// that grants too much agrees with nobody.
func TestDeclarationsAreAsExpected(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	type level = carillonv1.AccessRule_Level
	for _, call := range everyCall(&harness.Tenant{Instance: "i", Resource: "r"}, "j", "e", "b") {
		rule, _ := proto.GetExtension(harness.Methods()[call.rpc].Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
		byWord := map[string]level{"read": carillonv1.AccessRule_READ, "write": carillonv1.AccessRule_WRITE}
		want := map[bool]level{true: byWord[call.needs.instance+call.needs.resource], false: carillonv1.AccessRule_OPERATOR}[!call.needs.operator]
		switch {
		case call.needs.any && rule.GetObjectsOptional():
			want = rule.GetLevel() // that of the objects, which the call leaves out
		case call.needs.any:
			want = carillonv1.AccessRule_AUTHENTICATED
		case call.needs.create:
			want = carillonv1.AccessRule_INSTANCE_CREATE
		}
		onResource := len(rule.GetObjects()) > 0 && rule.GetObjects()[0].GetKind() == carillonv1.AccessObject_RESOURCE
		if rule.GetLevel() != want || onResource != (call.needs.resource != "") {
			t.Errorf("%s declares %v, want %s", call.rpc, rule, want)
		}
	}
	for _, name := range open[:3] {
		rule, _ := proto.GetExtension(harness.Methods()[name].Options(), carillonv1.E_Access).(*carillonv1.AccessRule)
		if rule.GetLevel() != carillonv1.AccessRule_PUBLIC {
			t.Errorf("%s declares %v", name, rule)
		}
	}
}

// judge makes one call through every door.
func judge(t *testing.T, caller *harness.Caller, rpc string, request object, want string) {
	t.Helper()
	for _, door := range caller.Doors() {
		if !door.Offers(rpc) {
			continue
		}
		_, err := door.Call(t.Context(), rpc, request)
		got := ""
		if refusal := asRefusal(t, err); refusal != nil {
			got = refusal.Code
		}
		if aboutRights(got) && want == "" && !missing(request) || want != "" && got != want {
			t.Errorf("%s by %s: got %q (%v), want %q", rpc, door.Name(), got, err, want)
		}
	}
}

// missing tells whether the request names something that nobody has.
func missing(request object) bool {
	return request["clientId"] == "client_99999" || request["keyId"] == "key_1"
}

func aboutRights(code string) bool {
	return code == "UNAUTHENTICATED" || code == "PERMISSION_DENIED" || code == "NOT_FOUND"
}

func asRefusal(t *testing.T, err error) *harness.Refusal {
	t.Helper()
	if err == nil {
		return nil
	}
	var refusal *harness.Refusal
	if !errors.As(err, &refusal) {
		t.Fatalf("neither an answer nor a refusal: %v", err)
	}
	return refusal
}

// Without a valid token every call is UNAUTHENTICATED, also one that is wrong
// in other ways.
func TestNoToken(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	elsewhere := harness.Start(t, harness.Options{})
	good := tenant.Operator.Token
	short := server.Token(t, "operator", "--ttl", "1s")
	if !harness.Within(10*time.Second, func() bool {
		_, err := server.As(short).GRPCDoor().Call(t.Context(), "ListInstances", object{})
		return err != nil
	}) {
		t.Fatal("a token of one second lives on")
	}
	head, rest, _ := strings.Cut(good, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	for name, token := range map[string]string{
		"none":               "",
		"nonsense":           "nonsense",
		"expired":            short,
		"of another server":  elsewhere.Token(t, "operator"),
		"unsigned":           "eyJhbGciOiJub25lIn0." + payload + ".",
		"without signature":  head + "." + payload + ".",
		"another signature":  head + "." + payload + "." + strings.Repeat("A", len(signature)),
		"with a longer tail": good + "x",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			caller := server.As(token)
			for _, call := range everyCall(tenant, "job_1", "exec_1", "backfill_1") {
				judge(t, caller, call.rpc, call.request, "UNAUTHENTICATED")
			}
			for _, path := range []string{"/graphql", "/v1/instances"} {
				answer, err := caller.HTTP(t.Context(), http.MethodPost, path, `{"query": "mutation { deleteScheduledJob(id: 1) { success } }"}`)
				if err != nil || answer.Status != http.StatusUnauthorized || !strings.HasPrefix(answer.Header.Get("WWW-Authenticate"), "Bearer") {
					t.Errorf("%s answers %d, %v, want 401", path, answer.Status, err)
				}
			}
		})
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL("/v1/instances"), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Add("Authorization", "Bearer "+good)
	request.Header.Add("Authorization", "Bearer "+short)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("two authorizations are answered with %s", answer.Status)
	}
}

// What is missing and what belongs to others are told alike.
func TestMissingAndForeignAlike(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	execution := tenant.Run(t, job)
	tenant.End(t, execution)
	stranger := server.As(server.Token(t, "instance-write-999999"))
	for rpc, ids := range map[string][]string{
		"GetInstance":    {"instanceId", tenant.Instance, "inst_888888", "888888", "job_1", "inst_0", "inst_01", "inst_-1", "inst_9007199254740992", "zzz"},
		"GetResource":    {"resourceId", tenant.Resource, "res_888888", "888888", "inst_1", "zzz"},
		"GetJob":         {"jobId", job, "job_888888", "888888", "exec_1", "zzz", "job_" + strings.Repeat("9", 300)},
		"GetExecution":   {"executionId", execution, "exec_888888", "888888", "job_1", "zzz"},
		"ListJobs":       {"instanceId", tenant.Instance, "inst_888888", "zzz"},
		"ListExecutions": {"instanceId", tenant.Instance, "inst_888888", "zzz"},
		"TailLog":        {"executionId", execution, "exec_888888", "zzz"},
	} {
		t.Run(rpc, func(t *testing.T) {
			t.Parallel()
			for _, door := range stranger.Doors() {
				var first string
				for i, id := range ids[1:] {
					r := harness.Refused(t, door, rpc, object{ids[0]: id})
					shown := id
					if len(id) > 40 {
						shown = id[:40]
					}
					told := fmt.Sprint(r.Code, r.Reason, strings.ReplaceAll(r.Message, shown, "ID"))
					if i == 0 {
						first = told
					}
					if told != first || r.Code != "NOT_FOUND" {
						t.Errorf("by %s %s is told as %v, and a foreign one as %s", door.Name(), id, r, first)
					}
				}
			}
		})
	}
}

// A number is an identifier, with and without its prefix, as text and as an
// integer.
func TestIdentifiersInAllForms(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	server := harness.Start(t, harness.Options{})
	tenant := server.NewTenant(t)
	job := tenant.Create(t, nil, harness.Noop("a"))
	number := strings.TrimPrefix(job, "job_")
	for _, door := range tenant.Operator.Doors() {
		if got := harness.Must(t, door, "GetJob", object{"jobId": number}); got["id"] != job {
			t.Errorf("by %s the bare number answers %v", door.Name(), got["id"])
		}
	}
	inner := harness.Text(harness.Must(t, tenant.Operator.RESTDoor(), "CreateJob", tenant.Job(nil,
		object{"name": "a", "type": "resource.input", "args": object{"id": 1}})), "id")
	if inner == "" {
		t.Error("an integer in a workflow is no identifier")
	}
	answer, err := tenant.Operator.HTTP(t.Context(), http.MethodPost, "/v1/clients", `{"title": "t", "scopes": ["instance-*"], "instanceIds": [1]}`)
	if err != nil || answer.Status != http.StatusOK || !strings.Contains(string(answer.Body), `"inst_1"`) {
		t.Errorf("an integer in a list of identifiers: %d %s %v", answer.Status, answer.Body, err)
	}
}
