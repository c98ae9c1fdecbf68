package tests

import (
	"fmt"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

// auditOf are the events of a method, newest first.
func auditOf(t *testing.T, door harness.Door, ask object) []object {
	t.Helper()
	return harness.List(harness.Must(t, door, "ListAuditEvents", ask), "events")
}

// Commands that work on the database itself leave events like calls do: with
// the command, the process and the user, also when they were refused.
func TestCommandsAreAudited(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	folder := t.TempDir()
	for range 2 { // the second time there is nothing to do
		if result := harness.Run(t, nil, "migrate", "--data-dir", folder); result.Code != 0 {
			t.Fatalf("migrate ended with %d: %s", result.Code, result.Stderr)
		}
	}
	server := harness.Start(t, harness.Options{DataDir: folder})
	operator := server.As(server.Token(t, "operator"))
	door := operator.RESTDoor()
	token := server.Token(t, "instance-read-7 instance-create")
	fresh := keysCommand(t, server, "add")
	if result := server.Command(t, "keys", "promote", "key_1", "--wait", "1s"); result.Code == 0 {
		t.Error("a missing key was promoted")
	}
	keysCommand(t, server, "promote", fresh)
	keysCommand(t, server, "rewrap")
	keysCommand(t, server, "rotate-links")
	keysCommand(t, server, "list") // changes nothing

	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range auditOf(t, door, object{}) {
		command := harness.Text(e, "details", "command")
		if command == "" {
			continue // by a door
		}
		got = append(got, strings.Join([]string{command, harness.Text(e, "method"), harness.Text(e, "object"), harness.Text(e, "code")}, " "))
		if e["actor"] != "operator" || harness.Text(e, "details", "user") != me.Username || harness.Text(e, "details", "process") == "" || e["requestId"] == nil {
			t.Errorf("an event %v", e)
		}
		if text := fmt.Sprint(e); strings.Contains(text, token) {
			t.Errorf("an event holds a token: %s", text)
		}
	}
	want := []string{
		"carillon keys rotate-links carillon.v1.KeyService/RotateSigningKey  OK",
		"carillon keys rewrap carillon.v1.KeyService/RewrapKeys  OK",
		"carillon keys promote carillon.v1.KeyService/PromoteKey " + fresh + " OK",
		"carillon keys promote carillon.v1.KeyService/PromoteKey key_1 NOT_FOUND",
		"carillon keys add carillon.v1.KeyService/AddKey  OK",
		"carillon token SignToken  OK",
		"carillon token SignToken  OK",
		"carillon migrate Migrate  OK",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}

	// What a token did leads to who made it.
	caller := server.As(token)
	harness.Must(t, caller.RESTDoor(), "CreateInstance", object{"instance": object{"title": "a"}})
	did := auditOf(t, door, object{"method": "CreateInstance"})[0]
	made := auditOf(t, door, object{"method": "SignToken"})[0]
	if did["tokenId"] == nil || did["tokenId"] != made["tokenId"] || did["scopes"] != made["scopes"] {
		t.Errorf("%v was made by %v", did, made)
	}
	if at, err := time.Parse(time.RFC3339, harness.Text(made, "details", "expiresAt")); err != nil || time.Until(at) > 4*time.Hour || time.Until(at) < 3*time.Hour {
		t.Errorf("expires %v: %v", made["details"], err)
	}
}

// Which execution used which version of which credential is told on every
// door, by the object, by the execution and by the time.
func TestAuditTellsWhichExecutionUsedWhichConfig(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: []string{"--local-remote-root", root}})
	c := newCopying(t, server, root)
	tenant := c.tenant
	first := tenant.Run(t, c.job)
	tenant.End(t, first)
	between := time.Now().UTC().Format(time.RFC3339Nano)
	harness.Must(t, tenant.Operator.GRPCDoor(), "AddConfig", object{"resourceId": tenant.Resource, "config": object{"disk": object{"type": "local"}}})
	second := tenant.Run(t, c.job)
	tenant.End(t, second)

	other := tenant.Operator.NewTenant(t)
	writer := server.As(server.Token(t, "instance-write-"+tenant.Instance))
	for _, door := range writer.Doors() {
		for name, ask := range map[string]object{
			"of the resource":  {"object": tenant.Resource, "method": "OpenConfig"},
			"of the instance":  {"instanceId": tenant.Instance, "method": "OpenConfig"},
			"of the execution": {"actor": second, "method": "OpenConfig"},
			"since":            {"object": tenant.Resource, "method": "OpenConfig", "from": between},
			"until":            {"object": tenant.Resource, "method": "OpenConfig", "to": between},
		} {
			got := map[string]bool{}
			for _, e := range auditOf(t, door, ask) {
				got[harness.Text(e, "actor")+" "+harness.Text(e, "details", "remote")+" "+harness.Text(e, "details", "version")] = true
			}
			want := map[string]bool{first + " disk 1": name != "of the execution" && name != "since", second + " disk 2": name != "until"}
			for event, wanted := range want {
				if got[event] != wanted {
					t.Errorf("%s, %s: %q is %v in %v", door.Name(), name, event, got[event], got)
				}
			}
		}
		if events := auditOf(t, door, object{"object": other.Instance}); len(events) != 0 {
			t.Errorf("%s tells of another tenant: %v", door.Name(), events)
		}
	}
}
