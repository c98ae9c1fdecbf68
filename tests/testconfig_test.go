package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/apstest"
	"github.com/pointscene/carillon/tests/harness"
)

// outcomes are a test's checks in short: "CONNECT OK, LIST FAILED NOT_FOUND".
func outcomes(test object) string {
	var parts []string
	for _, one := range harness.List(test, "results") {
		parts = append(parts, strings.TrimSpace(harness.Text(one, "check")+" "+harness.Text(one, "outcome")+" "+harness.Text(one, "code")))
	}
	return strings.Join(parts, ", ")
}

// TestConfigIsTestedOnEveryDoor tells of credentials that are tried before they
// are stored and afterwards, and of a rotating token that outlives that.
func TestConfigIsTestedOnEveryDoor(t *testing.T) {
	t.Parallel()
	aps := apstest.Start(t, apstest.Options{RateFactor: 1000})
	tenant := harness.Start(t, harness.Options{Flags: []string{"--egress-allow", "127.0.0.1/32", "--aps-rate-factor", "900"}}).NewTenant(t)
	var private string
	guarded := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a guarded address was reached") }))
	t.Cleanup(guarded.Close)
	private = strings.Replace(guarded.URL, "127.0.0.1", "127.0.0.2", 1)
	for i, door := range tenant.Operator.Doors() {
		given := func(changes map[string]string) object {
			config := toAny(aps.Config("ada"))
			for key, value := range changes {
				config[key] = value
			}
			return object{"resourceId": tenant.Resource, "config": object{"acc": config}, "remotes": []any{"acc:/Project Files"}, "write": true}
		}
		try := func(request object, want string) object {
			t.Helper()
			answer := harness.Must(t, door, "TestConfig", request)
			tests := harness.List(answer, "remotes")
			if len(tests) != 1 || outcomes(tests[0]) != want {
				t.Errorf("%s: %v, want %s", door.Name(), answer, want)
			}
			if text := fmt.Sprint(answer); strings.Contains(text, "SECRET") || strings.Contains(text, "refresh-ada") || strings.Contains(text, "access-ada") {
				t.Errorf("%s tells a secret: %s", door.Name(), text)
			}
			return answer
		}
		works := "CONNECT OK, LIST OK, WRITE OK, QUOTA SKIPPED"
		fails := func(code string) string {
			return "CONNECT FAILED " + code + ", LIST SKIPPED, WRITE SKIPPED, QUOTA SKIPPED"
		}
		if answer := try(given(nil), works); answer["success"] != true {
			t.Errorf("%s: %v", door.Name(), answer)
		}
		before := aps.Requests(apstest.OpToken)
		try(given(map[string]string{"token": aps.ExpiredToken("ada")}), fails("FAILED_PRECONDITION"))
		if n := aps.Requests(apstest.OpToken) - before; n > 0 {
			t.Errorf("%s: a token that is good for one use and not stored was exchanged %d times", door.Name(), n)
		}
		try(given(map[string]string{"endpoint": private}), fails("PERMISSION_DENIED"))
		try(given(map[string]string{"endpoint": "https://nobody.invalid"}), fails("PERMISSION_DENIED"))
		if got := harness.List(harness.Must(t, door, "GetConfig", object{"resourceId": tenant.Resource}), "remotes"); i == 0 && len(got) > 0 {
			t.Errorf("%s: a test has stored %v", door.Name(), got)
		}

		// The stored one's token is renewed, kept, and used by the next.
		stored := toAny(aps.Config("ada"))
		stored["token"] = aps.ExpiredToken("ada")
		harness.Must(t, door, "AddConfig", object{"resourceId": tenant.Resource, "config": object{"acc": stored}})
		before = aps.Requests(apstest.OpToken)
		again := object{"resourceId": tenant.Resource}
		for range 2 {
			try(again, "CONNECT OK, LIST OK, WRITE SKIPPED, QUOTA SKIPPED")
		}
		if n := aps.Requests(apstest.OpToken) - before; n != 1 {
			t.Errorf("%s: the stored token was renewed %d times, want once", door.Name(), n)
		}
		if refusal := harness.Refused(t, door, "TestConfig", object{"resourceId": tenant.Resource, "remotes": []any{"nobody"}}); refusal.Code != "INVALID_ARGUMENT" {
			t.Errorf("%s: an unknown remote: %v", door.Name(), refusal)
		}
	}
	if left := aps.Files("Project Files"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	for _, violation := range aps.Violations() {
		t.Error(violation)
	}
}
