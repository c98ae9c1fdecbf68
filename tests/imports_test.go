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

// TestOnlyOneImports pins which package hides a library.
func TestOnlyOneImports(t *testing.T) {
	t.Parallel()
	all := imports(t, true)
	for _, c := range []struct{ library, hider string }{
		{module + "ent", module + "server/internal/store/entstore"},
		{"entgo.io/ent", module + "server/internal/store/entstore"},
		{"github.com/rclone/rclone", module + "server/internal/remote"},
		{"github.com/tink-crypto", module + "server/internal/seal"},
		{"github.com/99designs/gqlgen", module + "facade/internal/graph"},
		{"gocloud.dev/blob", module + "server/internal/executionlog"},
	} {
		t.Run(c.library, func(t *testing.T) {
			t.Parallel()
			used := false
			for pkg, imported := range all {
				uses := slices.ContainsFunc(imported, func(name string) bool { return within(name, c.library) })
				used = used || uses
				// The library's own generated code and generator are not users.
				if uses && !within(pkg, c.hider, module+"ent") {
					t.Errorf("%s imports %s; only %s may", pkg, c.library, c.hider)
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
	outside := []string{"net", "os", "io/fs", "io/ioutil", "syscall", "database/sql", "log", "log/slog", "path/filepath", "plugin"}
	all := imports(t, false)
	pure := []string{"audit", "job", "schedule", "occurrence", "workflow", "policy", "store"}
	for _, name := range pure {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			imported, ok := all[module+"server/internal/"+name]
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

// TestServerInternalStaysInternal pins that the black box stays black.
func TestServerInternalStaysInternal(t *testing.T) {
	t.Parallel()
	for pkg, imported := range imports(t, true) {
		if !within(pkg, strings.TrimSuffix(module, "/")+"/tests") {
			continue
		}
		for _, dep := range imported {
			if within(dep, module+"server", module+"ent", module+"facade") {
				t.Errorf("%s imports %s: stories use the program's doors only", pkg, dep)
			}
		}
	}
}
