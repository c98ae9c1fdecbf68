package tests

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pointscene/carillon/tests/harness"
)

var (
	// marked are the parts of the README that run as one script.
	marked = regexp.MustCompile(`(?s)<!-- test: begin -->(.*?)<!-- test: end -->`)
	shell  = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
)

// readmeScript is every sh block between the README's marks, in order.
func readmeScript(t *testing.T, root string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, part := range marked.FindAllSubmatch(text, -1) {
		for _, block := range shell.FindAllSubmatch(part[1], -1) {
			script.Write(block[1])
		}
	}
	if strings.Count(script.String(), "curl ") < 5 || !strings.Contains(script.String(), "grpcurl ") || !strings.Contains(script.String(), "/graphql") {
		t.Fatalf("the README has no call through each door between its marks:\n%s", script.String())
	}
	return script.String()
}

// The README's way without the demo runs as it is written, in a folder that
// looks like a checkout after `make build tools`.
func TestREADME(t *testing.T) {
	t.Parallel()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	script := readmeScript(t, root)
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

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
	for _, want := range []string{`"state": "SUCCEEDED"`, "Hello.", "UNKNOWN_TASK_TYPE", "CRON_VALUE_RANGE"} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("the output lacks %s:\n%s", want, output.Bytes())
		}
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
