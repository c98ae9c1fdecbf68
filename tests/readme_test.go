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
	// marked are the parts of a page that run as one script.
	marked = regexp.MustCompile(`(?s)<!-- test: begin -->(.*?)<!-- test: end -->`)
	fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")
	// varying is what differs from run to run.
	varying = regexp.MustCompile(`\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?|"took":"[^"]*"|"cursor":"[^"]*"`)
)

// printed ends the output of a block in that of the script.
const printed = "=== end of block ===\n"

// pageScript is every sh block between a page's marks, in order, and what the
// page shows after each of them.
func pageScript(t *testing.T, page string) (text string, shown []string) {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	for _, part := range marked.FindAllSubmatch(content, -1) {
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
	return script.String(), shown
}

// comparable is a block of output without what differs from run to run; its lines
// are sorted, as the warnings of a schedule come in the order of the seasons.
func comparable(block string) []string {
	lines := strings.Split(strings.TrimSpace(varying.ReplaceAllString(block, "...")), "\n")
	slices.Sort(lines)
	return lines
}

// What the README says to do while `make run` goes on works as it is written.
func TestREADME(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	checkout := newCheckout(t)
	server := harness.Start(t, harness.Options{DataDir: filepath.Join(checkout, "data"), Dir: checkout, Flags: []string{"--local-remote-root", "./data/remotes", "--demo"}})
	operator := server.As(server.Token(t, "operator")).GRPCDoor()
	harness.Wait(t, 10*time.Second, "the demo job is made", func() bool {
		return len(harness.List(harness.Must(t, operator, "ListInstances", object{}), "instances")) > 0 &&
			len(harness.List(harness.Must(t, operator, "ListJobs", object{"instanceId": "inst_1"}), "jobs")) > 0
	})
	script, _ := pageScript(t, "../README.md")
	if !strings.Contains(script, "bin/carillon job run job_2") {
		t.Fatalf("the README makes no job:\n%s", script)
	}
	// make run serves on the ports that the command line asks; this one can't.
	runScript(t, checkout, script, "CARILLON_API_ADDR="+server.GRPC)
	if _, err := os.Stat(filepath.Join(checkout, "data/remotes/hello/welcome.txt")); err != nil {
		t.Error(err)
	}
}

// The tour runs as it is written and prints what it shows.
func TestTour(t *testing.T) {
	t.Parallel()
	oneAfterTheOther(t)
	script, shown := pageScript(t, "../docs/tour.md")
	if strings.Count(script, "curl ") < 5 || !strings.Contains(script, "grpcurl ") || !strings.Contains(script, "/graphql") {
		t.Fatalf("the tour has no call through each door between its marks:\n%s", script)
	}
	checkout := newCheckout(t)
	for _, program := range []string{"bash", "curl", "jq", "grpcurl"} {
		if !inPath(program, filepath.Join(checkout, ".build/bin")+string(os.PathListSeparator)+os.Getenv("PATH")) {
			leaveOut(t, program)
		}
	}
	harness.Start(t, harness.Options{DataDir: filepath.Join(checkout, "data"), Dir: checkout, Flags: []string{"--local-remote-root", "./data/remotes"}})
	compareBlocks(t, shown, runScript(t, checkout, script))
}

// newCheckout is a folder that looks like a checkout after `make build tools`.
func newCheckout(t *testing.T) string {
	t.Helper()
	root, err := harness.Root()
	if err != nil {
		t.Fatal(err)
	}
	checkout := t.TempDir()
	for link, target := range map[string]string{"bin/carillon": harness.Program(), ".build/bin": filepath.Join(root, ".build", "bin")} {
		link = filepath.Join(checkout, link)
		if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	return checkout
}

// runScript runs a page's script in a checkout and answers what each block
// printed.
func runScript(t *testing.T, checkout, script string, env ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail")
	cmd.Dir = checkout
	cmd.Stdin = strings.NewReader(script)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + checkout}, env...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("the script: %v\n%s", err, output.Bytes())
	}
	return strings.Split(output.String(), printed)
}

// compareBlocks compares what blocks printed with what the page shows after them.
func compareBlocks(t *testing.T, shown, blocks []string) {
	t.Helper()
	if len(blocks) != len(shown)+1 {
		t.Fatalf("%d blocks printed %d times:\n%s", len(shown), len(blocks)-1, blocks)
	}
	compared := 0
	for i, block := range blocks[:len(shown)] {
		if block == "" { // its answers went into variables
			continue
		}
		compared++
		if diff := cmp.Diff(comparable(shown[i]), comparable(block)); diff != "" {
			t.Errorf("block %d prints other than the page shows (-shown +printed):\n%s", i+1, diff)
		}
	}
	if compared < 5 {
		t.Errorf("only %d blocks print something:\n%s", compared, blocks)
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
	const hint = "LEFT OUT: the examples need %s (`make tools` installs grpcurl)"
	if os.Getenv("CI") == "true" {
		t.Fatalf(hint, program)
	}
	t.Skipf(hint, program)
}
