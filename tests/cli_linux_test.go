package tests

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/pointscene/carillon/tests/harness"
)

// Two people see their plans, one applies, and the other, who says yes too late,
// is told what to do and has changed nothing.
func TestApplyTooLate(t *testing.T) {
	t.Parallel()
	p, _ := signedIn(t, harness.Start(t, harness.Options{}))
	const hook = "kind: webhook\nurl: https://hooks.example/a\nevents: [FIRST_FAILURE]\n"
	const job = "name: shared\nfrequencyType: MANUAL\nworkflow: {tasks: [{name: a, type: util.noop}]}\n"
	p.do(0, job+"---\n"+hook, "apply", "-f", "-", "--yes")
	file := filepath.Join(t.TempDir(), "shared.yaml")
	writeFile(t, file, "description: of the slower one\n"+job+"---\ndescription: of the slower one\n"+hook)
	r := harness.RunAnswering(t, p.env, "as they should be.", func() {
		p.do(0, "description: of the faster one\n"+job+"---\ndescription: of the faster one\n"+hook, "apply", "-f", "-", "--yes")
	}, "y", "apply", "-f", file)
	if r.Code != 6 || !strings.Contains(r.Stdout, "2 to update") || strings.Count(r.Stderr, "ETAG_MISMATCH") != 2 || !strings.Contains(r.Stderr, "run the command again") {
		t.Errorf("the slower one's apply ended with %d\n%s%s", r.Code, r.Stdout, r.Stderr)
	}
	if text := p.do(0, "", "export").Stdout; strings.Count(text, "description: of the faster one") != 2 {
		t.Errorf("afterwards:\n%s", text)
	}
	if r := p.do(1, "", "diff", "-f", file); !strings.Contains(r.Stdout, "of the faster one\" -> \"of the slower one") {
		t.Errorf("the command again: %s", r.Stdout)
	}
}
