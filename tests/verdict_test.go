package tests

import (
	"errors"
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
