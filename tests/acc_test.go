package tests

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/pointscene/carillon/tests/apstest"
	"github.com/pointscene/carillon/tests/harness"
)

// TestACCThroughTheProgram tells of a folder that is kept in ACC, of a token
// that ends early and is renewed once for two executions, and of an edit that
// only the checksum shows.
func TestACCThroughTheProgram(t *testing.T) {
	t.Parallel()
	aps := apstest.Start(t, apstest.Options{RateFactor: 1000})
	root := t.TempDir()
	server := harness.Start(t, harness.Options{Flags: []string{
		"--egress-allow", "127.0.0.0/8", "--local-remote-root", root, "--aps-rate-factor", "900"}})
	tenant := server.NewTenant(t)
	harness.Must(t, tenant.Operator.RESTDoor(), "AddConfig", object{"resourceId": tenant.Resource,
		"config": object{"disk": object{"type": "local"}, "acc": toAny(aps.Config("ada"))}})
	want := map[string]string{"a.txt": "one", "sub/b.txt": "two"}
	for name, content := range want {
		writeFile(t, filepath.Join(root, "in", name), content)
	}
	up := tenant.Create(t, object{"name": "up"}, object{"name": "sync", "type": "sync.files", "args": object{
		"resourceId": tenant.Resource, "remotes": []any{"disk:/in", "acc:/Project Files/out"}}})
	run := func(job string) {
		t.Helper()
		if ended := tenant.End(t, tenant.Run(t, job)); ended["state"] != "SUCCEEDED" {
			t.Fatalf("ended as %v", ended)
		}
	}
	run(up)
	if got := aps.Files("Project Files/out"); !maps.Equal(got, want) {
		t.Fatalf("ACC has %v, want %v", got, want)
	}
	aps.ExpireAccess()
	writeFile(t, filepath.Join(root, "in/a.txt"), "two") // of the same size
	run(up)
	if got := aps.Versions("Project Files/out/a.txt"); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("versions are %q", got)
	}
	run(tenant.Create(t, object{"name": "down"}, object{"name": "sync", "type": "sync.files", "args": object{
		"resourceId": tenant.Resource, "remotes": []any{"acc:/Project Files/out", "disk:/back"}}}))
	if content, err := os.ReadFile(filepath.Join(root, "back/a.txt")); err != nil || string(content) != "two" {
		t.Errorf("read back %q, %v", content, err)
	}
	if n := aps.Requests(apstest.OpToken); n != 1 {
		t.Errorf("the token was renewed %d times, want once", n)
	}
	for _, violation := range aps.Violations() {
		t.Error(violation)
	}
}

func toAny(texts map[string]string) object {
	values := object{}
	for key, text := range texts {
		values[key] = text
	}
	return values
}

func writeFile(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
