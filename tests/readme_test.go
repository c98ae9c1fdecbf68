package tests

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pointscene/carillon/tests/harness"
)

var (
	// marked are the parts of the README that run as one script.
	marked = regexp.MustCompile(`(?s)<!-- test: begin -->(.*?)<!-- test: end -->`)
	fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	// varying is what differs from run to run.
	varying = regexp.MustCompile(`\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?|"took":"[^"]*"|"cursor":"[^"]*"`)
)

// printed ends the output of a block in that of the script.
const printed = "=== end of block ===\n"

// readmeScript is every sh block between the README's marks, in order, and what
// the README shows after each of them.
func readmeScript(t *testing.T, root string) (text string, shown []string) {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, part := range marked.FindAllSubmatch(readme, -1) {
		for _, block := range fenced.FindAllSubmatch(part[1], -1) {
			if string(block[1]) != "sh" {
				shown[len(shown)-1] = string(block[2])
				continue
			}
			script.Write(block[2])
			fmt.Fprintf(&script, "printf %q\n", printed)
			shown = append(shown, "")
		}
	}
	if strings.Count(script.String(), "curl ") < 5 || !strings.Contains(script.String(), "grpcurl ") || !strings.Contains(script.String(), "/graphql") {
		t.Fatalf("the README has no call through each door between its marks:\n%s", script.String())
	}
	return script.String(), shown
}

// comparable is a block of output without what differs from run to run; its lines
// are sorted, as the warnings of a schedule come in the order of the seasons.
func comparable(block string) []string {
	lines := strings.Split(strings.TrimSpace(varying.ReplaceAllString(block, "...")), "\n")
	slices.Sort(lines)
	return lines
}

// The README's way without the demo runs as it is written and prints what the
// README shows, in a folder that
// looks like a checkout after `make build tools`.
func TestREADME(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	script, shown := readmeScript(t, root)
	checkout := t.TempDir()
	tools := filepath.Join(root, ".build", "bin")
	path := tools + string(os.PathListSeparator) + os.Getenv("PATH")
	for _, program := range []string{"bash", "curl", "jq", "grpcurl"} {
		if !inPath(program, path) {
			leaveOut(t, program)
		}
	}
	for link, target := range map[string]string{"bin/carillon": harness.Program(), ".build/bin": tools} {
		link = filepath.Join(checkout, link)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	harness.Start(t, harness.Options{DataDir: filepath.Join(checkout, "data"), Dir: checkout, Flags: []string{"--local-remote-root", "./data/remotes"}})

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail")
	cmd.Dir = checkout
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + checkout}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("the README's script: %v\n%s", err, output.Bytes())
	}
	blocks := strings.Split(output.String(), printed)
	if len(blocks) != len(shown)+1 {
		t.Fatalf("%d blocks printed %d times:\n%s", len(shown), len(blocks)-1, output.Bytes())
	}
	compared := 0
	for i, block := range blocks[:len(shown)] {
		if block == "" { // its answers went into variables
			continue
		}
		compared++
		if diff := cmp.Diff(comparable(shown[i]), comparable(block)); diff != "" {
			t.Errorf("block %d prints other than the README shows (-shown +printed):\n%s", i+1, diff)
		}
	}
	if compared < 5 {
		t.Errorf("only %d blocks print something:\n%s", compared, output.Bytes())
	}
}

func inPath(program, path string) bool {
	for _, folder := range filepath.SplitList(path) {
		if info, err := os.Stat(filepath.Join(folder, program)); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

// leaveOut ends a test for which a program is missing; CI has all of them.
func leaveOut(t *testing.T, program string) {
	t.Helper()
	const hint = "LEFT OUT: the README needs %s (`make tools` installs grpcurl)"
	if os.Getenv("CI") == "true" {
		t.Fatalf(hint, program)
	}
	t.Skipf(hint, program)
}
