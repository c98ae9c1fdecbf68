package tests

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
)

const module = "github.com/pointscene/carillon/"

// goList runs go list in the module's root, one answer a line.
func goList(t *testing.T, args ...string) []string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
	}
	return strings.Fields(string(out))
}

func within(path string, folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool {
		return path == folder || strings.HasPrefix(path, folder+"/")
	})
}

func TestFacadeKnowsNeitherServerNorDatabase(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	deps := goList(t, "-deps", "./facade/...")
	if !slices.Contains(deps, module+"facade") {
		t.Fatal("the list lacks the facade itself")
	}
	for _, dep := range deps {
		if within(dep, module+"server", module+"ent", "entgo.io", "modernc.org", "github.com/jackc", "github.com/rclone") {
			t.Errorf("the facade depends on %s", dep)
		}
	}
}

// imports are the imports of every package below server, with those of its
// tests only when asked.
func imports(t *testing.T, tests bool) map[string][]string {
	t.Helper()
	format := `{{.ImportPath}}{{range .Imports}},{{.}}{{end}}`
	if tests {
		format += `{{range .TestImports}},{{.}}{{end}}{{range .XTestImports}},{{.}}{{end}}`
	}
	found := map[string][]string{}
	for _, line := range goList(t, "-f", format, "./...") {
		names := strings.Split(line, ",")
		found[names[0]] = names[1:]
	}
	return found
}

// TestOnlyFewImport pins which packages know a library or a layer; those below
// them don't. A package of the list stands for what is inside of it, too, unless
// it ends with a dot.
func TestOnlyFewImport(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	all := imports(t, true)
	const internal = "server/internal/"
	for _, c := range []struct {
		library string
		knowers []string
	}{
		// The library's own generated code and generator are no users.
		{module + "ent", []string{internal + "store/entstore", "ent"}},
		{"entgo.io/ent", []string{internal + "store/entstore", "ent"}},
		{"github.com/rclone/rclone", []string{internal + "remote"}},
		{"github.com/tink-crypto", []string{internal + "seal"}},
		{"github.com/99designs/gqlgen", []string{"facade/internal/graph"}},
		{"gocloud.dev/blob", []string{internal + "executionlog"}},
		{"github.com/spf13/cobra", []string{internal + "cli", "server/cmd"}},
		{module + "gen", []string{internal + "rpc", internal + "cli", internal + "bench", "server.", "server/cmd", "facade", "tests"}},
		{"google.golang.org/grpc", []string{internal + "rpc", internal + "cli", internal + "bench", internal + "task/grpccall", "server.", "facade", "tests", "gen"}},
		// Stories use the program's doors only.
		{module + "server", []string{"server"}},
		{module + "facade", []string{"facade", "server."}},
	} {
		t.Run(c.library, func(t *testing.T) {
			t.Parallel()
			used := false
			for pkg, imported := range all {
				uses := slices.ContainsFunc(imported, func(name string) bool { return within(name, c.library) })
				used = used || uses
				known := slices.ContainsFunc(c.knowers, func(knower string) bool {
					exact, ok := strings.CutSuffix(module+knower, ".")
					return ok && pkg == exact || !ok && within(pkg, exact)
				})
				if uses && !known {
					t.Errorf("%s imports %s; only these may: %s", pkg, c.library, strings.Join(c.knowers, ", "))
				}
			}
			if !used {
				t.Errorf("nobody imports %s: the rule checks nothing", c.library)
			}
		})
	}
}

// TestPurePackages pins that rules of the domain touch nothing outside.
func TestPurePackages(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	outside := []string{"net", "os", "io/fs", "io/ioutil", "syscall", "database/sql", "log", "log/slog", "path/filepath", "plugin"}
	all := imports(t, false)
	pure := []string{"audit", "job", "schedule", "occurrence", "workflow", "policy", "notice", "places", "store"}
	for _, name := range pure {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			imported, ok := all[module+"server/internal/"+name]
			if !ok { // shared with the facade
				imported, ok = all[module+"internal/"+name]
			}
			if !ok {
				t.Fatal("there is no such package")
			}
			for _, dep := range imported {
				ours, inner := strings.CutPrefix(dep, module+"server/internal/")
				foreign := strings.Contains(strings.Split(dep, "/")[0], ".")
				switch {
				case inner && (ours == "task" || slices.Contains(pure, ours)): // task has the contract of task types
				case inner || foreign || within(dep, outside...):
					t.Errorf("imports %s", dep)
				}
			}
		})
	}
}
