package harness

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Result is how a command of the program ended.
type Result struct {
	// Code is the exit code; -1 when a signal ended it.
	Code           int
	Stdout, Stderr string
}

// commandLimit ends a command that should have ended by itself, also on a busy
// machine.
const commandLimit = 5 * time.Minute

// Run runs one command of the program to its end. Env are further variables,
// as NAME=value.
func Run(t testing.TB, env []string, args ...string) Result {
	t.Helper()
	return RunWith(t, env, "", args...)
}

// RunWith is Run with text on standard input.
func RunWith(t testing.TB, env []string, stdin string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = environment(env)
	cmd.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("carillon %s did not end within %s\n%s", strings.Join(args, " "), commandLimit, stderr.Bytes())
	case err != nil && !errors.As(err, &exit):
		t.Fatalf("carillon %s: %v", strings.Join(args, " "), err)
	}
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// RunUntil runs a command of the program, interrupts it as soon as its output
// contains seen, and answers how it ended.
func RunUntil(t testing.TB, env []string, seen string, args ...string) Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = environment(env)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var stdout strings.Builder
	lines := bufio.NewScanner(out)
	for interrupted := false; lines.Scan(); {
		stdout.WriteString(lines.Text() + "\n")
		if !interrupted && strings.Contains(lines.Text(), seen) {
			interrupted = true
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // the code tells
	return Result{Code: cmd.ProcessState.ExitCode(), Stdout: stdout.String(), Stderr: stderr.String()}
}

// environment is what a program needs of this process's, and extra: no
// variable of the caller's shell decides what a test finds.
func environment(extra []string) []string {
	kept := []string{"GORACE=halt_on_error=0"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return append(kept, extra...)
}
